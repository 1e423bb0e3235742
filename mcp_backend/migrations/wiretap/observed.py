"""What a migration program did on a shadow: the statements that its server heard, as units that can be rehearsed."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations.model import Direction, File, Program
from mcp_backend.migrations.rehearsal.kinds import Parsed, split
from mcp_backend.migrations.rehearsal.play import Part, Unit
from mcp_backend.migrations.wiretap.judges import Given
from mcp_backend.migrations.wiretap.program import Command
from mcp_backend.migrations.wiretap.same import canonical, savepoint
from mcp_backend.migrations.wiretap.sent import Sent, constants, relation


@dataclass(frozen=True, slots=True)
class Observed:
    """`sent` are the statements in their order, `given` the numbers the database returned meanwhile, `applied` the
    versions that were recorded (or, down, taken out) in order. `said` is what an approval binds to. `units` and `back`
    are what is rehearsed, `stuck` what the program said that could not take it back; `failed` is why the program did
    not get through, `unparsed` what of it is no SQL."""

    direction: Direction
    commands: tuple[Command, ...]
    sent: tuple[Sent, ...]
    given: Given
    applied: tuple[str, ...]
    said: tuple[str, ...]
    units: tuple[Unit, ...]
    back: tuple[Unit, ...] = ()
    no_down: bool = True
    failed: str = ""
    unparsed: str = ""
    stuck: str = ""


def history_of(one: Sent, program: Program) -> tuple[str, bool] | None:
    """The version that a statement records in the program's history, and whether as applied."""
    if one.kind != "effect" or one.failed or relation(one.tree) != program.table:
        return None
    return program.written(one.node, constants(one.tree))


def keeps_history(one: Sent, program: Program) -> bool:
    """Whether it only makes or keeps the program's history."""
    return relation(one.tree) == program.table and one.node in ("CreateStmt", "InsertStmt", "UpdateStmt", "DeleteStmt")


def versions(sent: Sequence[Sent], program: Program, direction: Direction) -> tuple[str, ...]:
    """What the history says to have been applied, or taken back, in order."""
    if program.table == "alembic_version" and direction == "down":
        return ()
    found = [history_of(one, program) for one in sent]
    return tuple(dict.fromkeys(what[0] for what in found if what and what[1] == (direction == "up")))


def labels(sent: Sequence[Sent], program: Program, names: Mapping[str, str], otherwise: str) -> list[str]:
    """The file that each statement belongs to: those before a row of the history belong to its migration."""
    found: list[str] = []
    for index, one in enumerate(sent):
        if (what := history_of(one, program)) is not None:
            found += [names.get(what[0], otherwise)] * (index + 1 - len(found))
    last = found[-1] if found else otherwise
    return found + [last] * (len(sent) - len(found))


def units(sent: Sequence[Sent], program: Program, names: Mapping[str, str], otherwise: str) -> tuple[Unit, ...]:
    """One unit a transaction, and one for what runs outside. What a rollback took back is left out.

    Raises `InvalidArgument` when one of them is no SQL.
    """
    files = labels(sent, program, names, otherwise)
    undone = {one.transaction for one in sent if one.kind == "rollback"}
    kept = [
        (one, file) for one, file in zip(sent, files, strict=True)
        if one.kind not in ("commit", "rollback") and not (one.transaction and one.transaction in undone)
    ]  # fmt: skip
    kept = [(one, file) for index, (one, file) in enumerate(kept) if not one.failed or index == len(kept) - 1]
    found: list[Unit] = []
    for transaction, group in groupby(kept, key=lambda item: item[0].transaction):
        statements = [_parsed(one, file, program) for one, file in group]
        shown = list(dict.fromkeys(parsed.file for parsed in statements if not parsed.silent))
        found.append(Unit((Part(tuple(statements), bool(transaction)),), shown[0] if shown else otherwise))
    return tuple(_with_history_first(found))


def _parsed(one: Sent, file: str, program: Program) -> Parsed:
    (parsed,) = split(one.sql)[:1] or [Parsed(one.sql, 0, "", {})]
    silent = keeps_history(one, program) or one.kind in ("savepoint", "setting")
    return replace(parsed, line=0, file=file, silent=silent)


def _with_history_first(found: Sequence[Unit]) -> Iterator[Unit]:
    """The statement that makes the history's table, first of all, is what makes it and no part of a migration."""
    for index, unit in enumerate(found):
        (part,) = unit.parts
        made = [s for s in part.statements if s.silent and s.node == "CreateStmt"]
        if index == 0 and made:
            rest = tuple(s for s in part.statements if s not in made)
            yield replace(unit, create=tuple(s.sql for s in made), parts=(Part(rest, part.transaction),))
        else:
            yield unit


def said(commands: Sequence[Command], sent: Sequence[Sent], files: Sequence[File]) -> tuple[str, ...]:
    """What a person approves: the command, the bytes of its files, and every statement, without what differs from run
    to run."""
    texts = [_text(file) for file in files]
    known = "\n".join(texts)
    digest = hashlib.sha256("\0".join(f"{f.version}\0{text}" for f, text in zip(files, texts, strict=True)).encode())
    told = "; ".join(command.told for command in commands)
    lines = [f"/* {told}; files sha256 {digest.hexdigest()[:32]} */"]
    for one in sent:
        if one.kind == "effect":
            lines.append(canonical(one.sql, known))
        elif one.kind != "setting":
            lines.append(savepoint(one.sql) if one.kind == "savepoint" else one.kind)
    return tuple(lines)


def _text(file: File) -> str:
    try:
        return file.path.read_text("utf-8", "replace") if file.path.is_file() else ""
    except OSError as error:
        raise InvalidArgument(f"{file.where}: cannot be read: {error.strerror}") from error
