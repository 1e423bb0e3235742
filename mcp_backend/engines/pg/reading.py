"""Runs one statement so that it can only read, and no more of it than is wanted comes out of the database.

In force at once: one statement of the extended protocol, a READ ONLY transaction that always ends in ROLLBACK,
timeouts that live inside it, a cursor of which `limit` rows are taken, values that are cut by the server, and a session
that is discarded afterwards. https://www.postgresql.org/docs/current/sql-set-transaction.html
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mcp_backend.engines.pg import naming, values
from mcp_backend.engines.pg.connections import CLOSING, Open, limits
from mcp_backend.engines.pg.errors import ServerError, refusal
from mcp_backend.engines.pg.estimate import refuse_hopeless
from mcp_backend.engines.pg.wire import SYNC, Column, Reply, Step, exchange
from mcp_backend.errors import BackendError, InvalidArgument, Json

MOST_CHARACTERS = 40_000
"""Of all rows together as JSON. Hosts put longer results aside or cut them."""
LOOK_UP_SECONDS = 10.0
TEMPORARY_SPACE = "2GB"


@dataclass(frozen=True, slots=True)
class Question:
    """One statement that was judged to read, without a semicolon. `direct` ones (SHOW, EXPLAIN) cannot be a cursor.

    `most_characters` bounds the rows together, as JSON.
    """

    sql: str
    parameters: Sequence[Any]
    limit: int
    timeout_seconds: float
    direct: bool = False
    plain: bool = False
    """Whether it names nothing: no relation, function, operator, type or parameter. Then its answer is about as long as
    its text, and one round trip does."""
    estimated: bool = False
    """Whether it reads from anything: then the planner is asked first what it expects."""
    most_characters: int = MOST_CHARACTERS


@dataclass(frozen=True, slots=True)
class Answer:
    """Columns as (name, type), rows as JSON. `truncated` says what was hit: `rows`, `bytes` or nothing."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Json, ...], ...]
    truncated: str
    cut_values: int
    elapsed_ms: float


_FORMS = {
    "standard_conforming_strings": "on",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}
"""How values are written. The first also keeps the server's reading of the statement that of the grammar here."""

PATH = "{the search path}"
"""Among the parameters of a lookup: the schemas in which a name of the session is looked for, as an array."""


def _beginning(opened: Open, timeout_seconds: float) -> list[Step]:
    """Opens the transaction, and sets what has to hold inside it whatever the session says."""
    settings = limits(opened, timeout_seconds)
    if opened.pgconn.parameter_status(b"is_superuser") == b"on":
        # Only a superuser may set it, and nobody else is without what an administrator set.
        settings["temp_file_limit"] = TEMPORARY_SPACE
    settings |= {name: value for name, value in _FORMS.items() if not opened.defaults[name].startswith(value)}
    return [Step("begin transaction read only"), *(Step(f"set local {n} = '{v}'") for n, v in settings.items())]


async def look_up(opened: Open, steps: Sequence[Step], timeout_seconds: float, path: str) -> tuple[list[Reply], str]:
    """The replies to catalog queries of our own in one round trip, and the search path that they hold for.

    `path` is what the path was last time; when it changed, the queries run again. They themselves run with an empty
    one, in which nobody can put an operator of his own.
    """
    before = [*_beginning(opened, timeout_seconds), Step("select pg_catalog.current_schemas(true)::text")]
    while True:
        filled = [replace(s, parameters=[path if p == PATH else p for p in s.parameters]) for s in steps]
        replies = await _closed(opened, [*before, Step("set local search_path = ''"), *filled])
        now = (replies[len(before) - 1].rows or [(path,)])[0][0] or ""
        found = replies[len(before) + 1 : len(before) + 1 + len(steps)]
        if now == path or not any(PATH in step.parameters for step in steps):
            return found, now
        path = now


async def together(opened: Open, steps: Sequence[Step], timeout_seconds: float) -> list[Reply]:
    """The replies to statements in one transaction and one round trip, with the session's own search path."""
    before = _beginning(opened, timeout_seconds)
    return (await _closed(opened, [*before, *steps]))[len(before) : len(before) + len(steps)]


