"""What a probe knows to exist in a service: the ids of what it was sent, and of what it created."""

import re
from typing import Any, cast

from mcp_backend.contracts.documents import mapping
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Operation, Parameter
from mcp_backend.contracts.service.talking import Answer
from mcp_backend.contracts.service.values import good

_UNKNOWN = ("987654321", "00000000-0000-4000-8000-000000000000", "no-such-id")


class Known:
    """The first member of each collection, by the path of the collection."""

    def __init__(self, flattener: Flattener) -> None:
        self._f = flattener
        self._ids: dict[str, Any] = {}
        self._made: dict[str, Any] = {}

    def remember(self, operation: Operation, answer: Answer) -> None:
        """Keeps the ids of a collection for the requests to its members."""
        if not 200 <= answer.status < 300 or "json" not in answer.media:
            return
        try:
            value = answer.json()
        except ValueError:
            return
        key = operation.path.rstrip("/")
        if operation.method == "post" and isinstance(value, dict):
            self._made.setdefault(key, value)
        held: list[Any] = list(mapping(value).values()) if isinstance(value, dict) else [value]
        items = cast("list[Any]", next(filter(is_list, held), list[Any]()))
        if items and isinstance(items[0], dict):
            self._ids.setdefault(key, items[0])

    def path(self, operation: Operation) -> dict[str, str]:
        """Values for the parameters of the path: of something that exists, as far as that is known."""
        found: dict[str, str] = {}
        for parameter in operation.parameters:
            if parameter.where != "path":
                continue
            before = operation.path.partition("{" + parameter.name + "}")[0].rstrip("/")
            collection = re.sub(r"\{(\w+)\}", lambda m: "{" + m.group(1) + "}", before)
            source = self._made if operation.method == "delete" else self._ids
            known: Any = next(
                (
                    held[place]
                    for place in (collection, f"{collection}s", f"{collection}es")
                    for held in ((source,) if operation.method == "delete" else (source, self._made))
                    if place in held
                ),
                None,
            )
            value = _id_of(known, parameter.name) if known else None
            if value is None:
                if operation.method == "delete":
                    value = self.unknown(parameter)
                else:
                    value = good(self._f, parameter.schema) if parameter.schema is not None else "1"
            found[parameter.name] = str(value)
        return found

    def unknown(self, parameter: Parameter) -> str:
        """A value that nothing has."""
        flat = self._f.flat(parameter.schema) if parameter.schema is not None else None
        if flat and flat.types & {"integer", "number"}:
            return str(int(min(flat.limits.get("maximum", 987654321), 987654321)))
        return _UNKNOWN[1] if flat and flat.format == "uuid" else _UNKNOWN[2]


def is_list(value: object) -> bool:
    """Whether a value is a list, of whatever."""
    return isinstance(value, list)


def _id_of(item: Any, name: str) -> str | int | None:
    """The value of a member that a path parameter of that name stands for."""
    short = re.sub(r"^.*[_-]|^.*(?=Id$|ID$)", "", name).lower()
    held = mapping(item)
    for key in (name, "id", short, "uuid", "slug", "name"):
        if isinstance(held.get(key), (str, int)):
            return held[key]
    return None
