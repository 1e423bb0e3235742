"""Applies migrations to ClickHouse: statement by statement, each kept before it begins, every mutation to its end.

Nothing is begun behind an unfinished mutation, because it would wait for that and everything after it too. A change of
type that some row does not survive is taken back: killed, and the column given its type again.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from mcp_backend.engines.ch.errors import ServerError
from mcp_backend.errors import Aborted, FailedPrecondition, InvalidArgument, Json, OutcomeUnknown
from mcp_backend.migrations.clickhouse import differences, following, history, subject, target, turn
from mcp_backend.migrations.clickhouse.history import Checkpoint, History
from mcp_backend.migrations.clickhouse.language import Name, Statement
from mcp_backend.migrations.clickhouse.shadow import SYNCHRONOUS
from mcp_backend.migrations.clickhouse.subject import Step, Subject
from mcp_backend.migrations.clickhouse.target import Schema
from mcp_backend.settings import Workspace

if TYPE_CHECKING:
    from mcp_backend.engines.clickhouse import Clickhouse

Progress: TypeAlias = Callable[[float, float | None, str], Awaitable[None]]
TURN_SECONDS = 30.0
SHOWN = 400
"""Characters of a failed statement that the error has."""
ASK_SECONDS = 280.0
"""How long one request may be silent; what takes longer is followed in system.mutations."""


@dataclass(frozen=True, slots=True)
class Done:
    """One applied step; time in milliseconds."""

    version: str
    name: str
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A call that did all it was asked to do."""

    done: tuple[Done, ...]
    version_after: str
    waited_ms: float
    difference: tuple[str, ...]


@dataclass(slots=True)
class _Run:
    engine: "Clickhouse"
    past: History
    seconds: float
    done: list[Done] = field(default_factory=list[Done])
    session: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def applied(self) -> str:
        """What is applied so far, in words."""
        names = ", ".join(done.version for done in self.done)
        return f"applied before it: {names}" if names else "nothing was applied before it"


async def apply(
    engine: "Clickhouse", workspace: Workspace, planned: Subject, seconds: float, progress: Progress
) -> Outcome:
    """Runs the steps of a plan; `seconds` is the limit of one statement and its mutations.

    Raises `Aborted` when the world moved since the plan, `DeadlineExceeded` when another server or a mutation takes too
    long, `FailedPrecondition` when a mutation of another is not done, `InvalidArgument` for what the server
    refuses, `OutcomeUnknown` when the connection broke. In each the reason says what was applied and what is next.
    """
    assert planned.history is not None
    async with turn.taken(engine, workspace, planned.history, TURN_SECONDS) as waited:
        past = await history.read(engine, workspace.root)
        _unmoved(planned, past, await subject.version(engine, past))
        run = _Run(engine, past, seconds)
        if not past.exists:
            await engine.change(past.create, {}, ASK_SECONDS)
            run.past = past = replace(past, exists=True)
        before = await target.schema(engine)
        for index, step in enumerate(planned.steps):
            await progress(index, len(planned.steps), f"{planned.direction} {step.file.where}")
            began = time.monotonic()
            await _step(run, step, planned.direction)
            run.done.append(Done(step.file.version, step.file.name, round((time.monotonic() - began) * 1000, 1)))
        after = await target.schema(engine)
        now = await history.read(engine, workspace.root)
        version = await subject.version(engine, now)
    own = {(past.database, past.table), (past.database, history.lock_name(past))}
    return Outcome(
        tuple(run.done), version, round(waited, 1), differences.lines(_without(before, own), _without(after, own))
    )


def _unmoved(planned: Subject, past: History, now: str) -> None:
    assert planned.history is not None
    expected = planned.history.versions
    if past.versions != expected:
        came = sorted(set(past.versions) ^ set(expected))
        raise Aborted(
            f"another server migrated this database since the plan was made ({', '.join(came)}). Nothing was "
            f"executed here; "
            "repeat the call to plan for what is pending now",
            details={"changed_meanwhile": list(came)},
        )
    if now != planned.action.at_version:
        raise Aborted(
            f"the schema changed since the plan was made (from {planned.action.at_version} to {now}) without a "
            f"migration. "
            "Nothing was executed; look at what changed, then repeat the call"
        )


async def _step(run: _Run, step: Step, direction: str) -> None:
    run.session = {}
    start = step.done
    if step.uncertain is not None:
        start += int(await _took_effect(run, step, step.uncertain))
    for index, statement in enumerate(step.statements):
        if statement.session:
            run.session |= statement.settings
        if index < start or statement.session:
            continue
        point = Checkpoint(
            step.file.version, direction, step.sha256, index, True, await history.structure(run.engine, run.past)
        )
        await _idle(run, statement, step)
        await _kept(run, point)
        await _statement(run, step, statement, point)
    await run.engine.change(run.past.record(step.file.version, direction), {}, ASK_SECONDS)
    await _kept(run, None)


