"""What a migration tool keeps, as frozen data: files, blocks, history, and the steps a call would run.

A `Tool` is how one tool that teams use reads its folder and writes its history; `migrations.tools.TOOLS` lists them.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from mcp_backend.migrations.statements import Statement
    from mcp_backend.migrations.wiretap.program import Command

Connection: TypeAlias = Any
"""A psycopg `AsyncConnection`; the driver is imported where it is used."""
Direction: TypeAlias = Literal["up", "down"]


@dataclass(frozen=True)
class File:
    """One migration. `where` is its path as errors name it, `down` the file that takes it back where that is another
    one, `script` its path in the folder. `repeatable`: it runs again whenever its text changed, after all that have a
    version."""

    version: str
    path: Path
    where: str
    title: str | None = None
    down: Path | None = None
    repeatable: bool = False
    script: str = ""

    @cached_property
    def name(self) -> str:
        """What the file calls the migration: by default its name without version and suffix."""
        if self.title is not None:
            return self.title
        return self.path.name[len(self.version) : -len(".sql")].lstrip("_- ")


@dataclass(frozen=True, slots=True)
class Block:
    """The text of one direction, which starts in `line` (from 1) of its file. `transaction` None: run as the simple
    query it is sent as, which is one transaction unless the text says otherwise. `mark` is how its tool is told to
    run it outside a transaction. `ends`: its tool goes on where a text ends the transaction that the tool began, or
    begins one itself, of which PostgreSQL only warns."""

    sql: str
    line: int
    transaction: bool | None
    mark: str = "mark it '-- migrate:up transaction:false' (or down)"
    ends: bool = False

    @property
    def sha256(self) -> str:
        """Hex digest of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Section:
    """A pair of blocks. Most files have one."""

    up: Block
    down: Block


@dataclass(frozen=True, slots=True)
class Part:
    """One block: its statements, and whether they run in a transaction."""

    statements: "tuple[Statement, ...]"
    transaction: bool


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a migration that runs outside a transaction has come: `done` statements, whose texts have the digest
    `sha256` (hex, shortened), and whether the next one was begun without a transaction to tell whether it ended."""

    version: str
    direction: Direction
    done: int
    begun: bool
    sha256: str


@dataclass(frozen=True, slots=True)
class History:
    """The history table and the versions in it. `exists` and `schema_exists` tell what is there already, `create` what
    makes the rest. `locks` are the keys of the tool's session-level advisory locks, in the order in which they are
    taken. `problems` are reasons to apply nothing, `begun` versions that the history says were begun and did not end,
    with what to do; `facts` is what the tool's own `record` needs to know. `comment` is the table's comment."""

    schema: str
    table: str
    exists: bool
    schema_exists: bool
    versions: tuple[str, ...]
    create: tuple[str, ...] = ()
    locks: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()
    begun: tuple[tuple[str, str], ...] = ()
    comment: str | None = None
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def quoted(self) -> str:
        """The table's name as SQL."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in (self.schema, self.table))


@dataclass(frozen=True, slots=True)
class Record:
    """The statements that keep the history of one step. `after` runs together with the last statement. A step that is
    not one transaction has `before` run first, and `finish` (where it differs) in place of `after`."""

    after: str
    before: str = ""
    finish: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One migration in one direction. `record` writes or removes its history row, together with the last part;
    `before` says that it begins, where the tool does that. One that goes on half-way has only the rest in `parts`:
    `done` statements of `all_sql` took effect before, and `extra` at its start clear away what was left."""

    file: File
    direction: Direction
    parts: tuple[Part, ...]
    record: str
    before: str = ""
    mark: str = ""
    done: int = 0
    extra: int = 0
    all_sql: tuple[str, ...] = ()

    @property
    def resumed(self) -> bool:
        """Whether a part of it was done before."""
        return bool(self.all_sql)

    @property
    def atomic(self) -> bool:
        """Whether it is applied wholly or not at all, whatever happens."""
        return len(self.parts) == 1 and self.parts[0].transaction and not self.all_sql


@dataclass(frozen=True, slots=True)
class Program:
    """How a tool whose migrations are programs is run. `table` is its history table.

    `commands(folder, root, history, files, version, direction)` are what applies the files or takes them back;
    `back(folder, root, history, files)` what takes back files that were just applied, nothing where that cannot be
    said; `written(node, texts)` what a statement on the table records: a version, and whether it is applied by it.
    """

    table: str
    commands: "Callable[[Path, Path, History, Sequence[File], str | None, Direction], tuple[Command, ...]]"
    back: "Callable[[Path, Path, History, Sequence[File]], tuple[Command, ...]]"
    written: Callable[[str, Sequence[str]], tuple[str, bool] | None]


@dataclass(frozen=True, slots=True)
class Tool:
    """One migration tool.

    `files(folder, root)` are the migrations in the order in which the tool applies them; `blocks(file, direction,
    root)` their text; `read(conn, root, files)` the history; `record(history, file, direction, text)` what keeps it
    (`text` is what the file says). `late` tells what the tool does with a pending migration that sorts before an
    applied one: `named` may be applied by naming it, `never` not at all. `key` sorts versions. `no_down` is why there
    is no way back, for tools that have none. `program`: its migrations are run by its own command.
    """

    name: str
    files: Callable[[Path, Path], tuple[File, ...]]
    blocks: Callable[[File, Direction, Path], tuple[Block, ...]]
    read: Callable[[Connection, Path, tuple[File, ...]], Awaitable[History]]
    record: Callable[[History, File, Direction, str], Record]
    key: Callable[[str], Any]
    late: Literal["named", "never"] = "named"
    no_down: str = ""
    program: Program | None = None
