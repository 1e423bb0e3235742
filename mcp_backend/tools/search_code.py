"""search_code: text or a regular expression in the files of the workspace."""

import re
from typing import TYPE_CHECKING

from pydantic import Field

from mcp_backend.app import App
from mcp_backend.errors import BackendError, Json
from mcp_backend.settings import Workspace
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.workspace.search import Found, Match

KEY_LINE = re.compile(r"[\s\"'+#/*]*[A-Za-z0-9+/]{40,}={0,2}(?:\\n|[\s\"',+])*")


class SearchCode(Tool):
    """Search the files of the workspace: every place of a string or, with regex, of a regular expression of ripgrep.

    Line by line; what git ignores, binaries and files over 10 MB are left out. glob: *.py, src/**, !tests/**. `next` is
    the `after` of the rest.
    """

    name = "search_code"
    title = "Search the code"
    toolset = "workspace"
    read_only = True
    idempotent = True

    query: str
    regex: bool = False
    glob: str | None = None
    context: int = Field(default=0, ge=0, le=20, description="lines around each match")
    limit: int = Field(default=50, ge=1, le=500, description="matching lines")
    after: str | None = None

    async def plan(self, app: App) -> Plan:
        return Plan()

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.workspace import search

        query = search.Query(self.query, self.regex, self.glob, self.context)
        hide = _Hiding(app.workspace)
        page = await search.search(app.workspace.root, query, self.limit, self.after)
        result: Result = {
            "files": [_file(found, hide) for found in page.files],
            "matching_lines": page.lines,
            "matching_files": page.total_files,
            "truncated": page.next is not None,
        }
        if page.next is not None:
            result["next"] = page.next
        return result


def _file(found: "Found", hide: "_Hiding") -> Json:
    from mcp_backend.workspace.changes import shown

    return {"path": shown(found.raw), "matches": [_match(found.raw, match, hide) for match in found.matches]}


def _match(path: str, match: "Match", hide: "_Hiding") -> Json:
    first = match.line - len(match.before)
    shown: dict[str, Json] = {"line": match.line, "text": hide(path, match.line, match.text)}
    if match.before:
        shown["before"] = [hide(path, first + i, line) for i, line in enumerate(match.before)]
    if match.after:
        shown["after"] = [hide(path, match.line + 1 + i, line) for i, line in enumerate(match.after)]
    return shown


class _Hiding:
    """Hides credentials in single lines. A line from the middle of a key is known as one by its whole file only."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._files: dict[str, list[str]] = {}

    def __call__(self, path: str, number: int, line: str) -> str:
        from mcp_backend.workspace import masking

        if KEY_LINE.fullmatch(line):
            lines = self._whole(path)
            return lines[number - 1][: len(line)] if number <= len(lines) else masking.MASK
        return masking.masked(path, line)[0]

    def _whole(self, path: str) -> list[str]:
        from mcp_backend.workspace import masking, reading, textfile

        if path not in self._files:
            try:
                content = reading.look(self._workspace, path)
            except BackendError:
                return []
            text = None if isinstance(content, reading.Folder) else textfile.decode(content.data)
            self._files[path] = masking.masked(path, text.text)[0].split("\n") if text else []
        return self._files[path]
