"""Credentials of messaging engines by reference, on real servers that demand them; a wrong one says so without it."""

import asyncio
import base64
import hashlib
import importlib
import json
import os
import ssl
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mcp_backend import persona
from mcp_backend.engines import embedded
from mcp_backend.engines.kafka import Kafka, client_settings, with_access
from mcp_backend.engines.nats import Nats
from mcp_backend.engines.redis import Redis
from mcp_backend.errors import InvalidArgument, Unavailable
from mcp_backend.policy import EngineSettings, access, load
from mcp_backend.settings import workspace
from tests import certificates
from tests.natsd import Natsd
from tests.redisd import Redisd

NKEYS: Any = importlib.import_module("nkeys")
SECRET = "c0rrect-h0rse"
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority's certificates, and in `other` those of one that nobody trusts."""
    folder = certificates.make(tmp_path_factory.mktemp("pem"))
    certificates.make(folder / "other")
    return folder


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncGenerator[Make]:
    """Makes an engine from what an entry of the policy says, and closes it."""
    made: list[Any] = []

    def making(kind: str, url: str, **entry: str) -> Any:
        table: dict[str, object] = {**entry}
        way = access.read("mcp-backend.toml", "bus", kind, table)
        settings = EngineSettings("bus", kind, url, "development", access=way)
        make: Any = {"nats": Nats, "redis": Redis, "kafka": Kafka}[kind]
        made.append(make(settings, workspace(tmp_path)))
        return made[-1]

    yield making
    for one in made:
        await one.close()


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[str], str]:
    """Puts a secret into a file of its own and gives the reference."""

    def put(text: str) -> str:
        place = tmp_path / hashlib.sha256(text.encode()).hexdigest()[:12]
        place.write_text(text + "\n")
        return f"file:{place}"

    return put


def seed(kind: int = 20 << 3) -> tuple[str, str]:
    """A new key of NATS: its seed and its public name. `kind` is the byte of users (U), accounts (A), operators (O)."""
    raw = os.urandom(32)
    first = bytes([(18 << 3) | (kind >> 5), (kind & 31) << 3])
    body = first + raw
    text = base64.b32encode(body + NKEYS.crc16(body).to_bytes(2, "little")).decode().rstrip("=")
    return text, NKEYS.from_seed(bytearray(text.encode())).public_key.decode()


def token(claims: dict[str, Any], signer: str, issuer: str) -> str:
    """A JWT as NATS signs it (ed25519-nkey)."""

    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    whole = {"iss": issuer, "iat": 1_700_000_000, **claims}
    whole["jti"] = base64.b32encode(hashlib.sha256(json.dumps(whole).encode()).digest()).decode().rstrip("=")
    text = f"{part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{part(whole)}"
    signature = NKEYS.from_seed(bytearray(signer.encode())).sign(text.encode())
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@pytest.fixture
def nats(tmp_path: Path) -> Generator[Callable[[str], Natsd]]:
    """Starts servers with a configuration."""
    started: list[Natsd] = []

    def starting(extra: str) -> Natsd:
        started.append(Natsd(tmp_path / f"natsd{len(started)}", extra, jetstream=False).start())
        return started[-1]

    yield starting
    for server in started:
        server.stop()


async def refused(engine: Any, cause: str, *secrets: str) -> str:
    """What is said of an engine that does not let us in; none of the secrets is in it."""
    with pytest.raises(Unavailable) as wrong:
        await (engine.connection() if isinstance(engine, Nats) else engine.client())
    assert wrong.value.details
    assert wrong.value.details["cause"] == cause, wrong.value.reason
    shown = json.dumps(wrong.value.as_json()) + repr(wrong.value.__cause__) + repr(wrong.value.__context__)
    assert not [text for text in secrets if text in shown]
    return wrong.value.reason


async def test_nats_takes_user_token_and_nkey_by_reference(
    nats: Callable[[str], Natsd], engine: Make, secret: Callable[[str], str]
) -> None:
    server = nats(f'authorization {{ user: worker, password: "{SECRET}" }}')
    assert (await engine("nats", server.url, username="worker", password=secret(SECRET)).connection()).alive
    told = await refused(
        engine("nats", server.url, username="worker", password=secret("wr0ng-one")), "credentials", "wr0ng-one"
    )
    assert "entry of the policy" in told
    server = nats('authorization { token: "t0ken-right" }')
    assert (await engine("nats", server.url, token=secret("t0ken-right")).connection()).alive
    await refused(engine("nats", server.url, token=secret("t0ken-wr0ng")), "credentials", "t0ken-wr0ng")
    (right, public), (wrong, _) = seed(), seed()
    server = nats(f"authorization {{ users: [{{ nkey: {public} }}] }}")
    assert (await engine("nats", server.url, nkey=secret(right)).connection()).alive
    await refused(engine("nats", server.url, nkey=secret(wrong)), "credentials", wrong)


