"""PostgreSQL values as JSON and back, from the text form that the server prints and reads.

Integers up to 2^53 and finite floats are numbers, boolean is boolean, json and jsonb are themselves, arrays are lists,
bytea is `{"base64": …}`. Everything else is the text that psql shows, because nothing else keeps it whole: numeric
(`"12.50"`), larger integers, uuid, ranges, intervals, composites. Timestamps are ISO 8601.
"""

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeAlias

from mcp_backend.errors import InvalidArgument, Json

Reader: TypeAlias = Callable[[str], Json]

EXACT = 2**53
TEXT, VARCHAR, BYTEA = 25, 1043, 17
JSON_TYPES = (114, 3802)
CUT = "… (cut)"


def _integer(text: str) -> Json:
    value = int(text)
    return value if -EXACT <= value <= EXACT else text


def _float(text: str) -> Json:
    value = float(text)
    return value if math.isfinite(value) else text


def _number(text: str) -> Json:
    """A number inside JSON, as text when a float would change it."""
    value = float(text)
    return value if math.isfinite(value) and Decimal(repr(value)) == Decimal(text) else text


def _json(text: str) -> Json:
    try:
        return json.loads(text, parse_float=_number, parse_int=_integer)
    except (ValueError, RecursionError):
        return text


def _bytes(text: str) -> Json:
    cut = text.endswith(CUT)
    raw = text.removesuffix(CUT).removeprefix("\\x")
    encoded = base64.b64encode(bytes.fromhex(raw[: len(raw) // 2 * 2])).decode()
    return {"base64": encoded, "cut": True} if cut else {"base64": encoded}


def _timestamp(text: str) -> Json:
    """`2026-11-25 19:44:00.5+00` as `2026-11-25T19:44:00.5+00:00`; infinity and years BC stay as they are."""
    if not text[:1].isdigit() or text.endswith("BC"):
        return text
    date, _, time = text.partition(" ")
    if len(time) > 3 and time[-3] in "+-":
        time += ":00"
    return f"{date}T{time}"


def _text(text: str) -> Json:
    return text


READERS: Mapping[int, Reader] = MappingProxyType(
    {
        16: lambda text: text == "t",
        17: _bytes,
        20: _integer,
        21: _integer,
        23: _integer,
        26: _integer,
        114: _json,
        700: _float,
        701: _float,
        1114: _timestamp,
        1184: _timestamp,
        3802: _json,
    }
)
ARRAYS: Mapping[int, int] = MappingProxyType(
    {
        1000: 16, 1001: 17, 1016: 20, 1005: 21, 1007: 23, 1028: 26, 199: 114, 1021: 700, 1022: 701, 1115: 1114,
        1185: 1184, 3807: 3802, 1009: 25, 1015: 1043, 1014: 1042, 1003: 19, 1002: 18, 1231: 1700, 2951: 2950,
        1182: 1082, 1183: 1083, 1270: 1266, 1187: 1186, 1041: 869, 651: 650, 1561: 1560, 1563: 1562, 1263: 2275,
        2210: 2205, 2211: 2206, 2287: 2249,
    }
)  # fmt: skip
"""Array types and the types of their elements: src/include/catalog/pg_type.dat."""
NAMES: Mapping[int, str] = MappingProxyType(
    {
        16: "boolean", 20: "bigint", 21: "smallint", 23: "integer", 25: "text", 114: "json", 700: "real",
        701: "double precision", 1082: "date", 1114: "timestamp without time zone", 1184: "timestamp with time zone",
        1700: "numeric", 2950: "uuid", 3802: "jsonb",
    }
)  # fmt: skip
"""The names of common types, so that they need not be asked for."""
FIXED = frozenset(
    [16, 18, 19, 20, 21, 23, 26, 27, 28, 29, 600, 650, 700, 701, 774, 790, 829, 869, 1082, 1083, 1114, 1184, 1186, 1266,
     1700, 2202, 2203, 2204, 2205, 2206, 2275, 2278, 2950, 2970, 3220, 4089, 4096, 4191, 5038, 5069]
)  # fmt: skip
"""Types whose values are short whatever they hold."""


def reader(oid: int, element: int = 0) -> Reader:
    """How values of a type are read; `element` is the element type of an array type that is not PostgreSQL's own."""
    inner = ARRAYS.get(oid, element)
    if not inner:
        return READERS.get(oid, _text)
    item = READERS.get(inner, _text)

    def read(text: str) -> Json:
        if not text.startswith("{") or text.endswith(CUT):
            return text
        return _array(text, item)

    return read


def _array(text: str, item: Reader) -> Json:
    """An array literal as nested lists. https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO"""
    stack: list[list[Json]] = [[]]
    at, size = 0, len(text)
    while at < size:
        character = text[at]
        if character == "{":
            stack.append([])
            at += 1
        elif character == "}":
            done = stack.pop()
            stack[-1].append(done)
            at += 1
        elif character == ",":
            at += 1
        elif character == '"':
            parts: list[str] = []
            at += 1
            while text[at] != '"':
                at += text[at] == "\\"
                parts.append(text[at])
                at += 1
            stack[-1].append(item("".join(parts)))
            at += 1
        else:
            end = at
            while text[end] not in ",}":
                end += 1
            word = text[at:end]
            stack[-1].append(None if word == "NULL" else item(word))
            at = end
    return stack[0][0]


def parameter(value: Any, oid: int) -> str | None:
    """A JSON value as the text that the server reads for a parameter of that type: for json the document, for a list
    an array literal, for bytea the bytes of {"base64"}, else its text. Raises `InvalidArgument`."""
    if value is None:
        return None
    if oid == BYTEA and isinstance(value, dict):
        return _hexadecimal(value)  # pyright: ignore[reportUnknownArgumentType]
    if oid in JSON_TYPES and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, float)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return _literal(value, ARRAYS.get(oid, 0))  # pyright: ignore[reportUnknownArgumentType]
    return str(value)


def _hexadecimal(value: Mapping[str, Any]) -> str:
    try:
        return "\\x" + base64.b64decode(value["base64"], validate=True).hex()
    except (KeyError, TypeError, ValueError):
        raise InvalidArgument('parameters: bytes are expected as {"base64": "…"}, or as text like \\x00ff') from None


def _literal(values: Sequence[Any], element: int) -> str:
    def one(value: Any) -> str:
        if isinstance(value, list):
            return _literal(value, element)  # pyright: ignore[reportUnknownArgumentType]
        text = parameter(value, element)
        if text is None:
            return "NULL"
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return "{" + ",".join(one(value) for value in values) + "}"
