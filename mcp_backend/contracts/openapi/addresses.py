"""The addresses that operations answer at: https://spec.openapis.org/oas/v3.1.1#server-object"""

import re
from collections.abc import Iterator
from itertools import islice, product
from typing import Any, cast

from mcp_backend.contracts.documents import mapping
from mcp_backend.contracts.openapi.finding import Found
from mcp_backend.contracts.openapi.model import Api, Operation, path_of
from mcp_backend.contracts.tree import Node

VARIANTS = 32
"""Addresses that one server with variables stands for."""


def paired(old: Api, new: Api) -> dict[int, Operation]:
    """The later operation of each old one, by its position: of the same method and path, whatever its parameters are
    called, or at the same address, where what servers put before a path went into the path."""
    after = {signature(o): o for o in new.operations}
    by_address = {(o.method, address): o for o in new.operations for address in _addresses(new, o)}
    found: dict[int, Operation] = {}
    for index, one in enumerate(old.operations):
        two = after.get(signature(one))
        mine = _addresses(old, one)
        if two is None or not mine.keys() & _addresses(new, two).keys():
            two = next((by_address[one.method, a] for a in mine if (one.method, a) in by_address), two)
        if two is not None:
            found[index] = two
    return found


def signature(operation: Operation) -> tuple[str, str]:
    """Method and path, whatever the parameters of the path are called."""
    return operation.method, _plain(operation.path)


def lost(old: Api, new: Api, one: Operation, two: Operation, found: Found) -> None:
    """Notes the addresses at which an operation does not answer any more."""
    before, after = _addresses(old, one), _addresses(new, two)
    if gone := [base for address, base in before.items() if address not in after]:
        word = "base-path-changed" if old.swagger and new.swagger else "server-path-changed"
        own = _own_servers(old, one) or _own_servers(new, two)
        was, now = (", ".join(p or "/" for p in paths) for paths in (gone, dict.fromkeys(after.values())))
        found.say(word, "breaking", two.name if own else "*", was, now, two.name if own else "")


def _addresses(api: Api, operation: Operation) -> dict[str, str]:
    """The full paths, with what servers put before the operation's own."""
    found = api.addresses.get(operation.name)
    if found is None:
        servers = _own_servers(api, operation) or api.root
        found = {_plain(base + operation.path): base for base in _bases(api, servers)}
        api.addresses[operation.name] = found
    return found


def _own_servers(api: Api, operation: Operation) -> Node | None:
    """The node whose servers go before those of the document."""
    for node in (operation.node, api.child(api.root, "paths", operation.path)):
        if node.map.get("servers"):
            return node
    return None


def _bases(api: Api, holder: Node) -> tuple[str, ...]:
    servers = holder.map.get("servers")
    if api.swagger or not isinstance(servers, list):
        return api.base_paths
    found = [path for server in cast("list[Any]", servers) for path in _paths(mapping(server))]
    return tuple(dict.fromkeys(found)) or ("",)


def _paths(server: dict[str, Any]) -> Iterator[str]:
    """The paths of a server, one for each combination of the values that its variables may have."""
    variables = mapping(server.get("variables"))
    names = [n for n, about in variables.items() if isinstance(mapping(about).get("enum"), list)]
    values = [cast("list[Any]", variables[n]["enum"]) for n in names]
    for chosen in islice(product(*values), VARIANTS):
        taken = {n: {"default": value} for n, value in zip(names, chosen, strict=True)}
        yield path_of({**server, "variables": {**variables, **taken}})


def _plain(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path.rstrip("/") or "/")
