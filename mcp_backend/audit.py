"""The audit log: an append-only chain of records, each hashed together with the hash before it.

A record holds who, what and how it ended, as digests and redacted descriptions, never as values. The chain shows
that a record was edited, dropped or reordered; whoever can rewrite the whole file can also rebuild the chain, so
`audit seal` puts the head outside (a git note).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from mcp_backend.errors import Json
from mcp_backend.store import Store

GENESIS = "0" * 64
PAGE = 1000
SKEW = 60.0
"""Seconds by which the clocks of two servers of one store may differ."""


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
    return (await write(store, record))[0]


async def write(store: Store, record: Mapping[str, Json]) -> tuple[int, str]:
    """As `append`; the number and the hash."""
    head = await store.row("audit_last")
    seq = head["seq"] + 1 if head else 1
    text = json.dumps({"seq": seq, **record}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    digest = link(head["hash"] if head else GENESIS, text)
    await store.run("audit_append", seq=seq, record=text, hash=digest)
    await store.run("audit_set_head", seq=seq, hash=digest, at=_moment(record.get("at")))
    return seq, digest


async def holds(store: Store, seq: int, wanted: Mapping[str, Json]) -> bool:
    """Whether record `seq` is there, is the one that its hash was made of, and says all of `wanted`."""
    row, before = await store.row("audit_one", seq=seq), await store.row("audit_one", seq=seq - 1)
    if row is None or row["hash"] != link(before["hash"] if before else GENESIS, row["record"]):
        return False
    record = json.loads(row["record"])
    return all(record.get(name) == value for name, value in wanted.items())


async def latest(store: Store) -> float:
    """When the newest record was written: time does not go back behind it, whatever a clock says."""
    row = await store.row("audit_latest")
    return float(row["at"]) if row else 0.0


def _moment(at: Json) -> float:
    try:
        return datetime.fromisoformat(at).timestamp() if isinstance(at, str) else 0.0
    except ValueError:
        return 0.0


async def verify(store: Store, seals: Iterable[tuple[int, str]] = ()) -> tuple[int, list[Break]]:
    """The number of records, and every place where the chain breaks.

    `seals` are heads that were written outside the store: record number and hash.
    """
    wanted = sorted(set(seals))
    sealed_numbers = {seq for seq, _ in wanted}
    breaks: list[Break] = []
    count, last, previous, hashes = 0, 0, GENESIS, dict[int, str]()
    async with store.snapshot():
        while rows := await store.rows("audit_after", seq=last, limit=PAGE):
            for row in rows:
                seq, text, found = int(row["seq"]), str(row["record"]), str(row["hash"])
                if problem := _problem(seq, text, found, last, previous):
                    breaks.append(Break(seq, problem))
                count, last, previous = count + 1, seq, found
                if seq in sealed_numbers:
                    hashes[seq] = found
        head = await store.row("audit_last")
    ends = int(head["seq"]) if head else 0
    if last != ends:
        breaks.append(Break(last + 1, f"the log ends at record {last}, its head says {ends}"))
    elif head and head["hash"] != previous:
        breaks.append(Break(ends, "the head does not match the last record"))
    for seq, sealed in wanted:
        if seq not in hashes:
            breaks.append(Break(seq, f"record {seq} was sealed, and is gone"))
        elif hashes[seq] != sealed:
            breaks.append(Break(seq, f"record {seq} is not the one that was sealed"))
    return count, breaks


async def unended(store: Store) -> list[str]:
    """The calls that started, do not run now and have no end on record, with when and what: how they ended is unknown.

    A server that starts, or lives, writes `unknown` for each that it finds; what is named here it could not find.
    """
    open_: dict[str, str] = {}
    last = 0
    async with store.snapshot():
        while rows := await store.rows("audit_after", seq=last, limit=PAGE):
            last = int(rows[-1]["seq"])
            for row in rows:
                record = _parsed(str(row["record"]))
                call, event = str(record.get("call", "")), record.get("event")
                if event == "started":
                    open_[call] = f"{record.get('tool')} of {record.get('at')} (record {row['seq']}, call {call})"
                elif call:
                    open_.pop(call, None)
        for row in await store.rows("running_all"):
            open_.pop(str(row["call"]), None)
    return list(open_.values())


def _parsed(text: str) -> Mapping[str, Json]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}


def _problem(seq: int, text: str, found: str, last: int, previous: str) -> str:
    if _sequence(text) != seq:
        return f"record {seq} holds what was written as record {_sequence(text) or 'none'}: moved or edited"
    if seq != last + 1:
        gone = f"record {last + 1} is" if seq == last + 2 else f"records {last + 1} to {seq - 1} are"
        return f"{gone} missing before record {seq}"
    if found != link(previous, text):
        return f"record {seq} was edited, or the one before it was replaced"
    return ""


def _sequence(text: str) -> int | None:
    try:
        value = json.loads(text)["seq"]
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, int) else None
