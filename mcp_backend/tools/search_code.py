"""search_code: text or a regular expression in the files of the workspace."""

from typing import TYPE_CHECKING

from pydantic import Field

from mcp_backend.app import App
from mcp_backend.errors import Json
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.workspace.search import Found, Match


class SearchCode(Tool):
    """Search the files of the workspace for a string or, with regex, a regular expression of ripgrep.

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
        page = await search.search(app.workspace.root, query, self.limit, self.after)
        result: Result = {
            "files": [_file(found) for found in page.files],
            "matching_lines": page.lines,
            "matching_files": page.total_files,
            "truncated": page.next is not None,
        }
        if page.next is not None:
            result["next"] = page.next
        return result


def _file(found: "Found") -> Json:
    from mcp_backend.workspace.changes import shown

    return {"path": shown(found.raw), "matches": [_match(found.raw, match) for match in found.matches]}


def _match(path: str, match: "Match") -> Json:
    def safe(line: str) -> str:
        from mcp_backend.workspace import masking

        return masking.masked(path, line)[0]

    shown: dict[str, Json] = {"line": match.line, "text": safe(match.text)}
    if match.before:
        shown["before"] = [safe(line) for line in match.before]
    if match.after:
        shown["after"] = [safe(line) for line in match.after]
    return shown
