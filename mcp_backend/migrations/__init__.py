"""Migrations: read a folder in the user's own format, know what is applied, apply what is pending."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_backend.errors import BackendError, Json

if TYPE_CHECKING:
    from mcp_backend.migrations.model import File
    from mcp_backend.policy import EngineSettings


async def status(conn: Any, root: Path, settings: "EngineSettings", newest: int | None = None) -> dict[str, Json]:
    """`{tool, applied, pending, …}`: what the history of the database says about the files of an engine's folder.

    `conn` is a psycopg connection. With `newest`, only that many of the newest applied ones and of the next pending
    ones are listed; `applied_total` and `pending_total` count all. `missing` are versions of the history without a
    file, `out_of_order` pending ones that sort before an applied one, `half_way` one that was interrupted. A folder or
    a table that cannot be read, and a history that does not fit, is a `problem` in words, never an error, because a
    database without migrations is no fault.
    """
    from mcp_backend.migrations import checkpoint, detect, order

    place = detect.folder(root, settings)
    found: dict[str, Json] = {"folder": str(place.relative_to(root)) if place.is_relative_to(root) else str(place)}
    try:
        tool, files = await detect.find(conn, root, settings)
        found["tool"] = tool.name
        past = await tool.read(conn, root, files)
    except BackendError as error:
        return {**found, "applied": [], "pending": [], "problem": error.reason}
    point = checkpoint.find(past)
    past = checkpoint.settled(past)
    state = order.state(files, past.versions, tool.key)
    applied = [_name(file) for file in state.applied]
    pending = [_name(file) for file in state.pending]
    if newest is not None:
        found |= {"applied_total": len(applied), "pending_total": len(pending)}
    found["applied"] = list[Json](applied if newest is None else applied[max(len(applied) - newest, 0) :])
    found["pending"] = list[Json](pending[:newest])
    if state.missing:
        found["missing"] = list[Json](state.missing[-20:])
    if state.late:
        found["out_of_order"] = list[Json](file.version for file in state.late[:20])
    if point:
        found["half_way"] = {"version": point.version, "direction": point.direction, "statements_done": point.done}
    if problems := (*past.problems, *(said for _, said in past.begun)):
        found["problem"] = "; ".join(problems[:3])
    return found


def _name(file: "File") -> str:
    """What a migration is called where a file is meant: its folder's name in Prisma's form."""
    path = file.path
    if path.suffix == ".py":
        return file.version if "." in file.version else path.stem
    return path.parent.name if path.name == "migration.sql" else path.name.removesuffix(".sql")
