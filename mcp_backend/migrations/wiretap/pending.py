"""Which migrations of a tool with a program of its own are to run, as far as the files and the history tell."""

from mcp_backend.errors import FailedPrecondition, NotFound
from mcp_backend.migrations import order
from mcp_backend.migrations.model import Direction, File, History, Tool


def todo(
    tool: Tool, files: tuple[File, ...], past: History, version: str | None, direction: Direction
) -> tuple[File, ...]:
    """The files to apply, or the one to take back.

    Raises `FailedPrecondition` when the history does not fit the files, `NotFound` for an unknown version.
    """
    if past.problems:
        raise FailedPrecondition("; ".join(past.problems[:5]))
    applied = frozenset(past.versions)
    pending = tuple(file for file in files if file.version not in applied)
    known = {file.version: file for file in files}
    version = order.meant(files, version)
    if version is not None and version not in known:
        near = ", ".join(file.version for file in (pending or files)[-10:])
        raise NotFound(f"version: {tool.name} has no migration {version}; there are {near or 'none'}")
    if direction == "up":
        if version is None:
            return pending
        return () if version in applied else (known[version],)
    if not past.versions:
        raise FailedPrecondition("no migration is applied, so none can be taken back")
    newest = past.versions[-1]
    if version is not None and version != newest:
        raise FailedPrecondition(
            f"only the newest applied migration can be taken back: that is {newest}, not {version}"
        )
    return (known[newest],)
