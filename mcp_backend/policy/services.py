"""What the policy says about services that may be called: `[services.NAME]`. Standard library only.

```toml
[services.orders]
url = "https://orders.staging.example/api"     # or env:NAME
environment = "staging"                        # production when left out; development on this machine
headers.Authorization = "env:ORDERS_TOKEN"     # sent with each request; credentials by reference only
```
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast
from urllib.parse import urlsplit

from mcp_backend.errors import InvalidArgument
from mcp_backend.promises import ENVIRONMENTS, Environment
from mcp_backend.records import dataclass, field

KEYS = ("url", "environment", "headers")
SCHEMES = ("http", "https", "ws", "wss", "grpc", "grpcs")
REFERENCE = r"(?:env:[A-Za-z_]\w*|file:.+)"
CREDENTIAL = re.compile(rf"(?:[A-Za-z][\w-]{{0,30}} )?{REFERENCE}")
"""A reference, perhaps after the name of a scheme: `env:TOKEN`, `Bearer env:TOKEN`."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service by its URL (or `env:NAME` of it) and environment, with the headers each request gets."""

    name: str
    url: str
    environment: Environment = "production"
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def read_service(file: str, name: str, value: object) -> Service:
    """One table of the policy. Raises `InvalidArgument` naming the key and what was expected."""
    key = f"services.{name}"
    if not isinstance(value, dict):
        raise InvalidArgument(f'{file}: {key}: expected a table such as url = "https://HOST"')
    table = cast("dict[str, object]", value)
    for known in table:
        if known not in KEYS:
            raise InvalidArgument(f"{file}: unknown key {key}.{known}; known: {', '.join(KEYS)}")
    url = table.get("url", "")
    parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
    plain = parts.scheme in SCHEMES and parts.hostname and not parts.username and not parts.query
    if not isinstance(url, str) or not (re.fullmatch(r"env:[A-Za-z_]\w*", url) or plain):
        raise InvalidArgument(f"{file}: {key}.url: expected {'://, '.join(SCHEMES)}:// and a host, or env:NAME")
    local = parts.hostname in ("127.0.0.1", "localhost", "::1")
    environment = table.get("environment", "development" if local else "production")
    if environment not in ENVIRONMENTS:
        raise InvalidArgument(f"{file}: {key}.environment: expected one of {', '.join(ENVIRONMENTS)}")
    headers = table.get("headers", {})
    if not isinstance(headers, dict):
        raise InvalidArgument(f'{file}: {key}.headers: expected a table such as Authorization = "Bearer env:TOKEN"')
    for header, text in cast("dict[str, object]", headers).items():
        if not isinstance(text, str) or not CREDENTIAL.fullmatch(text):
            raise InvalidArgument(
                f"{file}: {key}.headers.{header}: expected env:NAME or file:PATH, never a value itself"
            )
    return Service(name, url, environment, MappingProxyType(cast("dict[str, str]", headers)))
