"""CloudEvents 1.0.2: the envelope of an event, all of it in the payload (structured) or in the headers (binary).

https://github.com/cloudevents/spec/tree/v1.0.2/cloudevents, with the bindings of Kafka and NATS and the JSON format.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import unquote, urlsplit

from mcp_backend.contracts import formats
from mcp_backend.contracts.payloads.misfit import Misfit, kind

REQUIRED = ("id", "source", "specversion", "type")
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch"
_NAME = re.compile(r"[a-z0-9]+")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+\s*(;.*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ENCODED = re.compile(r"[^\x21-\x7e]|\"")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Event:
    """An event taken apart. `data` is a JSON value, or the bytes of data that is not given as JSON; `carries` tells
    whether there is any."""

    mode: Literal["structured", "binary"]
    attributes: Mapping[str, Any]
    data: Any
    carries: bool
    problems: tuple[str, ...]


def content_type(headers: Mapping[str, str]) -> str:
    """The media type that the headers name, in lower case; empty where none does."""
    return next((value for name, value in headers.items() if name.lower() == "content-type"), "").lower()


def prefixed(headers: Mapping[str, str]) -> str:
    """How the headers name attributes of an event: `ce_` (Kafka), `ce-` (NATS, HTTP) or not at all."""
    names = [name.lower() for name in headers]
    return next((prefix for prefix in ("ce_", "ce-") if any(name.startswith(prefix) for name in names)), "")


def claimed(headers: Mapping[str, str]) -> bool:
    """Whether the headers say that this is an event."""
    return bool(prefixed(headers)) or content_type(headers).startswith("application/cloudevents")


def opened(payload: Any, headers: Mapping[str, str], engine: str = "") -> Event:
    """The event in a message. Raises `Misfit` where the message is none at all."""
    media = content_type(headers)
    if media.startswith(BATCH):
        raise Misfit("headers.content-type: a batch of events in one message; messages carry one event each")
    if media.startswith("application/cloudevents") and not media.startswith(STRUCTURED):
        raise Misfit("headers.content-type: events are written as application/cloudevents+json here")
    prefix = prefixed(headers)
    if prefix and not media.startswith(STRUCTURED):
        return _binary(payload, headers, prefix, engine)
    return _structured(payload)


def _binary(payload: Any, headers: Mapping[str, str], prefix: str, engine: str) -> Event:
    wanted = {"kafka": "ce_", "nats": "ce-"}.get(engine, prefix)
    problems = [f"headers: attributes of an event are {wanted}… on {engine}, not {prefix}…"] * (prefix != wanted)
    attributes: dict[str, Any] = {}
    for name, value in headers.items():
        if not name.lower().startswith(prefix):
            continue
        # Kafka's headers are bytes and hold the text as it is; those of NATS are encoded as in HTTP.
        if prefix == "ce-" and (_PERCENT.search(value) or _ENCODED.search(value)):
            problems.append(f"headers.{name}: expected spaces, quotes, % and other than ASCII percent-encoded")
        attributes[name.lower().removeprefix(prefix)] = unquote(value) if prefix == "ce-" else value
    if media := content_type(headers):
        attributes.setdefault("datacontenttype", media)
    problems += _attributes(attributes, "headers.{}", lambda name: f"{wanted}{name}")
    return Event("binary", attributes, payload, carries=payload != b"", problems=tuple(problems))


def _structured(payload: Any) -> Event:
    value = payload
    if isinstance(payload, bytes):
        try:
            value = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise Misfit("payload: expected an event as JSON, or its attributes in headers") from error
    if not isinstance(value, dict):
        raise Misfit(f"$: expected an event, an object; got {kind(value)}")
    event = cast("dict[str, Any]", value)
    attributes = {k: v for k, v in event.items() if k not in ("data", "data_base64") and v is not None}
    problems = list(_attributes(attributes, "$.{}", lambda name: name))
    data, carries = event.get("data"), event.get("data") is not None
    if event.get("data_base64") is not None:
        if carries:
            problems.append("$: data and data_base64 exclude each other")
        try:
            data, carries = base64.b64decode(event["data_base64"], validate=True), True
        except (TypeError, ValueError, binascii.Error):
            problems.append("$.data_base64: not base64")
    return Event("structured", attributes, data, carries=carries, problems=tuple(problems))


def _attributes(found: Mapping[str, Any], place: str, called: Callable[[str], str]) -> list[str]:
    """What is wrong with the attributes (spec 1.0.2, "Context Attributes")."""
    problems = [f"{place.format(called(name))}: an event must have it" for name in REQUIRED if name not in found]
    for name, value in found.items():
        where = place.format(called(name))
        if not _NAME.fullmatch(name):
            problems.append(f"{where}: names of attributes are lower-case letters and digits")
        elif isinstance(value, (dict, list, float)):
            problems.append(f"{where}: expected a string, an integer or a boolean, got {kind(value)}")
        elif isinstance(value, int) and not isinstance(value, bool) and not -(2**31) <= value < 2**31:
            problems.append(f"{where}: expected an integer of 32 bits")
        elif isinstance(value, str) and _CONTROL.search(value):
            problems.append(f"{where}: a control character")
        elif name in _RULES and (problem := _RULES[name](value) if isinstance(value, str) else "expected a string"):
            problems.append(f"{where}: {problem}")
    return problems


def _uri(value: str, *, absolute: bool) -> str:
    try:
        parts = urlsplit(value)
    except ValueError:
        return "not a URI"
    good = value and not re.search(r"[\s<>\"{}|\\^`]", value) and (parts.scheme or not absolute)
    return "" if good else "expected an absolute URI" if absolute else "expected a URI reference that is not empty"


def _text(value: str) -> str:
    return "" if value else "expected text that is not empty"


def _time(value: str) -> str:
    return "" if formats.checker().conforms(value, "date-time") else "expected a time (RFC 3339)"


_RULES: dict[str, Callable[[str], str]] = {
    "id": _text,
    "source": lambda value: _uri(value, absolute=False),
    "specversion": lambda value: "" if value == "1.0" else 'expected "1.0"',
    "type": _text,
    "subject": _text,
    "datacontenttype": lambda value: "" if _MEDIA_TYPE.fullmatch(value) else "expected a media type (RFC 2046)",
    "dataschema": lambda value: _uri(value, absolute=True),
    "time": _time,
}


def structured(event: Event, data: bytes, *, as_json: bool) -> bytes:
    """The payload of a structured event with this data. `as_json`: the data is JSON and stands there as it is."""
    body = dict(event.attributes)
    if event.carries and as_json:
        body["data"] = json.loads(data)
    elif event.carries:
        body["data_base64"] = base64.b64encode(data).decode()
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
