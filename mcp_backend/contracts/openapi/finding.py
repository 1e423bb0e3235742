"""What was found between two revisions of an OpenAPI document, each once, with the operations that it reaches."""

from collections.abc import Mapping
from typing import Any, cast

from mcp_backend.contracts.openapi.comparing import Comparer, Key
from mcp_backend.contracts.tree import Node
from mcp_backend.contracts.words import Change, Level


class Found:
    """Changes by what and where, with the operations they reach."""

    def __init__(self, comparer: Comparer) -> None:
        self.comparer = comparer
        self._own: dict[tuple[str, str, str, str, str], list[str]] = {}
        self._roots: list[tuple[Key, str]] = []

    def say(self, identifier: str, level: Level, where: str, before: object, after: object, operation: str) -> None:
        """Notes a change that is none of a schema."""
        self._own.setdefault((level, identifier, where, str(before)[:160], str(after)[:160]), []).append(operation)

    def schema(self, old: Node, new: Node, direction: Any, where: str, operation: str, role: Any = "body") -> None:
        """Notes what differs between two schemas."""
        self._roots.append((self.comparer.compare(old, new, direction, where, role), operation))

    def all(self) -> list[Change]:
        """All of it, the breaking ones first."""
        for root, operation in self._roots:
            for key in self.comparer.reached(root):
                for change in self.comparer.pairs[key].changes:
                    name = (change.level, change.id, change.where, change.before, change.after)
                    self._own.setdefault(name, []).append(operation)
        order = ("breaking", "risky", "safe")
        made = [
            Change(
                identifier, cast("Level", level), where, before, after, tuple(dict.fromkeys(o for o in operations if o))
            )
            for (level, identifier, where, before, after), operations in self._own.items()
        ]
        return sorted(made, key=lambda c: order.index(c.level))


def plain_media(content: Mapping[str, Node | None]) -> dict[str, Node | None]:
    """The schemas by media type without its parameters."""
    return {media.partition(";")[0].strip(): schema for media, schema in content.items()}
