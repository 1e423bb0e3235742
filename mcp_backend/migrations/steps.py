"""From a folder and a history to the exact statements that will be sent. Reads files, changes nothing."""

import hashlib
from pathlib import Path

from mcp_backend.errors import FailedPrecondition
from mcp_backend.migrations import order
from mcp_backend.migrations.model import Direction, File, History, Part, Step, Tool
from mcp_backend.migrations.statements import part, without_passwords

__all__ = ["BEGIN", "Direction", "Part", "Step", "preview", "sent", "steps"]

BEGIN = "begin read write"
LONGEST_PREVIEW = 60_000
"""Characters. A person has to be able to read what is approved; beyond that the files are named."""


def steps(
    tool: Tool, files: tuple[File, ...], history: History, version: str | None, direction: Direction, root: Path
) -> tuple[Step, ...]:
    """What a call would run. Raises `InvalidArgument`, `NotFound` or `FailedPrecondition` when it must not."""
    if problems := (*history.problems, *(said for _, said in history.begun)):
        raise FailedPrecondition("; ".join(problems[:5]))
    version = order.meant(files, version)
    if version is not None and all(file.version != version for file in files):
        # As the file name spells it: 000002 is 2 to a tool that counts.
        same = (file.version for file in files if not file.repeatable and tool.key(file.version) == tool.key(version))
        version = next(same, version)
    state = order.state(files, history.versions, tool.key)
    if direction == "up":
        todo = order.up(state, version, tool.name if tool.late == "never" else "")
        return tuple(_step(tool, file, "up", history, root) for file in todo)
    if tool.no_down:
        raise FailedPrecondition(f"{tool.no_down}; go forward with a new migration")
    step = _step(tool, order.down(state, version), "down", history, root)
    if not any(each.statements for each in step.parts):
        up = _step(tool, step.file, "up", history, root)
        if any(each.statements for each in up.parts):
            raise FailedPrecondition(
                f"{step.file.where}: what takes it back is empty, so it cannot be taken back; write the SQL that "
                "undoes it, or go forward with a new migration"
            )
    return (step,)


def _step(tool: Tool, file: File, direction: Direction, history: History, root: Path) -> Step:
    blocks = tool.blocks(file, direction, root)
    parts = tuple(part(block, file.where) for block in blocks)
    text = "\0".join(block.sql for block in blocks)
    # The digest in the comment binds an approval to the bytes of the file, comments included.
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    record = tool.record(history, file, direction, text)
    mark = blocks[0].mark if blocks else ""
    about = f" /* {direction}, sha256 {digest} */"
    step = Step(file, direction, parts, record.after + about, "", mark)
    if step.atomic or not record.before:
        return step
    return Step(file, direction, parts, (record.finish or record.after) + about, record.before, mark)


def sent(todo: tuple[Step, ...], history: History) -> tuple[str, ...]:
    """Every statement that changes the database, in order, history rows included. How they are put into transactions
    is part of what the digest in each history row's comment covers."""
    out = list(history.create)
    for step in todo:
        out += [step.before] if step.before else []
        out += [*(statement.sql for each in step.parts for statement in each.statements), step.record]
    return tuple(out)


def preview(todo: tuple[Step, ...], where: str) -> str:
    """What a person reads before approving: every statement of every file, literals of passwords hidden."""
    lines = [f"{todo[0].direction} on {where}: {len(todo)} migration(s)"] if todo else []
    for step in todo:
        how = "one transaction with its history row" if step.atomic else "statement by statement, NOT all or nothing"
        lines.append(f"\n{step.file.where} ({how})")
        for each in step.parts:
            mode = "in a transaction" if each.transaction else "outside a transaction"
            lines += [f"  {mode}:"] if not step.atomic else []
            lines += [f"  {_at(s.line)}{without_passwords(s.sql)};" for s in each.statements] or ["  no statement"]
    text = "\n".join(lines)
    if len(text) > LONGEST_PREVIEW:
        files = ", ".join(step.file.where for step in todo)
        text = f"{text[:LONGEST_PREVIEW]}\n… cut off here; read the rest in the files themselves: {files}"
    return text


def _at(line: int) -> str:
    return f"line {line}: " if line else ""
