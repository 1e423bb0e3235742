# ruff: noqa: E501 - long conditions of one rule stand together
"""Values for requests, made from schemas: one that fits, and some that must be refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mcp_backend.contracts.openapi.flat import Flat, Flattener
from mcp_backend.contracts.tree import Node

_TEXTS = {
    "uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "date": "2026-01-15", "date-time": "2026-01-15T10:00:00Z",
    "email": "someone@example.com", "uri": "https://example.com/a", "url": "https://example.com/a", "hostname": "example.com",
    "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "time": "10:00:00Z", "byte": "YQ==", "binary": "a", "password": "Secret-1234",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bad:
    """A value that a schema forbids, and by which rule."""

    value: Any
    rule: str


def good(f: Flattener, node: Node, depth: int = 0) -> Any:
    """A value that fits a schema; examples and defaults of the document come first."""
    schema = f.flat(node)
    for key in ("example", "default"):
        if key in schema.says and schema.says[key] is not None:
            return schema.says[key]
    if schema.enum:
        return schema.enum[0]
    if schema.options:
        return good(f, schema.options[0], depth + 1) if depth < 8 else None
    if schema.object or schema.properties:
        return {
            name: good(f, schema.properties[name], depth + 1)
            for name in schema.properties
            if name in schema.required and not f.flat(schema.properties[name]).read and depth < 8
        }
    kind = next(iter(sorted(schema.types)), "string")
    if kind == "array":
        count = int(schema.limits.get("minItems", 1))
        return [good(f, schema.items, depth + 1)] * max(count, 1) if schema.items is not None and depth < 8 else []
    if kind in ("integer", "number"):
        least = schema.limits.get("minimum", min(1, schema.limits.get("maximum", 1)))
        return int(least) if kind == "integer" else float(least)
    if kind == "boolean":
        return True
    if kind == "object":
        return {}
    return _text(schema)


def _text(schema: Flat) -> str:
    text = _TEXTS.get(schema.format, "sample")
    least, most = int(schema.limits.get("minLength", 0)), schema.limits.get("maxLength")
    if len(text) < least:
        text += "a" * (least - len(text))
    return text[: int(most)] if most is not None else text


def bad_texts(f: Flattener, node: Node) -> Iterator[Bad]:
    """Values for a parameter that must be refused. In a query everything is text, so only numbers have a wrong type."""
    schema = f.flat(node)
    if schema.options:
        return
    if schema.enum is not None:
        yield Bad("no-such-value", "enum")
    elif schema.types and schema.types <= {"integer", "number"}:
        if (most := schema.limits.get("maximum")) is not None:
            yield Bad(str(int(most) + 1), f"maximum {most:g}")
        if (least := schema.limits.get("minimum")) is not None:
            yield Bad(str(int(least) - 1), f"minimum {least:g}")
        yield Bad("no-number", "type")
    elif schema.types == frozenset({"boolean"}):
        yield Bad("no-boolean", "type")
    elif schema.types == frozenset({"string"}):
        if (most := schema.limits.get("maxLength")) is not None and most < 5000:
            yield Bad("a" * (int(most) + 1), f"maxLength {most:g}")
        if schema.format in ("uuid", "date", "date-time"):
            yield Bad("no-such-format", f"format {schema.format}")


def bad_values(f: Flattener, node: Node) -> Iterator[Bad]:
    """Values for a field of a JSON body that must be refused."""
    schema = f.flat(node)
    if schema.options or schema.anything:
        return
    if not schema.nullable and schema.types:
        yield Bad(None, "null")
    if schema.enum is not None:
        yield Bad("no-such-value", "enum")
        return
    if schema.types and schema.types <= {"integer", "number"}:
        yield Bad("no number", "type")
        if (most := schema.limits.get("maximum")) is not None:
            yield Bad(int(most) + 1, f"maximum {most:g}")
        if (least := schema.limits.get("minimum")) is not None:
            yield Bad(int(least) - 1, f"minimum {least:g}")
    elif schema.types == frozenset({"string"}):
        yield Bad(["no", "text"], "type")
        if (most := schema.limits.get("maxLength")) is not None and most < 100_000:
            yield Bad("a" * (int(most) + 1), f"maxLength {most:g}")
        if (least := schema.limits.get("minLength")) is not None and least > 0:
            yield Bad("a" * (int(least) - 1), f"minLength {least:g}")
    elif schema.types == frozenset({"array"}) and (most := schema.limits.get("maxItems")) is not None and most < 1000:
        if schema.items is not None:
            yield Bad([good(f, schema.items)] * (int(most) + 1), f"maxItems {most:g}")
    elif schema.types and "object" not in schema.types:
        yield Bad({"no": "such type"}, "type")