async def _took_effect(run: _Run, step: Step, point: Checkpoint) -> bool:
    """Whether the statement that was under way when a former run ended has had its effect."""
    statement = step.statements[point.done]
    if not following.writes_rows(statement) and await history.structure(run.engine, run.past) != point.before:
        await following.ended(run.engine, _tables(run, statement), run.seconds)
        return True
    if following.repeatable(statement):
        return False
    on, off = (run.past.mark(replace(point, done=point.done + n, begun=False)) for n in (1, 0))
    raise FailedPrecondition(
        f"{step.file.where}:{statement.line}: an earlier run ended while this statement ran, and whether it had "
        f"its effect "
        f"cannot be told. Look at the data. If it had: {on}. If not: {off}. Then repeat the call"
    )


async def _statement(run: _Run, step: Step, statement: Statement, point: Checkpoint) -> None:
    from mcp_backend.engines.ch.transport import Lost

    tables = _tables(run, statement)
    before = await target.schema(run.engine)
    settings = await _settings(run, {**SYNCHRONOUS, **run.session})
    where = f"{step.file.where}:{statement.line}"
    try:
        await run.engine.change(statement.sql, settings, min(run.seconds, ASK_SECONDS))
        await following.ended(run.engine, tables, run.seconds)
    except TimeoutError:
        await following.ended(run.engine, tables, run.seconds)
    except Lost:
        raise OutcomeUnknown(
            f"{where}: the connection broke while it ran; {run.applied}. How far it came is kept in the comment of "
            f"{run.past.quoted}: repeat the call, which finds out whether it had its effect, or says what to look at"
        ) from None
    except following.Failed as failed:
        raise await _refused(run, step, statement, before, tables, point, failed.reason, 341) from None
    except ServerError as error:
        raise await _refused(run, step, statement, before, tables, point, error.message, error.code) from None


async def _refused(
    run: _Run, step: Step, statement: Statement, before: Schema, tables: frozenset[Name], point: Checkpoint,
    reason: str, code: int,
) -> InvalidArgument:  # fmt: skip
    """The error for what the server refused, once what it left half-done was taken back."""
    undone = await following.undo(run.engine, before, tables)
    same = await history.structure(run.engine, run.past) == point.before
    if same:
        await _kept(run, replace(point, begun=False, before="") if point.done else None)
    left = (
        f"{point.done} statement(s) before it took effect and are kept: correct this one and repeat the call"
        if point.done
        else ("the migration is not recorded; correct it and repeat the call")
    )
    said = "; its change of type was taken back (KILL MUTATION, MODIFY COLUMN), no value was lost" if undone else ""
    wrong = "" if same else ". The schema is not what it was before it: look at it (db_schema) first"
    details: dict[str, Json] = {
        "code": code, "file": step.file.where, "version": step.file.version, "line": statement.line,
        "statement": statement.shown[:SHOWN], "kept": point.done, "applied": [done.version for done in run.done],
    }  # fmt: skip
    return InvalidArgument(
        f"{step.file.where}:{statement.line}: {reason[:400]} (code {code}){said}; {run.applied}; {left}{wrong}",
        details=details,
    )


async def _idle(run: _Run, statement: Statement, step: Step) -> None:
    """Waits for mutations of others on the same tables. Raises `FailedPrecondition` naming one that does not end."""
    try:
        await following.ended(run.engine, _tables(run, statement), TURN_SECONDS)
    except following.Failed as failed:
        raise FailedPrecondition(
            f"{step.file.where}:{statement.line}: {failed.table} has a mutation that fails "
            f"({failed.reason[:200]}), and nothing may "
            f"begin behind it. Undo it first: KILL MUTATION WHERE mutation_id = '{failed.mutation}', and give "
            f"the column its type "
            f"again; {run.applied}"
        ) from None


async def _kept(run: _Run, point: Checkpoint | None) -> None:
    await run.engine.change(run.past.mark(point), {}, ASK_SECONDS)


async def _settings(run: _Run, wanted: Mapping[str, str]) -> dict[str, str]:
    may = (await run.engine.standing()).may_set
    return {name: value for name, value in wanted.items() if name in may}


def _tables(run: _Run, statement: Statement) -> frozenset[Name]:
    return frozenset((name[0] or run.past.database, name[1]) for name in statement.names)


def _without(schema: Schema, names: set[Name]) -> Schema:
    return replace(schema, tables={name: table for name, table in schema.tables.items() if name not in names})
