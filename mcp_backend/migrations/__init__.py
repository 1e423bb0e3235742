"""Migrations: read a folder in the user's own format, know what is applied, apply what is pending."""

from pathlib import Path
from typing import Any

from mcp_backend.errors import BackendError, Json, NotFound


async def status(conn: Any, folder: Path, root: Path, newest: int | None = None) -> dict[str, Json]:
    """`{applied, pending, …}`: what the history of the database says about the files of a folder.

    `conn` is a psycopg connection. With `newest`, only that many of the newest applied ones and of the next pending
    ones are listed; `applied_total` and `pending_total` count all. `missing` are versions of the history without a
    file, `out_of_order` pending ones that sort before an applied one. A folder or a table that cannot be read is a
    `problem` in words, never an error, because a database without migrations is no fault.
    """
    from mcp_backend.migrations import history, order, steps

    found: dict[str, Json] = {"folder": str(folder.relative_to(root)) if folder.is_relative_to(root) else str(folder)}
    try:
        files = steps.find(folder, root, "NAME")
    except NotFound:
        files = ()
        found["problem"] = "there is no such folder"
    except BackendError as error:
        files = ()
        found["problem"] = error.reason
    try:
        versions = (await history.read(conn, history.table_name(root))).versions
    except BackendError as error:
        return {**found, "applied": [], "pending": [], "problem": error.reason}
    state = order.state(files, versions)
    applied = [file.path.stem for file in state.applied]
    pending = [file.path.stem for file in state.pending]
    if newest is not None:
        found |= {"applied_total": len(applied), "pending_total": len(pending)}
    found["applied"] = list[Json](applied if newest is None else applied[max(len(applied) - newest, 0) :])
    found["pending"] = list[Json](pending[:newest])
    if state.missing:
        found["missing"] = list[Json](state.missing[-20:])
    if state.late:
        found["out_of_order"] = list[Json](file.version for file in state.late[:20])
    return found
