"""ClickHouse values as JSON and back.

The server writes JSON; what JSON's numbers cannot hold is text: Decimal, integers beyond 2^53, infinities. Timestamps
are ISO 8601 in UTC, UUID, IP addresses and enums are text, arrays and tuples are lists, maps, named tuples and JSON are
objects. A String that is not UTF-8 is `{"base64": …}`, and so is every state of an aggregate function.
https://clickhouse.com/docs/sql-reference/data-types
"""

import base64
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias, cast

from mcp_backend.errors import Json
from mcp_backend.keeper.chdb.tokens import literal

Reader: TypeAlias = Callable[[Any], Json]
Parameters: TypeAlias = Mapping[str, "Literal | str | None"]

EXACT = 2**53
CUT = "… (cut)"


class _Number(str):
    """A number with a point or an exponent, as it was written."""

    __slots__ = ()


def document(text: bytes) -> Any:
    """JSON as the server wrote it. Raises `ValueError` when it is none."""
    return json.loads(text.decode("utf-8", "surrogateescape"), parse_float=_Number)


def parsed(line: bytes) -> list[Any]:
    """One row. Raises `ValueError` when it is not a JSON array."""
    row = document(line)
    if not isinstance(row, list):
        raise ValueError("not a row")
    return cast("list[Any]", row)


@lru_cache(maxsize=1024)
def reader(kind: str) -> Reader:
    """How values of a type are shown."""
    name, arguments = _split(kind)
    if name in ("Nullable", "LowCardinality"):
        inner = reader(arguments[0])
        return lambda value: None if value is None else inner(value)
    if name == "SimpleAggregateFunction":
        return reader(arguments[-1])
    if name == "Array":
        return _array(reader(arguments[0]))
    if name == "Map":
        return _map(reader(arguments[1]))
    if name == "Nested":
        return _array(_tuple(arguments))
    if name == "Tuple":
        return _tuple(arguments)
    if name.startswith(("Int", "UInt")):
        return _integer
    if name.startswith(("Decimal", "String", "FixedString")):
        return _text
    if name == "AggregateFunction":
        return _bytes
    if name in ("Float32", "Float64", "BFloat16"):
        return _float
    if name.startswith("DateTime"):
        return _timestamp
    return any_value


def shown(value: Any, read: Reader) -> Json:
    """A value as its type is shown; as it is where the server wrote it otherwise than the type says."""
    if value is None:
        return None
    try:
        return read(value)
    except (TypeError, ValueError, AttributeError):
        return any_value(value)


def any_value(value: Any) -> Json:
    """A value inside JSON, Variant and Dynamic, whose type each row may choose."""
    if isinstance(value, _Number):
        number = float(value)
        return number if math.isfinite(number) and repr(number) in (value, f"{value}.0") else str(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [any_value(item) for item in cast("list[Any]", value)]
    return {str(_text(name)): any_value(item) for name, item in cast("dict[str, Any]", value).items()}


def shortened(value: Json, longest: int) -> tuple[Json, bool]:
    """A value that is too long as text that says so, and whether it was."""
    if isinstance(value, str):
        return (value[:longest] + CUT, True) if len(value) > longest else (value, False)
    if isinstance(value, (list, dict)):
        text = json.dumps(value, ensure_ascii=False)
        return (text[:longest] + CUT, True) if len(text) > longest else (value, False)
    return value, False


@dataclass(frozen=True, slots=True)
class Literal:
    """A value for `{name:Type}` as the server reads it; to the driver an object like any other, which it prints."""

    text: str

    def __str__(self) -> str:
        return self.text


def parameter(value: Any, kind: str = "") -> "Literal | str | None":
    """A JSON value as the driver takes it for `{name:Type}`. A string can stand for every type; a moment with an offset
    is sent as seconds since the epoch, because the server reads no offsets there."""
    if isinstance(value, str) and "DateTime" in kind and _MOMENT.fullmatch(value):
        moment = datetime.fromisoformat(value)
        return f"{moment.timestamp():.6f}" if "DateTime64" in kind else str(int(moment.timestamp()))
    return value if value is None or isinstance(value, str) else Literal(_literal(value, kind))


_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)")


def _literal(value: Any, kind: str = "") -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return literal(value)
    name, inner = _split(kind)
    while name in ("Nullable", "LowCardinality") and inner:
        name, inner = _split(inner[0])
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if name == "Tuple":
            kinds = [*(_named(argument)[1] for argument in inner), *[""] * len(items)]
            return f"({','.join(_literal(item, of) for item, of in zip(items, kinds, strict=False))})"
        return f"[{','.join(_literal(item, inner[0] if inner else '') for item in items)}]"
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return (
            "{" + ",".join(f"{literal(key)}:{_literal(item, inner[-1] if inner else '')}" for key, item in pairs) + "}"
        )
    return repr(value)


def _integer(value: Any) -> Json:
    number = int(value)
    return number if -EXACT <= number <= EXACT else str(number)


def _float(value: Any) -> Json:
    """Infinities and NaN are text, or null where the server was not asked for text."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else str(value)


def _text(value: Any) -> Json:
    text = str(value)
    if text.isascii() or not any("\udc80" <= character <= "\udcff" for character in text):
        return text
    return _bytes(text)


def _bytes(value: Any) -> Json:
    return {"base64": base64.b64encode(str(value).encode("utf-8", "surrogateescape")).decode()}


def _timestamp(value: Any) -> Json:
    return str(value).replace(" ", "T")


def _array(item: Reader) -> Reader:
    return lambda value: [item(one) for one in value]


def _map(item: Reader) -> Reader:
    return lambda value: {str(_text(name)): item(one) for name, one in value.items()}


def _tuple(arguments: tuple[str, ...]) -> Reader:
    names = [_named(argument) for argument in arguments]
    readers = [reader(kind) for _, kind in names]
    by_name = {name: read for (name, _), read in zip(names, readers, strict=True) if name}

    def read(value: Any) -> Json:
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            return {name: by_name.get(name, any_value)(item) for name, item in fields.items()}
        return [read_item(item) for read_item, item in zip(readers, value, strict=True)]

    return read


def _named(argument: str) -> tuple[str, str]:
    """Name and type of an element of a tuple; elements may have no name."""
    name, _, kind = argument.partition(" ")
    return (name.strip("`"), kind) if kind and "(" not in name else ("", argument)


def _split(kind: str) -> tuple[str, tuple[str, ...]]:
    name, bracket, rest = kind.partition("(")
    return name, tuple(_arguments(rest[:-1])) if bracket and rest != ")" else ()


def _arguments(text: str) -> Iterator[str]:
    depth, start, quoted = 0, 0, ""
    for at, character in enumerate(text):
        if quoted:
            quoted = "" if character == quoted and text[at - 1] != "\\" else quoted
        elif character in "'`":
            quoted = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "," and depth == 0:
            yield text[start:at].strip()
            start = at + 1
    yield text[start:].strip()
