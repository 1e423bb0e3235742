"""Every way to a database: TLS, IPv6, Unix sockets, secrets kept elsewhere, poolers, and servers that say nothing."""

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest

from tests.asking import error, names_database, result
from tests.certificates import make
from tests.clickhouse_fixtures import names_clickhouse
from tests.conftest import Connect
from tests.daemon import free_port


def with_port(url: str, port: int) -> str:
    """The URL with another port of the same host."""
    return with_query(url).replace(f":{urlsplit(url).port}/", f":{port}/")


def with_query(url: str, host: str = "", **query: str) -> str:
    """The URL with another host, and with a query."""
    parts = urlsplit(url)
    place = f"{parts.username}:{parts.password}@{host or parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(netloc=place, query="&".join(f"{k}={quote(v)}" for k, v in query.items())))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with an authority, and a server's certificate of it for `localhost`; a folder of another authority."""
    folder = tmp_path_factory.mktemp("certificates")
    return make(folder / "ours"), make(folder / "theirs", name="stranger")


def serving(folder: Path) -> ssl.SSLContext:
    """TLS of a server with the certificate in a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)
"""https://www.postgresql.org/docs/current/protocol-message-formats.html"""


@dataclass
class Door:
    """A way to a server. `encrypted` counts those who came in over TLS."""

    port: int = 0
    encrypted: int = 0


