"""From a folder and a history to the exact statements that will be sent. Reads files, changes nothing."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from mcp_backend.errors import FailedPrecondition, InvalidArgument, NotFound
from mcp_backend.migrations import dbmate, forms, order
from mcp_backend.migrations.dbmate import File
from mcp_backend.migrations.history import History
from mcp_backend.migrations.statements import Statement, statements, without_passwords
from mcp_backend.policy import EngineSettings

Direction: TypeAlias = Literal["up", "down"]

FOLDER = "db/migrations"
"""dbmate's own default."""
BEGIN = "begin read write"
LONGEST_PREVIEW = 60_000
"""Characters. A person has to be able to read what is approved; beyond that the files are named."""


@dataclass(frozen=True, slots=True)
class Part:
    """One block: its statements, and whether they run in a transaction."""

    statements: tuple[Statement, ...]
    transaction: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One migration in one direction. `record` writes or removes its history row, together with the last part."""

    file: File
    direction: Direction
    parts: tuple[Part, ...]
    record: str

    @property
    def atomic(self) -> bool:
        """Whether it is applied wholly or not at all, whatever happens."""
        return len(self.parts) == 1 and self.parts[0].transaction


def folder(root: Path, settings: EngineSettings) -> Path:
    """Where the migrations of an engine lie."""
    return root / (settings.migrations or FOLDER)


def find(place: Path, root: Path, engine: str) -> tuple[File, ...]:
    """The migrations of a folder.

    Raises `NotFound` when there is no folder, `FailedPrecondition` when it is another tool's, `InvalidArgument` when
    its files cannot be read as dbmate's.
    """
    where = dbmate.shown(place, root)
    if not place.exists():
        raise NotFound(
            f"no migration folder {where}; create it with a first file such as 20260131120000_create_orders.sql "
            "('-- migrate:up', the SQL, '-- migrate:down', the SQL that takes it back), or name another folder in "
            f"engines.{engine}.migrations of mcp-backend.toml"
        )
    if not place.is_dir():
        raise InvalidArgument(f"engines.{engine}.migrations: {where} is not a folder")
    try:
        form = forms.form(place)
        found = dbmate.files(place, root) if form.tool in ("", "dbmate") else ()
    except OSError as error:
        raise InvalidArgument(f"engines.{engine}.migrations: {where} cannot be read: {error.strerror}") from error
    if form.tool not in ("", "dbmate"):
        raise FailedPrecondition(
            f"{where} is in the form of {form.tool} ({form.because}), which this release cannot apply: it applies "
            f"dbmate's. Apply it with {form.tool} itself, or name a folder in dbmate's form in "
            f"engines.{engine}.migrations"
        )
    if not found and form.files:
        raise InvalidArgument(
            f"{where}: no file here is a migration: {form.because}, such as 20260131120000_create_orders.sql"
        )
    return found


def steps(
    files: tuple[File, ...], history: History, version: str | None, direction: Direction, root: Path
) -> tuple[Step, ...]:
    """What a call would run. Raises `InvalidArgument`, `NotFound` or `FailedPrecondition` when it must not."""
    state = order.state(files, history.versions)
    if direction == "up":
        return tuple(_step(file, "up", history, root) for file in order.up(state, version))
    step = _step(order.down(state, version), "down", history, root)
    if not any(part.statements for part in step.parts):
        up = _step(step.file, "up", history, root)
        if any(part.statements for part in up.parts):
            raise FailedPrecondition(
                f"{step.file.where}: its '-- migrate:down' is empty, so it cannot be taken back; write the SQL that "
                "undoes its up block, or go forward with a new migration"
            )
    return (step,)


def _step(file: File, direction: Direction, history: History, root: Path) -> Step:
    sections = dbmate.parse(dbmate.read(file, root), file.where)
    blocks = [s.up for s in sections] if direction == "up" else [s.down for s in reversed(sections)]
    parts = tuple(Part(statements(block, file.where), block.transaction) for block in blocks)
    # The digest in the comment binds an approval to the bytes of the file, comments included.
    digest = hashlib.sha256("\0".join(block.sql for block in blocks).encode()).hexdigest()
    record = history.insert(file.version) if direction == "up" else history.delete(file.version)
    return Step(file, direction, parts, f"{record} /* {direction}, sha256 {digest[:32]} */")


def sent(todo: tuple[Step, ...], history: History) -> tuple[str, ...]:
    """Every statement that changes the database, in order, history rows included. How they are put into transactions
    is part of what the digest in each history row's comment covers."""
    out = list(history.create)
    for step in todo:
        out += [*(statement.sql for part in step.parts for statement in part.statements), step.record]
    return tuple(out)


def preview(todo: tuple[Step, ...], where: str) -> str:
    """What a person reads before approving: every statement of every file, literals of passwords hidden."""
    lines = [f"{todo[0].direction} on {where}: {len(todo)} migration(s)"] if todo else []
    for step in todo:
        how = "one transaction with its history row" if step.atomic else "statement by statement, NOT all or nothing"
        lines.append(f"\n{step.file.where} ({how})")
        for part in step.parts:
            mode = "in a transaction" if part.transaction else "outside a transaction"
            lines += [f"  {mode}:"] if not step.atomic else []
            lines += [f"  line {s.line}: {without_passwords(s.sql)};" for s in part.statements] or ["  no statement"]
    text = "\n".join(lines)
    if len(text) > LONGEST_PREVIEW:
        files = ", ".join(step.file.where for step in todo)
        text = f"{text[:LONGEST_PREVIEW]}\n… cut off here; read the rest in the files themselves: {files}"
    return text
