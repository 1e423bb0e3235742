"""Avro data from the JSON a caller writes, and back, with the place of everything that does not fit.

https://avro.apache.org/docs/1.12.0/specification/ (JSON encoding, logical types)
"""

import base64
import binascii
import math
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from mcp_backend.contracts.payloads.misfit import kind

_BOUNDS = {"int": 31, "long": 63}
_NAMED = ("record", "error", "enum", "fixed")


def datum(schema: Any, value: Any, named: Mapping[str, Any], where: str, found: list[str]) -> Any:
    """What a writer of Avro takes for a JSON value. What does not fit is put into `found`."""
    if isinstance(schema, list):
        return _union(cast("list[Any]", schema), value, named, where, found)
    if isinstance(schema, str) and schema in named:
        return datum(named[schema], value, named, where, found)
    fields = cast("dict[str, Any]", schema) if isinstance(schema, dict) else {"type": schema}
    if isinstance(fields["type"], (dict, list)):
        return datum(fields["type"], value, named, where, found)
    logical = _LOGICAL.get(f"{fields['type']}/{fields.get('logicalType', '')}")
    if logical and isinstance(value, str):
        try:
            return logical(value, fields)
        except (ValueError, InvalidOperation, OverflowError) as error:
            said = str(error) if isinstance(error, _Expected) else f"not a {fields['logicalType']}"
            found.append(f"{where}: {said}")
            return None
    return _plain(fields, value, named, where, found)


class _Expected(ValueError):
    """Says what was expected."""


def _plain(schema: dict[str, Any], value: Any, named: Mapping[str, Any], where: str, found: list[str]) -> Any:
    match str(schema["type"]):
        case "null" if value is None:
            return None
        case "boolean" if isinstance(value, bool):
            return value
        case "int" | "long" as name if isinstance(value, int) and not isinstance(value, bool):
            if -(1 << _BOUNDS[name]) <= value < 1 << _BOUNDS[name]:
                return value
            found.append(f"{where}: expected {name} ({_BOUNDS[name] + 1} bits), got a larger number")
        case "float" | "double" if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value) if abs(value) < 1e308 else found.append(f"{where}: larger than a double")
        case "string" if isinstance(value, str):
            return value if _writable(value) else found.append(f"{where}: a surrogate alone is no character")
        case "enum" if isinstance(value, str):
            if value in schema["symbols"]:
                return value
            found.append(f"{where}: expected {' or '.join(map(repr, schema['symbols'][:20]))}")
        case "bytes" | "fixed" as name if (data := _bytes(value)) is not None:
            if name == "bytes" or len(data) == schema["size"]:
                return data
            found.append(f"{where}: expected {schema['size']} bytes, got {len(data)}")
        case "array" if isinstance(value, list):
            items = cast("list[Any]", value)
            return [datum(schema["items"], one, named, f"{where}[{i}]", found) for i, one in enumerate(items)]
        case "map" if isinstance(value, dict):
            pairs = cast("dict[str, Any]", value)
            # Sorted, so that the same message has the same bytes however its fields were written.
            return {k: datum(schema["values"], pairs[k], named, f"{where}.{k}", found) for k in sorted(pairs)}
        case "record" | "error" if isinstance(value, dict):
            return _record(schema, cast("dict[str, Any]", value), named, where, found)
        case name:
            found.append(f"{where}: expected {_called(schema, name)}, got {kind(value)}")
    return None


