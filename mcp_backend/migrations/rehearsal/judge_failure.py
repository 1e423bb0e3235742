"""Hazards of failing: what the server refused on this catalog or these rows, and why."""

import re
from collections.abc import Iterator

from mcp_backend.errors import Json
from mcp_backend.migrations.rehearsal.observe import Failed, Seen
from mcp_backend.migrations.rehearsal.play import Played
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard
from mcp_backend.migrations.statements import place
from mcp_backend.settings import hide_credentials

_DATA = {
    "23502": "not_null_violation", "23503": "fk_violation", "23505": "unique_violation", "23514": "check_violation",
    "23P01": "exclusion_violation", "22001": "truncation", "22P02": "cast_failure", "22007": "cast_failure",
    "22008": "cast_failure", "22003": "cast_failure", "22023": "cast_failure", "22030": "cast_failure",
    "22032": "cast_failure", "22P05": "cast_failure", "22021": "cast_failure", "22018": "cast_failure",
}  # fmt: skip
_OTHER = {
    "2BP01": "dependency_breakage", "25001": "concurrently_in_transaction", "55P04": "enum_value_used_in_same_tx",
    "42601": "syntax_error", "58P01": "extension",
}  # fmt: skip


def judge(played: Played, installable: frozenset[str]) -> Iterator[Hazard]:
    """Errors of statements and of commits, what they leave behind, and notices. `installable` are the extensions that
    the target's server has."""
    for seen in played.seen:
        yield from _notices(seen)
        if seen.failed:
            yield from failed(seen.failed, seen, installable)
            yield from _left(seen)
        else:
            yield from _masked(seen)
    number = played.seen[-1].number if played.seen else 0
    if played.ended:
        reason = f"the commit fails: {_said(played.ended)} (SQLSTATE {played.ended.sqlstate})"
        identifier = _DATA.get(played.ended.sqlstate)
        if identifier:
            yield hazard("fails_on_existing_data", number, "reject", reason, evidence=_evidence(played.ended))
        yield hazard(identifier or "fails_in_rehearsal", number, "reject", reason, evidence=_evidence(played.ended))
    if played.open:
        yield hazard("uncommitted_transaction", number, "reject", "begins a transaction and never commits it")


_EXTENSION = (
    "who runs the server installs it; for a local one (embedded:postgresql) a person sets MCP_BACKEND_POSTGRESQL_BIN "
    "to the programs of a PostgreSQL that has it (/usr/lib/postgresql/…/bin of the system's packages), or the "
    "engine's url to a server that does"
)


def failed(error: Failed, seen: Seen, installable: frozenset[str]) -> Iterator[Hazard]:
    """The hazards of one error."""
    reason = f"{_said(error)} (SQLSTATE {error.sqlstate})"
    number, parsed = seen.number, seen.parsed
    evidence = _evidence(error) | _where(error, seen)
    if identifier := _DATA.get(error.sqlstate):
        # A statement that brings its own rows fails by itself; one that only changes the schema fails on rows there.
        yield hazard(identifier, number, "reject", reason, evidence=evidence)
        yield hazard("fails_on_existing_data", number, "reject", reason, evidence=evidence)
        if parsed.has("AT_ValidateConstraint"):
            yield hazard("validate_will_fail", number, "reject", reason, evidence=evidence)
        if "default partition" in error.message:
            yield hazard("default_partition_scan", number, "reject", reason, evidence=evidence)
        return
    match error.sqlstate:
        case "0A000" if (
            "used by a view" in error.message or "generated column" in error.message or "policy" in (error.message)
        ):
            yield hazard("dependency_breakage", number, "reject", reason, evidence=evidence)
        case "0A000" if parsed.tree.get("extname") in installable:
            return  # not installed beside the shadow: said among what was not checked
        case "42P16" | "42P17" if parsed.node == "ViewStmt":
            yield hazard("dependency_breakage", number, "reject", reason, evidence=evidence)
        case "42804" | "42846" if parsed.has("AT_AlterColumnType"):
            yield hazard("cast_failure", number, "reject", reason, evidence=evidence)
        case "0A000" if parsed.node == "CreateExtensionStmt":
            reason = (
                f"the target's server has no extension {parsed.tree.get('extname')}: who runs it installs its files"
            )
            yield hazard("fails_in_rehearsal", number, "reject", reason, evidence=evidence, remedy=_EXTENSION)
            return
        case "42501" if parsed.node == "CreateExtensionStmt":
            return
        case state if identifier := _OTHER.get(state):
            yield hazard(identifier, number, "reject", reason, evidence=evidence)
        case _:
            pass
    yield hazard("fails_in_rehearsal", number, "reject", reason, evidence=evidence)


def _said(error: Failed) -> str:
    return hide_credentials(error.message)[:300]


def _evidence(error: Failed) -> dict[str, Json]:
    found: dict[str, Json] = {"sqlstate": error.sqlstate}
    found |= {"constraint": error.constraint} if error.constraint else {}
    if error.detail and error.sqlstate.startswith(("23", "22")):
        # Values of rows: data that somebody wrote, shown as such and cut.
        key = re.match(r"Key \((.{1,200}?)\)=\((.{0,200}?)\)", error.detail)
        if key:
            found["untrusted"] = f"({key[1]})=({key[2][:80]})"
    elif error.detail:
        found["detail"] = hide_credentials(error.detail)[:400]
    said_of_rows = error.sqlstate.startswith(("22", "23"))  # "JSON data, line 1: …"
    more = {"hint": error.hint, "context": "" if said_of_rows else error.context}
    return found | {key: hide_credentials(text)[:300] for key, text in more.items() if text}


def _where(error: Failed, seen: Seen) -> dict[str, Json]:
    """The file and the line that failed, with the column where the server points into the statement."""
    line, column = seen.parsed.line, 0
    if line and error.position:
        line, column = place(line, seen.parsed.sql, error.position)
    found: dict[str, Json] = {"file": file} if (file := seen.parsed.file or seen.file) else {}
    return found | ({"line": line} if line else {}) | ({"column": column} if column else {})


def _notices(seen: Seen) -> Iterator[Hazard]:
    for sqlstate, message in seen.notices:
        if sqlstate == "42622":
            yield hazard("identifier_truncated", seen.number, "warn", hide_credentials(message)[:300])


def _left(seen: Seen) -> Iterator[Hazard]:
    """Invalid indexes that a failed CONCURRENTLY leaves behind."""
    for change in seen.changes.added("idx"):
        after = change.after or {}
        if not after["valid"] and after["kind"] == "i":
            yield hazard(
                "invalid_index_left", seen.number, "reject",
                f"it leaves the invalid index {after['name']}, which costs every write and serves no query",
            )  # fmt: skip


def _masked(seen: Seen) -> Iterator[Hazard]:
    if seen.parsed.node != "IndexStmt" or not seen.parsed.tree.get("if_not_exists") or seen.changes.added("idx"):
        return
    wanted = str(seen.parsed.tree.get("idxname", ""))
    for key, doc in seen.after.items():
        if key[0] == "idx" and not doc["valid"] and str(doc["name"]).partition(".")[2] == wanted:
            reason = f"{doc['name']} exists but is invalid; IF NOT EXISTS passes over it and leaves it so"
            yield hazard("if_not_exists_masks_invalid_index", seen.number, "reject", reason, source="catalog")
            yield hazard("invalid_index_left", seen.number, "reject", reason, source="catalog")
