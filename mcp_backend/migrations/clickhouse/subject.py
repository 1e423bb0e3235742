"""What is rehearsed and applied on ClickHouse: the pending migrations of the repository, or SQL that was given."""

import asyncio
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_backend.actions import ExecuteSql, digest
from mcp_backend.engines.ch.errors import ServerError, refusal
from mcp_backend.errors import FailedPrecondition, InvalidArgument, Json, NotFound
from mcp_backend.migrations import dbmate, forms, order
from mcp_backend.migrations import files as reading
from mcp_backend.migrations.clickhouse import history
from mcp_backend.migrations.clickhouse.history import Checkpoint, History
from mcp_backend.migrations.clickhouse.language import Statement, statements
from mcp_backend.migrations.clickhouse.rehearsal import Text, rehearse
from mcp_backend.migrations.model import Direction, File
from mcp_backend.migrations.rehearsal.report import Report
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace

if TYPE_CHECKING:
    from mcp_backend.engines.clickhouse import Clickhouse
from mcp_backend.telling import tell

FOLDER = "db/migrations"


@dataclass(frozen=True, slots=True)
class Step:
    """One migration in one direction: its statements, how many of them are done already, and its text's digest."""

    file: File
    statements: tuple[Statement, ...]
    text: Text
    sha256: str
    done: int = 0
    uncertain: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What would run, at which version of the world. `given`: SQL of the call, no migration."""

    action: ExecuteSql
    direction: Direction
    texts: tuple[Text, ...]
    steps: tuple[Step, ...] = ()
    history: History | None = None
    newest: str = ""
    given: bool = False

    @property
    def digest(self) -> str:
        """That of what run_migration would do."""
        return digest("run_migration", (self.action,))


async def version(engine: "Clickhouse", past: History | None) -> str:
    """The version of the world: the schema's fingerprint and the newest migration."""
    newest = order.newest(past.versions) if past else None
    try:
        return f"{await history.structure(engine, past)}@{newest or 'empty'}"
    except ServerError as error:
        raise refusal(error, field="the catalog of the target") from None


async def given(engine: "Clickhouse", root: Path, sql: str, down_sql: str | None) -> Subject:
    """SQL of the call."""
    try:
        past = await history.read(engine, root)
    except FailedPrecondition:
        past = None
    settings = engine.settings
    at = await version(engine, past)
    found = tuple(statement.sql for statement in statements(sql, "sql"))
    if not found:
        raise InvalidArgument("sql: expected at least one statement")
    action = ExecuteSql(settings.name, settings.environment, found, at)
    return Subject(action, "up", (Text(sql, back=down_sql),), history=past, newest=at.partition("@")[2], given=True)


async def pending(engine: "Clickhouse", root: Path, only: str | None, direction: Direction) -> Subject:
    """What run_migration would run with the same arguments.

    Raises `NotFound`, `InvalidArgument` or `FailedPrecondition` when folder, files, history or their order must be put
    right first.
    """
    settings = engine.settings
    files = await asyncio.to_thread(find, folder(root, settings), root, settings.name)
    past = await history.read(engine, root)
    state = order.state(files, past.versions)
    todo = order.up(state, only) if direction == "up" else (order.down(state, only),)
    steps = tuple([_step(file, direction, root, past.checkpoint) for file in todo])
    _unfinished(past.checkpoint, steps)
    sent = [] if past.exists or not steps else [past.create]
    for step in steps:
        sent += [statement.sql for statement in step.statements[step.done :]]
        sent.append(f"{past.record(step.file.version, direction)} /* {direction}, sha256 {step.sha256[:32]} */")
    action = ExecuteSql(settings.name, settings.environment, tuple(sent), await version(engine, past))
    newest = steps[-1].file.version if steps and direction == "up" else action.at_version.partition("@")[2]
    return Subject(action, direction, tuple(step.text for step in steps), steps, past, newest)


def folder(root: Path, settings: EngineSettings) -> Path:
    """Where the migrations of an engine lie."""
    return root / (settings.migrations or FOLDER)