@asynccontextmanager
async def door(url: str, at: str, tls: ssl.SSLContext | None = None, *, asked_for: bool = True) -> AsyncGenerator[Door]:
    """Listens at an address, or a path, and leads to the server of the URL. With `tls`, TLS ends here: from the first
    byte, or when it is `asked_for` as a client of PostgreSQL does."""
    parts = urlsplit(url)
    made = Door()
    tasks: set[asyncio.Task[Any]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            if tls is not None and asked_for:
                begin = await reader.readexactly(8)
                if begin == SSL_REQUEST:
                    writer.write(b"S")
                    await writer.start_tls(tls)
                    made.encrypted += 1
                else:
                    back.write(begin)
            await asyncio.gather(copy(reader, back), copy(there, writer))
        finally:
            for end in (writer, back):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await lead(reader, writer)

    server: asyncio.Server = (
        await asyncio.start_unix_server(accept, at)
        if at.startswith("/")
        else await asyncio.start_server(accept, at, 0, ssl=None if asked_for else tls)
    )
    made.port = 0 if at.startswith("/") else server.sockets[0].getsockname()[1]
    async with server:
        yield made
        server.close()
        if tasks:
            await asyncio.wait(tasks, timeout=60)


async def test_tls_is_used_and_checked_as_the_url_says(
    repository: Path, connect: Connect, postgres_url: str, certificates: tuple[Path, Path]
) -> None:
    ca, stranger = (str(folder / "ca.pem") for folder in certificates)
    other = {"host": "other.example", "hostaddr": "127.0.0.1"}
    async with door(postgres_url, "127.0.0.1", serving(certificates[0])) as way:
        at = with_port(postgres_url, way.port)
        for url, encrypted in (
            (with_query(at, sslmode="disable"), False),
            (with_query(at, sslmode="require"), True),
            (with_query(at, ssl="true"), True),
            (with_query(at, **other, sslmode="verify-ca", sslrootcert=ca), True),
            (with_query(at, host="localhost", sslmode="verify-full", sslrootcert=ca), True),
        ):
            way.encrypted = 0
            names_database(repository, url)
            async with connect(repository) as client:
                assert (await result(client, "db_query", sql="select 1"))["rows"] == [[1]], url
                assert (await result(client, "db_schema"))["tables"] == []
            assert (way.encrypted > 0) is encrypted, url
        for url, said in (
            (with_query(at, **other, sslmode="verify-full", sslrootcert=ca), "does not match host name"),
            (with_query(at, host="localhost", sslmode="verify-full", sslrootcert=stranger), "verify failed"),
            (with_query(at, host="localhost", sslmode="verify-full", sslrootcert="/no/ca.pem"), "/no/ca.pem"),
        ):
            names_database(repository, url)
            async with connect(repository) as client:
                refused = await error(client, "db_query", sql="select 1")
                assert refused["code"] == "unavailable"
                assert said in refused["reason"], refused["reason"]
                assert str(urlsplit(url).password) not in json.dumps(refused)


async def test_a_server_without_tls_is_not_spoken_to_when_tls_is_asked_for(
    repository: Path, connect: Connect, postgres_url: str
) -> None:
    names_database(repository, with_query(postgres_url, sslmode="require"))
    async with connect(repository) as client:
        refused = await error(client, "db_query", sql="select 1")
        assert "server does not support SSL" in refused["reason"]


async def test_ipv6_and_unix_sockets_lead_to_the_database(
    repository: Path, connect: Connect, postgres_url: str, tmp_path: Path
) -> None:
    parts = urlsplit(postgres_url)
    database, secret = parts.path[1:], f"{parts.username}:{parts.password}"
    place = tmp_path / ".s.PGSQL.6432"
    async with door(postgres_url, "::1") as way, door(postgres_url, str(place)):
        port = way.port
        for url, named in (
            (f"postgresql://{secret}@[::1]:{port}/{database}", f"[::1]:{port}"),
            (f"postgresql+asyncpg://{secret}@[::1]:{port}/{database}", f"[::1]:{port}"),
            (f"postgresql://{secret}@/{database}?host={quote(str(tmp_path), safe='')}&port=6432", f"{tmp_path}:6432"),
            (f"host={tmp_path} port=6432 dbname={database} user={parts.username} password={parts.password}", ""),
        ):
            names_database(repository, url)
            async with connect(repository) as client:
                assert (await result(client, "db_query", sql="select current_database()"))["rows"] == [[database]]
            names_database(repository, url.replace(str(parts.password), "wrong-secret"))
            async with connect(repository) as client:
                refused = await error(client, "db_query", sql="select 1")
                assert named in refused["reason"]
                assert "password authentication failed" in refused["reason"]
                assert "wrong-secret" not in json.dumps(refused)


async def test_a_secret_comes_from_the_environment_or_a_file(
    repository: Path, connect: Connect, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(postgres_url)
    plain = urlunsplit(parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}"))
    kept = tmp_path / "url"
    kept.write_text(postgres_url + "\n")
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"{parts.hostname}:{parts.port}:*:{parts.username}:{parts.password}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("ORDERS_URL", postgres_url)
    for url in ("env:ORDERS_URL", f"file:{kept}", f"{plain}?passfile={quote(str(passwords), safe='')}"):
        names_database(repository, url)
        async with connect(repository) as client:
            assert (await result(client, "db_query", sql="select 1"))["rows"] == [[1]], url
    names_database(repository, plain)
    async with connect(repository) as client:
        assert "no password supplied" in (await error(client, "db_query", sql="select 1"))["reason"]
    monkeypatch.setenv("PGPASSWORD", str(parts.password))
    async with connect(repository) as client:
        assert (await result(client, "db_query", sql="select 1"))["rows"] == [[1]]


async def test_a_server_that_takes_the_call_and_says_nothing_is_given_up_in_time(
    repository: Path, connect: Connect
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        names_database(repository, f"postgresql://u:hunter2-secret@127.0.0.1:{port}/x")
        async with connect(repository) as client, asyncio.timeout(30):
            refused = await error(client, "db_query", sql="select 1")
    assert refused["code"] == "unavailable"
    assert f"127.0.0.1:{port}" in refused["reason"]
    assert "hunter2-secret" not in json.dumps(refused)


BOUNCER = """
[databases]
shop = host={host} port={port} dbname={database} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_prepared_statements = 0
unix_socket_dir =
logfile = {folder}/log
"""


@pytest.fixture
def pooler(postgres_url: str, tmp_path: Path) -> Generator[str]:
    """URL of the database behind pgbouncer in transaction mode, with two connections for everybody."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    parts = urlsplit(postgres_url)
    folder = tmp_path / "bouncer"
    folder.mkdir()
    port = free_port()
    settings = BOUNCER.format(
        host=parts.hostname, port=parts.port, database=parts.path[1:], user=parts.username, password=parts.password,
        listen=port, folder=folder,
    )  # fmt: skip
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.split()[1].split(".")[1]) < 21:
        settings = settings.replace("max_prepared_statements = 0\n", "")
    (folder / "settings.ini").write_text(settings)
    command = [program, "-q", str(folder / "settings.ini")]
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        command[1:1] = ["-u", "nobody"]
        for path in (folder, folder / "settings.ini"):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        for above in folder.parents:
            if above.is_relative_to("/tmp") and above != Path("/tmp"):
                above.chmod(above.stat().st_mode | 0o011)
    url = f"postgresql://anybody@127.0.0.1:{port}/shop?pgbouncer=true"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            for _ in range(200):
                with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url.partition("?")[0]):
                    break
                child.poll()
                assert child.returncode is None, (folder / "log").read_text()
            yield url
        finally:
            child.terminate()


async def test_behind_a_pooler_that_changes_connections_after_each_transaction_everything_works(
    repository: Path, connect: Connect, pooler: str, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(b"create table orders (id bigint primary key, note text)")
        owner.execute(b"insert into orders select n, repeat('x', 10) from generate_series(1, 50) n")
    names_database(repository, pooler)

    async def one(client: Any, number: int) -> None:
        found = await result(
            client, "db_query", sql="select id, note, $2::text from orders where id = $1", parameters=[number, "y"]
        )
        assert found["rows"] == [[number, "x" * 10, "y"]]

    async with connect(repository) as client:
        await asyncio.gather(*(one(client, number) for number in range(1, 13)))
        assert (await result(client, "db_schema"))["tables"][0]["name"] == "orders"
        assert (await result(client, "db_schema", table="orders"))["table"]["primary_key"] == ["id"]
        plan = await result(client, "db_query", sql="select * from orders where note = 'z'", explain="analyze")
        assert "Seq Scan on orders" in plan["plan"][0]
        endless = "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t"
        slow = await error(client, "db_query", sql=endless, timeout_seconds=1)
        assert slow["code"] == "deadline_exceeded"
        with psycopg.connect(postgres_url, autocommit=True) as owner:
            owner.execute("select pg_terminate_backend(pid, 2000) from pg_stat_activity where pid <> pg_backend_pid() "
                          "and datname = current_database()")  # fmt: skip
        await one(client, 7)
    with psycopg.connect(postgres_url) as owner:
        left = owner.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and state <> 'idle' "
            "and pid <> pg_backend_pid()"
        ).fetchone()
        assert left == (0,)
    with psycopg.connect(pooler.partition("?")[0], autocommit=True) as other:
        for setting, value in (("statement_timeout", "0"), ("lock_timeout", "0"), ("search_path", '"$user", public')):
            assert other.execute(f"show {setting}".encode()).fetchone() == (value,)


async def test_clickhouse_over_https_is_checked_against_the_authority_that_is_named(
    repository: Path, connect: Connect, clickhouse_url: str, certificates: tuple[Path, Path]
) -> None:
    parts = urlsplit(clickhouse_url)
    async with door(clickhouse_url, "127.0.0.1", serving(certificates[0]), asked_for=False) as way:
        url = f"https+clickhouse://{parts.username}:{parts.password}@localhost:{way.port}{parts.path}"
        for query in (f"?ca_cert={quote(str(certificates[0] / 'ca.pem'), safe='')}", "?verify=false"):
            names_clickhouse(repository, url + query)
            async with connect(repository) as client:
                assert (await result(client, "db_query", sql="SELECT 1"))["rows"] == [[1]]
        for query in ("", f"?ca_cert={quote(str(certificates[1] / 'ca.pem'), safe='')}"):
            names_clickhouse(repository, url + query)
            async with connect(repository) as client:
                refused = await error(client, "db_query", sql="SELECT 1")
                assert refused["code"] == "unavailable"
                assert "certificate verify failed" in refused["reason"]
                assert str(parts.password) not in json.dumps(refused)
