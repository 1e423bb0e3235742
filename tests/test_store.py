"""What holds for the store wherever it is: one writer at a time, approvals spent once, waking, rates, keys, truth."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mcp_backend import approvals, audit, policy
from mcp_backend.cli import main
from mcp_backend.errors import InvalidArgument, Unavailable
from mcp_backend.policy.store import Shared
from mcp_backend.store import Store, apart, open_store
from mcp_backend.store.postgresql import Postgresql
from mcp_backend.store.sqlite import open_sqlite

SPENT = int(os.environ.get("APPROVALS_SPENT", "10"))
"""Approvals that many writers try to spend at once; benchmarks raise it."""


@pytest.fixture
async def stores(each_store: str, tmp_path: Path) -> AsyncGenerator[list[Store]]:
    """Three servers' views of one store."""
    found = [open_store(tmp_path) for _ in range(3)]
    yield found
    for each in found:
        each.close()
    await asyncio.sleep(0)


async def granted(store: Store, digest: str) -> None:
    """An approval of a person, with the record of its decision."""
    now = time.time()
    async with store.transaction():
        record = {"event": "approved", "escalation": f"E-{digest}", "digest": digest, "at_version": "v", "by": "ana",
                  "expires": now + 600}  # fmt: skip
        seq = await audit.append(store, record)
        await store.run(
            "escalation_add", id=f"E-{digest}", kind="approval", title="t", question="q", details="{}", blocking=True,
            digest=digest, at_version="v", tool="t", constraint_id="", assignee="a", asker="b", opened=now,
            expires=now + 600, chain="[]", asked="[]", escalate_every=0.0, escalate_at=None, quotes="",
        )  # fmt: skip
        await store.run(
            "approval_add", id=f"A-{digest}", escalation=f"E-{digest}", digest=digest, at_version="v", approver="ana",
            channel="web", granted=now, expires=now + 600, record=seq,
        )  # fmt: skip


async def spent(store: Store, digest: str) -> bool:
    async with store.transaction():
        found = await approvals.spend(store, digest, "v", time.time())
        await audit.append(store, {"event": "started", "approval": {"id": found.id} if found else None})
    return found is not None


async def test_an_approval_is_spent_once_by_writers_at_once_and_the_chain_holds(stores: list[Store]) -> None:
    for number in range(SPENT):
        await granted(stores[0], f"d{number}")
        took = await asyncio.gather(*(spent(store, f"d{number}") for store in stores for _ in range(2)))
        assert sum(took) == 1
    assert await audit.verify(stores[1]) == (SPENT * 7, [])


async def test_who_waits_is_woken_by_another_server(stores: list[Store]) -> None:
    mark = stores[0].mark()
    waiting = asyncio.create_task(stores[0].changed(mark, 60))
    await granted(stores[1], "woken")
    assert await asyncio.wait_for(waiting, 40)


async def test_what_a_failed_transaction_did_is_undone_for_all(stores: list[Store]) -> None:
    async def fail() -> None:
        async with stores[0].transaction():
            await audit.append(stores[0], {"event": "x"})
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await fail()
    assert await audit.verify(stores[1]) == (0, [])
    async with stores[1].transaction():
        await audit.append(stores[1], {"event": "y"})
    assert await audit.verify(stores[0]) == (1, [])


async def test_servers_share_the_key_and_the_share_of_a_principal(stores: list[Store]) -> None:
    assert len({await store.key() for store in stores}) == 1
    waits = [await store.take("eve", 3) for store in (*stores, *stores)]
    assert waits[:3] == [0, 0, 0]
    assert all(0 < wait <= 20 for wait in waits[3:])
    assert await stores[0].take("ana", 3) == 0


async def test_a_living_server_is_not_taken_for_dead(stores: list[Store]) -> None:
    async with stores[0].alive("one"):
        await stores[0].run("running_add", call="c", instance="one", tool="t", what="w")
        assert not await stores[1].dead("one")
        assert await stores[1].dead("nobody")
    assert await stores[1].dead("one")


async def test_what_servers_that_were_killed_left_is_taken_away(tmp_path: Path) -> None:
    store, instances = open_store(tmp_path), tmp_path / "instances"
    async with store.alive("living"):
        for name in ("killed", "young"):
            (instances / name).touch()
        for name in ("killed", "living"):
            os.utime(instances / name, (0, 0))
        async with store.alive("another"):
            assert {path.name for path in instances.iterdir()} == {"living", "young", "another"}
    store.close()


async def test_one_workspace_does_not_see_another(store_url: str) -> None:
    mine, theirs = Postgresql(store_url, "mine"), Postgresql(store_url, "theirs")
    await granted(mine, "secret")
    assert await theirs.row("escalation_get", id="E-secret") is None
    assert await theirs.rows("escalations_open") == []
    assert not await spent(theirs, "secret")
    assert await spent(mine, "secret")
    for store in (mine, theirs):
        store.close()