async def test_nats_takes_a_credentials_file_of_an_account(
    nats: Callable[[str], Natsd], engine: Make, secret: Callable[[str], str]
) -> None:
    (o_seed, operator), (a_seed, account), (u_seed, user) = seed(14 << 3), seed(0), seed()
    o_jwt = token({"sub": operator, "name": "o", "nats": {"type": "operator", "version": 2}}, o_seed, operator)
    everything: dict[str, Any] = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
                                  "wildcards": True, "conn": -1, "leaf": -1}  # fmt: skip
    about = {"limits": everything, "type": "account", "version": 2}
    a_jwt = token({"sub": account, "name": "a", "nats": about}, o_seed, operator)
    limits: dict[str, Any] = {"subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2}
    server = nats(f"operator: {o_jwt}\nresolver: MEMORY\nresolver_preload: {{ {account}: {a_jwt} }}")

    def credentials(jwt: str, key: str) -> str:
        return secret(
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{key}\n------END USER NKEY SEED------\n"
        )

    good = token({"sub": user, "name": "u", "nats": limits}, a_seed, account)
    old = token({"sub": user, "name": "u", "exp": 1_700_000_001, "nats": limits}, a_seed, account)
    assert (await engine("nats", server.url, creds=credentials(good, u_seed)).connection()).alive
    await refused(engine("nats", server.url, creds=credentials(old, u_seed)), "credentials", old, u_seed)
    other, _ = seed()
    await refused(engine("nats", server.url, creds=credentials(good, other)), "credentials", good, other)


async def test_nats_shows_a_certificate_where_one_is_demanded(
    nats: Callable[[str], Natsd], engine: Make, pem: Path
) -> None:
    server = nats(
        f'tls {{ cert_file: "{pem}/server.pem", key_file: "{pem}/server.key", ca_file: "{pem}/ca.pem", verify: true }}'
    )
    ours = {"tls_ca": f"{pem}/ca.pem", "tls_cert": f"file:{pem}/client.pem", "tls_key": f"{pem}/client.key"}
    assert (await engine("nats", server.url, **ours).connection()).alive
    assert "demands a certificate" in await refused(engine("nats", server.url, tls_ca=ours["tls_ca"]), "tls")
    assert "certificate verify failed" in (
        await refused(engine("nats", server.url, **{**ours, "tls_ca": f"{pem}/other/ca.pem"}), "tls")
    ).lower().replace("_", " ")


@asynccontextmanager
async def tls_before(port: int, pem: Path) -> AsyncGenerator[int]:
    """A port where TLS with a client's certificate stands before a server that has none."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{pem}/ca.pem")
    context.load_cert_chain(f"{pem}/server.pem", f"{pem}/server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", port)

        async def pipe(one: asyncio.StreamReader, other: asyncio.StreamWriter) -> None:
            while data := await one.read(65536):
                other.write(data)
                await other.drain()
            other.close()

        try:
            await asyncio.gather(pipe(reader, back), pipe(there, writer))
        except (OSError, asyncio.CancelledError):
            pass  # one side is gone
        finally:
            back.close()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_redis_takes_a_user_of_its_list_and_certificates(
    tmp_path: Path, engine: Make, secret: Callable[[str], str], pem: Path
) -> None:
    # The wheel's Valkey is built without TLS, so that stands before it.
    server = Redisd(tmp_path / "redis", f"user worker on >{SECRET} ~* &* +@all", "user default off").start()
    ours = {"tls_ca": f"{pem}/ca.pem", "tls_cert": f"{pem}/client.pem", "tls_key": f"{pem}/client.key"}
    right, wrong = secret(SECRET), secret("wr0ng-one")
    try:
        assert await engine("redis", server.url, username="worker", password=right).ask("PING")
        url = server.url.replace("://", "://other:thing@")
        assert await engine("redis", url, username="worker", password=right).ask("PING")
        await refused(engine("redis", server.url, username="worker", password=wrong), "credentials", "wr0ng-one")
        await refused(engine("redis", server.url), "credentials", SECRET)
        async with tls_before(server.port, pem) as port:
            url = f"rediss://127.0.0.1:{port}/0"
            assert await engine("redis", url, username="worker", password=right, **ours).ask("PING")
            await refused(engine("redis", url, username="worker", password=wrong, **ours), "credentials", "wr0ng-one")
            other = {**ours, "tls_ca": f"{pem}/other/ca.pem"}
            await refused(engine("redis", url, username="worker", password=right, **other), "tls", SECRET)
            bare = engine("redis", url, username="worker", password=right, tls_ca=ours["tls_ca"])
            await refused(bare, "tls", SECRET)
    finally:
        server.stop()


async def test_kafka_shows_a_certificate_where_one_is_demanded(tmp_path: Path, engine: Make, pem: Path) -> None:
    lease = await embedded.lease("kafka", workspace(tmp_path))
    ours = {"tls_ca": f"{pem}/ca.pem", "tls_cert": f"{pem}/client.pem", "tls_key": f"{pem}/client.key"}
    try:
        async with tls_before(int(lease.url.rpartition(":")[2]), pem) as port:
            assert (await engine("kafka", f"kafka+ssl://127.0.0.1:{port}", **ours).ask("metadata", seconds=60))[
                "brokers"
            ]
            strange = engine("kafka", f"kafka://127.0.0.1:{port}", **{**ours, "tls_ca": f"{pem}/other/ca.pem"})
            with pytest.raises(Unavailable) as wrong:
                await strange.read("metadata", seconds=2.0)
        assert wrong.value.details
        assert wrong.value.details["cause"] == "tls", wrong.value.reason
    finally:
        lease.close()
        await embedded.stop("kafka", workspace(tmp_path), force=True)


def test_kafkas_client_gets_what_the_policy_refers_to(
    tmp_path: Path, secret: Callable[[str], str], pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_USER", "worker")
    table: dict[str, object] = {
        "username": "env:KAFKA_USER", "password": secret(SECRET), "sasl_mechanism": "SCRAM-SHA-512",
        "tls_ca": f"{pem}/ca.pem",
    }  # fmt: skip
    settings = EngineSettings("bus", "kafka", "kafka://h:1", access=access.read("p", "bus", "kafka", table))
    assert with_access(client_settings("kafka://a:b@h:1", field="url"), settings, tmp_path) == {
        "bootstrap.servers": "h:1", "sasl.username": "worker", "sasl.password": SECRET,
        "sasl.mechanism": "SCRAM-SHA-512", "security.protocol": "SASL_SSL", "ssl.ca.location": f"{pem}/ca.pem",
    }  # fmt: skip
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("kind", "entry", "problem"),
    [
        ("nats", {"password": SECRET, "username": "x"}, "engines.bus.password: expected env:NAME or file:PATH"),
        ("nats", {"token": SECRET}, "engines.bus.token: expected env:NAME or file:PATH"),
        ("nats", {"nkey": "env:A", "creds": "file:b"}, "creds and nkey: expected one of them"),
        ("nats", {"username": "x"}, "username and password together"),
        ("nats", {"sasl_mechanism": "PLAIN"}, "sasl_mechanism: not known for nats"),
        ("kafka", {"sasl_mechanism": "GSSAPI"}, "expected one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ("kafka", {"nkey": "env:A"}, "nkey: not known for kafka"),
        ("redis", {"tls_cert": "a.pem"}, "tls_cert: needs tls_key beside it"),
        ("postgresql", {"password": "env:A"}, "password: not known for postgresql; known: none"),
        ("redis", {"password": 5}, "engines.bus.password: expected env:NAME or file:PATH"),
    ],
)
def test_an_entry_of_the_policy_that_cannot_be_meant_is_named(
    tmp_path: Path, kind: str, entry: dict[str, object], problem: str
) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in entry.items()]
    (tmp_path / "mcp-backend.toml").write_text(f'[engines.bus]\nkind = "{kind}"\nurl = "x"\n' + "\n".join(lines))
    with pytest.raises(InvalidArgument) as wrong:
        load(tmp_path / "mcp-backend.toml", persona.load().constraints)
    assert problem in wrong.value.reason
    assert SECRET not in wrong.value.reason


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"nkey": "SUAM-not-a-seed"}, "engines.bus.nkey: expected the seed of a user"),
        ({"creds": "nothing of the kind"}, "engines.bus.creds: expected"),
        ({"token": "env:NOBODY_SET_THIS"}, "engines.bus.token: the environment variable NOBODY_SET_THIS is not set"),
        ({"tls_ca": "gone.pem"}, "engines.bus.tls_ca: gone.pem leads to no file"),
        ({"tls_ca": "mcp-backend.toml"}, "engines.bus.tls_ca: cannot be used as a certificate"),
    ],
)
async def test_a_reference_that_gives_nothing_usable_is_named_without_what_it_gives(
    tmp_path: Path, engine: Make, secret: Callable[[str], str], entry: dict[str, str], problem: str
) -> None:
    (tmp_path / "mcp-backend.toml").write_text("")
    given = {k: v if v.startswith("env:") or k.startswith("tls") else secret(v) for k, v in entry.items()}
    with pytest.raises(InvalidArgument) as wrong:
        await engine("nats", "nats://127.0.0.1:1", **given).connection()
    assert wrong.value.reason.startswith(problem)
    assert "not-a-seed" not in wrong.value.reason
