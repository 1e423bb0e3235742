"""The request of a call from its arguments, and in words what is wrong with them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from pydantic import ValidationError

from mcp_backend.errors import InvalidArgument
from mcp_backend.tools.base import Tool
from mcp_backend.tools.repairs import fields, repaired

DEPTH = 64
"""How deep arguments may be nested."""
TOLD = 10
"""How many wrong fields an error names."""
FORMS: Mapping[str, str] = {
    "string_type": "a string", "int_type": "a whole number", "int_parsing": "a whole number",
    "int_from_float": "a whole number", "float_type": "a number", "float_parsing": "a number",
    "bool_type": "true or false", "bool_parsing": "true or false", "list_type": "a list", "tuple_type": "a list",
    "dict_type": "an object", "model_type": "an object",
}  # fmt: skip
"""What was expected, in the words of JSON."""
BOUND = re.compile(r"(?:String|List|Tuple|Dictionary) should have (at (?:least|most) \d+ \w+)(?: after validation.*)?")
_NESTED, _PLAIN = (dict, list, tuple), (int, float, bool, type(None))


def parse(tool: type[Tool], arguments: Mapping[str, Any]) -> Tool:
    """The request. Raises `InvalidArgument` naming each wrong field and what was expected, never its value."""
    _readable(arguments)
    try:
        return tool.model_validate(dict(arguments))
    except ValidationError as error:
        wrong = {str(e["loc"][0]) for e in error.errors(include_url=False, include_input=False) if e["loc"]}
    meant = repaired(tool, arguments, wrong)
    _readable(meant)  # JSON in a string can hold what the string does not.
    try:
        return tool.model_validate(meant)
    except ValidationError as error:
        raise InvalidArgument(_problems(tool, error)) from None


def _readable(arguments: Mapping[str, Any]) -> None:
    """Raises `InvalidArgument` where a text has what no text of a call has, or the nesting is too deep."""
    for path, text in () if _clean(arguments, 0) else _strings(arguments):
        if "\0" in text:
            raise InvalidArgument(f"{_shown(path)}: a NUL character is not allowed")
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidArgument(f"{_shown(path)}: not valid Unicode (a lone surrogate)")


def _problems(tool: type[Tool], error: ValidationError) -> str:
    """Each wrong field and what was expected; where one is unknown, also those that there are."""
    found: dict[str, list[str]] = {}
    known: dict[str, str] = {}
    errors = error.errors(include_url=False, include_input=False)
    for each in errors:
        place = [str(part) for part in each["loc"] if not str(part).startswith(("list[", "constrained-"))]
        if each["type"] == "too_short" and any(e["loc"][: len(place)] == each["loc"] for e in errors if e is not each):
            continue  # A list is short of what was wrong in it.
        found.setdefault(_shown(".".join(place)) or "arguments", []).append(_expected(each["type"], each["msg"]))
        if each["type"] == "extra_forbidden":
            known |= {_shown(".".join(place[:-1])): ", ".join(fields(tool, nested=len(place) > 1))}
    told = "; ".join(f"{path}: {' or '.join(dict.fromkeys(said))}" for path, said in [*found.items()][:TOLD])
    if len(found) > TOLD:
        told += f"; and {len(found) - TOLD} more fields"
    listed = "; ".join(f"fields{f' of {place}' if place else ''}: {names}" for place, names in known.items() if names)
    return f"{told} ({listed})" if listed else told


def _clean(node: object, depth: int) -> bool:
    """Whether nothing in the arguments can be wrong: told at once, because naming each place costs more than all else
    about a large call. `False` leaves it to a closer look."""
    if depth >= DEPTH or not isinstance(node, _NESTED):
        return False
    fields = cast("dict[object, object]", node) if isinstance(node, dict) else {}
    for value in (*fields, *fields.values()) if fields else cast("Iterable[object]", node):
        kind = type(value)
        if kind is str:
            text = cast("str", value)
            if not text.isascii() or "\0" in text:
                return False
        elif kind in _NESTED:
            if not _clean(value, depth + 1):
                return False
        elif kind not in _PLAIN:
            return False
    return True


def _strings(node: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > DEPTH:
        raise InvalidArgument(f"{_shown(path)}: nested deeper than {DEPTH} levels")
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, Mapping):
        for key, value in cast("Mapping[object, object]", node).items():
            inner = f"{path}.{key}" if path else str(key)
            yield inner, str(key)
            yield from _strings(value, inner, depth + 1)
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(cast("list[object]", node)):
            yield from _strings(value, f"{path}.{index}", depth + 1)


def _shown(path: str) -> str:
    """The place of a field as an error can name it: the caller chose the keys, which may be long or unprintable."""
    text = path if path.isprintable() else path.encode("unicode_escape").decode()
    return text if len(text) <= 100 else f"{text[:100]}…"


def _expected(kind: str, message: str) -> str:
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return "unknown field"
    if kind in FORMS:
        return f"expected {FORMS[kind]}"
    if message.startswith("Input should be "):
        return f"expected {message.removeprefix('Input should be ')}"
    if bound := BOUND.fullmatch(message):
        return f"expected {bound[1]}"
    return message.removeprefix("Value error, ")
