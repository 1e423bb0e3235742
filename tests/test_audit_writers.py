"""Several processes write one audit chain."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from mcp_backend import audit
from mcp_backend.store import open_store

WRITING = """
import asyncio, pathlib, sys
from mcp_backend import audit
from mcp_backend.store import open_store

async def write(name, count):
    store = open_store(pathlib.Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(count):
        async with store.transaction(durable=False):
            await audit.append(store, {"by": name, "number": number})
    store.close()

asyncio.run(write(sys.argv[2], int(sys.argv[3])))
"""


@pytest.mark.usefixtures("local_store")
async def test_several_processes_write_one_chain_that_is_whole_while_and_after(tmp_path: Path) -> None:
    """Also the creation of the store is raced for."""
    folder, count = tmp_path / "state", 150
    writers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITING, str(folder), name, str(count),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        for name in ("a", "b", "c")
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None
        assert await writer.stdout.readline() == b"ready\n"
    done = asyncio.gather(*(writer.communicate(b"\n") for writer in writers))
    store = open_store(folder)
    while not done.done():
        _, breaks = await audit.verify(store)
        assert breaks == [], "a log that grows while it is read is no broken one"
        await asyncio.wait({done}, timeout=0.02)
    await done
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    records = [json.loads(row["record"]) for row in await store.rows("audit_after", seq=0, limit=1000)]
    assert await audit.verify(store) == (3 * count, [])
    store.close()
    assert [r["seq"] for r in records] == list(range(1, 3 * count + 1))
    for name in ("a", "b", "c"):
        assert [r["number"] for r in records if r["by"] == name] == list(range(count)), "each in its own order"
