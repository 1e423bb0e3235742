"""What a change of type, values or limits of one schema means for those who send it and those who receive it."""

from typing import Any, Protocol

from mcp_backend.contracts.openapi.fits import Direction
from mcp_backend.contracts.openapi.flat import Flat, shown
from mcp_backend.contracts.words import Level

LIMIT_WORDS = {
    "minimum": "min",
    "maximum": "max",
    "minLength": "min-length",
    "maxLength": "max-length",
    "minItems": "min-items",
    "maxItems": "max-items",
    "minProperties": "min-properties",
    "maxProperties": "max-properties",
}
_WIDER = {("int32", "int64"), ("float", "double")}
_HINTS = frozenset({"password", "byte", "binary", ""})
"""Formats that limit nothing."""


class Say(Protocol):
    """Notes a change."""

    def __call__(self, identifier: str, level: Level, before: object, after: object) -> None: ...


def types(one: Flat, two: Flat, direction: Direction, prefix: str, say: Say) -> bool:
    """Notes a changed type or format. `False` when nothing inside can be compared any more."""
    old, new = _implied(one), _implied(two)
    if direction == "request":
        fits, grows = _within(old, new), True
    else:
        fits, grows = _within(new, old), _within(old, new)
    if not fits:
        word = "type-generalized" if direction == "response" and grows else "type-changed"
        say(f"{prefix}-{word}", "breaking", _named(old), _named(new))
        return bool(old & new)
    if old != new:
        say(f"{prefix}-type-{'widened' if direction == 'request' else 'narrowed'}", "safe", _named(old), _named(new))
    if one.format != two.format and old and new:
        _format(one.format, two.format, direction, prefix, say)
    return True


def _format(old: str, new: str, direction: Direction, prefix: str, say: Say) -> None:
    narrow, wide = (old, new) if direction == "request" else (new, old)
    if {old, new} <= _HINTS or wide in _HINTS or (narrow, wide) in _WIDER:
        return
    if (wide, narrow) in _WIDER or narrow in _HINTS or narrow != wide:
        word = "type-generalized" if direction == "response" and (old, new) in _WIDER else "type-changed"
        say(f"{prefix}-{word}", "breaking", f"format {old or 'none'}", f"format {new or 'none'}")


def _implied(flat: Flat) -> frozenset[str]:
    """The types, also where only the keywords tell: properties make an object, items an array."""
    if flat.types:
        return flat.types
    if flat.properties:
        return frozenset({"object"})
    return frozenset({"array"}) if flat.items is not None else frozenset[str]()


def _within(inner: frozenset[str], outer: frozenset[str]) -> bool:
    if not outer:
        return True
    return bool(inner) and all(t in outer or (t == "integer" and "number" in outer) for t in inner)


def _named(types: frozenset[str]) -> str:
    return " or ".join(sorted(types)) or "anything"


def null(one: Flat, two: Flat, direction: Direction, prefix: str, say: Say) -> None:
    """Notes that null may come now, or may not be sent any more."""
    if direction == "response" and two.nullable and not one.nullable and not one.anything:
        say(f"{prefix}-became-nullable", "breaking", "never null", "may be null")
    if direction == "request" and one.nullable and not two.nullable and not two.anything:
        say(f"{prefix}-became-not-nullable", "breaking", "may be null", "never null")


def scalars(one: Flat, two: Flat, direction: Direction, prefix: str, say: Say) -> None:
    """Notes changed values of an enum, and patterns."""
    if one.enum is not None and two.enum is not None:
        gone = [v for v in one.enum if not _in(v, two.enum)]
        come = [v for v in two.enum if not _in(v, one.enum)]
        if gone:
            say(
                f"{prefix}-enum-value-removed", "breaking" if direction == "request" else "safe", _list(gone), "removed"
            )
        if come:
            other: Level = "breaking" if len(gone) == len(one.enum) else "risky"  # none of the values there were
            say(f"{prefix}-enum-value-added", other if direction == "response" else "safe", "not there", _list(come))
    elif two.enum is not None and direction == "request":
        say(f"{prefix}-became-enum", "breaking", "any value", _list(list(two.enum)))
    elif one.enum is not None and direction == "response":
        say(f"{prefix}-enum-value-added", "risky", _list(list(one.enum)), "any value")
    if direction == "request" and two.pattern and two.pattern != one.pattern:
        say(f"{prefix}-pattern-{'changed' if one.pattern else 'added'}", "breaking", one.pattern or "none", two.pattern)


def limits(one: Flat, two: Flat, direction: Direction, prefix: str, say: Say) -> None:
    """Notes limits that shut out what was sent before, or let through what was never received."""
    for key, word in LIMIT_WORDS.items():
        old, new = one.limits.get(key), two.limits.get(key)
        if old == new:
            continue
        upper = key.startswith("max")
        was, now = shown(key, old), shown(key, new)
        if (
            direction == "request"
            and new is not None
            and not (not upper and old is None and key != "minimum" and new <= 0)
        ):
            if old is None:
                say(f"{prefix}-{word}-set", "breaking", "no limit", now)
            elif new < old if upper else new > old:
                say(f"{prefix}-{word}-{'decreased' if upper else 'increased'}", "breaking", was, now)
            else:
                say(f"{prefix}-{word}-{'increased' if upper else 'decreased'}", "safe", was, now)
        elif direction == "response" and old is not None and not (not upper and key != "minimum" and old <= 0):
            if new is None:
                say(f"{prefix}-{word}-unset", "breaking", was, "no limit")
            elif new > old if upper else new < old:
                say(f"{prefix}-{word}-{'increased' if upper else 'decreased'}", "breaking", was, now)


OTHERS = {
    "multipleOf": "multiple-of", "uniqueItems": "unique-items", "not": "not", "if": "if", "then": "then",
    "else": "else", "prefixItems": "prefix-items", "contains": "contains", "propertyNames": "property-names",
    "patternProperties": "pattern-properties", "dependentRequired": "dependent-required",
    "dependentSchemas": "dependent-schemas", "unevaluatedItems": "unevaluated-items", "minContains": "min-contains",
    "maxContains": "max-contains", "contentEncoding": "content-encoding", "contentMediaType": "content-media-type",
    "contentSchema": "content-schema",
}  # fmt: skip


_DEMANDS = frozenset({
    "multipleOf", "uniqueItems", "not", "contains", "propertyNames", "patternProperties", "dependentRequired",
    "dependentSchemas", "prefixItems",
})  # fmt: skip
"""Keywords that shut something out by themselves, whatever they say."""


def others(one: Flat, two: Flat, direction: Direction, prefix: str, say: Say) -> None:
    """Notes that a keyword changed whose meaning is not worked out here: never silently, and as certain only where one
    is newly demanded of requests, or not kept by responses any more. The other way round does no harm."""
    for key, word in OTHERS.items():
        old, new = one.says.get(key) or None, two.says.get(key) or None
        if old == new or "$ref" in f"{old}{new}" or (key == "multipleOf" and one.types != two.types):
            continue
        before, after = (old, new) if direction == "request" else (new, old)
        level: Level = "safe" if after is None else "breaking" if before is None and key in _DEMANDS else "risky"
        say(f"{prefix}-{word}-changed", level, old, new)


def _in(value: Any, values: tuple[Any, ...]) -> bool:
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in values)


def _list(values: list[Any]) -> str:
    return ", ".join(map(str, values[:10])) + (" …" if len(values) > 10 else "")
