"""JSON and YAML files of the workspace, and the references between them. Nothing is ever fetched from elsewhere."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote, urldefrag, urljoin

LIMIT = 4_000_000
"""Bytes of one document."""
SUFFIXES = (".yaml", ".yml", ".json")
_HOPS = 30
_MERGE = "<<:"


class Broken(Exception):
    """A document or a reference cannot be read; the text says which and why."""


class Documents:
    """The documents of one workspace as they are now; each is read once. Paths are relative to the root, with `/`."""

    def __init__(self, root: Path, limit: int = LIMIT) -> None:
        self._root = root
        self._limit = limit
        self._base = root.as_uri() + "/"
        self._read: dict[str, Any] = {}
        self.digests: dict[str, bytes] = {}
        """SHA-256 of each file that was read."""
        self._ids: dict[str, str] = {}

    @property
    def root(self) -> Path:
        """The folder that paths are relative to."""
        return self._root

    @property
    def paths(self) -> tuple[str, ...]:
        """Every document that was read so far."""
        return tuple(self._read)

    def load(self, path: str) -> Any:
        """The content. Raises `Broken` when it is outside the workspace, missing, too large or no JSON or YAML."""
        if path not in self._read:
            self._read[path] = parsed(self.text(path), path)
        return self._read[path]

    def keep(self, path: str, content: Any) -> None:
        """Takes what is no file of the workspace as a document of that name."""
        self._read[path] = content

    def text(self, path: str) -> str:
        """The file as text. Raises `Broken`."""
        try:
            real = (self._root / path).resolve(strict=True)
            if not real.is_relative_to(self._root):
                raise Broken(f"{path} is outside the workspace")
            with real.open("rb") as file:
                data = file.read(self._limit + 1)
        except (OSError, ValueError, RuntimeError) as error:
            why = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else "not a path"
            raise Broken(f"{path}: {why}") from error
        self.digests[path] = hashlib.sha256(data).digest()
        if len(data) > self._limit:
            raise Broken(f"{path}: larger than {self._limit // 1_000_000} MB")
        try:
            return data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
        except UnicodeDecodeError as error:
            raise Broken(f"{path}: not UTF-8 at byte {error.start}") from error

    def leads_nowhere(self, path: str) -> bool:
        """Whether it is a link to nothing that is not called a contract: it may have been one to anything."""
        link = self._root / path
        return link.is_symlink() and not link.exists() and "asyncapi" not in link.name.lower()

    def uri(self, path: str) -> str:
        """The `file:` URI that stands for a document in references."""
        return self._base + quote(path)

    def known_as(self, identifier: str, path: str) -> None:
        """Lets references find a document by its own `$id`."""
        self._ids.setdefault(identifier.rstrip("#"), path)

    def path_of(self, uri: str) -> str:
        """The document a URI without fragment stands for: a file below the root, or one that has it as `$id`, or the
        neighbour of one whose `$id` is its neighbour. Raises `Broken` for everything else."""
        if uri.startswith(self._base):
            return os.path.normpath(unquote(uri.removeprefix(self._base))).replace(os.sep, "/")
        if uri in self._ids:
            return self._ids[uri]
        folder, _, name = uri.rpartition("/")
        for identifier, path in self._ids.items():
            if folder and identifier.rpartition("/")[0] == folder:
                return f"{path.rpartition('/')[0]}/{name}".lstrip("/")
        raise Broken(f"{uri}: not in this workspace, and references are not fetched")

    def follow(self, path: str, pointer: str) -> tuple[str, str, Any]:
        """Where `path#pointer` ends after every `$ref` on the way: path, pointer, content. Raises `Broken`."""
        for _ in range(_HOPS):
            node = at(self.load(path), pointer, path)
            reference = mapping(node).get("$ref")
            if not isinstance(reference, str):
                return path, pointer, node
            path, pointer = self.target(path, reference)
        raise Broken(f"{path}#{pointer}: references go in a circle")

    def file_of(self, path: str, reference: str) -> str:
        """The document that a reference written in `path` names, without a look at it. Raises `Broken`."""
        if reference.startswith("#") and reference.isprintable():
            return path  # As nearly all, which need no rules of URLs to be read.
        return self.path_of(urldefrag(urljoin(self.uri(path), reference))[0])

    def target(self, path: str, reference: str) -> tuple[str, str]:
        """The document and pointer a reference written in `path` names. Raises `Broken`."""
        found, pointer = self.file_of(path, reference), unquote(urldefrag(reference)[1])
        named = _anchored(self.load(found), pointer) if pointer and not pointer.startswith("/") else None
        return found, pointer if named is None else named


def at(document: Any, pointer: str, path: str) -> Any:
    """What a JSON pointer (RFC 6901) names. Raises `Broken`."""
    node = document
    for token in pointer.strip().lstrip("/").split("/") if pointer.strip("/") else []:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping) and key in node:
            node = cast("Mapping[str, Any]", node)[key]
        elif isinstance(node, list) and key.isdigit() and int(key) < len(cast("list[Any]", node)):
            node = cast("list[Any]", node)[int(key)]
        else:
            raise Broken(f"{path}#{pointer}: there is no {key!r}")
    return node


def _anchored(document: Any, name: str) -> str | None:
    """The pointer to the schema that says `$anchor: name`: https://json-schema.org/draft/2020-12/json-schema-core#anchor"""
    todo: list[tuple[str, Any]] = [("", document)]
    while todo:
        pointer, node = todo.pop()
        if isinstance(node, dict):
            inside = cast("dict[str, Any]", node)
            if name in (inside.get("$anchor"), inside.get("$dynamicAnchor")):
                return pointer
            todo += [(child(pointer, str(key)), value) for key, value in inside.items()]
        elif isinstance(node, list):
            todo += [(child(pointer, str(at)), value) for at, value in enumerate(cast("list[Any]", node))]
    return None


