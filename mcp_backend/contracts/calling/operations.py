"""The operation of an OpenAPI document that a request is meant for."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from mcp_backend.contracts import reading, specs
from mcp_backend.contracts.calling.asking import split
from mcp_backend.contracts.documents import Broken
from mcp_backend.contracts.openapi.model import Api, Operation
from mcp_backend.contracts.sources import Source
from mcp_backend.errors import InvalidArgument, NotFound

_NAMED = re.compile(r"([A-Za-z]+)\s+(/\S*)")
SHOWN = 8


@dataclass(frozen=True, slots=True)
class Found:
    """An operation, its document, and the path that its server puts before its own."""

    api: Api
    operation: Operation
    base: str = ""


class Operations:
    """The operations of every OpenAPI document of a workspace, or of the one that is named."""

    def __init__(self, source: Source, path: str) -> None:
        self.apis: list[Api] = []
        self.broken: list[str] = []
        for spec in specs.find(source, path):
            if spec.kind != "openapi":
                continue
            try:
                self.apis.append(reading.api(source, spec.path))
            except Broken as error:
                self.broken.append(str(error))
        if path and not self.apis:
            known = ", ".join(s.path for s in specs.find(source) if s.kind == "openapi") or "none"
            raise NotFound(f"operation: {path} is no OpenAPI document that can be read; there are {known}")

    def named(self, name: str) -> Found:
        """By its id, or as `GET /orders/{id}`. Raises `NotFound`, `InvalidArgument`."""
        wanted = " ".join(name.split())
        hits = [
            Found(api, operation, api.base_paths[0])
            for api in self.apis
            for operation in api.operations
            if wanted in (operation.id, operation.name) or wanted.lower() == operation.name.lower()
        ]
        if len(hits) == 1:
            return hits[0]
        if hits:
            names = ", ".join(f"{h.api.path}#{h.operation.id or h.operation.name}" for h in hits[:SHOWN])
            raise InvalidArgument(f"operation: several are called {name!r}; name one of {names}")
        near = [o.id or o.name for a in self.apis for o in a.operations if _near(wanted, o)][:SHOWN]
        near = near or [o.id or o.name for a in self.apis for o in a.operations][:SHOWN]
        there = f"there are {', '.join(near)}" if near else "no OpenAPI document is in this repository"
        raise NotFound(f"operation: none is called {name!r}; {there}")

    def at(self, method: str, paths: Sequence[str]) -> list[Found]:
        """What answers to a method and the first of these paths that anything answers to: the most concrete one of
        each document."""
        for path in paths:
            found = [best for api in self.apis if (best := _best(api, method, path)) is not None]
            if found:
                return found
        return []


def method_and_path(operation: str) -> tuple[str, str] | None:
    """`GET /orders/1` as its two parts, `None` for an id."""
    found = _NAMED.fullmatch(split(operation)[1].strip())
    return (found[1].upper(), found[2]) if found else None


def fits(operation: Operation, base: str, path: str) -> bool:
    """Whether a concrete path is one of an operation's."""
    return re.fullmatch(_expression(base + operation.path), path.rstrip("/") or "/") is not None


def _best(api: Api, method: str, path: str) -> Found | None:
    hits = list(_hits(api, method, path))
    return min(hits, key=lambda h: (h.operation.path.count("{"), -len(h.base)), default=None)


def _hits(api: Api, method: str, path: str) -> Iterator[Found]:
    for operation in api.operations:
        if operation.method.upper() != method:
            continue
        for base in dict.fromkeys((*api.base_paths, "")):
            if fits(operation, base, path):
                yield Found(api, operation, base)
                break


def _expression(template: str) -> str:
    """A path with places: each takes characters but a slash."""
    pieces = re.split(r"\{[^{}]*\}", template.rstrip("/") or "/")
    return r"[^/]+".join(re.escape(unquote(piece)) for piece in pieces)


def _near(wanted: str, operation: Operation) -> bool:
    text = f"{operation.id} {operation.name}".lower()
    return any(word in text for word in re.split(r"[\s/_.]+|(?<=[a-z])(?=[A-Z])", wanted.lower()) if len(word) > 3)
