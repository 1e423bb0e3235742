"""Runs a project's migration program on a shadow, through the tap, to learn what it does. The target is only read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mcp_backend.actions import digest
from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.errors import FailedPrecondition, InvalidArgument
from mcp_backend.migrations import lost, planning, rehearsed
from mcp_backend.migrations.model import Direction, File, Part, Program, Step
from mcp_backend.migrations.rehearsal import sample, shadow, target
from mcp_backend.migrations.rehearsal.play import Unit
from mcp_backend.migrations.rehearsal.shadow import Shadow
from mcp_backend.migrations.rehearsal.target import Target
from mcp_backend.migrations.run import Prepared
from mcp_backend.migrations.statements import Statement, without_literals
from mcp_backend.migrations.wiretap import observed as seeing
from mcp_backend.migrations.wiretap import program, tap
from mcp_backend.migrations.wiretap.judges import Recorder
from mcp_backend.migrations.wiretap.observed import Observed
from mcp_backend.migrations.wiretap.program import Command
from mcp_backend.migrations.wiretap.same import ordered
from mcp_backend.migrations.wiretap.sent import Sent, Sorting
from mcp_backend.migrations.wiretap.upstream import Place, place_of
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.telling import tell

SECONDS = 60.0
RUN_SECONDS = 600.0
PASSES = 3
"""How often the program runs on the shadow, each time with the rows of the tables that it turned out to use."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """One run. `failed` is why it did not get through, `by_server` that the server refused a statement."""

    recorder: Recorder
    failed: str = ""
    by_server: bool = False


@dataclass(frozen=True, slots=True)
class _Stage:
    """What all of it needs."""

    engine: Postgresql
    workspace: Workspace
    policy: Policy
    prepared: Prepared
    used: Program
    sorting: Sorting
    direction: Direction
    back: bool


async def observed(
    engine: Postgresql, workspace: Workspace, policy: Policy, prepared: Prepared, version: str | None,
    direction: Direction, *, back: bool = True,
) -> Prepared:  # fmt: skip
    """The plan with what the program does: its steps, and everything an approval and a rehearsal need. `back`: the way
    back is tried, too.

    Raises `FailedPrecondition` when the program cannot be run or does something other than what was asked for,
    `Unavailable` when no shadow can be made.
    """
    used = prepared.tool.program
    assert used is not None, "a tool with a program of its own"
    if direction == "up" and not prepared.todo and (version or prepared.tool.name == "Alembic"):
        return prepared  # Django alone knows of migrations of installed packages
    stage = _Stage(engine, workspace, policy, prepared, used, Sorting(engine.look_up), direction, back)
    commands = used.commands(prepared.folder, workspace.root, prepared.history, prepared.todo, version, direction)
    parameters = dict((await engine.place()).parameters)
    async with engine.session(True, SECONDS) as source:
        with lost.before(source, engine):
            facts = await target.read(source)
    fingerprint = prepared.version.partition("@")[0]
    texts = [used.table]
    await tell(f"making a shadow of {len(facts.relations)} relations for {prepared.tool.name}")
    async with shadow.opened(engine, workspace, facts, parameters, fingerprint) as place:
        for attempt in range(PASSES):
            tables = sample.touched(facts, texts)
            await _load(engine, place, facts, tables)
            await tell(f"running {prepared.tool.name} on the shadow to see what it does")
            async with place.copy() as copy:
                heard = await _run(stage, copy, commands)
                texts += [one.sql for one in heard.recorder.sent]
                texts += [sql for sql in heard.recorder.reads if "pg_catalog" not in sql]
                if attempt == PASSES - 1 or set(sample.touched(facts, texts)) <= set(tables):
                    return await _told(stage, copy, commands, heard)
    raise AssertionError("the last pass returns")


async def _load(engine: Postgresql, place: Shadow, facts: Target, tables: list[str]) -> None:
    admin = await place.connect(admin=True)
    try:
        async with engine.session(True, SECONDS) as source:
            await sample.load(source, admin, facts, tables)
    finally:
        await admin.close()


async def _run(stage: _Stage, copy: Shadow, commands: Sequence[Command]) -> _Heard:
    recorder = Recorder()
    where = await _place(copy)
    for command in commands:
        async with tap.opened(where, recorder, stage.sorting) as listening:
            ended = await program.run(
                stage.workspace, stage.policy, stage.engine.settings, listening, command, RUN_SECONDS
            )
        if ended.exit_code or ended.timed_out or listening.trouble or not listening.sessions:
            effects = [one for one in recorder.sent if one.kind not in ("commit", "rollback")]
            by_server = bool(effects and effects[-1].failed and not listening.trouble)
            said = program.why(ended, listening, command.told)
            return _Heard(recorder, said + (_so_far(effects) if ended.timed_out else ""), by_server)
    return _Heard(recorder)


def _so_far(effects: Sequence[Sent]) -> str:
    """How far a program came that was stopped, and what to do about it."""
    last = f", the last one: {without_literals(effects[-1].sql)[:120]}" if effects else ""
    return (
        f" after {RUN_SECONDS:.0f} s and {len(effects)} statements{last}. If it waits for something, mend that; "
        "otherwise ask for fewer migrations at once (`version`), or when this machine has less to do"
    )


async def _place(copy: Shadow) -> Place:
    conn = await copy.connect()
    try:
        info, tls = conn.info, bool(conn.pgconn.ssl_in_use)
        host = info.host or "127.0.0.1"
        found = place_of(copy.cluster, host=host, port=info.port, user=copy.role, database=copy.database,
                         password=copy.password, tls=tls)  # fmt: skip
    finally:
        await conn.close()
    settings = copy.settings | {"search_path": copy.target.settings.get("search_path", "")}
    return replace(found, settings={**found.settings, **settings})


async def _told(stage: _Stage, copy: Shadow, commands: tuple[Command, ...], heard: _Heard) -> Prepared:
    """From what was heard to the plan."""
    prepared, used, direction = stage.prepared, stage.used, stage.direction
    if heard.failed and not heard.by_server:
        raise FailedPrecondition(f"{heard.failed}. It was tried on a shadow; the database itself was not touched")
    sent = ordered(heard.recorder.sent)
    if heard.failed:
        sent = sent[: 1 + max(index for index, one in enumerate(sent) if one.failed)]
    applied = seeing.versions(sent, used, direction)
    if direction == "down" and not heard.failed:
        applied = applied or tuple(file.version for file in prepared.todo)
    _as_asked(prepared, applied, heard, direction)
    if not applied and not heard.failed:
        return prepared
    files = {file.version: file for file in prepared.files}
    ran = [files.get(v) or File(v, Path(v), f"{v} (of an installed package)", v) for v in applied]
    ran += [file for file in prepared.todo if heard.failed and file not in ran]
    names = {file.version: file.where for file in ran}
    otherwise = ran[-1].where if ran else prepared.tool.name
    unparsed, parts = "", tuple[Unit, ...]()
    try:
        parts = seeing.units(sent, used, names, otherwise)
    except InvalidArgument as error:
        unparsed = f"{otherwise}: {error.reason}"
    result = Observed(
        direction, commands, tuple(sent), heard.recorder.given, applied, seeing.said(commands, sent, ran), parts,
        no_down=direction == "down", failed=heard.failed, unparsed=unparsed,
    )  # fmt: skip
    if stage.back and direction == "up" and not heard.failed and not _kept(stage, result):
        back, stuck = await _back(stage, copy, ran)
        result = replace(result, back=back, no_down=not back, stuck=stuck)
    labelled = list(zip(sent, seeing.labels(sent, used, names, otherwise), strict=True))
    steps = tuple(_step(file, labelled, used, direction) for file in ran)
    return replace(prepared, observed=result, steps=steps)


def _kept(stage: _Stage, result: Observed) -> bool:
    """Whether exactly this was rehearsed before, so that the way back was tried then."""
    action = planning.action(replace(stage.prepared, observed=result), stage.engine)
    return rehearsed.find(stage.workspace, digest("run_migration", (action,)), stage.prepared.version) is not None


def _as_asked(prepared: Prepared, applied: Sequence[str], heard: _Heard, direction: Direction) -> None:
    wanted = [file.version for file in prepared.todo]
    if heard.failed or direction == "down" or set(wanted) == set(applied):
        return
    if len(wanted) == 1 and (before := [version for version in applied if version not in wanted]):
        known = {file.version for file in prepared.files}
        if known.issuperset(before):
            raise FailedPrecondition(f"{', '.join(before)} is pending before {wanted[0]}: apply it first")
    if missing := [version for version in wanted if version not in applied]:
        raise FailedPrecondition(
            f"{prepared.tool.name} does not apply {', '.join(missing[:5])} though it is pending: its app is not among "
            "the installed ones, or another history table is configured. Nothing was executed"
        )


async def _back(stage: _Stage, copy: Shadow, ran: Sequence[File]) -> tuple[tuple[Unit, ...], str]:
    """What takes it back, or nothing and why the program did not get through."""
    past = stage.prepared.history
    past = replace(past, versions=(*past.versions, *(file.version for file in ran)))
    commands = stage.used.back(stage.prepared.folder, stage.workspace.root, past, ran)
    if not commands:
        return (), ""
    heard = await _run(stage, copy, commands)
    if heard.failed and not heard.by_server:
        return (), heard.failed
    names = {file.version: file.where for file in ran}
    try:
        units = seeing.units(heard.recorder.sent, stage.used, names, ran[0].where)
    except InvalidArgument as error:
        return (), error.reason
    return (units if any(unit.statements for unit in units) else ()), ""


def _step(file: File, labelled: Sequence[tuple[Sent, str]], used: Program, direction: Direction) -> Step:
    """What a person reads of one file."""
    mine = [
        one for one, label in labelled
        if label == file.where and one.kind == "effect" and not seeing.keeps_history(one, used)
    ]  # fmt: skip
    inside = all(one.transaction for one in mine) and len({one.transaction for one in mine}) <= 1
    return Step(file, direction, (Part(tuple(Statement(one.sql, 0) for one in mine), inside),), "")