async def read(opened: Open, question: Question) -> Answer:
    """The answer to a question. Raises `BackendError` with what the server refused."""
    began = time.monotonic()
    before = _beginning(opened, question.timeout_seconds)
    budget = _Budget(question)
    names: Sequence[tuple[str, int]] = ()
    if question.plain and not question.parameters:
        reply = await _taken(opened, [*before, *_taking(question, (), ())], question, budget)
        columns = reply.columns
        names = await _looked_behind(opened, columns, ended=not reply.abandoned)
    else:
        described = (await exchange(opened.pgconn, [*before, Step(question.sql, described=True), SYNC]))[-1]
        columns = described.columns
        try:
            if described.error is not None:
                raise refusal(described.error, timeout_seconds=_allowed(opened, question))
            parameters = _parameters(question, described.parameters)
            names = await _looked_ahead(opened, question, parameters, described)
        except BackendError:
            await exchange(opened.pgconn, CLOSING)
            raise
        steps = _taking(question, parameters, described.parameters, columns)
        reply = await _taken(opened, steps, question, budget)
    elapsed = round((time.monotonic() - began) * 1000, 1)
    return _answer(columns, names, reply.rows, budget, elapsed)


async def _closed(
    opened: Open, steps: Sequence[Step], enough: Callable[[tuple[str | None, ...]], bool] | None = None
) -> list[Reply]:
    """The replies to the steps, after which the transaction is over and the session clean."""
    replies = await exchange(opened.pgconn, [*steps, *CLOSING], enough=enough)
    if any(reply.error is not None for reply in replies):
        # The failed statement took the rest of its group with it, ROLLBACK too.
        await exchange(opened.pgconn, CLOSING)
    return replies


async def _taken(opened: Open, steps: Sequence[Step], question: Question, budget: "_Budget") -> Reply:
    """The reply with the rows."""
    replies = await _closed(opened, steps, budget.enough)
    failed = next((r.error for r in replies if r.error is not None), None)
    if failed is not None:
        raise refusal(_placed(failed, question), timeout_seconds=_allowed(opened, question))
    return next(reply for reply, step in zip(replies, steps, strict=False) if step.streamed)


async def _looked_ahead(
    opened: Open, question: Question, parameters: Sequence[str | None], described: Reply
) -> list[tuple[str, int]]:
    """The names of the columns' types, and the types of their elements. Raises what speaks against running the query:
    what the planner expects of it, when it reads from anything. Before the rows: their end may be never seen."""
    names = [naming.known(column) for column in described.columns]
    explain = Step(f"explain (format json) {question.sql}", parameters, types=described.parameters)
    wanted = naming.lookup(described.columns)
    asked = [*([explain] if question.estimated else []), *([wanted] if None in names else [])]
    if not asked:
        return [name for name in names if name]
    replies = await exchange(opened.pgconn, [*asked, SYNC])
    if failed := next((reply.error for reply in replies if reply.error is not None), None):
        raise refusal(failed, timeout_seconds=_allowed(opened, question))
    if question.estimated:
        plan = json.loads(replies[0].rows[0][0] or "[{}]")[0]["Plan"]
        refuse_hopeless(plan, question.limit + 1, question.timeout_seconds)
    return naming.read(replies[-1]) if None in names else [name for name in names if name]


async def _looked_behind(opened: Open, columns: Sequence[Column], *, ended: bool) -> list[tuple[str, int]]:
    """As `_looked_ahead`, for a statement that was not described first; by the OID where the reading was broken off."""
    names = [naming.known(column) for column in columns]
    if None in names and ended:
        (reply,), _ = await look_up(opened, [naming.lookup(columns)], LOOK_UP_SECONDS, "")
        return naming.read(reply)
    return [name or (f"type {column.oid}", 0) for name, column in zip(names, columns, strict=True)]


def _allowed(opened: Open, question: Question) -> float:
    """Seconds that the server gives a statement: those asked for, or fewer when the role has a limit."""
    return int(limits(opened, question.timeout_seconds)["statement_timeout"]) / 1000


