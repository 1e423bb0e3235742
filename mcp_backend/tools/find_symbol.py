"""find_symbol: where a name is defined or used, or what a file defines."""

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mcp_backend.actions import listed
from mcp_backend.app import App
from mcp_backend.errors import InvalidArgument, Json, NotFound
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.workspace.symbols.finding import Place
    from mcp_backend.workspace.symbols.parsing import Symbol
    from mcp_backend.workspace.symbols.precise import Resolved
    from mcp_backend.workspace.symbols.uses import Use

NAME = re.compile(r"[^\s.]+(\.[^\s.]+)*")
ENTRIES = 300
UNCLEAR = 10
OTHER = frozenset(
    {
        ".rs", ".java", ".kt", ".kts", ".scala", ".rb", ".php", ".ex", ".exs", ".erl", ".c", ".cc", ".cpp", ".h",
        ".hpp", ".cs", ".swift",
    }
)  # fmt: skip
"""Source of languages in which no definitions are looked for."""
SUFFIXES = 3
DEFINED = "what the source defines; not what a program makes at run time, nor installed packages"
RESOLVED = (
    "{by} takes those that say `resolved` for uses of this definition; the others are of another one, or reached in a "
    "way that it does not follow"
)
USED = "every place in code with this name, whatever it refers to there; not strings and comments"


class FindSymbol(Tool):
    """Find where a function, class or other name is defined (with its source) or called, or outline a file: Python, Go,
    TypeScript, JavaScript.

    name: Order or Order.total; path: a file or folder to stay in; an outline takes the path of one file. References
    are found by name, in code. `next` is the `after` of the rest.
    """

    name = "find_symbol"
    title = "Find a symbol"
    toolset = "workspace"
    read_only = True
    idempotent = True

    symbol: str | None = Field(default=None, alias="name")
    path: str | None = None
    kind: Literal["definition", "references", "outline"] = "definition"
    after: str | None = None

    async def plan(self, app: App) -> Plan:
        return Plan()

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.workspace import naming

        path = naming.readable(self.path, app.workspace.root) if self.path else ""
        if self.kind == "outline":
            if not path:
                raise InvalidArgument("path: is required for an outline: the file to look at")
            return await asyncio.to_thread(_outline, app, path, self.symbol, self.after)
        if self.symbol is None:
            raise InvalidArgument(f'name: is required with kind="{self.kind}"; kind="outline" takes a path alone')
        if not NAME.fullmatch(self.symbol):
            raise InvalidArgument("name: expected one name, such as Order or Order.total; search_code finds other text")
        if path and not (app.workspace.root / path).exists():
            raise NotFound(f"path: no file or folder {path} in the workspace")
        if self.kind == "references":
            return await _references(app, self.symbol, path, self.after)
        return await asyncio.to_thread(_definitions, app, self.symbol, path, self.after)


def _definitions(app: App, name: str, below: str, after: str | None) -> Result:
    from mcp_backend.workspace.symbols import finding

    answer = finding.definitions(app.workspace, name, below, after)
    result: Result = {
        "definitions": [_place(place) for place in answer.places],
        "total": answer.total,
        "complete": not answer.unclear,
        "covers": DEFINED,
    }
    if answer.unclear:
        result["not_understood"] = [*answer.unclear[:UNCLEAR]]
    if not answer.total:
        result["similar"] = [*answer.similar]
        if answer.parsed < answer.files:
            result["similar_from"] = f"{answer.parsed} of {answer.files} files; asked again, from more"
        if there := _not_read(app, below):
            result |= {"complete": False, "not_read": f"{there}: search_code finds text in them"}
    return _paged(result, answer.next)


def _not_read(app: App, below: str) -> str:
    """How many files of source there are in languages that are not parsed here, by their suffixes."""
    from mcp_backend.workspace import kinds, listing

    inside = (f for f in listing.files(app.workspace) if not below or f"{f}/".startswith(f"{below.rstrip('/')}/"))
    counts = Counter(suffix for f in inside if (suffix := kinds.suffix(f)) in OTHER)
    return listed([f"{count} files {suffix}" for suffix, count in counts.most_common()], SUFFIXES)


