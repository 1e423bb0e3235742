"""The audit log: an append-only chain of records, each hashed together with the hash before it.

A record holds who, what and how it ended, as digests and redacted descriptions, never as values. The chain shows
that a record was edited, dropped or reordered; whoever can rewrite the whole file can also rebuild the chain, so
`audit seal` puts the head outside (a git note).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from mcp_backend.errors import Json
from mcp_backend.store import Store

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the chain does not hold, and what was found there."""

    seq: int
    problem: str


def link(previous: str, record: str) -> str:
    """Hex SHA-256 of the hash before and the canonical record."""
    return hashlib.sha256(f"{previous}\n{record}".encode()).hexdigest()


async def append(store: Store, record: Mapping[str, Json]) -> int:
    """Adds one record inside the caller's transaction; its number is returned."""
    head = await store.row("audit_last")
    seq = head["seq"] + 1 if head else 1
    text = json.dumps({"seq": seq, **record}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    digest = link(head["hash"] if head else GENESIS, text)
    await store.run("audit_append", seq=seq, record=text, hash=digest)
    await store.run("audit_set_head", seq=seq, hash=digest)
    return seq


async def verify(store: Store, seals: Mapping[int, str] | None = None) -> tuple[int, list[Break]]:
    """The number of records, and every place where the chain breaks.

    `seals` are heads that were written outside the store: record number to hash.
    """
    breaks: list[Break] = []
    previous, expected, hashes = GENESIS, 1, dict[int, str]()
    for row in await store.rows("audit_all"):
        seq, text = int(row["seq"]), str(row["record"])
        if seq != expected:
            breaks.append(Break(expected, f"record {expected} is missing (found {seq})"))
            expected = seq
        elif row["hash"] != link(previous, text):
            breaks.append(Break(seq, f"record {seq} was edited, or the one before it was replaced"))
        elif _sequence(text) != seq:
            breaks.append(Break(seq, f"record {seq} was moved here from elsewhere"))
        previous, hashes[seq] = str(row["hash"]), str(row["hash"])
        expected += 1
    head = await store.row("audit_last")
    last = int(head["seq"]) if head else 0
    if last != expected - 1:
        breaks.append(Break(expected, f"the log ends at record {expected - 1}, its head says {last}"))
    elif head and head["hash"] != previous:
        breaks.append(Break(last, "the head does not match the last record"))
    for seq, sealed in sorted((seals or {}).items()):
        if hashes.get(seq) != sealed:
            breaks.append(Break(seq, f"record {seq} does not match its seal"))
    return expected - 1, breaks


def _sequence(text: str) -> int | None:
    try:
        value = json.loads(text)["seq"]
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, int) else None
