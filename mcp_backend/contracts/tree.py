"""Places in documents, and what stands there once references are followed. Nothing is expanded, so a circular or large
document costs nothing."""

import re
from dataclasses import dataclass
from typing import Any, cast

from mcp_backend.contracts.documents import Broken, Documents, child, mapping

_COMPONENT = re.compile(r"/(?:components/[A-Za-z]+|definitions|parameters|responses|\$defs|schemas)/([^/]+)")


@dataclass(frozen=True, slots=True)
class Node:
    """A place in a document and what is there. `broken` is set when its reference leads nowhere."""

    path: str
    pointer: str
    value: Any
    broken: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells nodes apart."""
        return self.path, self.pointer

    @property
    def map(self) -> dict[str, Any]:
        """The object that is there, or an empty one."""
        return mapping(self.value)


class Tree:
    """A document of a workspace and what its references lead to. Raises `Broken` when it cannot be read."""

    def __init__(self, documents: Documents, path: str) -> None:
        self.documents = documents
        self.path = path
        self.root = Node(path, "", documents.load(path))
        self.unresolved: dict[str, str] = {}
        """References that lead nowhere, and the place of the first use."""
        self._followed: dict[tuple[str, str], tuple[str, str, Any]] = {}
        """Where each reference leads, by the document that it is written in: most are written many times."""

    def child(self, node: Node, *keys: str) -> Node:
        """What is at `keys` below a node, every reference followed."""
        for key in keys:
            value: Any = node.value
            if isinstance(value, dict):
                value = cast("dict[str, Any]", value).get(key)
            elif isinstance(value, list) and key.isdigit():
                items = cast("list[Any]", value)
                value = items[int(key)] if int(key) < len(items) else None
            else:
                value = None
            node = self.resolved(Node(node.path, child(node.pointer, key), value))
        return node

    def resolved(self, node: Node) -> Node:
        """The node that a `$ref` leads to, or the node itself. A reference into the void gives a broken node."""
        reference = node.map.get("$ref")
        if not isinstance(reference, str):
            return node
        found = self._followed.get((node.path, reference))
        if found is None:
            try:
                found = self.documents.follow(node.path, node.pointer)
            except Broken as error:
                self.unresolved.setdefault(reference, node.pointer)
                return Node(node.path, node.pointer, {}, str(error))
            self._followed[node.path, reference] = found
        return Node(*found)

    def component(self, node: Node) -> str:
        """The name of a node that stands by itself: a component, or a file of its own; empty for an inline one."""
        found = _COMPONENT.fullmatch(node.pointer)
        if found:
            return _unescaped(found.group(1))
        if node.path == self.path or node.pointer.count("/") > 1:
            return ""
        # In a file of definitions each has its own name; a file that is one definition is called by its own.
        return _unescaped(node.pointer[1:]) if node.pointer else node.path.rpartition("/")[2].partition(".")[0]


def _unescaped(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")
