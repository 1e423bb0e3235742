"""The fields of a message as its contract declares them, and whether a column can hold each."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from mcp_backend.contracts.documents import Broken, Documents, mapping
from mcp_backend.contracts.schemas import Place
from mcp_backend.pipelines.model import Column

_INTEGERS = {
    "smallint": 16, "integer": 32, "bigint": 64, "int2": 16, "int4": 32, "int8": 64, "serial": 32, "bigserial": 64,
}  # fmt: skip
_TEXTS = ("text", "character varying", "varchar", "character", "char", "citext", "name", "bpchar")
_DATES = frozenset(("date", "date-time", "time", "datetime"))
DEPTH = 8


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message. `types` are JSON's; `least` and `most` the numbers it is declared to lie between."""

    name: str
    types: frozenset[str]
    required: bool
    nullable: bool = False
    form: str = ""
    least: float | None = None
    most: float | None = None
    longest: int | None = None
    values: tuple[str, ...] = ()
    pattern: bool = False


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a message; `closed` when it may have no others."""

    by_name: Mapping[str, Field]
    closed: bool


def of(documents: Documents, place: Place, language: str = "json_schema") -> Fields | None:
    """The fields at the top of a payload: of JSON Schema with what `allOf` adds, or of an Avro record. `None` when it
    has none, cannot be read, or is in another language."""
    found: dict[str, Field] = {}
    try:
        if language == "avro" and (not place.pointer or place.pointer.startswith("/")):
            record = mapping(documents.follow(place.path, place.pointer)[2])
            given = [mapping(one) for one in cast("list[Any]", record.get("fields") or [])]
            found = {str(one["name"]): _of_avro(one) for one in given if "name" in one}
            return Fields(found, closed=True) if found else None
        if language != "json_schema":
            return None
        closed = _collect(documents, place.path, place.pointer, found, 0)
    except Broken:
        return None
    return Fields(found, closed) if found else None


def _collect(documents: Documents, path: str, pointer: str, found: dict[str, Field], depth: int) -> bool:
    path, pointer, node = documents.follow(path, pointer)
    schema = mapping(node)
    required = {str(name) for name in cast("list[Any]", schema.get("required") or [])}
    closed = schema.get("additionalProperties") is False
    for name in mapping(schema.get("properties")):
        inside = f"{pointer}/properties/{name.replace('~', '~0').replace('/', '~1')}"
        found[name] = _field(name, mapping(documents.follow(path, inside)[2]), required=name in required)
    for index in range(len(cast("list[Any]", schema.get("allOf") or [])) if depth < DEPTH else 0):
        closed = _collect(documents, path, f"{pointer}/allOf/{index}", found, depth + 1) or closed
    for name in required & found.keys():
        found[name] = replace(found[name], required=True)
    return closed


def _field(name: str, schema: Mapping[str, Any], *, required: bool) -> Field:
    given = schema.get("type")
    types = {str(t) for t in cast("list[Any]", given if isinstance(given, list) else [given] if given else [])}
    for option in (*cast("list[Any]", schema.get("anyOf") or []), *cast("list[Any]", schema.get("oneOf") or [])):
        inner = mapping(option).get("type")
        types |= {str(inner)} if isinstance(inner, str) else set[str]()
    values = tuple(str(v) for v in cast("list[Any]", schema.get("enum") or []) if v is not None)
    if not types and values and all(isinstance(v, str) for v in cast("list[Any]", schema["enum"]) if v is not None):
        types = {"string"}
    nullable = "null" in types or bool(schema.get("nullable")) or None in cast("list[Any]", schema.get("enum") or [])
    return Field(
        name, frozenset(types - {"null"}), required, nullable, str(schema.get("format", "")),
        _number(schema.get("minimum", schema.get("exclusiveMinimum"))),
        _number(schema.get("maximum", schema.get("exclusiveMaximum"))),
        int(schema["maxLength"]) if isinstance(schema.get("maxLength"), int) else None, values, "pattern" in schema,
    )  # fmt: skip


_AVRO: Mapping[str, tuple[str, str]] = {
    "int": ("integer", "int32"), "long": ("integer", "int64"), "float": ("number", ""), "double": ("number", ""),
    "boolean": ("boolean", ""), "string": ("string", ""), "bytes": ("string", ""), "fixed": ("string", ""),
    "enum": ("string", ""), "record": ("object", ""), "map": ("object", ""), "array": ("array", ""),
}  # fmt: skip
_LOGICAL: Mapping[str, tuple[str, str]] = {
    "decimal": ("number", ""), "uuid": ("string", "uuid"), "date": ("string", "date"),
    "timestamp-millis": ("string", "date-time"), "timestamp-micros": ("string", "date-time"),
    "local-timestamp-millis": ("string", "date-time"), "local-timestamp-micros": ("string", "date-time"),
}  # fmt: skip


def _of_avro(given: Mapping[str, Any]) -> Field:
    """A field of a record (https://avro.apache.org/docs/1.12.0/specification/#schema-record). A name that stands for
    another type says nothing here."""
    options = given.get("type")
    types, forms, values = set[str](), list[str](), list[str]()
    nullable = False
    for option in cast("list[Any]", options) if isinstance(options, list) else [options]:
        about: dict[str, Any] = mapping(option) or {"type": option}
        if about["type"] == "null":
            nullable = True
            continue
        known = _LOGICAL.get(str(about.get("logicalType"))) or _AVRO.get(str(about["type"]))
        if known is None:
            return Field(str(given["name"]), frozenset(), "default" not in given, nullable)
        types.add(known[0])
        forms.append(known[1])
        values += [str(symbol) for symbol in cast("list[Any]", about.get("symbols") or [])]
    form = forms[0] if len(forms) == 1 else ""
    return Field(str(given["name"]), frozenset(types), "default" not in given, nullable, form, values=tuple(values))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


Family = Literal["integer", "decimal", "float", "text", "boolean", "date", "uuid", "json", "array", "other"]


@dataclass(frozen=True, slots=True)
class Holds:
    """What a column can hold. `least` and `most` bound an integer."""

    family: Family
    least: int = 0
    most: int = 0
    longest: int = 0


def holds(type_: str) -> Holds:
    """What a column of a type of PostgreSQL or ClickHouse can hold."""
    text = type_.strip()
    while wrapped := re.fullmatch(r"(?:Nullable|LowCardinality|SimpleAggregateFunction)\((?:\w+, *)?(.*)\)", text):
        text = wrapped[1]
    lower = text.lower()
    if lower.endswith("[]") or lower.startswith(("array(", "nested(", "map(", "tuple(")):
        return Holds("array")
    name = re.split(r"[(\s]", lower)[0]
    if bits := _INTEGERS.get(name):
        return Holds("integer", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if unsigned := re.fullmatch(r"(u?)int(\d+)", lower):
        bits = int(unsigned[2])
        low, high = (0, 2**bits - 1) if unsigned[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return Holds("integer", low, high)
    if name in ("numeric", "decimal") or name.startswith("decimal"):
        return Holds("decimal")
    if name in ("real", "double", "float4", "float8") or name.startswith("float"):
        return Holds("float")
    if name.startswith(("timestamp", "date", "time")):
        return Holds("date")
    if name in ("bool", "boolean"):
        return Holds("boolean")
    if name in ("json", "jsonb", "object", "dynamic", "variant"):
        return Holds("json")
    if name == "uuid":
        return Holds("uuid")
    if lower.startswith(_TEXTS) or name in ("string", "fixedstring"):
        length = re.search(r"\((\d+)\)", lower)
        return Holds("text", longest=int(length[1]) if length else 0)
    return Holds("other")


def misfit(field: Field, column: Column) -> str:
    """Why values that the contract allows do not fit into a column; empty when they do or nothing sure is known."""
    return next(_misfits(field, column), "")


def _misfits(field: Field, column: Column) -> Iterator[str]:
    held, types = holds(column.type), set(field.types)
    if column.labels and field.values:
        if missing := [value for value in field.values if value not in column.labels]:
            yield f"{column.type} has no {', '.join(missing[:3])}"
        return
    if not types or held.family in ("other", "json"):
        return
    numbers = bool(types & {"integer", "number"})
    if held.family == "integer":
        if types == {"string"} and not field.pattern:
            yield f"a string into {column.type}"
        elif "number" in types:
            yield f"a number with a fraction into {column.type}"
        elif "integer" in types:
            if field.most is not None and field.most > held.most:
                yield f"up to {field.most:.0f} into {column.type}"
            elif field.least is not None and field.least < held.least:
                yield f"down to {field.least:.0f} into {column.type}"
            elif field.form == "int64" and held.most < 2**63 - 1:
                yield f"an int64 into {column.type}"
            elif field.form == "int32" and held.most < 2**31 - 1:
                yield f"an int32 into {column.type}"
        elif not numbers and types & {"object", "array"}:
            yield f"{'/'.join(sorted(types))} into {column.type}"
    elif held.family in ("decimal", "float", "boolean"):
        wanted = {"boolean"} if held.family == "boolean" else {"integer", "number"}
        if not types & wanted and (types != {"string"} or held.family == "boolean" or not field.pattern):
            if types == {"string"} and held.family == "decimal" and field.form:
                return
            yield f"{'/'.join(sorted(types))} into {column.type}"
    elif held.family in ("date", "uuid"):
        forms = _DATES if held.family == "date" else frozenset(("uuid",))
        if types == {"string"} and field.form not in forms and not field.pattern:
            yield f"a string that need be no {'date' if held.family == 'date' else 'uuid'} into {column.type}"
        elif types & {"object", "array", "boolean"} or (held.family == "uuid" and numbers):
            yield f"{'/'.join(sorted(types))} into {column.type}"
    elif held.family == "text":
        if held.longest and field.longest is not None and field.longest > held.longest:
            yield f"up to {field.longest} characters into {column.type}"
    elif held.family == "array" and types and not types & {"array", "object"}:
        yield f"{'/'.join(sorted(types))} into {column.type}"
