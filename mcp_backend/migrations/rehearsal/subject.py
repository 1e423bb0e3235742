"""What is rehearsed: the pending migrations of the repository, one of them, or SQL that was given. Reads only."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mcp_backend.actions import ExecuteSql, digest
from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.errors import BackendError, FailedPrecondition, InvalidArgument, NotFound
from mcp_backend.migrations.model import Block, Direction
from mcp_backend.migrations.rehearsal.kinds import split
from mcp_backend.migrations.rehearsal.play import Part, Unit, unit_of
from mcp_backend.migrations.run import Prepared

Observe: TypeAlias = Callable[[Prepared], Awaitable[Prepared]]


@dataclass(frozen=True, slots=True)
class Subject:
    """The units in the order in which they run, and those that take them back. `refused` is why `run_migration` would
    not begin; `unparsed` what is no SQL. `no_down` tells that nothing takes it back though it could be given, `stuck`
    what did not get through that should have."""

    digest: str
    at_version: str
    newest: str
    units: tuple[Unit, ...]
    back: tuple[Unit, ...]
    direction: Direction = "up"
    refused: str = ""
    unparsed: str = ""
    no_down: bool = False
    given: bool = False
    stuck: str = ""


async def given(engine: Postgresql, root: Path, sql: str, down_sql: str | None) -> Subject:
    """SQL of the call. The digest is that of the same statements as a migration of this engine."""
    newest, at_version = await _world(engine, root)
    settings = engine.settings
    try:
        unit = unit_of(sql)
    except InvalidArgument as error:
        action = ExecuteSql(settings.name, settings.environment, (sql,), at_version)
        return Subject(_digest(action), at_version, newest, (), (), unparsed=error.reason, given=True)
    if not unit.statements:
        raise InvalidArgument("sql: expected at least one statement")
    try:
        back = (unit_of(down_sql),) if down_sql and down_sql.strip() else ()
    except InvalidArgument as error:
        raise InvalidArgument(f"down_{error.reason}") from None
    action = ExecuteSql(settings.name, settings.environment, tuple(s.sql for s in unit.statements), at_version)
    return Subject(
        _digest(action),
        at_version,
        newest,
        (unit,),
        tuple(u for u in back if u.statements),
        no_down=not back,
        given=True,
    )


async def pending(
    engine: Postgresql, root: Path, version: str | None, direction: Direction, observe: Observe | None = None
) -> Subject:
    """What `run_migration` would run with the same arguments, by its own plan. `observe` runs the program of a tool
    that has one.

    Raises as its plan does, but for statements that it refuses: those are findings, so they are rehearsed.
    """
    from mcp_backend.migrations import planning

    refused = ""
    try:
        prepared = await planning.prepare(engine, root, version, direction)
    except InvalidArgument as error:
        return await _refused(engine, root, version, direction, error)
    if prepared.tool.program and observe:
        return observed(engine, await observe(prepared))
    units: list[Unit] = []
    for index, step in enumerate(prepared.steps):
        parts = tuple(
            Part(tuple(p for s in part.statements for p in split(s.sql, s.line)), part.transaction)
            for part in step.parts
        )
        create = (prepared.history.create if index == 0 else ()) + ((step.before,) if step.before else ())
        units.append(Unit(parts, step.file.where, create, step.record))
    opposite: Direction = "down" if direction == "up" else "up"
    back: list[Unit] = []
    missing = bool(prepared.tool.no_down)
    for step in () if missing else reversed(prepared.steps):
        try:
            back.append(_blocks(prepared.tool.blocks(step.file, opposite, root), step.file.where))
        except InvalidArgument:  # a tool with files of their own for that, and there is none
            missing = True
            break
    missing = missing or not any(unit.statements for unit in back)
    newest = prepared.version.partition("@")[2]
    if prepared.steps and direction == "up":
        newest = prepared.steps[-1].file.version or newest
    return Subject(
        _digest(planning.action(prepared, engine)), prepared.version, newest, tuple(units),
        () if missing else tuple(back), direction, refused, no_down=missing,
    )  # fmt: skip


def observed(engine: Postgresql, prepared: Prepared) -> Subject:
    """What the program of a tool did on a shadow, by the plan that observed it."""
    from mcp_backend.migrations import planning

    seen, newest = prepared.observed, prepared.version.partition("@")[2]
    if seen is None:
        return Subject(_digest(planning.action(prepared, engine)), prepared.version, newest, (), ())
    if seen.direction == "up" and seen.applied:
        newest = seen.applied[-1]
    return Subject(
        _digest(planning.action(prepared, engine)), prepared.version, newest, seen.units, seen.back, seen.direction,
        seen.failed, seen.unparsed, no_down=seen.no_down, stuck=seen.stuck,
    )  # fmt: skip


async def _refused(
    engine: Postgresql, root: Path, version: str | None, direction: Direction, error: InvalidArgument
) -> Subject:
    """The files of a plan that `run_migration` refuses for what is in them."""
    from mcp_backend.migrations import checkpoint, detect, order

    async with engine.session(True, 30) as conn:
        tool, files = await detect.find(conn, root, engine.settings)
        past = checkpoint.settled(await tool.read(conn, root, files))
    state = order.state(files, past.versions, tool.key)
    todo = order.up(state, version, "") if direction == "up" else (order.down(state, version),)
    newest, at_version = await _world(engine, root)
    texts: list[str] = []
    units: list[Unit] = []
    unparsed = ""
    for file in todo:
        blocks = tool.blocks(file, direction, root)
        texts += [block.sql for block in blocks]
        try:
            units.append(_blocks(blocks, file.where))
        except InvalidArgument as problem:
            unparsed = unparsed or f"{file.where}: {problem.reason}"
    settings = engine.settings
    action = ExecuteSql(settings.name, settings.environment, tuple(texts), at_version)
    return Subject(
        _digest(action), at_version, newest, tuple(units), (), direction, refused=error.reason, unparsed=unparsed
    )


def _blocks(blocks: tuple[Block, ...], where: str) -> Unit:
    parts: list[Part] = []
    for block in blocks:
        statements = tuple(split(block.sql, block.line))
        own = any(s.control or (s.apart and block.transaction is None) for s in statements)
        loose = block.transaction is None or block.ends
        parts.append(Part(statements, block.transaction is not False and not (loose and own)))
    return Unit(tuple(parts), where)


async def _world(engine: Postgresql, root: Path) -> tuple[str, str]:
    """The newest migration and the version of the world; without migrations, `empty`."""
    from mcp_backend.engines.postgresql import schema_version
    from mcp_backend.migrations import checkpoint, detect, order

    async with engine.session(True, 30) as conn:
        fingerprint = await schema_version(conn)
    newest = "empty"
    try:
        async with engine.session(True, 30) as conn:
            tool, files = await detect.find(conn, root, engine.settings)
            past = checkpoint.settled(await tool.read(conn, root, files))
            newest = order.newest(past.versions, tool.key) or "empty"
    except (NotFound, FailedPrecondition, InvalidArgument):
        pass  # SQL can be rehearsed without a folder of migrations
    except BackendError:
        raise
    return newest, f"{fingerprint}@{newest}"


def _digest(action: ExecuteSql) -> str:
    return digest("run_migration", (action,))
