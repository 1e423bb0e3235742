"""read_file: lines of a file, with the hash that later writes can insist on."""

import asyncio
from typing import TYPE_CHECKING

from pydantic import Field

from mcp_backend.app import App
from mcp_backend.errors import InvalidArgument, Json
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.workspace.reading import Content, Folder

LINES = 2000
CHARACTERS = 40_000
LONGEST_LINE = 2_000
"""Characters; the rest of a longer line is cut, and said to be."""


class ReadFile(Tool):
    """Read (show) lines of a text file of the workspace, or list what is in a folder.

    Credentials are shown as ***masked***. `next` is the `offset` of the rest. `sha256` is of the whole file, for
    write_file.
    """

    name = "read_file"
    title = "Read a file"
    toolset = "workspace"
    read_only = True
    idempotent = True

    path: str
    offset: int = Field(default=1, ge=1, description="first line, from 1")
    limit: int = Field(default=LINES, ge=1, le=10_000, description="lines")

    async def plan(self, app: App) -> Plan:
        return Plan()

    async def run(self, app: App, plan: Plan) -> Result:
        return await asyncio.to_thread(self._read, app)

    def _read(self, app: App) -> Result:
        from mcp_backend.workspace import naming, reading

        found = reading.look(app.workspace, naming.readable(self.path, app.workspace.root))
        return _listed(found) if isinstance(found, reading.Folder) else self._shown(found)

    def _shown(self, content: "Content") -> Result:
        from mcp_backend.workspace import masking, textfile

        about: Result = {"path": content.path or ".", "sha256": content.sha256, "bytes": len(content.data)}
        text = textfile.decode(content.data)
        if text is None:
            kind = textfile.binary(content.data)
            return {**about, "binary": True, "type": kind, "note": "not text, so not shown"}
        shown, hidden = masking.masked(content.path, text.text)
        lines = shown.replace("\r\n", "\n").split("\n")
        total = len(lines) - (lines[-1] == "")
        if self.offset > max(total, 1):
            raise InvalidArgument(f"offset: the file has {total} lines, so there is none from {self.offset} on")
        taken, cut = self._taken(lines[self.offset - 1 : total])
        last = self.offset - 1 + len(taken)
        ends = "\n" if last < len(lines) and taken else ""
        result: Result = {
            **about, "content": "\n".join(taken) + ends, "first_line": self.offset, "last_line": last,
            "lines": total, "encoding": text.described(), "truncated": last < total or bool(cut),
        }  # fmt: skip
        if last < total:
            result["next"] = last + 1
        if cut:
            result["cut_lines"] = cut
        if hidden:
            result["masked"] = (
                f"{hidden} credentials are shown as {masking.MASK}; edit_file finds them quoted like that"
            )
        return result

    def _taken(self, lines: list[str]) -> tuple[list[str], list[Json]]:
        """As many lines as fit, and the numbers of those that were cut."""
        taken: list[str] = []
        cut: list[Json] = []
        room = CHARACTERS
        for line in lines[: self.limit]:
            shown = line[:LONGEST_LINE]
            room -= len(shown) + 1
            if room < 0 and taken:
                break
            if len(line) > LONGEST_LINE:
                cut.append(self.offset + len(taken))
            taken.append(shown)
        return taken, cut


def _listed(folder: "Folder") -> Result:
    entries: list[Json] = [*folder.entries]
    return {
        "path": folder.path or ".", "folder": True, "entries": entries, "total": folder.total,
        "truncated": folder.total > len(entries),
    }  # fmt: skip
