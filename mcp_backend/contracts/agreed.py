"""The contract of an operation as two roles agree on it: its schema, an example, and a digest that an answer binds.

The digest covers what the operation promises and everything its references reach; words for people (descriptions,
examples) are no part of it, so that mending a sentence does not undo an agreement.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from mcp_backend.contracts import reading, sources, specs
from mcp_backend.contracts.contract import Contract
from mcp_backend.contracts.documents import Broken, mapping
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.contracts.tree import Node
from mcp_backend.errors import Json, Unavailable
from mcp_backend.settings import Workspace

MOST = 3
"""Operations that one question shows."""
BYTES = 6_000
"""Of the schema of one operation; of a larger one the digest and the place are kept."""
_OPERATION = re.compile(r"\b(GET|PUT|POST|DELETE|OPTIONS|HEAD|PATCH|TRACE|QUERY)\s+(/[^\s,;:()\"'`]*)")
_WORD = re.compile(r"[\w.-]+(?:/[\w.-]+)*")
_FOR_PEOPLE = frozenset(
    {"description", "summary", "example", "examples", "tags", "externalDocs", "title", "operationId"}
)
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "responses", "headers", "content"})
"""Objects whose keys are names of the contract, not of the format."""


def found(workspace: Workspace, details: Mapping[str, Any]) -> list[dict[str, Json]]:
    """The operations that the details of a question name, by `METHOD /path` or by id, at most `MOST`."""
    texts = [*_texts(details)]
    named = {f"{method} {path.rstrip('.')}" for text in texts for method, path in _OPERATION.findall(text)}
    words = {word for text in texts for word in _WORD.findall(text)}
    if not named and not words:
        return []
    source = sources.work_tree(workspace)
    hits: list[dict[str, Json]] = []
    known = specs.find(source)
    chosen = [spec for spec in known if any(spec.path in text for text in texts)] or known
    for spec in chosen:
        try:
            contract = reading.contract(source, spec)
        except (Broken, Unavailable):
            continue  # a question about it can still be asked, in words
        meant = [
            line.name for line in contract.operations
            if {line.name} & (named | words) or any(alias in words for alias in line.aliases if len(alias) > 3)
        ]  # fmt: skip
        hits += [_shown(source, spec, contract, name) for name in meant[:MOST]]
    return hits[:MOST]


def digest(root: Path, path: str, operation: str) -> str:
    """The digest of an operation as the files are now; empty when it is not there any more."""
    source = sources.work_tree(Workspace(root, root, (root / ".git").exists()))
    for spec in specs.find(source, path):
        if spec.path != path:
            continue
        try:
            return _digest(source, spec, reading.contract(source, spec), operation)
        except (Broken, Unavailable, KeyError):
            return ""
    return ""


def _shown(source: Source, spec: Spec, contract: Contract, name: str) -> dict[str, Json]:
    said: dict[str, Json] = {"spec": spec.path, "operation": name, "digest": _digest(source, spec, contract, name)}
    schema = contract.detail(name)
    if len(json.dumps(schema, ensure_ascii=False).encode()) <= BYTES:
        said["schema"] = schema
    if spec.kind == "openapi" and (example := _example(source, spec, name)):
        said["example"] = example
    return said


def _digest(source: Source, spec: Spec, contract: Contract, name: str) -> str:
    promised: Any = contract.detail(name)
    if spec.kind == "openapi":
        promised = _reached(source, spec, name)
    text = json.dumps(promised, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _reached(source: Source, spec: Spec, name: str) -> Any:
    """What an operation says, and every place that its references reach, once each."""
    from mcp_backend.contracts.openapi.model import Api

    api = Api(source.documents(), spec.path)
    operation = next(o for o in api.operations if o.name == name)
    seen: dict[str, Any] = {}
    waiting = [operation.node, *(p.node for p in operation.parameters)]
    while waiting:
        node = waiting.pop()
        place = f"{node.path}#{node.pointer}"
        if place in seen:
            continue
        seen[place] = _promised(node.value, named=False)
        for pointer in _references(node.value, node.pointer):
            try:
                path, target, value = api.documents.follow(node.path, pointer)
            except Broken as error:
                seen[f"{place} {pointer}"] = str(error)
                continue
            waiting.append(type(node)(path, target, value))
    return [seen, api.base_paths, operation.security]


def _references(value: Any, pointer: str) -> Iterator[str]:
    if isinstance(value, dict):
        says = cast("dict[str, Any]", value)
        if isinstance(says.get("$ref"), str):
            yield pointer
        for key, inner in says.items():
            yield from _references(inner, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _references(inner, f"{pointer}/{index}")


def _promised(value: Any, *, named: bool) -> Any:
    """A part of a document without its words for people."""
    if isinstance(value, dict):
        return {
            key: _promised(inner, named=key in _NAMED and not named)
            for key, inner in cast("dict[str, Any]", value).items()
            if named or not (key in _FOR_PEOPLE or key.startswith("x-"))
        }
    if isinstance(value, list):
        return [_promised(inner, named=False) for inner in cast("list[Any]", value)]
    return value


def _example(source: Source, spec: Spec, name: str) -> dict[str, Json]:
    """A request and an answer that fit, made from the schemas where the document gives none."""
    from mcp_backend.contracts.openapi.flat import Flattener
    from mcp_backend.contracts.openapi.model import Api
    from mcp_backend.contracts.service import values

    api = Api(source.documents(), spec.path)
    operation = next(o for o in api.operations if o.name == name)
    flattener = Flattener(api)
    contents: dict[str, Mapping[str, Node | None]] = {"request": operation.body.content if operation.body else {}}
    contents |= {f"{status}": response.content for status, response in operation.responses.items() if status[0] == "2"}
    made: dict[str, Json] = {}
    for what, content in contents.items():
        for media, schema in content.items():
            if "json" not in media or schema is None:
                continue
            given = mapping(mapping(api.child(_holder(operation, what), "content", media).value)).get("example")
            made[what] = given if given is not None else values.good(flattener, schema)
            break
    return made


def _holder(operation: Any, what: str) -> Any:
    return operation.body.node if what == "request" else operation.responses[what].node


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value[:4000]
    elif depth < 5 and isinstance(value, (dict, list)):
        inside = cast("dict[str, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value)
        for inner in inside:
            yield from _texts(inner, depth + 1)
