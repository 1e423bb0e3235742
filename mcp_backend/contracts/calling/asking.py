"""What a call asks, ready to be sent, and what came back: the same for every protocol."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_backend.contracts.calling.addresses import Target
from mcp_backend.contracts.calling.headers import Headers
from mcp_backend.contracts.calling.line import Line
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.words import Deviation, Unverified
from mcp_backend.errors import InvalidArgument, Json

BODY = 200_000
"""Bytes of a request."""
LIMIT = 1_000_000
"""Bytes of an answer that are read."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller gave. `path` is without the path of the target; `resolve` puts credentials in the place of the
    references that a body has for them."""

    target: Target
    source: Source
    headers: Headers
    resolve: Callable[[Any], Any]
    operation: str = ""
    method: str = ""
    path: str = ""
    body: Any = None


@dataclass(slots=True)
class Got:
    """An answer. `status` is the protocol's own; `more` are further fields of the result."""

    status: Json
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Any = None
    size: int = 0
    whole: bool = True
    deviations: list[Deviation] = field(default_factory=list[Deviation])
    unverified: list[Unverified] = field(default_factory=list[Unverified])
    more: dict[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `verb` and `url` as guards and people see them (references instead of credentials), `content` what
    is sent, and how. `reads` is true only where it is known that nothing is changed; `why` says why not."""

    verb: str
    url: str
    content: bytes
    reads: bool
    why: str
    send: Callable[[Line], Got]
    spec: str = ""
    operation: str = ""
    problems: tuple[str, ...] = ()
    """Where the request itself does not keep to the contract."""


def encoded(body: Any) -> bytes:
    """A body as JSON. Raises `InvalidArgument` when it is too large."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return limited(content)


def limited(content: bytes) -> bytes:
    """The content itself. Raises `InvalidArgument` when it is too large."""
    if len(content) > BODY:
        raise InvalidArgument(f"body: expected at most {BODY} bytes, got {len(content)}")
    return content


def split(operation: str) -> tuple[str, str]:
    """The specification and the operation of `path/of/spec#operation`; the first is empty where it is not named."""
    path, hash_, name = operation.partition("#")
    return (path, name) if hash_ and name else ("", operation)
