"""What a resource is: a URI or an RFC 6570 level-1 template, how to read it, how to complete its parameters."""

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from mcp_backend.app import App


@dataclass(frozen=True, slots=True)
class Resource:
    """`read` gets the template's values; `complete` maps a parameter to the values it can take."""

    uri: str
    name: str
    title: str
    description: str
    read: Callable[[App, Mapping[str, str]], Coroutine[Any, Any, str]]
    mime_type: str = "application/json"
    complete: Callable[[App, str, Mapping[str, str]], Coroutine[Any, Any, list[str]]] | None = None
    meta: dict[str, Any] | None = None
    """`_meta` of what is read."""

    @property
    def template(self) -> bool:
        """Whether the URI has `{places}`."""
        return "{" in self.uri

    def match(self, uri: str) -> dict[str, str] | None:
        """The values of the template's places in `uri`, or `None` when it is another resource.

        A place takes one path segment, and the last place takes the rest, so that `contract://{path}` reaches files
        in folders.
        """
        parts = re.split(r"\{(\w+)\}", self.uri)
        names = parts[1::2]
        pattern = "".join(
            re.escape(part) if i % 2 == 0 else (r"(.+)" if part == names[-1] else r"([^/]+)")
            for i, part in enumerate(parts)
        )
        found = re.fullmatch(pattern, uri)
        return {n: unquote(v) for n, v in zip(names, found.groups(), strict=True)} if found else None
