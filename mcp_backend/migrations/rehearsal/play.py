"""Plays migrations on a shadow in the way in which the project's tool would run them, statement by statement."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from mcp_backend.migrations.rehearsal.kinds import Parsed, split
from mcp_backend.migrations.rehearsal.observe import Failed, Observer, Seen, failure


@dataclass(frozen=True, slots=True)
class Part:
    """Statements that run in one transaction, or each by itself as the text says."""

    statements: tuple[Parsed, ...]
    transaction: bool


@dataclass(frozen=True, slots=True)
class Unit:
    """One migration in one direction. `create` and `record` are the statements that keep the tool's history; they run
    but are not reported."""

    parts: tuple[Part, ...]
    file: str = ""
    create: tuple[str, ...] = ()
    record: str = ""

    @property
    def atomic(self) -> bool:
        """Whether it is one transaction, which no statement of it ends: what is rolled back leaves no trace."""
        one = all(part.transaction for part in self.parts) and len(self.parts) <= 1
        return one and not any(statement.control for part in self.parts for statement in part.statements)

    @property
    def statements(self) -> list[Parsed]:
        """All that are reported."""
        return [statement for part in self.parts for statement in part.statements if not statement.silent]


@dataclass(slots=True)
class Played:
    """How it went. `ended` is the error of a commit; `open` tells that a transaction was begun and never ended."""

    seen: list[Seen] = field(default_factory=list[Seen])
    ended: Failed | None = None
    open: bool = False
    transactions: int = 0

    @property
    def failed(self) -> bool:
        """Whether it stopped."""
        return self.ended is not None or self.open or any(seen.failed for seen in self.seen)


def unit_of(sql: str, file: str = "", line: int = 1) -> Unit:
    """A text as one migration: one transaction, unless a statement needs none or it has its own. Raises
    `InvalidArgument` when it is not SQL."""
    found = tuple(split(sql, line))
    own = any(statement.control or statement.apart for statement in found)
    return Unit((Part(found, not own),) if found else (), file)


async def play(observer: Observer, units: Sequence[Unit], played: Played, *, keep_open: bool = False) -> None:
    """Runs the units until one fails. With `keep_open` the transaction of the one atomic unit stays open, with its
    deferred constraints checked as a commit would."""
    for unit in units:
        for index, part in enumerate(unit.parts or (Part((), True),)):
            last = index == len(unit.parts) - 1 or not unit.parts
            create = unit.create if index == 0 else ()
            if part.transaction:
                await _transaction(observer, unit, part, create, played, record=last, keep_open=keep_open)
            else:
                await _plain(observer, unit, part, create, played, record=last)
            if played.failed:
                return


async def _transaction(
    observer: Observer, unit: Unit, part: Part, create: tuple[str, ...], played: Played, *,
    record: bool, keep_open: bool,
) -> None:  # fmt: skip
    if observer.idle:
        await observer.begin()
    played.transactions += 1
    if create:
        await observer.silently(create)
    for statement in part.statements:
        if statement.silent:
            await observer.silently((statement.sql,), takes_back=statement.takes_back)
            continue
        seen = _next(observer, unit, statement, played)
        await observer.run(seen)
        if seen.failed or observer.idle:
            return
    try:
        await observer.conn.execute(b"set constraints all immediate")
    except psycopg.Error as error:
        played.ended = failure(error)
        await observer.conn.execute(b"rollback")
        return
    if record and unit.record:
        await observer.silently(("reset role", unit.record))
    if not keep_open:
        played.ended = await observer.end("commit")


async def _plain(
    observer: Observer, unit: Unit, part: Part, create: tuple[str, ...], played: Played, *, record: bool
) -> None:
    if create:
        await observer.silently(create)
    for statement in part.statements:
        if statement.silent:
            await observer.silently((statement.sql,), takes_back=statement.takes_back)
            continue
        match statement.control:
            case "begin" if observer.idle:
                played.transactions += 1
                await observer.begin()
            case "commit" | "rollback":
                if (failed := await observer.end(statement.control)) is not None:
                    played.ended = failed
                    return
            case "begin":
                continue
            case _:
                await _one(observer, unit, statement, played)
                if played.failed:
                    return
    if not observer.idle:
        played.open = True
        await observer.end("rollback")
    elif record and unit.record:
        await observer.silently(("reset role", unit.record))


async def _one(observer: Observer, unit: Unit, statement: Parsed, played: Played) -> None:
    """One statement outside a transaction; in one of its own where it can be, so that its locks are seen."""
    single = observer.idle and not statement.apart and statement.node not in ("VariableSetStmt", "CallStmt")
    if single:
        played.transactions += 1
        await observer.begin()
    seen = _next(observer, unit, statement, played)
    await observer.run(seen)
    if single and not seen.failed and (failed := await observer.end("commit")) is not None:
        played.ended = failed


def _next(observer: Observer, unit: Unit, statement: Parsed, played: Played) -> Seen:
    number = len(played.seen) + 1
    seen = Seen(
        number, statement, statement.file or unit.file, 0 if observer.idle else played.transactions, observer.watch.now
    )
    played.seen.append(seen)
    return seen
