"""What a server that lives for days must not do: take more memory with each call."""

import ctypes
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mcp_backend import audit
from mcp_backend.engines.ch import values
from mcp_backend.migrations.rehearsal import rehearse
from mcp_backend.migrations.rehearsal.catalog import Doc, Key
from mcp_backend.store.sqlite import open_sqlite
from tests.test_front import INITIALIZE
from tests.test_transports import SERVE, environment

libc: Any = ctypes.CDLL(None)
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(libc, "mallinfo2"), reason="counts what glibc 2.33 and later say"
)
CALLS = 12
RECORDS, MOST = 600, 600_000


class Mallinfo(ctypes.Structure):
    """`struct mallinfo2`, mallinfo(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def used() -> int:
    """Bytes that are in use of what the C library holds."""
    libc.mallinfo2.restype = Mallinfo
    found = libc.mallinfo2()
    return found.uordblks + found.hblkhd


def heaps(process: int) -> int:
    """The heaps that glibc made for threads: each begins at a multiple of 64 MB (malloc/arena.c)."""
    lines = [line.split() for line in Path(f"/proc/{process}/maps").read_text().splitlines()]
    starts = [int(fields[0].partition("-")[0], 16) for fields in lines if fields[1] == "rw-p" and len(fields) == 5]
    return sum(start % (64 << 20) == 0 for start in starts)


def test_calls_that_run_at_once_share_one_heap(repository: Path) -> None:
    """What one thread left free in a heap of its own, another could not use."""
    read = {"method": "tools/call", "params": {"name": "read_file", "arguments": {"path": "README.md"}}}
    command = [sys.executable, *SERVE, "--workspace", str(repository)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, message in enumerate([INITIALIZE, *[read] * CALLS]):
            process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, **message}) + "\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(1 + CALLS)]
        assert all("# orders" in json.dumps(answer) for answer in answers if answer["id"])
        assert heaps(process.pid) <= 2, "of threads that begin before the server does; eight where each has its own"
        process.stdin.close()


async def test_records_do_not_fill_the_memory_with_pages_of_the_store(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path)
    record: dict[str, audit.Json] = {"event": "started", "tool": "read_file", "actions": ["read orders/app.py" * 120]}
    async with store.transaction(durable=False):
        await audit.append(store, record)
    before = used()
    for _ in range(RECORDS):
        async with store.transaction(durable=False):
            await audit.append(store, record)
    assert used() - before < MOST
    store.close()


def test_what_a_rehearsal_keeps_of_a_large_schema_is_small() -> None:
    columns = [{"name": f"c{number}", "type": "text", "null": True, "def": None} for number in range(20)]
    catalog: dict[Key, Doc] = {
        ("table", number, 0): {"name": f"t{number}", "columns": columns, "rows": 1.5} for number in range(300)
    }
    start = (catalog, {("table", f"public.t{number}"): "create table" for number in range(300)})
    kept = rehearse.packed(start)
    assert rehearse.unpacked(kept) == start
    assert len(kept) < 300 * 100


def test_types_that_queries_make_up_are_not_kept_for_ever() -> None:
    values.reader.cache_clear()
    for number in range(2_500):
        assert values.reader(f"Array(Enum16('one' = {number}))")(["one"]) == ["one"]
    assert values.reader.cache_info().currsize < 2_000
