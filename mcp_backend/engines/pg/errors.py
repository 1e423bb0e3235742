"""What PostgreSQL refuses, in the taxonomy of this server. https://www.postgresql.org/docs/current/errcodes-appendix.html"""

from dataclasses import dataclass

import psycopg

from mcp_backend.errors import Aborted, BackendError, DeadlineExceeded, InvalidArgument, Json, Unavailable


@dataclass(frozen=True, slots=True)
class ServerError:
    """An error as the server sent it. `position` counts characters of the statement from 1; 0 when there is none."""

    sqlstate: str
    message: str
    position: int = 0
    hint: str = ""
    detail: str = ""


def server_error(error: psycopg.Error) -> ServerError:
    """The parts of a driver's error."""
    diag = error.diag
    return ServerError(
        error.sqlstate or "",
        diag.message_primary or str(error).strip() or type(error).__name__,
        int(diag.statement_position or 0),
        diag.message_hint or "",
        diag.message_detail or "",
    )


def lost(sqlstate: str) -> bool:
    """Whether the error ends the connection: class 08, and shutdown, crash, cannot connect now."""
    return sqlstate.startswith("08") or sqlstate in ("57P01", "57P02", "57P03", "57P05", "25P03", "25P04")


def refusal(error: ServerError, *, field: str = "sql", timeout_seconds: float | None = None) -> BackendError:
    """The error to raise for what the server said: which field, SQLSTATE, position and hint, and what to do next."""
    details: dict[str, Json] = {"sqlstate": error.sqlstate}
    details |= {"position": error.position} if error.position > 0 else {}
    details |= {key: text for key, text in (("hint", error.hint), ("detail", error.detail[:500])) if text}
    if error.sqlstate == "57014":
        after = f" after {timeout_seconds:g} s" if timeout_seconds else ""
        return DeadlineExceeded(
            f"the statement was stopped{after} ({error.message}); nothing changed. Narrow it (a filter on an indexed "
            'column, a LIMIT, fewer joins), look at its plan with explain="plan", or raise timeout_seconds',
            details=details,
        )
    if error.sqlstate == "55P03":
        return DeadlineExceeded(
            "another session holds a lock that this statement needs; nothing changed. Try again shortly, "
            "or look at pg_locks and pg_stat_activity for who holds it",
            details=details,
        )
    if error.sqlstate in ("40001", "40P01"):
        return Aborted(f"{error.message}; nothing changed, repeat the call", details=details)
    if error.sqlstate[:2] in ("53", "58", "XX") or lost(error.sqlstate):
        return Unavailable(f"the server gave up: {error.message}; nothing changed", details=details)
    at = f" at character {error.position}" if error.position > 0 else ""
    hint = f". Hint: {error.hint}" if error.hint else ""
    more = f" ({error.detail[:300]})" if error.detail else ""
    return InvalidArgument(f"{field}: {error.message}{at} (SQLSTATE {error.sqlstate}){more}{hint}", details=details)
