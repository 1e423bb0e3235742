"""Examples beside a schema, of parameters and of whole bodies: https://spec.openapis.org/oas/v3.1.1#media-type-object"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from mcp_backend.contracts.documents import mapping
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Api
from mcp_backend.contracts.openapi.places import Place
from mcp_backend.contracts.openapi.schema_gaps import contradiction
from mcp_backend.contracts.tree import Node
from mcp_backend.contracts.words import Gap

FEW, MOST = 3, 250
"""Examples of one place, and of one document, that are looked at: of a large one they would take seconds."""


def gaps(api: Api, f: Flattener) -> Iterator[Gap]:
    """Those that do not fit the schema they stand beside."""
    for value, place in islice(_examples(api, f), MOST):
        # A value in text may be the way it is written, of a number or of a whole document.
        if not isinstance(value, str) or "string" in place.flat.types:
            yield from contradiction(f, place, "example", value)


def _examples(api: Api, f: Flattener) -> Iterator[tuple[Any, Place]]:
    for operation in api.operations:
        for parameter in operation.parameters:
            if parameter.schema is not None and parameter.schema is not parameter.node:
                yield from _beside(api, f, parameter.node, parameter.schema, f"{operation.name} {parameter.name}")
        holders = [(f"{operation.name} body", operation.body.node)] if operation.body else []
        holders += [(f"{operation.name} {status}", r.node) for status, r in operation.responses.items()]
        for where, holder in holders:
            for media in api.child(holder, "content").map if not api.swagger else ():
                node = api.child(holder, "content", media)
                if "json" in media and "schema" in node.map:
                    yield from _beside(api, f, node, api.child(node, "schema"), where)


def _beside(api: Api, f: Flattener, holder: Node, schema: Node, where: str) -> Iterator[tuple[Any, Place]]:
    for value in _values(api, holder):
        yield value, Place(where, schema, f.flat(schema))


def _values(api: Api, holder: Node) -> list[Any]:
    found: list[Any] = [holder.map["example"]] if holder.map.get("example") is not None else []
    for name in list(mapping(holder.map.get("examples")))[:FEW]:
        one = api.child(holder, "examples", name).map
        found += [one["value"]] if one.get("value") is not None else []
    return found
