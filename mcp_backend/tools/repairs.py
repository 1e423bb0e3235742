"""What a caller plainly meant, where a field has the wrong form: a list of one, JSON in a string, a capital letter.

Only forms with one meaning are taken. What is taken is validated, planned and judged as if it had come like that.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from mcp_backend.tools.base import Tool

LONGEST = 200_000
"""Characters of a string that is looked at as JSON."""


def repaired(tool: "type[Tool]", given: Mapping[str, Any], wrong: Iterable[str]) -> dict[str, Any]:
    """The arguments with each of the `wrong` fields as it was meant; as it came where that is not plain."""
    schema = _schema(tool)
    kept = dict(given)
    for name in set(wrong) & kept.keys() & schema["properties"].keys():
        value, field = kept[name], schema["properties"][name]
        left_out = value is None or (value == "" and tool.read_only)  # What changes something is told exactly where.
        if left_out and name not in schema.get("required", ()):
            del kept[name]
        else:
            kept[name] = _meant(value, field)
    return kept


def fields(tool: "type[Tool]", *, nested: bool = False) -> list[str]:
    """The names of its fields, `nested` those of what its list holds."""
    if not nested:
        return [*_schema(tool)["properties"]]
    return [name for part in _schema(tool).get("$defs", {}).values() for name in part.get("properties", ())]


def _meant(value: Any, field: Mapping[str, Any]) -> Any:
    kind = field.get("type")
    if kind == "string" and isinstance(value, str):
        plain = re.sub(r"[\s-]+", "_", value.strip().lower())
        return plain if plain in field.get("enum", ()) else value
    if kind == "string":
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if kind not in ("array", "object"):
        return value
    value = _parsed(value)
    items = cast("Mapping[str, Any]", field.get("items", {}))
    single = dict if "$ref" in items or items.get("type") == "object" else (str, int, float)
    if kind == "array" and isinstance(value, single):
        return [value]
    return value


def _parsed(value: Any) -> Any:
    """What a string says that is a JSON list or object."""
    if not isinstance(value, str) or len(value) > LONGEST or value.strip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


@cache
def _schema(tool: "type[Tool]") -> dict[str, Any]:
    return tool.input_schema()
