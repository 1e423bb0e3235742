"""Several statements in one flush and one wait, with the rows of one of them read no further than is wanted.

Everything goes through the extended protocol, in which the server refuses a text with more than one statement.
https://www.postgresql.org/docs/current/libpq-pipeline-mode.html, …/libpq-single-row-mode.html
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import pq

from mcp_backend.engines.pg.errors import ServerError, lost


@dataclass(frozen=True, slots=True)
class Step:
    """One statement with its parameters in text form; `None` is NULL."""

    sql: str
    parameters: Sequence[str | None] = ()
    streamed: bool = False
    """Its rows are taken as they come, and `enough` is asked about each."""
    types: Sequence[int] = ()
    """OIDs of the parameters' types; empty to have the server infer them."""
    described: bool = False
    """Not run: only parsed, and its parameters and columns described."""


SYNC = Step("")
"""Ends a group: when a statement fails, the rest of its group is skipped and the next group runs."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an answer: its type's OID and modifier as the server describes them."""

    name: str
    oid: int
    modifier: int


@dataclass(slots=True)
class Reply:
    """What came back for one step, values in text form. `skipped`: an earlier step of its group failed."""

    columns: tuple[Column, ...] = ()
    parameters: tuple[int, ...] = ()
    rows: list[tuple[str | None, ...]] = field(default_factory=list[tuple[str | None, ...]])
    error: ServerError | None = None
    skipped: bool = False
    abandoned: bool = False
    """Reading stopped before the end: the connection has more to say and cannot be used again."""


async def exchange(
    pgconn: pq.abc.PGconn, steps: Sequence[Step], *, enough: Callable[[tuple[str | None, ...]], bool] | None = None
) -> list[Reply]:
    """Sends the steps at once and reads the replies in order, one for each step that is not `SYNC`.

    `enough` is asked with each row of a streamed step; when it says so, reading stops for good: that reply is
    `abandoned` and the last one. Raises `psycopg.OperationalError` when the connection is lost.
    """
    pgconn.enter_pipeline_mode()
    for step in steps:
        if step is SYNC:
            pgconn.pipeline_sync()
        elif step.described:
            pgconn.send_prepare(b"", step.sql.encode())
            pgconn.send_describe_prepared(b"")
        else:
            values = [None if p is None else p.encode() for p in step.parameters]
            pgconn.send_query_params(step.sql.encode(), values, step.types or None)
    while pgconn.flush():
        await _ready(pgconn.socket, writing=True)
        pgconn.consume_input()
    replies: list[Reply] = []
    failed = False
    for step in steps:
        if step is SYNC:
            await _result(pgconn)
            failed = False
            continue
        if step.streamed and not failed:
            pgconn.set_single_row_mode()
        reply = Reply()
        replies.append(reply)
        if step.described and (parsed := await _result(pgconn)) is not None:
            _add(reply, parsed, None)
            await _result(pgconn)
        while (result := await _result(pgconn)) is not None:
            stop = _add(reply, result, enough if step.streamed else None)
            failed = failed or reply.error is not None
            if stop:
                reply.abandoned = True
                return replies
    pgconn.exit_pipeline_mode()
    return replies


def _add(reply: Reply, result: pq.abc.PGresult, enough: Callable[[tuple[str | None, ...]], bool] | None) -> bool:
    status = result.status
    if status == pq.ExecStatus.COMMAND_OK and (result.nfields or result.nparams):
        reply.columns = _columns(result)
        reply.parameters = tuple(result.param_type(i) for i in range(result.nparams))
    elif status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.SINGLE_TUPLE):
        if not reply.columns:
            reply.columns = _columns(result)
        for row in range(result.ntuples):
            values = (result.get_value(row, i) for i in range(result.nfields))
            texts = tuple(None if v is None else bytes(v).decode(errors="replace") for v in values)
            reply.rows.append(texts)
            if enough and enough(texts):
                return True
    elif status == pq.ExecStatus.PIPELINE_ABORTED:
        reply.skipped = True
    elif status == pq.ExecStatus.FATAL_ERROR:
        # An error that comes second only repeats the first.
        reply.error = reply.error or _error(result)
        if lost(reply.error.sqlstate):
            gone = psycopg.OperationalError(reply.error.message)
            gone.sqlstate = reply.error.sqlstate  # by which others tell that the connection is lost
            raise gone
    return False


def _columns(result: pq.abc.PGresult) -> tuple[Column, ...]:
    return tuple(
        Column((result.fname(i) or b"").decode(errors="replace"), result.ftype(i), result.fmod(i))
        for i in range(result.nfields)
    )


def _error(result: pq.abc.PGresult) -> ServerError:
    def part(code: pq.DiagnosticField) -> str:
        return (result.error_field(code) or b"").decode(errors="replace")

    return ServerError(
        part(pq.DiagnosticField.SQLSTATE),
        part(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message.decode(errors="replace").strip(),
        int(part(pq.DiagnosticField.STATEMENT_POSITION) or 0),
        part(pq.DiagnosticField.MESSAGE_HINT),
        part(pq.DiagnosticField.MESSAGE_DETAIL),
    )


async def _result(pgconn: pq.abc.PGconn) -> pq.abc.PGresult | None:
    while pgconn.is_busy():
        await _ready(pgconn.socket)
        pgconn.consume_input()
    return pgconn.get_result()


async def _ready(descriptor: int, *, writing: bool = False) -> None:
    """Waits until the socket can be read, or also written."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(descriptor, wake)
    if writing:
        loop.add_writer(descriptor, wake)
    try:
        await future
    finally:
        loop.remove_reader(descriptor)
        if writing:
            loop.remove_writer(descriptor)