async def status(engine: "Clickhouse", root: Path, newest: int | None = None) -> dict[str, Json]:
    """What `migrations://` says: applied, pending, what does not fit. A folder or table that cannot be read is a
    `problem` in words. With `newest` only that many of the newest applied and of the next pending ones are listed."""
    place = folder(root, engine.settings)
    found: dict[str, Json] = {"folder": reading.shown(place, root), "applied": [], "pending": []}
    try:
        files = await asyncio.to_thread(find, place, root, engine.settings.name)
        past = await history.read(engine, root)
    except (NotFound, FailedPrecondition, InvalidArgument) as error:
        return {**found, "problem": error.reason}
    state = order.state(files, past.versions)
    applied, pending = [f.path.stem for f in state.applied], [f.path.stem for f in state.pending]
    found["tool"] = "dbmate"
    if newest is not None:
        found |= {"applied_total": len(applied), "pending_total": len(pending)}
    found["applied"] = list[Json](applied if newest is None else applied[max(len(applied) - newest, 0) :])
    found["pending"] = list[Json](pending[:newest])
    found |= {"missing": list[Json](state.missing[-20:])} if state.missing else {}
    found |= {"out_of_order": list[Json](file.version for file in state.late[:20])} if state.late else {}
    if point := past.checkpoint:
        found["half_way"] = {"version": point.version, "direction": point.direction, "statements_done": point.done}
    return found


def find(folder: Path, root: Path, engine: str) -> tuple[File, ...]:
    """The migrations of a folder in dbmate's form, the one that is applied to ClickHouse."""
    where = reading.shown(folder, root)
    if not folder.is_dir():
        raise NotFound(
            f"no migration folder {where}; create it with a first file such as 20260131120000_create_events.sql "
            f"('-- migrate:up', the SQL, '-- migrate:down', the SQL that takes it back), or name another folder in "
            f"engines.{engine}.migrations of mcp-backend.toml"
        )
    try:
        form = forms.form(folder)
    except OSError as error:
        raise InvalidArgument(f"engines.{engine}.migrations: {where} cannot be read: {error.strerror}") from error
    if form.tool not in ("", "dbmate"):
        raise FailedPrecondition(
            f"{where} is in the form of {form.tool} ({form.because}); on ClickHouse dbmate's form is applied. Apply it "
            f"with {form.tool} itself, or rehearse its statements with sql"
        )
    return dbmate.files(folder, root)


async def rehearsed(engine: "Clickhouse", workspace: Workspace, subject: Subject) -> Report:
    """The rehearsal of a subject. Raises as `rehearsal.rehearse` does."""
    if not subject.given and not any(step.statements for step in subject.steps):
        at = subject.action.at_version
        said = ("nothing is pending",)
        return Report(
            engine.settings.name, "clickhouse", subject.digest, at, "safe", at, subject.direction, not_checked=said
        )
    await tell(f"rehearsing {len(subject.texts)} file(s) on a local ClickHouse")
    return await rehearse(
        engine, workspace, subject.texts,
        digest=subject.digest, at_version=subject.action.at_version, direction=subject.direction,
        past=subject.history, newest=subject.newest,
    )  # fmt: skip


def _step(file: File, direction: Direction, root: Path, checkpoint: Checkpoint | None) -> Step:
    blocks = dbmate.blocks(file, direction, root)
    back = dbmate.blocks(file, "down" if direction == "up" else "up", root)
    found = tuple(s for block in blocks for s in statements(block.sql, file.where, block.line))
    if direction == "down" and not found and any(statements(b.sql, file.where, b.line) for b in back):
        raise FailedPrecondition(
            f"{file.where}: its '-- migrate:down' is empty, so it cannot be taken back; write the SQL that "
            f"undoes its up "
            "block, or go forward with a new migration"
        )
    sha256 = hashlib.sha256("\0".join(block.sql for block in blocks).encode()).hexdigest()
    text = Text("\n;\n".join(b.sql for b in blocks), file.where, blocks[0].line, "\n;\n".join(b.sql for b in back))
    mine = checkpoint is not None and (checkpoint.version, checkpoint.direction) == (file.version, direction)
    if not mine or checkpoint is None:
        return Step(file, found, text, sha256)
    if checkpoint.sha256 != sha256:
        raise FailedPrecondition(
            f"{file.where} was stopped after {checkpoint.done} statement(s) and its text changed since. Put the "
            f"text back, "
            "or undo those statements by hand and take the comment off the history table"
        )
    rest = ";\n".join(statement.sql for statement in found[checkpoint.done :])
    return Step(file, found, replace(text, sql=rest), sha256, checkpoint.done, checkpoint if checkpoint.begun else None)


def _unfinished(checkpoint: Checkpoint | None, steps: tuple[Step, ...]) -> None:
    if checkpoint and steps and not any(step.file.version == checkpoint.version for step in steps):
        raise FailedPrecondition(
            f"migration {checkpoint.version} ({checkpoint.direction}) was stopped after {checkpoint.done} "
            f"statement(s): "
            f'finish it first, with version="{checkpoint.version}" and direction="{checkpoint.direction}"'
        )