def _record(
    schema: dict[str, Any], value: dict[str, Any], named: Mapping[str, Any], where: str, found: list[str]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    names = [str(field["name"]) for field in schema["fields"]]
    if extra := [name for name in value if name not in names]:
        found.append(f"{where}: unknown field {', '.join(map(repr, extra[:5]))}; known: {', '.join(names) or 'none'}")
    for field in schema["fields"]:
        name = str(field["name"])
        if name in value:
            result[name] = datum(field["type"], value[name], named, f"{where}.{name}", found)
        elif "default" in field:  # the library takes it as a value of Python, and bytes are text there
            result[name] = datum(field["type"], field["default"], named, f"{where}.{name}", found)
        else:
            found.append(f"{where}: {name!r} is required")
    return result


def _union(branches: list[Any], value: Any, named: Mapping[str, Any], where: str, found: list[str]) -> Any:
    """The first branch that fits, one of the value's own type before one that it has to be turned into; or the one
    that Avro's JSON names: `{"string": …}`."""
    tried: list[tuple[str, list[str]]] = []
    for branch in sorted(branches, key=lambda branch: not _own(branch, value, named)):
        problems: list[str] = []
        result = datum(branch, value, named, where, problems)
        if not problems:
            return (_name(branch), result)
        tried.append((_name(branch), problems))
    pair = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if len(pair) == 1 and (chosen := [b for b in branches if _name(b) == next(iter(pair))]):
        problems = []
        result = datum(chosen[0], next(iter(pair.values())), named, where, problems)
        found += problems
        return (_name(chosen[0]), result)
    possible = [problems for name, problems in tried if name != "null"]
    if len(possible) == 1 and value is not None:
        found += possible[0]
    else:
        found.append(f"{where}: fits none of {', '.join(name for name, _ in tried)}, got {kind(value)}")
    return None


def _own(branch: Any, value: Any, named: Mapping[str, Any]) -> bool:
    found = named.get(branch, branch) if isinstance(branch, str) else branch
    fields = cast("dict[str, Any]", found) if isinstance(found, dict) else {"type": found}
    name = str(fields["type"])
    if "logicalType" in fields and isinstance(value, str) and name != "string":
        return False
    return not isinstance(value, str) or name in ("string", "enum")


def _name(branch: Any) -> str:
    if isinstance(branch, dict):
        fields = cast("dict[str, Any]", branch)
        return str(fields["name"] if fields["type"] in _NAMED else fields["type"])
    return str(branch)


def _called(schema: dict[str, Any], name: str) -> str:
    logical = f" ({schema['logicalType']})" if "logicalType" in schema else ""
    return f"{'object' if name in ('record', 'error', 'map') else name}{logical}"


def _bytes(value: Any) -> bytes | None:
    """`{"base64": "…"}`, or text of characters up to U+00FF as in Avro's JSON encoding."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if list(fields) != ["base64"] or not isinstance(fields["base64"], str):
            return None
        try:
            return base64.b64decode(fields["base64"], validate=True)
        except (binascii.Error, ValueError):
            return None
    if not isinstance(value, str):
        return None
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return None


def _writable(text: str) -> bool:
    try:
        return bool(text.encode()) or not text
    except UnicodeEncodeError:
        return False


def _decimal(text: str, schema: dict[str, Any]) -> Decimal:
    number, scale, precision = Decimal(text), int(schema.get("scale", 0)), int(schema["precision"])
    digits, exponent = number.as_tuple().digits, number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise _Expected("expected a decimal number")
    if -exponent > scale:
        raise _Expected(f"expected at most {scale} digits after the point")
    if len(digits) + exponent + scale > precision:
        raise _Expected(f"expected at most {precision} digits")
    return number


def _moment(text: str, _: dict[str, Any]) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise _Expected("expected a time with its zone, such as 2026-11-26T09:30:00Z")
    return found


def _local(text: str, _: dict[str, Any]) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is not None:
        raise _Expected("expected a time without a zone")
    return found


_LOGICAL: dict[str, Callable[[str, dict[str, Any]], Any]] = {
    "bytes/decimal": _decimal,
    "fixed/decimal": _decimal,
    "string/uuid": lambda text, _: uuid.UUID(text),
    "int/date": lambda text, _: date.fromisoformat(text),
    "int/time-millis": lambda text, _: time.fromisoformat(text),
    "long/time-micros": lambda text, _: time.fromisoformat(text),
    "long/timestamp-millis": _moment,
    "long/timestamp-micros": _moment,
    "long/local-timestamp-millis": _local,
    "long/local-timestamp-micros": _local,
}
"""Logical types that a caller writes as text, as JSON has no type for them."""


def plain(value: Any) -> Any:
    """A decoded value as JSON: bytes as `{"base64": …}`, decimals and times as text."""
    match value:
        case dict():
            return {str(name): plain(one) for name, one in cast("dict[Any, Any]", value).items()}
        case list():
            return [plain(one) for one in cast("list[Any]", value)]
        case bytes() | bytearray():
            return {"base64": base64.b64encode(value).decode()}
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case Decimal() | uuid.UUID() | timedelta():
            return str(value)
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value
