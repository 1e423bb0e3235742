"""Lays `.proto` files out as their imports name them, whatever the folders of the repository are called.

An import that is nowhere in the repository (`google/api/annotations.proto`, `buf/validate/validate.proto`) usually
declares options alone: they are left out, and types that only it declares are taken as empty messages.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

IMPORT = re.compile(r"""(?m)^(\s*import\s+(?:public\s+|weak\s+|option\s+)?["'])([^"']+)(["']\s*;)""")
_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\boption\s*\(|[\[\]{}();,]""", re.DOTALL
)
FILES = 2_000


@dataclass(slots=True)
class Stage:
    """Texts by import name. `own` are the names of the specification's own files, `missing` the imports that are
    nowhere."""

    texts: dict[str, str] = field(default_factory=dict[str, str])
    own: set[str] = field(default_factory=set[str])
    missing: set[str] = field(default_factory=set[str])


def stage(
    files: Iterable[str],
    root: str,
    known: Iterable[str],
    text: Callable[[Iterable[str]], Mapping[str, str]],
    bundled: frozenset[str],
) -> Stage:
    """The files of a specification below `root` and everything they import from the `.proto` files `known`."""
    found = Stage()
    by_name: dict[str, list[str]] = {}
    for path in known:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)
    todo = {_under(path, root): path for path in files}
    found.own = set(todo)
    while todo and len(found.texts) < FILES:
        texts = text(todo.values())
        following: dict[str, str] = {}
        for name, path in todo.items():
            found.texts[name] = texts.get(path, "")
            for _, imported, _ in IMPORT.findall(found.texts[name]):
                if imported in found.texts or imported in todo or imported in bundled:
                    continue
                where = _resolved(imported, root, by_name.get(imported.rpartition("/")[2], []))
                if where is None:
                    found.missing.add(imported)
                else:
                    following[imported] = where
        todo = following
    _same(found)
    return found


def _same(found: Stage) -> None:
    """A file that imports name otherwise than its place does is kept under the imported name alone."""
    by_text: dict[str, str] = {t: n for n, t in found.texts.items() if n not in found.own and t.strip()}
    for name in sorted(found.own):
        other = by_text.get(found.texts[name])
        if other is not None:
            del found.texts[name]
            found.own.remove(name)
            found.own.add(other)


def _under(path: str, root: str) -> str:
    return path[len(root) + 1 :] if root and path.startswith(f"{root}/") else path


def _resolved(imported: str, root: str, candidates: list[str]) -> str | None:
    """The file an import means: below the same root first; then by ever less of the name's beginning, which may be
    that of the repository itself."""
    name = imported
    while name:
        fitting = [c for c in candidates if c == name or c.endswith(f"/{name}")]
        if fitting:
            return min(fitting, key=lambda c: (not c.startswith(f"{root}/") if root else False, c.count("/"), c))
        _, _, name = name.partition("/")
        if "/" not in name and "/" in imported:
            return None
    return None


def without(text: str, missing: set[str]) -> str:
    """A file without the imports that are missing, and without options of extensions."""
    text = IMPORT.sub(lambda m: "" if m.group(2) in missing else m.group(0), text)
    result: list[str] = []
    position = 0
    while found := _TOKEN.search(text, position):
        token = found.group(0)
        result.append(text[position : found.start()])
        position = found.end()
        if token.startswith("option"):
            position = _after(text, found.start(), ";")
        elif token == "[":
            position = _after(text, found.start(), "]")
            result.append(_kept(text[found.start() + 1 : position - 1]))
        else:
            result.append(token)
    return "".join(result) + text[position:]


def _kept(inside: str) -> str:
    """The options of a field or value that are no extensions."""
    parts: list[str] = []
    depth, start, position = 0, 0, 0
    while found := _TOKEN.search(inside, position):
        position = found.end()
        token = found.group(0)
        depth += token in ("{", "[", "(")
        depth -= token in ("}", "]", ")")
        if token == "," and depth == 0:
            parts.append(inside[start : found.start()])
            start = found.end()
    parts.append(inside[start:])
    kept = [p for p in parts if p.strip() and not re.sub(r"(?s)//[^\n]*|/\*.*?\*/", "", p).strip().startswith("(")]
    return f"[{','.join(kept)}]" if kept else ""


def _after(text: str, start: int, end: str) -> int:
    """The position after the token `end` that closes what begins at `start`."""
    depth, position = 0, start
    while found := _TOKEN.search(text, position):
        token, position = found.group(0), found.end()
        if token.startswith("option"):
            depth += 1  # its own parenthesis
        elif token in ("{", "[", "("):
            depth += 1
        elif token in ("}", "]", ")"):
            depth -= 1
        if token == end and depth == 0:
            return position
    return len(text)


def stubs(errors: str) -> dict[str, set[str]]:
    """Types that protoc says are not defined, by their package."""
    found: dict[str, set[str]] = {}
    for name in re.findall(r'"\.?([\w.]+)" is not defined|"\.?([\w.]+)" seems to be defined', errors):
        package, _, simple = (name[0] or name[1]).rpartition(".")
        if simple:
            found.setdefault(package, set()).add(simple)
    return found
