"""Whether a value fits a schema, and where not, in the words for deviations. References are followed only as far as the
value goes, so a large circular document costs nothing.

https://json-schema.org/draft/2020-12/json-schema-validation
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, cast

from mcp_backend.contracts import formats
from mcp_backend.contracts.openapi.flat import Flat, Flattener
from mcp_backend.contracts.tree import Node

Direction: TypeAlias = Literal["request", "response"]
MOST = 20
"""Misfits that one value is asked for."""
_DEPTH = 60
_TEXT = 2000
"""Characters of a string that a pattern is tried on."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """One place of a value that does not fit. `id` is a word for deviations; `where` is named by the component."""

    id: str
    where: str
    expected: str
    actual: str


def misfits(flattener: Flattener, schema: Node, value: Any, place: str, direction: Direction) -> list[Misfit]:
    """What does not fit, at most `MOST`."""
    found: list[Misfit] = []
    for misfit in _look(flattener, schema, value, place, direction, 0):
        found.append(misfit)
        if len(found) >= MOST:
            break
    return found


def undocumented(flattener: Flattener, schema: Node, value: Any, place: str) -> list[Misfit]:
    """Fields that a value has and its schema neither describes nor forbids nor says to allow."""
    return list(_undocumented(flattener, schema, value, place, 0))[:MOST]


def _undocumented(f: Flattener, node: Node, value: Any, place: str, depth: int) -> Iterator[Misfit]:
    schema, place = f.flat(node), f.name(node) or place
    if depth > _DEPTH or schema.options:
        return
    if isinstance(value, list) and schema.items is not None:
        for item in cast("list[Any]", value)[:20]:
            yield from _undocumented(f, schema.items, item, f"{place}[]", depth + 1)
    if isinstance(value, dict) and schema.properties and "patternProperties" not in schema.says:
        for name, inner in cast("dict[str, Any]", value).items():
            if name in schema.properties:
                yield from _undocumented(f, schema.properties[name], inner, f"{place}.{name}", depth + 1)
            elif schema.additional is None:
                yield Misfit("field-extra", f"{place}.{name}", "no such field", f"a field of type {kind_of(inner)}")


def kind_of(value: object) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _look(f: Flattener, node: Node, value: Any, place: str, direction: Direction, depth: int) -> Iterator[Misfit]:
    if node.value is True or node.broken or depth > _DEPTH:
        return
    schema = f.flat(node)
    place = f.name(node) or place
    if value is None and (schema.nullable or schema.anything or (schema.types == frozenset() and not schema.options)):
        return
    if value is None:
        yield Misfit("null-not-allowed", place, " or ".join(sorted(schema.types)) or "a value", "null")
        return
    kind = kind_of(value)
    if schema.types and kind not in schema.types and not (kind == "integer" and "number" in schema.types):
        yield Misfit("type-mismatch", place, " or ".join(sorted(schema.types)), kind)
        return
    if schema.enum is not None and value not in schema.enum:
        yield Misfit("enum-value-extra", place, ", ".join(map(str, schema.enum[:12])), str(value)[:60])
        return
    if schema.options:
        yield from _options(f, schema, value, place, direction, depth)
    if kind in ("integer", "number", "string"):
        yield from _scalar(schema, value, place)
    elif kind == "array":
        yield from _array(f, schema, cast("list[Any]", value), place, direction, depth)
    elif kind == "object":
        yield from _object(f, schema, cast("dict[str, Any]", value), place, direction, depth)


def _options(f: Flattener, schema: Flat, value: Any, place: str, direction: Direction, depth: int) -> Iterator[Misfit]:
    best: list[Misfit] | None = None
    for option in schema.options:
        found = list(_look(f, option, value, place, direction, depth + 1))
        if not found:
            return
        if best is None or (len(found), "type" in found[0].id) < (len(best), "type" in best[0].id):
            best = found
    yield from best or ()


def _scalar(schema: Flat, value: Any, place: str) -> Iterator[Misfit]:
    size: Any = len(value) if isinstance(value, str) else value
    low, high = ("minLength", "maxLength") if isinstance(value, str) else ("minimum", "maximum")
    if (least := schema.limits.get(low)) is not None and size < least:
        yield Misfit("constraint-violated", place, f"{low} {least}", str(size)[:60])
    if (most := schema.limits.get(high)) is not None and size > most:
        yield Misfit("constraint-violated", place, f"{high} {most}", str(size)[:60])
    if not isinstance(value, str):
        return
    if schema.pattern and len(value) <= _TEXT and _searched(schema.pattern, value) is False:
        yield Misfit("constraint-violated", place, f"pattern {schema.pattern[:80]}", "another text")
    if (check := formats.CHECKS.get(schema.format)) and not _checked(check, value):
        yield Misfit("type-mismatch", place, f"format {schema.format}", "another text")


def _array(
    f: Flattener, schema: Flat, value: list[Any], place: str, direction: Direction, depth: int
) -> Iterator[Misfit]:
    if (most := schema.limits.get("maxItems")) is not None and len(value) > most:
        yield Misfit("constraint-violated", place, f"maxItems {most}", f"{len(value)} items")
    if (least := schema.limits.get("minItems")) is not None and len(value) < least:
        yield Misfit("constraint-violated", place, f"minItems {least}", f"{len(value)} items")
    if schema.items is not None:
        for item in value[:100]:
            yield from _look(f, schema.items, item, f"{place}[]", direction, depth + 1)


def _object(
    f: Flattener, schema: Flat, value: dict[str, Any], place: str, direction: Direction, depth: int
) -> Iterator[Misfit]:
    for name in sorted(schema.required - value.keys()):
        about = f.flat(schema.properties[name]) if name in schema.properties else None
        if about and (about.write if direction == "response" else about.read):
            continue
        yield Misfit("required-field-missing", f"{place}.{name}", "always there", "missing")
    for name, inner in value.items():
        if name in schema.properties:
            yield from _look(f, schema.properties[name], inner, f"{place}.{name}", direction, depth + 1)
        elif isinstance(schema.additional, Node):
            yield from _look(f, schema.additional, inner, f"{place}.*", direction, depth + 1)
        elif schema.additional is False and not schema.options and not schema.says.get("patternProperties"):
            yield Misfit("field-extra", f"{place}.{name}", "no such field", f"a field of type {kind_of(inner)}")


@lru_cache(maxsize=512)
def _matcher(pattern: str) -> Callable[[str], bool] | None:
    """Whether a text holds what a pattern describes, in time that grows with the text alone; `None` for a pattern that
    is none or cannot be judged so."""
    try:
        from jsonschema_rs import RegexOptions, validator_for
    except ImportError:
        return None
    try:
        return validator_for({"pattern": pattern}, pattern_options=RegexOptions()).is_valid
    except ValueError:  # its own error is one
        return None


def _searched(pattern: str, text: str) -> bool | None:
    matches = _matcher(pattern)
    return None if matches is None else matches(text)


def _checked(check: Any, value: str) -> bool:
    try:
        return bool(check(value))
    except ValueError:
        return False