def mapping(node: Any) -> dict[str, Any]:
    """The object, or an empty one where there is something else: half-written documents are read too."""
    return cast("dict[str, Any]", node) if isinstance(node, dict) else {}


def child(pointer: str, *keys: str) -> str:
    """The pointer to something inside what `pointer` names."""
    return pointer + "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def parsed(text: str, path: str) -> Any:
    """A JSON or YAML text as plain data. Raises `Broken`."""
    try:
        if path.endswith((".json", ".avsc")):
            return json.loads(text)
    except RecursionError as error:
        raise Broken(f"{path}: nested too deeply") from error
    except ValueError as error:
        raise Broken(f"{path}: not valid JSON: {error}") from error
    if (quick := _quickly(text)) is not None:
        return quick
    import yaml

    try:
        return _plain(yaml.load(text, _loader(_MERGE in text)), {}, 0)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise Broken(f"{path}: not valid YAML{line}: {getattr(error, 'problem', None) or error}") from error


def _quickly(text: str) -> Any:
    """The same by ryaml, seven times as fast on large documents; `None` where it is missing or refuses the text, which
    PyYAML then reads or names the fault of."""
    if _MERGE in text:  # merge keys, which YAML 1.2 has not: https://yaml.org/type/merge.html
        return None
    try:
        from ryaml import loads  # pyright: ignore
    except ImportError:
        return None
    try:
        return _plain(loads(text), {}, 0)
    except (ValueError, TypeError, RecursionError):  # its own error is a ValueError
        return None


def _loader(merges: bool) -> Any:
    """YAML's safe loader with the types of JSON: a date stays the text that it is. A key that is there twice is an
    error; with `merges` it is let pass, as a merged mapping may have it, too."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in base.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            names: set[str] = set()
            for key, _ in () if merges else node.value:
                if str(key.value) in names:
                    raise yaml.MarkedYAMLError(problem=f"{key.value!r} is there twice", problem_mark=key.start_mark)
                names.add(str(key.value))
            return base.construct_mapping(self, node, deep)

    return Loader


def _plain(node: Any, seen: dict[int, Any], depth: int) -> Any:
    """The same with text keys. What an alias shares stays shared, so that a small file stays small."""
    if id(node) in seen:
        return seen[id(node)]
    if depth > 200:
        raise ValueError("nested too deeply")
    if isinstance(node, dict):
        result: Any = {}
        seen[id(cast("object", node))] = result
        for key, value in cast("dict[Any, Any]", node).items():
            name = "on" if key is True else "off" if key is False else str(key)
            result[name] = _plain(value, seen, depth + 1)
        return result
    if isinstance(node, list):
        result = []
        seen[id(cast("object", node))] = result
        result.extend(_plain(item, seen, depth + 1) for item in cast("list[Any]", node))
        return result
    return node if isinstance(node, (str, int, float, bool)) or node is None else str(node)


ASYNCAPI = re.compile(r"""(^|[{,\s])["']?asyncapi["']?\s*:""")
"""What the head of an AsyncAPI document has."""
