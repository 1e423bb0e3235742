"""The formats of JSON Schema, checked: the library knows some only with packages of their own, and ignores the rest.

https://json-schema.org/draft/2020-12/json-schema-validation#name-defined-formats
"""

import re
from datetime import date
from functools import cache
from typing import Any
from urllib.parse import urlsplit

_TIME = r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
_OFFSET = r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
_DATE_TIME = re.compile(rf"(\d{{4}}-\d{{2}}-\d{{2}})T{_TIME}{_OFFSET}", re.ASCII | re.IGNORECASE)
_ONLY_TIME = re.compile(_TIME + _OFFSET, re.ASCII | re.IGNORECASE)
_DURATION = re.compile(r"P(?!$)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?)", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_POINTER = re.compile(r"(/([^~/]|~[01])*)*")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


@cache
def checker() -> Any:
    """A `jsonschema.FormatChecker` that checks every format below besides those the library checks by itself."""
    from jsonschema import FormatChecker

    formats = FormatChecker()
    for name, check in CHECKS.items():
        formats.checks(name, raises=ValueError)(check)
    return formats


def known() -> frozenset[str]:
    """The formats that are checked. Any other in a schema has no effect, which is said to the caller."""
    return frozenset(checker().checkers)


def _date_time(value: object) -> bool:
    """RFC 3339, section 5.6."""
    if not isinstance(value, str):
        return True
    found = _DATE_TIME.fullmatch(value)
    return found is not None and _is_date(found.group(1))


def _is_date(text: str) -> bool:
    date.fromisoformat(text)
    return True


def _time(value: object) -> bool:
    return not isinstance(value, str) or _ONLY_TIME.fullmatch(value) is not None


def _duration(value: object) -> bool:
    """RFC 3339, appendix A."""
    return not isinstance(value, str) or _DURATION.fullmatch(value) is not None


def _uri(value: object) -> bool:
    """RFC 3986: a scheme and nothing that has to be escaped."""
    return not isinstance(value, str) or (_reference(value) and bool(urlsplit(value).scheme))


def _reference(value: object) -> bool:
    if not isinstance(value, str):
        return True
    urlsplit(value)
    return value.isascii() and re.search(r"[\s<>\"{}|\\^`\x00-\x20\x7f]|%(?![0-9A-Fa-f]{2})", value) is None


def _hostname(value: object) -> bool:
    """RFC 1123."""
    if not isinstance(value, str):
        return True
    return 0 < len(value) <= 253 and all(_LABEL.fullmatch(label) for label in value.split("."))


def _pointer(value: object) -> bool:
    return not isinstance(value, str) or _POINTER.fullmatch(value) is not None


def _uuid(value: object) -> bool:
    return not isinstance(value, str) or _UUID.fullmatch(value) is not None


def _fits(bits: int, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    return value == int(value) and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)


def _int32(value: object) -> bool:
    return _fits(32, value)


def _int64(value: object) -> bool:
    return _fits(64, value)


def _anything(value: object) -> bool:
    """OpenAPI's hints on how a number or a text is held in memory; every value of the type fits."""
    return True


CHECKS = {
    "date-time": _date_time,
    "time": _time,
    "duration": _duration,
    "uri": _uri,
    "uri-reference": _reference,
    "hostname": _hostname,
    "json-pointer": _pointer,
    "uuid": _uuid,
    "int32": _int32,
    "int64": _int64,
    "float": _anything,
    "double": _anything,
    "password": _anything,
}
