"""What NATS allows in a subject and in headers, and how a message gets its bytes and its id.

https://docs.nats.io/nats-concepts/subjects and https://docs.nats.io/reference/reference-protocols/nats-protocol#hpub
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic_core import to_json

from mcp_backend.errors import InvalidArgument

SUBJECT_BYTES = 512
"""The server reads a command line of 4,096 bytes, which also holds the reply subject; names this long are no names."""
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,200}")
_RESERVED = ("nats-", "mcp-backend-")
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_SORTED = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode


def check_subject(subject: str) -> None:
    """Raises `InvalidArgument` unless one can publish to this subject: no wildcard, nothing of the server's own."""
    if not subject:
        raise InvalidArgument("destination: expected a subject such as orders.created")
    if len(subject.encode()) > SUBJECT_BYTES:
        raise InvalidArgument(f"destination: longer than {SUBJECT_BYTES} bytes")
    if not subject.isprintable() or " " in subject:
        raise InvalidArgument("destination: expected a subject without spaces, line breaks or control characters")
    tokens = subject.split(".")
    if "*" in tokens or ">" in tokens:
        raise InvalidArgument("destination: * and > are for subscribing; publish to one subject")
    if "" in tokens:
        raise InvalidArgument("destination: expected names between the dots (no leading, trailing or double dot)")
    if subject.startswith("_") or (subject.startswith("$") and not subject.startswith("$KV.")):
        raise InvalidArgument(
            f"destination: {tokens[0]}. belongs to the server ($JS, $SYS, _INBOX …); message_topology lists what exists"
        )


def check_headers(field: str, headers: Mapping[str, str]) -> None:
    """Raises `InvalidArgument` naming the header. NATS would turn a line break into a space without a word."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidArgument(f"{field}: expected header names of letters, digits and - _ . (RFC 9110 token)")
        if name.lower().startswith(_RESERVED):
            raise InvalidArgument(
                f"{field}.{name}: reserved; use message_id and expected_last_sequence for what Nats-… headers do"
            )
        if not value.isprintable() or value != value.strip():
            raise InvalidArgument(f"{field}.{name}: expected a value of one line without spaces at its ends")


def check_message_id(field: str, message_id: str) -> None:
    """Raises `InvalidArgument` unless the id can stand in a header."""
    if not _MESSAGE_ID.fullmatch(message_id):
        raise InvalidArgument(f"{field}: expected 1 to 200 visible ASCII characters without spaces")


def encode(field: str, payload: Any) -> tuple[bytes, object]:
    """The bytes of a payload, and what a contract judges: the JSON value, or the bytes of `{"base64": …}`."""
    fields = cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}
    if list(fields) == ["base64"]:
        text = fields["base64"]
        try:
            data = base64.b64decode(text, validate=True) if isinstance(text, str) else None
        except (binascii.Error, ValueError):
            data = None
        if data is None:
            raise InvalidArgument(f"{field}.base64: expected standard base64 text")
        return data, data
    try:
        data = to_json(payload)  # A tenth of what the standard library takes; it lets NaN pass.
        if b"NaN" in data or b"Infinity" in data:
            data = _COMPACT(payload).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{field}: expected JSON (no NaN or Infinity)") from error
    return data, cast("object", payload)


def derived_id(subject: str, key: str | None, headers: Mapping[str, str], value: Any) -> str:
    """An id made of all that makes a message what it is: the same message again has the same id, in whatever order
    its fields are written."""
    content = hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value
    text = _SORTED([subject, key, dict(headers), content])
    return f"mb-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def header_bytes(headers: Mapping[str, str]) -> int:
    """Bytes of the header block, which counts against `max_payload` together with the payload."""
    return len("NATS/1.0\r\n\r\n") + sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers.items())
