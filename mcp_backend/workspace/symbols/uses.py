"""Finding where a name is used: ripgrep finds the files, the grammar tells names in code from text in strings and
comments. What a name refers to is not resolved: another thing of the same name is found as well."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_backend.settings import Workspace
from mcp_backend.workspace import search
from mcp_backend.workspace.symbols import languages, parsing
from mcp_backend.workspace.symbols.languages import Grammar
from mcp_backend.workspace.symbols.sources import Sources

if TYPE_CHECKING:
    from tree_sitter import Node

PAGE = 60
LONGEST = 200
_REACHED = ("attribute", "selector_expression", "member_expression", "qualified_type")
_CALLS = ("call", "call_expression", "new_expression", "decorator")
_IMPORTS = ("import_statement", "import_from_statement", "import_spec", "export_specifier")
_IMPORT_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Use:
    """One place of a name in code. `how` is definition, call, import or use; `within` the definitions around it. The
    name begins at `column`, counted from 0 in bytes, and in `units` of UTF-16."""

    path: str
    line: int
    text: str
    how: str
    within: str
    column: int
    units: int


@dataclass(frozen=True, slots=True)
class Uses:
    """A page of uses. `lines` have the name in them, code or not, in `files` files; `unclear` could not be parsed."""

    found: Sequence[Use]
    lines: int
    files: int
    unclear: Sequence[str]
    next: str | None


async def counts(workspace: Workspace, name: str, below: str) -> dict[str, int]:
    """How many lines have a name in them, by source file below a path. Raises `Unavailable` without ripgrep."""
    found = await search.count(workspace.root, search.Query(name, word=True))
    return {path: n for path, n in found.items()
            if languages.of(path) and (not below or path == below or path.startswith(f"{below}/"))}  # fmt: skip


def uses(workspace: Workspace, name: str, known: dict[str, int], after: str | None) -> Uses:
    """A page of the uses of a name in these files, from the one after `after` on."""
    path, line = search.position(after)
    found: list[Use] = []
    unclear: list[str] = []
    following: str | None = None
    with Sources(workspace) as sources:
        for file in sorted(file for file in known if file >= path):
            data, grammar = sources.read(file), languages.of(file)
            if data is None or grammar is None:
                continue
            if len(data) > parsing.LARGEST:
                unclear.append(file)
                continue
            root = parsing.tree(data, grammar).root_node
            if root.has_error:
                unclear.append(file)
            here = [use for use in _uses(file, name, data, root, grammar) if file > path or use.line > line]
            found += here
            if len(found) > PAGE:
                last = found[PAGE - 1]
                found = [use for use in found if (use.path, use.line) <= (last.path, last.line)]
                following = f"{last.path}:{last.line}"
                break
    return Uses(found, sum(known.values()), len(known), unclear, following)


def _uses(path: str, name: str, data: bytes, root: "Node", grammar: Grammar) -> Iterator[Use]:
    symbols = list(parsing.defined(data, root, grammar))
    definitions = {begin for begin, _ in symbols}
    for match in re.finditer(rb"(?<![\w$])" + re.escape(name.encode()) + rb"(?![\w$])", data):
        begin, end = match.span()
        node = root.descendant_for_byte_range(begin, end)
        if node is None or node.type not in languages.IDENTIFIERS or (node.start_byte, node.end_byte) != (begin, end):
            continue
        around = [
            s for at, s in symbols if at != begin and s.begin <= begin < s.end and s.kind not in ("field", "variable")
        ]
        start, stop = data.rfind(b"\n", 0, begin) + 1, data.find(b"\n", begin)
        text = data[start : stop if stop >= 0 else len(data)].decode("utf-8", "replace")
        yield Use(
            path=path,
            line=node.start_point[0] + 1,
            text=text.strip()[:LONGEST],
            how="definition" if begin in definitions else _how(node),
            within=around[-1].qualified if around else "",
            column=begin - start,
            units=len(data[start:begin].decode("utf-8", "replace").encode("utf-16-le")) // 2,
        )


def _how(node: "Node") -> str:
    above, depth = node.parent, 0
    while above is not None and depth < _IMPORT_DEPTH:
        if above.type in _IMPORTS:
            return "import"
        above, depth = above.parent, depth + 1
    here, parent = node, node.parent
    while parent is not None and parent.type in _REACHED and parent.end_byte == here.end_byte:
        here, parent = parent, parent.parent
    called = parent is not None and parent.type in _CALLS and parent.named_child(0) == here
    return "call" if called else "use"
