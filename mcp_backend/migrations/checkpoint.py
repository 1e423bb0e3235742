"""How far a migration outside a transaction has come, kept where it commits together with each statement.

The note is appended to the comment of the tool's own history table, which every tool ignores and which is written in
the same transaction as the statement: so it is true whenever the server or PostgreSQL dies. Statements that cannot run
inside a transaction are announced before; whether they ended is then looked up. The comment is as it was once the
migration is recorded.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from mcp_backend.migrations.history import literal
from mcp_backend.migrations.model import Checkpoint, Direction, History

_NOTE = re.compile(r"\n?\[mcp-backend at (\{.*\})\]\Z", re.DOTALL)


def find(history: History) -> Checkpoint | None:
    """The note on the history table, if a migration is half-way."""
    match = _NOTE.search(history.comment or "")
    if match is None:
        return None
    try:
        note = cast("dict[str, Any]", json.loads(match[1]))
        return Checkpoint(note["version"], note["direction"], int(note["done"]), bool(note["begun"]), note["sha256"])
    except (ValueError, KeyError, TypeError):
        return None


def settled(history: History) -> History:
    """The history of which a migration that is half-way by our own note is neither applied nor a problem."""
    point = find(history)
    if point is None:
        return history
    others = tuple(v for v in history.versions if v != point.version)
    versions = others if point.direction == "up" else (*others, point.version)
    return replace(history, versions=versions, begun=())


def write(history: History, point: Checkpoint | None) -> str:
    """The statement that leaves the note, or takes it away."""
    before = _NOTE.sub("", history.comment or "")
    if point is None:
        return f"comment on table {history.quoted} is {literal(before) if before else 'null'}"
    note = json.dumps(
        {"version": point.version, "direction": point.direction, "done": point.done, "begun": point.begun,
         "sha256": point.sha256}, separators=(",", ":"),
    )  # fmt: skip
    text = f"{before}\n[mcp-backend at {note}]" if before else f"[mcp-backend at {note}]"
    return f"comment on table {history.quoted} is {literal(text)}"


def of(version: str, direction: Direction, sql: Sequence[str], done: int, *, begun: bool = False) -> Checkpoint:
    """The note that the first `done` of these statements took effect."""
    digest = hashlib.sha256("\0".join(sql[:done]).encode()).hexdigest()[:16]
    return Checkpoint(version, direction, done, begun, digest)
