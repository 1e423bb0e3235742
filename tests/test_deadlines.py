"""Whatever lies below a call and does not answer, whoever asked gets an answer, and others are not kept waiting."""

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from mcp_backend.errors import Unavailable
from mcp_backend.store import sqlite
from mcp_backend.store.sqlite import open_sqlite


async def test_who_waits_for_another_process_to_write_does_not_hold_up_the_others(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path)
    with sqlite3.connect(tmp_path / "store.db", isolation_level=None) as other:
        other.execute("begin immediate")

        async def written() -> None:
            async with store.transaction():
                await store.run("running_add", call="c", instance="i", tool="t", what="w")

        waiting = asyncio.create_task(written())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        other.execute("rollback")  # by this very loop
        await waiting
    assert [row["call"] for row in await store.rows("running_all")] == ["c"]
    store.close()


async def test_many_who_wait_for_a_locked_store_wait_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 1.0)
    store = open_sqlite(tmp_path)

    async def written(number: int) -> None:
        if number % 3:
            async with store.transaction():
                pytest.fail("it is locked")
        await store.run("running_remove", call="c")

    async def refused(number: int) -> None:
        with pytest.raises(Unavailable, match="does not answer"):
            await written(number)

    with sqlite3.connect(tmp_path / "store.db", isolation_level=None) as other:
        other.execute("begin immediate")
        began = time.monotonic()
        await asyncio.gather(*map(refused, range(24)))
        assert time.monotonic() - began < 12, "24 s one after the other"
        assert await store.rows("running_all") == [], "who only reads does not wait"
        other.execute("rollback")
    async with store.transaction():
        pass
    store.close()
