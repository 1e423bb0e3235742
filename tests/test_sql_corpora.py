"""The corpora of attacks and of legitimate reads against a real server, with canaries that show any effect."""

import json
import socket
from collections.abc import AsyncGenerator, Generator, Iterable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.asking import either, names_database
from tests.canary_fixtures import CANARIES
from tests.conftest import CORPORA, Connect

pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason="the corpora are not here")

SECRET = "CANARY_FILE_SECRET_77"
LEFT_BEHIND = """
select count(*) from pg_stat_activity a where datname = current_database() and pid <> pg_backend_pid()
  and application_name = 'mcp-backend'
  and (state <> 'idle' or exists (select from pg_locks l where l.pid = a.pid and l.locktype = 'advisory'))
"""


def cases(name: str) -> list[dict[str, Any]]:
    path = CORPORA / name
    if not path.exists():
        return []
    entries = (json.loads(line) for line in path.read_text().splitlines() if line.strip())
    return [cast("dict[str, Any]", entry) for entry in entries if entry["engine"] == "postgres"]


@pytest.fixture
def trap() -> Generator[socket.socket]:
    """A port that notices every connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def filled(sql: str, tokens: dict[str, str]) -> str:
    for token, value in tokens.items():
        sql = sql.replace(token, value)
    return sql


@pytest.fixture
async def victim(canary_url: str) -> AsyncGenerator[psycopg.AsyncConnection[Any]]:
    """A session that attacks try to end, and that listens for notifications."""
    async with await psycopg.AsyncConnection.connect(canary_url, autocommit=True) as connection:
        await connection.execute(b"listen pwn_chan")
        yield connection


@pytest.mark.parametrize("role", ["superuser", "owner"])
async def test_no_attack_has_an_effect(
    role: str, repository: Path, connect: Connect, canary_url: str, postgres_url: str, tmp_path: Path,
    trap: socket.socket, victim: psycopg.AsyncConnection[Any],
) -> None:  # fmt: skip
    url = canary_url if role == "superuser" else postgres_url
    folder = tmp_path / "attacked"
    folder.mkdir(mode=0o777)
    (folder / "secret.txt").write_text(SECRET)
    names_database(repository, url)
    tokens = {
        "@@DIR@@": str(folder), "@@PID@@": str(victim.info.backend_pid), "@@SSRF@@": str(trap.getsockname()[1]),
        "@@DSN@@": url,
    }  # fmt: skip
    with psycopg.connect(canary_url, autocommit=True) as admin:

        def canaries() -> str:
            row = admin.execute(CANARIES.encode()).fetchone()
            assert row is not None
            return str(row[0])

        before = canaries()
        async with connect(repository) as client:
            for case in cases("sql_attacks.jsonl"):
                for sql in (case["sql"], *case.get("then", [])):
                    ok, body = await either(client, "db_query", sql=filled(sql, tokens), timeout_seconds=1)
                    text = json.dumps(body)
                    assert SECRET not in text or SECRET in sql, case["id"]
                    assert "SCRAM-SHA-256$" not in text, case["id"]
                    assert len(text) < 200_000, case["id"]
                    if ok and case["effect"] != "dos" and sql == case["sql"]:
                        pytest.fail(f"{case['id']} was run: {sql}")
                    if body.get("code") == "permission_denied":
                        assert body["constraint"] == "reads-stay-reads"
                assert canaries() == before, case["id"]
                (running,) = admin.execute(LEFT_BEHIND.encode()).fetchone() or (0,)
                assert running == 0, case["id"]
        assert sorted(path.name for path in folder.iterdir()) == ["secret.txt"]
        assert (folder / "secret.txt").read_text() == SECRET
    with pytest.raises(BlockingIOError):
        trap.accept()
    await victim.execute(b"select 1")
    assert [note async for note in victim.notifies(timeout=0)] == []


NEEDS = {
    "pgcrypto": ("digest(", "crypt(", "gen_salt(", "hmac("),
    "xml2": ("xpath_", "xml_valid("),
    "hstore": ("hstore",),
}
"""Extensions that a server may lack, and how a statement that needs one looks."""


def lacking(url: str) -> tuple[str, ...]:
    """What statements cannot use on this server."""
    with psycopg.connect(url) as admin:
        found = {row[0] for row in admin.execute(b"select name from pg_available_extensions").fetchall()}
    return tuple(word for name, words in NEEDS.items() if name not in found for word in words)


async def test_every_legitimate_read_is_answered(repository: Path, connect: Connect, canary_url: str) -> None:
    names_database(repository, canary_url)
    rejected: list[str] = []
    absent = lacking(canary_url)
    async with connect(repository) as client:
        for case in cases("sql_benign.jsonl"):
            ok, body = await either(client, "db_query", sql=case["sql"])
            if case["expect"] == "refuse":
                assert not ok, case["id"]
            elif not ok and not any(word in case["sql"] for word in absent):
                rejected.append(f"{case['id']}: {body['reason']}")
    assert rejected == []


EFFECTS = [
    "delete from public.canary where id = 1", "update public.canary set n = n", "select nextval('public.canary_seq')",
    "create table public.pwn(x int)", "select lo_from_bytea(777001, 'pwn')", "create role pwn_role",
    "select public.sd_write('x')", "grant select on public.canary to public", "select pg_switch_wal()",
    "create function public.pwn() returns int language sql as 'select 1'", "drop table public.canary_tmp",
    "alter role backend set work_mem = '5MB'", "alter role backend reset all", "drop role pwn_role",
]  # fmt: skip


def test_the_canaries_notice_an_effect(canary_url: str) -> None:
    with psycopg.connect(canary_url, autocommit=True) as admin:
        before = admin.execute(CANARIES.encode()).fetchone()
        for effect in EFFECTS:
            admin.execute(effect.encode())
            after = admin.execute(CANARIES.encode()).fetchone()
            assert after != before, effect
            before = after


def every_string(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in cast("dict[str, Any]", value).values():
            yield from every_string(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from every_string(inner)


async def test_no_answer_to_an_attack_shows_the_password(repository: Path, connect: Connect, canary_url: str) -> None:
    password = urlsplit(canary_url).password
    names_database(repository, canary_url)
    async with connect(repository) as client:
        for sql in ("show all", "select * from pg_settings", "select query from pg_stat_activity", "select nope"):
            _, body = await either(client, "db_query", sql=sql, limit=1000)
            assert all(str(password) not in text for text in every_string(body))