async def _references(app: App, name: str, below: str, after: str | None) -> Result:
    from mcp_backend.workspace.symbols import uses

    plain = name.rpartition(".")[2]
    counts = await uses.counts(app.workspace, plain, below)
    answer = await asyncio.to_thread(uses.uses, app.workspace, plain, counts, after)
    resolved = await _resolved(app, name)
    files: dict[str, list[Json]] = {}
    for use in answer.found:
        sure = resolved is not None and resolved.has(use)
        files.setdefault(use.path, []).append({**_use(use), "resolved": True} if sure else _use(use))
    result: Result = {
        "files": [{"path": path, "uses": found} for path, found in files.items()],
        "lines_with_name": answer.lines,
        "files_with_name": answer.files,
        "complete": "textual",
        "covers": USED if plain == name else f"{USED} (looked for {plain})",
    }
    if answer.unclear:
        result["not_understood"] = [*answer.unclear[:UNCLEAR]]
    if resolved is not None:
        result["resolved_by"] = resolved.by
        result["covers"] = f"{result['covers']}; {RESOLVED.format(by=resolved.by)}"
        if after is None and answer.next is None:
            whole = not answer.unclear and all(map(resolved.has, answer.found))
            result["complete"] = "resolved" if whole else "textual"
            here = {(use.path, use.line) for use in answer.found}
            others = sorted({(path, line) for path, line, _ in resolved.spots} - here)
            if shown := [f"{p}:{line}" for p, line in others if not below or f"{p}/".startswith(f"{below}/")]:
                result["by_other_names"] = [*shown[:ENTRIES]]
    return _paged(result, answer.next)


async def _resolved(app: App, name: str) -> "Resolved | None":
    """What a language server tells, where there is one and the name is defined in few places."""
    from mcp_backend.workspace.symbols import finding, precise

    if not precise.installed(app.workspace.root):
        return None
    defined = await asyncio.to_thread(finding.definitions, app.workspace, name)
    return await precise.resolved(app.workspace, defined.places) if defined.places else None


def _outline(app: App, path: str, name: str | None, after: str | None) -> Result:
    from mcp_backend.workspace.symbols import finding

    found, clean = finding.outline(app.workspace, path)
    chosen = [s for s in found if name is None or f".{s.qualified}.".find(f".{name}.") >= 0]
    if after is not None and not after.isdigit():
        raise InvalidArgument("after: expected the `next` of an earlier outline, a line number")
    left = [symbol for symbol in chosen if symbol.line > int(after or 0)]
    shown = left[:ENTRIES]
    while len(shown) < len(left) and left[len(shown)].line == shown[-1].line:
        shown.append(left[len(shown)])
    result: Result = {"path": path, "symbols": [_entry(path, symbol) for symbol in shown], "complete": clean}
    if not clean:
        result["note"] = "parts of the file are no valid source: definitions there may be missing"
    return _paged(result, str(shown[-1].line) if len(shown) < len(left) else None)


def _paged(result: Result, following: str | None) -> Result:
    result["truncated"] = following is not None
    return result if following is None else {**result, "next": following}


def _entry(path: str, symbol: "Symbol") -> dict[str, Json]:
    return {
        "name": symbol.qualified,
        "kind": symbol.kind,
        "line": symbol.line,
        "end_line": symbol.end_line,
        "signature": _safe(path, symbol.signature),
    }


def _place(place: "Place") -> Json:
    shown: dict[str, Json] = {"path": place.path, **_entry(place.path, place.symbol)}
    return shown if place.body is None else {**shown, "source": _safe(place.path, place.body)}


def _use(use: "Use") -> dict[str, Json]:
    shown: dict[str, Json] = {"line": use.line, "how": use.how, "text": _safe(use.path, use.text)}
    return {**shown, "within": use.within} if use.within else shown


def _safe(path: str, text: str) -> str:
    from mcp_backend.workspace import masking

    return masking.masked(path, text)[0]
