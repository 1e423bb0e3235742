"""Where a request itself does not keep to the contract. Often that is its purpose, so it is sent; a service that
accepts it does not enforce what the contract says."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from mcp_backend.contracts.calling.operations import Found
from mcp_backend.contracts.openapi import fits
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Operation, json_schema
from mcp_backend.contracts.words import Deviation

MOST = 8
REQUIRED, LIMIT, OPEN = "request-required-not-enforced", "constraint-not-enforced", "auth-not-enforced"


@dataclass(frozen=True, slots=True)
class Breach:
    """One rule that the request breaks, by the word for a service that lets it pass."""

    word: str
    where: str
    expected: str
    actual: str

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.where}: expected {self.expected}, sent {self.actual}"

    def accepted(self, status: object) -> Deviation:
        """The deviation of a service that answered such a request with success."""
        return Deviation(
            self.word, "different", self.where, f"refused: {self.expected}", f"{status} for {self.actual}", "response"
        )


def of(
    found: Found, path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str], body: Any
) -> list[Breach]:
    """What of the operation a request breaks, at most `MOST`. `path` is concrete, with the base of the server; names
    of `headers` are in lower case."""
    every = (*_credentials(found, query, headers), *_parameters(found, path, query), *_body(found, headers, body))
    return list(every)[:MOST]


def _credentials(found: Found, query: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> Iterator[Breach]:
    security = found.operation.security
    if not security or any(not requirement for requirement in security):
        return
    api = found.api
    keys = ("securityDefinitions",) if api.swagger else ("components", "securitySchemes")
    holder = api.child(api.root, *keys)
    names = {str(api.child(holder, n).map.get("name") or "").lower() for r in security for n in r}
    sent = {"authorization", "cookie", *names} & ({*headers} | {name.lower() for name, _ in query})
    if not sent:
        yield Breach(OPEN, found.operation.name, "credentials", "none")


def _parameters(found: Found, path: str, query: Sequence[tuple[str, str]]) -> Iterator[Breach]:
    flattener, operation = Flattener(found.api), found.operation
    given = {"path": _places(operation, path), "query": list(query)}
    for parameter in operation.parameters:
        if parameter.where not in given:
            continue
        where = f"{operation.name} {parameter.name}"
        values = [value for name, value in given[parameter.where] if name == parameter.name]
        if any(value.startswith(("env:", "file:")) for value in values):
            continue  # what they stand for is not looked at
        if not values and parameter.required and parameter.where == "query":
            yield Breach(REQUIRED, where, "always sent", "none")
        if parameter.schema is None:
            continue
        types = flattener.flat(parameter.schema).types
        for text in values if not types & {"array", "object"} else ():
            for misfit in fits.misfits(flattener, parameter.schema, _typed(text, types), where, "request")[:1]:
                yield Breach(LIMIT, where, misfit.expected, text[:60])


def _places(operation: Operation, path: str) -> list[tuple[str, str]]:
    """The parameters of a path, from its end: what stands before is the server's."""
    template, parts = operation.path.rstrip("/").split("/"), path.rstrip("/").split("/")
    pairs = zip(reversed(template), reversed(parts), strict=False)
    return [(m[1], unquote(part)) for piece, part in pairs if (m := re.fullmatch(r"\{([^{}]+)\}", piece))]


def _typed(text: str, types: frozenset[str]) -> Any:
    """The value that a text spells, where the schema wants another type than text."""
    if (
        types & {"integer", "number", "boolean"}
        and "string" not in types
        and re.fullmatch(r"-?\d+(\.\d+)?|true|false", text)
    ):
        return json.loads(text) if not re.match(r"-?0\d", text) else text
    return text


def _body(found: Found, headers: Mapping[str, str], body: Any) -> Iterator[Breach]:
    declared = found.operation.body
    if declared is None:
        return
    if body is None:
        if declared.required:
            yield Breach(REQUIRED, f"{found.operation.name} body", "always sent", "none")
        return
    schema = json_schema(declared.content)
    if schema is None or isinstance(body, str) or "json" not in headers.get("content-type", "json").lower():
        return
    for misfit in fits.misfits(Flattener(found.api), schema, body, "body", "request"):
        word = REQUIRED if misfit.id == "required-field-missing" else LIMIT
        yield Breach(word, misfit.where, misfit.expected, misfit.actual)