TAMPERED = {
    "edited": ("update audit set record = replace(record, 'tool2', 'tool9') where seq = 2", "record 2 was edited"),
    "dropped": ("delete from audit where seq = 2", "record 2 is missing before record 3"),
    "cut": ("delete from audit where seq = 4", "the log ends at record 3, its head says 4"),
    "moved": ("update audit a set record = b.record from audit b where a.seq + b.seq = 5 and a.seq in (2, 3)", "moved"),
}


@pytest.mark.parametrize("how", TAMPERED)
async def test_what_was_done_to_a_shared_log_is_named(store_url: str, how: str) -> None:
    store = Postgresql(store_url, f"tampered_{how}")
    for number in range(1, 5):
        async with store.transaction():
            await audit.append(store, {"tool": f"tool{number}"})
    statement, named = TAMPERED[how]
    with psycopg.connect(store_url, autocommit=True, options=f"-c search_path=mcp_backend_tampered_{how}") as editor:
        editor.execute(statement.encode())
    _, breaks = await audit.verify(store)
    store.close()
    assert named in breaks[0].problem


async def test_a_store_that_is_away_says_so_and_answers_again(store_url: str, postgres_admin_url: str) -> None:
    store = Postgresql(store_url, "away")

    async def severed() -> None:
        async with store.transaction():
            await store.row("audit_last")
            kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mcp-backend store'"
            with psycopg.connect(postgres_admin_url, autocommit=True) as admin:
                admin.execute(kill.encode())
            await audit.append(store, {"event": "lost"})

    await store.ready()
    with pytest.raises(Unavailable, match=r"the store at .* does not answer since"):
        await severed()
    assert await audit.verify(store) == (0, [])
    store.close()


async def test_both_stores_have_the_same_tables_and_columns(tmp_path: Path, store_url: str) -> None:
    sqlite, shared = open_sqlite(tmp_path), Postgresql(store_url, "columns")
    await shared.ready()
    with psycopg.connect(store_url) as conn:
        found = conn.execute(
            b"select table_name, column_name from information_schema.columns where table_schema = 'mcp_backend_columns'"
        ).fetchall()
    wanted: list[tuple[Any, Any]] = [
        (table[0], column[1])
        for table in sqlite._connection.execute("select name from sqlite_master where type = 'table'")  # pyright: ignore[reportPrivateUsage]
        for column in sqlite._connection.execute(f"pragma table_info({table[0]})")  # pyright: ignore[reportPrivateUsage]
    ]
    for store in (sqlite, shared):
        store.close()
    own = ("version", "instance", "secret", "rate", "rehearsal")
    assert {pair for pair in found if pair[0] not in own and pair != ("receipt", "rowid")} == set(wanted)


def test_no_command_falls_back_to_the_file_when_the_policy_names_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mcp-backend.toml").write_text('store = "env:NOT_THERE"\n')
    where = ["--workspace", str(tmp_path)]
    commands = [["audit", "verify", *where], ["audit", "tail", *where], ["inbox", *where]]
    for command in commands:
        assert main(command) == 1
        assert "store.url: the environment variable NOT_THERE is not set" in capsys.readouterr().err
    monkeypatch.setenv("NOT_THERE", "postgresql://nobody:hunter2@127.0.0.1:1/x")
    for command in commands:
        assert main(command) == 1
        said = capsys.readouterr().err
        assert "the store at 127.0.0.1:1 does not answer" in said
        assert "hunter2" not in said


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('store = "postgresql://ana:secret@db/x"', "store.url: expected env:NAME or file:PATH, never the URL"),
        ("store = 1", "store: expected"),
        ('store = {url = "env:A", name = "x"}', "unknown key store.name"),
        ('store = {url = "env:A", workspace = "A-b"}', "store.workspace: expected a name"),
        ('store = {workspace = "a"}', "store.url: expected env:NAME"),
    ],
)
def test_a_store_that_is_named_wrongly_is_an_error(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "mcp-backend.toml"
    file.write_text(f"{line}\n")
    with pytest.raises(InvalidArgument, match=problem) as failure:
        policy.load(file, ())
    assert "secret" not in failure.value.reason


def test_the_store_is_no_database_that_the_engineer_works_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE", "postgresql://a@db.example:5432/orders")
    shared = Shared("env:STORE", "x")
    engine = policy.EngineSettings("main", "postgresql", "postgresql://b@db.example/orders")
    with pytest.raises(InvalidArgument, match="it is the database of engines"):
        apart(shared, [engine])
    apart(shared, [policy.EngineSettings("main", "postgresql", "postgresql://b@db.example/other")])
