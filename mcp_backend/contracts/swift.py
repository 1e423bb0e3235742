"""Schemas compiled by jsonschema-rs, for batches: it says the same of a value in a hundredth of the time, without
words. What it does not accept is judged by the library that has the words, so that nothing is refused by one alone.
"""

from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from typing import Any, cast
from urllib.parse import quote

from mcp_backend.contracts import formats

LARGEST = 100_000
"""Places in the documents of a schema that is compiled."""
_BITS = {"int32": 32, "int64": 64}
_VALUES = ("enum", "const", "default", "examples")
WORTH_IT = 64
"""Values judged by one schema after which it is compiled: loading the compiler costs as much as some hundred values."""


def compiled(
    own: str, dialect: str, uri: str, pointer: str, resources: Iterable[tuple[str, Any]]
) -> Callable[[Any], bool]:
    """Tells whether a value fits the schema at `pointer` of the document `uri`. `own` is its dialect, and `dialect`
    that of documents which name none. `resources` are all documents that are reachable, by their URIs; nothing else is
    fetched. Without the package, and for a schema that only the other library can read, the answer is always `False`.
    """
    if find_spec("jsonschema_rs") is None:
        return _unknown
    import jsonschema_rs

    drafts = {
        "http://json-schema.org/draft-04/schema#": jsonschema_rs.Draft4,
        "http://json-schema.org/draft-06/schema#": jsonschema_rs.Draft6,
        "http://json-schema.org/draft-07/schema#": jsonschema_rs.Draft7,
        "https://json-schema.org/draft/2019-09/schema": jsonschema_rs.Draft201909,
        "https://json-schema.org/draft/2020-12/schema": jsonschema_rs.Draft202012,
    }
    checks = {name: partial(_conforms, name) for name in formats.known()}
    room = [LARGEST]
    try:
        registry = jsonschema_rs.Registry([(uri, _bounded(one, room)) for uri, one in resources], draft=drafts[dialect])
        validator: Any = jsonschema_rs.validator_for(
            {"$schema": own, "$ref": f"{uri}#{quote(pointer)}"},
            formats=cast("Any", checks), validate_formats=True, registry=registry, offline=True,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, RecursionError, jsonschema_rs.ReferencingError):
        return _unknown

    def fits(value: Any) -> bool:
        try:
            return bool(validator.is_valid(value))
        except (ValueError, TypeError, OverflowError):  # nested too deep, or a number beyond what it can hold
            return False

    return fits


def _bounded(node: Any, room: list[int]) -> Any:
    """The schema with the formats of numbers as bounds: the compiler asks about the formats of texts alone. Raises
    `ValueError` for one that is larger than `room`, as one of aliases upon aliases is, which the compiler writes out.
    """
    room[0] -= 1
    if room[0] < 0:
        raise ValueError("too large")
    if isinstance(node, list):
        return [_bounded(item, room) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    fields = cast("dict[str, Any]", node)
    found = {name: value if name in _VALUES else _bounded(value, room) for name, value in fields.items()}
    bits = _BITS.get(str(found.get("format")))
    if bits:
        inside = {"type": "integer", "minimum": -(2 ** (bits - 1)), "maximum": 2 ** (bits - 1) - 1}
        found["allOf"] = [*found.get("allOf", ()), {"anyOf": [{"not": {"type": "number"}}, inside]}]
    return found


def _unknown(value: Any) -> bool:
    return False


def _conforms(name: str, value: Any) -> bool:
    return bool(formats.checker().conforms(value, name))
