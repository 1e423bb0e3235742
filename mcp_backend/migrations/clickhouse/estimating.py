"""How long and how much on the target: from the bytes that a statement moves there."""

from collections.abc import Iterable

from mcp_backend.migrations.clickhouse.target import Table
from mcp_backend.migrations.rehearsal.report import NO_TIME, Band

BYTES_PER_SECOND = 100e6
"""Compressed bytes that one server reads, changes and writes a second; bands of times tell how far that is off."""
LONG_SECONDS = 60.0
"""A mutation that takes longer is worth a plan of its own."""


def moved(table: Table | None, columns: Iterable[str] | None = None) -> int:
    """Bytes of the columns, or of the whole table, as the target has them."""
    if table is None:
        return 0
    if columns is None:
        return table.bytes
    known = {c.name: c.bytes for c in table.columns.values()}
    total = sum(known.values())
    wanted = [name for name in columns if name in known]
    share = sum(known[name] for name in wanted) / total if total else len(wanted) / max(1, len(known))
    return int(table.bytes * share)


def band(size: int) -> Band:
    """The time that moving so many bytes takes, in milliseconds."""
    expected = size / BYTES_PER_SECOND * 1000
    return Band(expected * 0.4, expected, expected * 3) if size else NO_TIME


def long(size: int) -> bool:
    """Whether it takes long enough to matter by itself."""
    return size / BYTES_PER_SECOND > LONG_SECONDS


def spoken(size: int) -> str:
    """Bytes as people say them."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{size} bytes"
