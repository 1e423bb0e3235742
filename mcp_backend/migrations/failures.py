"""What to raise when a migration did not go through: what PostgreSQL said, where in the file, and what is left."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from mcp_backend.engines.pg import errors
from mcp_backend.errors import (
    Aborted,
    BackendError,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    Json,
    Unavailable,
)
from mcp_backend.migrations.model import Step
from mcp_backend.migrations.statements import SHORT, Statement, place, without_passwords
from mcp_backend.settings import hide_credentials

RETRIED = ("55P03", "40P01", "40001")
"""Lock timeout, deadlock, serialization failure: the transaction can be tried again."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a failed call leaves: the versions it applied before, and a sentence about the one that failed."""

    applied: tuple[str, ...]
    about: str
    invalid: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """For the reason of an error."""
        before = f"this call applied before: {_few(self.applied)}"
        left = f". Invalid indexes are left: {', '.join(self.invalid)}; drop each with DROP INDEX CONCURRENTLY"
        return f"{self.about}; {before}{left if self.invalid else ''}"


def _few(versions: tuple[str, ...]) -> str:
    """Versions for a sentence; the details have them all."""
    if len(versions) > 6:
        return f"{len(versions)} migrations, {versions[0]} to {versions[-1]}"
    return ", ".join(versions) or "nothing"


def refused(
    error: psycopg.Error, step: Step, statement: Statement | None, left: Left, *,
    statement_timeout: float, blockers: Sequence[str] = (),
) -> BackendError:  # fmt: skip
    """The error for what the server said about a statement (None: about the history row or the commit)."""
    said = errors.server_error(error)
    line, column = statement.line if statement else 0, 0
    if statement and said.position > 0:
        line, column = place(statement.line, statement.sql, said.position)
    where = f"{step.file.where}:{line}" if line else f"{step.file.where} (history row and commit)"
    message = hide_credentials(said.message)
    details: dict[str, Json] = {"sqlstate": said.sqlstate, "file": step.file.where, "version": step.file.version}
    details |= {"line": line} if line else {}
    details |= {"column": column} if column else {}
    details |= {"statement": without_passwords(statement.sql)[:SHORT]} if statement else {}
    more = {"hint": said.hint, "detail": said.detail, "context": error.diag.context or ""}
    details |= {key: hide_credentials(text)[:500] for key, text in more.items() if text}
    details["applied"] = list[Json](left.applied)
    if left.invalid:
        details["invalid_indexes"] = list[Json](left.invalid)
    if said.sqlstate in RETRIED:
        return _blocked(said.sqlstate, where, message, left, blockers, details)
    if said.sqlstate == "57014":
        return DeadlineExceeded(
            f"{where}: {message} (statement timeout: {statement_timeout:g} s). {left.words}. If it needs longer, "
            "repeat with a greater statement_timeout_seconds; a long change of a large table is better done in batches",
            details=details,
        )
    if said.sqlstate == "25006":
        return FailedPrecondition(
            f"{where}: {message}: this is a standby or read-only server. {left.words}", details=details
        )
    if said.sqlstate[:2] in ("53", "58", "XX"):
        return Unavailable(f"{where}: the server gave up: {message}. {left.words}", details=details)
    hint = f". Hint: {said.hint.rstrip('.')}" if said.hint else ""
    if said.sqlstate == "25001":
        hint = f". Put it in a file of its own and {step.mark or 'run it outside a transaction'}"
    return InvalidArgument(f"{where}: {message} (SQLSTATE {said.sqlstate}){hint}. {left.words}", details=details)


def _blocked(
    sqlstate: str, where: str, message: str, left: Left, blockers: Sequence[str], details: dict[str, Json]
) -> BackendError:
    if sqlstate != "55P03":
        return Aborted(f"{where}: {message}, each time it was tried. {left.words}. Repeat the call", details=details)
    details["blocked_by"] = list[Json](blockers)
    who = "; ".join(blockers) or "another session (which one could not be seen)"
    return DeadlineExceeded(
        f"{where}: could not get its lock in any try, blocked by {who}. Waiting longer would make every reader and "
        f"writer of the table wait behind it. {left.words}. Repeat the call when that session is done",
        details=details,
    )
