"""Finds the specifications of a repository by what is in the files, not by their names."""

import re
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
    heads = source.heads(candidates)
    for path in candidates:
        kind = document_kind(source, path, heads.get(path, ""))
        if kind:
            found.append(Spec(path, kind, (path,)))
    return found


def document_kind(source: Source, path: str, head: str) -> Kind | None:
    """What a YAML or JSON file is, by its top-level version field; JSON may have it at its end."""
    found = kind_of(path, head)
    if found is None and path.endswith(".json") and len(head) >= 65_536 and likely(path):
        found = kind_of(path, source.head(path, LARGEST))
    return found


def likely(path: str) -> bool:
    """Whether a file has the name of a specification."""
    return _LIKELY.search(path) is not None


def kind_of(path: str, text: str) -> Kind | None:
    """What a YAML or JSON text is, by its top-level version field."""
    for match in _OPENAPI.finditer(text):
        if path.endswith(".json") or _top(text, match.start(1)):
            return "asyncapi" if match.group(1) == "asyncapi" else "openapi"
    return None


def _top(text: str, position: int) -> bool:
    """Whether a key of a YAML file stands at the beginning of its line."""
    start = text.rfind("\n", 0, position) + 1
    return text[start:position].strip("\"' \ufeff{") == "" and not text[start:position].startswith((" ", "\t"))


def _protos(source: Source, files: list[str], path: str) -> list[Spec]:
    every = [f for f in files if f.endswith(".proto")][:MANY]
    if not every:
        return []
    known = [f for f in source.files if f.endswith(".proto")][:MANY]
    texts = source.heads(known)
    roots: dict[str, str] = {}
    by_name: dict[str, list[str]] = {}
    for file in known:
        by_name.setdefault(file.rpartition("/")[2], []).append(file)
    for text in texts.values():
        for imported in _IMPORT.findall(text):
            for file in by_name.get(imported.rpartition("/")[2], ()):
                if file == imported or file.endswith(f"/{imported}"):
                    roots.setdefault(file, file[: len(file) - len(imported)].rstrip("/"))
    for file in known:
        if file in roots:
            continue
        package = _PACKAGE.search(texts.get(file, ""))
        folder = file.rpartition("/")[0]
        place = package.group(1).replace(".", "/") if package else ""
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


def _graphql(source: Source, files: list[str]) -> list[Spec]:
    texts = source.texts([f for f in files if f.endswith(SDL)][:MANY])
    sdl = {f: text for f, text in texts.items() if _SDL.search(text)}
    tops = [f for f, text in sdl.items() if _ROOT.search(text)]
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