def _parameters(question: Question, types: tuple[int, ...]) -> list[str | None]:
    if len(question.parameters) != len(types):
        raise InvalidArgument(
            f"parameters: the statement has {len(types)} ($1, $2 …), {len(question.parameters)} given"
        )
    return [values.parameter(value, oid) for value, oid in zip(question.parameters, types, strict=True)]


def _taking(
    question: Question,
    parameters: Sequence[str | None],
    types: Sequence[int],
    columns: Sequence[Column] = (),
) -> list[Step]:
    """The statements that bring the rows."""
    if question.direct:
        return [Step(question.sql, parameters, streamed=True)]
    query = bounded(question.sql, columns, longest_cell(columns, question.most_characters))
    return [
        Step(f"{CURSOR}{query}", parameters, types=types),
        Step(f"fetch {question.limit + 1} from answer -- {_seen(question.sql)}", streamed=True),
    ]


def _seen(sql: str) -> str:
    """The statement on one line, for whoever looks into pg_stat_activity while its rows are fetched."""
    return " ".join(sql.split())[:500]


CURSOR = "declare answer no scroll cursor without hold for "


def longest_cell(columns: Sequence[Column], most_characters: int) -> int:
    """Characters of one value that are shown: the more columns may be long, the fewer."""
    long_columns = sum(column.oid not in values.FIXED for column in columns)
    return max(500, most_characters // (2 * max(1, long_columns)))


def bounded(sql: str, columns: Sequence[Column], longest: int) -> str:
    """The query with long values cut by the server, one character over; OFFSET 0 keeps it from computing any value
    twice."""
    if all(column.oid in values.FIXED for column in columns):
        return sql
    shown = ", ".join(_short(f"q.c{i}", column.oid, longest + 1) for i, column in enumerate(columns))
    names = ", ".join(f"c{i}" for i in range(len(columns)))
    return f"select {shown} from (select * from (\n{sql}\n) statement offset 0) q({names})"


def _short(value: str, oid: int, longest: int) -> str:
    """An expression for at most so many characters of a value's text form. `concat` uses the type's output function,
    where a cast to text could be anybody's."""
    if oid in values.FIXED:
        return value
    if oid in (values.TEXT, values.VARCHAR):
        return f"pg_catalog.left({value}, {longest})"
    if oid == values.BYTEA:
        return f"pg_catalog.substr({value}, 1, {longest // 2})"
    return f"case pg_catalog.num_nulls({value}) when 0 then pg_catalog.left(pg_catalog.concat({value}), {longest}) end"


@dataclass(slots=True)
class _Budget:
    """Stops the reading of rows once there are enough characters, or lines of a direct statement."""

    question: Question
    rows: int = 0
    characters: int = 0
    full: bool = False

    def enough(self, row: tuple[str | None, ...]) -> bool:
        self.rows += 1
        self.characters += sum(len(text) for text in row if text) + 3 * len(row)
        self.full = self.characters > self.question.most_characters and self.rows > 1
        return self.full or (self.question.direct and self.rows > self.question.limit)


def _answer(
    columns: Sequence[Column],
    types: Sequence[tuple[str, int]],
    rows: list[tuple[str | None, ...]],
    budget: _Budget,
    elapsed_ms: float,
) -> Answer:
    limit = budget.question.limit
    kept = rows[: budget.rows - 1] if budget.full else rows[:limit]
    longest = longest_cell(columns, budget.question.most_characters)
    readers = [values.reader(column.oid, element) for column, (_, element) in zip(columns, types, strict=True)]
    cut = sum(len(text) > longest for row in kept for text in row if text)
    shown = tuple(
        tuple(
            None if text is None else read_value(text if len(text) <= longest else text[:longest] + values.CUT)
            for text, read_value in zip(row, readers, strict=True)
        )
        for row in kept
    )
    truncated = "bytes" if budget.full else "rows" if len(rows) > limit else ""
    named = tuple((column.name, name) for column, (name, _) in zip(columns, types, strict=True))
    return Answer(named, shown, truncated, cut, elapsed_ms)


def _placed(error: ServerError, question: Question) -> ServerError:
    """The error without a position that would count in the text that we sent instead of the one we were given."""
    if question.direct or not error.position:
        return error
    return replace(error, position=max(0, error.position - len(CURSOR)) if question.plain else 0)
