"""Finds the specifications of a repository by what is in the files, not by their names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mcp_backend.contracts.sources import LARGEST, Source
from mcp_backend.contracts.words import Kind
from mcp_backend.workspace import kinds

MANY = 3_000
"""Files of one suffix that are looked into."""
_OPENAPI = re.compile(r"""(?:^|[{,\n])\s*["']?(openapi|swagger|asyncapi)["']?\s*:\s*["']?(\d[\w.]*)""")
_SDL = re.compile(r"(?m)^\s*(?:extend\s+)?(type|interface|input|enum|union|scalar|schema|directive)\b\s*[@{\w]")
_ROOT = re.compile(r"(?m)^\s*(type\s+Query\b|schema\b[^{]*\{)")
_IMPORT = re.compile(r"""(?m)^\s*import\s+(?:public\s+|weak\s+|option\s+)?["']([^"']+)["']\s*;""")
_PACKAGE = re.compile(r"(?m)^\s*package\s+([\w.]+)\s*;")
_LIKELY = re.compile(r"(?i)(open-?api|swagger|async-?api|spec|api|contract|schema)")
DOCUMENTS = (".yaml", ".yml", ".json")
SDL = (".graphql", ".graphqls", ".gql")


@dataclass(frozen=True, slots=True)
class Spec:
    """One specification: a document, a folder of `.proto` files from which imports are written, or SDL files that make
    up one schema. `roots` are the folders protobuf imports are looked up in."""

    path: str
    kind: Kind
    files: tuple[str, ...]
    roots: tuple[str, ...] = ()


def find(source: Source, path: str = "") -> list[Spec]:
    """The specifications below `path` (all: ""), or the one that `path` names. Test data and examples count only when
    they are named."""
    everything = path in ("", ".")
    below = [f for f in source.files if everything or f == path or f.startswith(f"{path}/")]
    if not path:
        below = [f for f in below if kinds.evidence(f)]
    found = [*_documents(source, below), *_protos(source, below, path), *_graphql(source, below)]
    if path == "." and (whole := [s for s in found if s.path == "."]):
        return whole
    return sorted(found, key=lambda s: (s.path.count("/"), s.path))


def _documents(source: Source, files: list[str]) -> list[Spec]:
    found: list[Spec] = []
    candidates = [f for f in files if f.endswith(DOCUMENTS)]
    if len(candidates) > MANY:
        candidates = [f for f in candidates if likely(f)][:MANY]
    whole = [f for f in candidates if f.endswith(".json") and likely(f)]  # JSON may have the field at its end
    seen = source.seen(set(candidates) - set(whole), kind_of) | source.seen(whole, kind_of, LARGEST)
    for path in candidates:
        kind = seen.get(path)
        if kind:
            found.append(Spec(path, kind, (path,)))
    return found


def likely(path: str) -> bool:
    """Whether a file has the name of a specification."""
    return _LIKELY.search(path) is not None


def kind_of(path: str, text: str) -> Kind | None:
    """What a YAML or JSON text is, by its top-level version field."""
    for position in _mentions(text):
        match = _OPENAPI.search(text, max(position - 100, 0), position + 100)
        if match and (path.endswith(".json") or _top(text, match.start(1))):
            return "asyncapi" if match.group(1) == "asyncapi" else "openapi"
    return None


def _mentions(text: str) -> Iterator[int]:
    """Where a text names a version field: looked for word by word, which takes a hundredth of the time of a pattern."""
    for word in ("openapi", "swagger", "asyncapi"):
        position = text.find(word)
        while position >= 0:
            yield position
            position = text.find(word, position + 1)


def _top(text: str, position: int) -> bool:
    """Whether a key of a YAML file stands at the beginning of its line."""
    start = text.rfind("\n", 0, position) + 1
    return text[start:position].strip("\"' \ufeff{") == "" and not text[start:position].startswith((" ", "\t"))


def _protos(source: Source, files: list[str], path: str) -> list[Spec]:
    every = [f for f in files if f.endswith(".proto")][:MANY]
    if not every:
        return []
    known = [f for f in source.files if f.endswith(".proto")][:MANY]
    seen = source.seen(known, _declared)
    roots: dict[str, str] = {}
    by_name: dict[str, list[str]] = {}
    for file in known:
        by_name.setdefault(file.rpartition("/")[2], []).append(file)
    for imports, _ in seen.values():
        for imported in imports:
            for file in by_name.get(imported.rpartition("/")[2], ()):
                if file == imported or file.endswith(f"/{imported}"):
                    roots.setdefault(file, file[: len(file) - len(imported)].rstrip("/"))
    for file in known:
        if file in roots:
            continue
        folder = file.rpartition("/")[0]
        place = seen[file][1].replace(".", "/") if file in seen else ""
        if place and (folder == place or folder.endswith(f"/{place}")):
            roots[file] = folder[: len(folder) - len(place)].rstrip("/")
    imported = sorted(set(roots.values()), key=len, reverse=True)
    for file in known:
        if file not in roots:
            inside = [r for r in imported if r and file.startswith(f"{r}/")]
            roots[file] = inside[0] if inside else file.rpartition("/")[0]
    groups: dict[str, list[str]] = {}
    for file in every:
        groups.setdefault(roots[file], []).append(file)
    order = tuple(sorted(set(roots.values()), key=lambda r: (-len(r), r)))
    single = path if path.endswith(".proto") else ""
    return [
        Spec(single or root or ".", "protobuf", tuple(sorted(f)), (root, *(o for o in order if o != root)))
        for root, f in groups.items()
    ]


def _declared(_: str, text: str) -> tuple[tuple[str, ...], str]:
    """The imports and the package of a `.proto` file."""
    package = _PACKAGE.search(text)
    return tuple(_IMPORT.findall(text)), package.group(1) if package else ""


def _sdl(_: str, text: str) -> tuple[bool, bool]:
    """Whether a GraphQL file declares types, and whether a schema begins there."""
    return _SDL.search(text) is not None, _ROOT.search(text) is not None


def _graphql(source: Source, files: list[str]) -> list[Spec]:
    seen = source.seen([f for f in files if f.endswith(SDL)][:MANY], _sdl, LARGEST)
    sdl = [f for f, (declares, _) in seen.items() if declares]
    tops = [f for f in sdl if seen[f][1]]
    found: list[Spec] = []
    for top in tops:
        folder = top.rpartition("/")[0]
        siblings = [t for t in tops if t.rpartition("/")[0] == folder]
        if len(siblings) > 1:
            found.append(Spec(top, "graphql", (top,)))
            continue
        inside = [f for f in sdl if (f.startswith(f"{folder}/") or not folder) and (f == top or f not in tops)]
        whole = tuple(sorted(inside))
        found.append(Spec(top if len(whole) == 1 else folder or ".", "graphql", whole))
    if not tops and sdl:
        found += [Spec(f, "graphql", (f,)) for f in sdl]
    return found
