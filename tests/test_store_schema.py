"""The store's own migrations: rehearsed by this very tool on a store in use, and applied by servers that race."""

import asyncio
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from mcp_backend import audit
from mcp_backend.store.postgresql import Postgresql
from mcp_backend.store.postgresql.schema import files
from tests.conftest import long_proof
from tests.migration_fixtures import Project, call

USED = b"""
insert into escalation (id, kind, title, question, details, blocking, digest, at_version, tool, constraint_id, status,
                        assignee, asker, opened, expires)
select 'ESC-' || n, 'approval', 't', 'q', '{}', false, 'd' || n, 'v', 't', 'c', 'open', 'a', 'b', n, 1e12
from generate_series(1, 2000) n;
insert into escalation_event (escalation, at, event, actor, channel)
select id, 1, 'opened', 'b', 'tool' from escalation;
insert into approval (id, escalation, digest, at_version, approver, channel, granted, expires)
select 'APR-' || id, id, digest, 'v', 'ana', 'web', 1, 1e12 from escalation;
insert into audit (seq, record, hash) select n, repeat('r', 400), repeat('0', 64) from generate_series(1, 5000) n;
"""
"""What the tables of the first version hold in a store that was used."""


def test_no_migration_of_the_store_is_left_out_and_none_takes_anything_away() -> None:
    assert [number for number, _ in files()] == list(range(1, len(files()) + 1))
    for _, path in files()[1:]:
        taken = re.search(r"\b(drop|truncate|delete|update|rename)\b", path.read_text("utf-8"), re.IGNORECASE)
        assert taken is None, f"{path.name}: an older server of the same store still works"


@long_proof
async def test_every_migration_of_the_store_is_safe_on_one_that_is_in_use(project: Project) -> None:
    """Each is written as a migration of a user's repository, and has to pass as one."""
    project.policy(unrehearsed_because="")
    async with project.server() as client:
        for number, path in files():
            project.write(f"{number}_store", path.read_text("utf-8"))
            answer = await client.call_tool("rehearse_migration", {})
            report: dict[str, Any] = answer.structured_content or {}
            found = [f"{h['severity']} {h['id']}: {h['reason']}" for h in report.get("hazards", ())]
            assert answer.is_error is False, report
            assert report["verdict"] in ("safe", "warn"), (path.name, found)
            assert not [s for s in report["statements"] if s.get("rewrites")], path.name
            assert (await call(client))["rehearsal"]["schema_as_rehearsed"] is True
            if number == 1:
                project.admin.execute(USED)


async def test_an_old_store_that_is_in_use_is_brought_up_to_date_once_by_servers_that_race(store_url: str) -> None:
    with psycopg.connect(store_url, options="-c search_path=mcp_backend_old") as old:
        old.execute(SQL("create schema {}").format(Identifier("mcp_backend_old")))
        old.execute(b"create table version (number integer primary key, applied timestamptz not null default now())")
        old.execute(re.sub(r"^--.*\n", "", files()[0][1].read_text("utf-8"), flags=re.MULTILINE).encode())
        old.execute(b"insert into version (number) values (1)")
        old.execute(USED.partition(b"insert into audit")[0])
    stores = [Postgresql(store_url, "old") for _ in range(6)]
    await asyncio.gather(*(store.ready() for store in stores))
    with psycopg.connect(store_url, options="-c search_path=mcp_backend_old") as seen:
        numbers = seen.execute("select number from version order by number").fetchall()
    assert numbers == [(number,) for number, _ in files()]
    row = await stores[-1].row("escalation_get", id="ESC-7")
    assert row is not None
    assert (row["digest"], row["chain"], row["awaits"]) == ("d7", "[]", "")
    approval = await stores[0].row("approval_of", escalation="ESC-7")
    assert approval is not None
    assert approval["id"] == "APR-ESC-7"
    async with stores[1].transaction():
        assert await audit.append(stores[1], {"event": "x"}) == 1
    for store in stores:
        store.close()


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MCP_BACKEND_STATE", str(tmp_path / "state"))
