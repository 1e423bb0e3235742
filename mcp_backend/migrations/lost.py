"""When the server goes away while migrations run: what is known, by looking again, and what is not."""

import asyncio
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import psycopg

from mcp_backend.engines.pg import errors
from mcp_backend.engines.postgresql import Connection, Postgresql
from mcp_backend.errors import BackendError, Json, OutcomeUnknown, Unavailable
from mcp_backend.migrations import checkpoint, history
from mcp_backend.migrations.model import History, Step
from mcp_backend.migrations.run import Done, Run

LOOKING_SECONDS = 20.0


def gone(conn: Connection, error: psycopg.Error) -> bool:
    """Whether the error means that the connection is lost."""
    return conn.closed or conn.broken or errors.lost(error.sqlstate or "")


@contextmanager
def before(conn: Connection, engine: Postgresql) -> Generator[None]:
    """Errors in the block, before anything was executed: a lost connection is `Unavailable`."""
    try:
        yield
    except psycopg.Error as error:
        if not gone(conn, error):
            raise errors.refusal(errors.server_error(error), field="migrations") from None
        raise Unavailable(
            f"postgresql engine {engine.settings.name!r}: the connection was lost before anything was executed; "
            "repeat the call once it is back",
            details={"engine": engine.settings.name},
        ) from None


@contextmanager
def after(engine: Postgresql, done: Sequence[Done]) -> Generator[None]:
    """Errors in the block, after everything was committed, say that it was."""
    try:
        yield
    except psycopg.Error as error:
        versions = [step.version for step in done]
        raise Unavailable(
            f"postgresql engine {engine.settings.name!r}: {', '.join(versions)} applied and committed, then the schema "
            f"could not be read: {errors.server_error(error).message}. There is nothing to repeat",
            details={"engine": engine.settings.name, "applied": list[Json](versions)},
        ) from None


async def verdict(run: Run, step: Step) -> BackendError:
    """The error to raise for a connection that was lost during a step.

    Without a commit on its way a transaction is rolled back, whatever else happens. With one, the history is looked
    at on a fresh connection, and only once the old one has let go of its lock: before that, its commit may still
    come.
    """
    name, file = run.engine.settings.name, step.file
    applied = [done.version for done in run.done]
    details: dict[str, Json] = {"engine": name, "version": file.version, "applied": list[Json](applied)}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    details["since"] = now
    lead = f"postgresql engine {name!r}: the connection was lost at {now} during {file.where}"
    so_far = f"this call applied before: {', '.join(applied) or 'nothing'}"
    if not run.unsafe and step.atomic:
        return Unavailable(f"{lead}, which was rolled back; {so_far}. Repeat the call", details=details)
    past = await _past(run)
    if past is None:
        details["outcome"] = "unknown"
        return OutcomeUnknown(
            f"{lead} and does not come back: whether {file.version} was committed is unknown; {so_far}. When the "
            "server answers again, look at migrations://" + name + " before going on",
            details=details,
        )
    point = checkpoint.find(past)
    if (file.version in checkpoint.settled(past).versions) == (step.direction == "up"):
        details["applied"] = [*applied, file.version]
        return Unavailable(
            f"{lead}, but {file.version} is committed: its history row says so; {so_far}. "
            "Repeat the call for what is still pending",
            details=details,
        )
    if step.atomic:
        return Unavailable(f"{lead}, which was rolled back; {so_far}. Repeat the call", details=details)
    if point is not None and (point.version, point.direction) == (file.version, step.direction):
        details["statements_done"] = point.done
        return Unavailable(
            f"{lead}, which does not run in one transaction: {point.done} of its statements took effect; {so_far}. "
            "Repeat the call: it goes on from there",
            details=details,
        )
    if run.noting or run.noted == step.done:
        return Unavailable(f"{lead}, of which nothing took effect; {so_far}. Repeat the call", details=details)
    at = (
        f"line {run.statement.line} may have taken effect, what is before it has"
        if run.statement
        else "it ran to its end"
    )
    return OutcomeUnknown(
        f"{lead}, which does not run in one transaction: {at}, and it is not recorded; {so_far}. Look at the schema, "
        "make its statements repeatable (IF NOT EXISTS), then repeat the call",
        details=details,
    )


async def _past(run: Run) -> History | None:
    """The history, or None when the server did not come back in time."""
    until, pause = time.monotonic() + LOOKING_SECONDS, 0.1
    while (rest := until - time.monotonic()) > 0:
        with suppress(BackendError, psycopg.Error):
            async with run.engine.dedicated() as conn:
                for key in run.prepared.history.locks:
                    if not await history.locked(conn, key, until):
                        return None
                prepared = run.prepared
                return await prepared.tool.read(conn, prepared.root, prepared.files)
        await asyncio.sleep(min(pause, max(rest, 0)))
        pause = min(pause * 2, 2.0)
    return None
