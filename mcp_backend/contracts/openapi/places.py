"""Every schema that the operations of a document reach, once, with the name of its place and who can see it."""

from collections.abc import Iterator
from dataclasses import dataclass

from mcp_backend.contracts.openapi.flat import Flat, Flattener
from mcp_backend.contracts.openapi.model import Api, Operation
from mcp_backend.contracts.tree import Node


@dataclass(frozen=True, slots=True)
class Place:
    """A schema at a place: `Order.total`, `GET /orders 200`, `GET /orders limit`. `name` is the property's name;
    `beside` are the fields that the schema has whose alternative this one is."""

    where: str
    node: Node
    flat: Flat
    name: str = ""
    operation: Operation | None = None
    beside: frozenset[str] = frozenset()


def places(flattener: Flattener, api: Api) -> Iterator[Place]:
    """All of them: those of the operations first, then of components that no operation reaches."""
    seen: set[tuple[str, str]] = set()
    for operation in api.operations:
        for parameter in operation.parameters:
            if parameter.schema is not None:
                yield from below(
                    flattener, parameter.schema, f"{operation.name} {parameter.name}", parameter.name, operation, seen
                )
        for schema in operation.body.content.values() if operation.body else ():
            if schema is not None:
                yield from below(flattener, schema, f"{operation.name} body", "", operation, seen)
        for response in operation.responses.values():
            for schema in response.content.values():
                if schema is not None:
                    yield from below(flattener, schema, f"{operation.name} {response.status}", "", operation, seen)
    if not api.operations:
        for name, schema in api.schemas.items():
            yield from below(flattener, schema, name, "", None, seen)


def below(
    f: Flattener, node: Node, where: str, name: str, operation: Operation | None, seen: set[tuple[str, str]]
) -> Iterator[Place]:
    """The schema at a node and everything inline below it, each once; `seen` keeps what was met."""
    stack: list[tuple[Node, str, str, frozenset[str]]] = [(node, where, name, frozenset())]
    while stack:
        node, where, name, beside = stack.pop()
        where = f.api.component(node) or where
        if node.key in seen or node.broken or len(where) > 300:
            continue
        seen.add(node.key)
        flat = f.flat(node)
        yield Place(where, node, flat, name, operation, beside)
        nothing = frozenset[str]()
        inner = [(child, f"{where}.{key}", key, nothing) for key, child in flat.properties.items()]
        if flat.items is not None:
            inner.append((flat.items, f"{where}[]", name, nothing))
        if isinstance(flat.additional, Node):
            inner.append((flat.additional, f"{where}.*", "", nothing))
        inner += [(option, where, "", beside | flat.properties.keys()) for option in flat.options]
        stack.extend(reversed(inner))
