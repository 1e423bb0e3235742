"""What the policy says about serving over HTTP: `[http]`. Standard library only.

Without `tokens` and `issuer` there is no authentication, and the server listens on loopback only.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import urlsplit

from mcp_backend.errors import InvalidArgument
from mcp_backend.records import dataclass, field

HTTP_KEYS = frozenset(
    (
        "url",
        "tokens",
        "issuer",
        "jwks",
        "audience",
        "introspection",
        "client",
        "secret",
        "calls_per_minute",
        "max_sessions",
        "drain",
        "sticky",
    )
)


@dataclass(frozen=True, slots=True)
class Http:
    """`url`: the address that clients call; its host is the only one answered to besides loopback, and it is the
    resource of OAuth (RFC 8707). `tokens`: principal to reference of a static bearer token. `issuer`: the OAuth
    authorization server whose JSON Web Tokens are taken; `jwks`: its keys, found from its metadata when empty;
    `audience`: what the tokens are for (default `url`). `introspection`: where it says what an opaque token is (RFC
    7662), to `client` with `secret`, a reference. `calls_per_minute`: of one principal. `drain`: seconds in which
    a server that was told to end still answers, so that a proxy notices. `sticky`: the proxy sends a session to one
    replica, so that sessions may be kept where the store is shared."""

    url: str = ""
    tokens: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    issuer: str = ""
    jwks: str = ""
    audience: str = ""
    introspection: str = ""
    client: str = ""
    secret: str = ""
    calls_per_minute: int = 600
    max_sessions: int = 1000
    drain: float = 0.0
    sticky: bool = False

    @property
    def authenticated(self) -> bool:
        """Whether anybody has to say who they are."""
        return bool(self.tokens or self.issuer)


def read_http(file: str, table: Mapping[str, Any]) -> Http:
    """The section of a policy file. Raises `InvalidArgument` naming the key and what was expected."""
    tokens = table.get("tokens", {})
    if not isinstance(tokens, dict):
        raise InvalidArgument(f'{file}: http.tokens: expected a table such as tokens.ci = "env:CI_TOKEN"')
    for name, reference in cast("dict[str, object]", tokens).items():
        if not isinstance(reference, str) or not re.fullmatch(r"(env|file):.+", reference):
            raise InvalidArgument(f"{file}: http.tokens.{name}: expected env:NAME or file:PATH, never a token itself")
    http = Http(
        url=_address(file, "url", table),
        tokens=MappingProxyType(cast("dict[str, str]", tokens)),
        issuer=_address(file, "issuer", table),
        jwks=_address(file, "jwks", table),
        audience=_text(file, "audience", table) or _address(file, "url", table),
        introspection=_address(file, "introspection", table),
        client=_text(file, "client", table),
        secret=_text(file, "secret", table),
        calls_per_minute=_count(file, "calls_per_minute", table, Http().calls_per_minute),
        max_sessions=_count(file, "max_sessions", table, Http().max_sessions),
        drain=_seconds(file, "drain", table),
        sticky=_flag(file, "sticky", table),
    )
    if http.authenticated and not http.url:
        raise InvalidArgument(f"{file}: http.url: expected the address that clients call, such as https://HOST/mcp")
    if (http.jwks or table.get("audience")) and not http.issuer:
        raise InvalidArgument(f"{file}: http.issuer: expected the authorization server of jwks and audience")
    asked = (http.introspection, http.client, http.secret)
    if any(asked) and not all(asked):
        raise InvalidArgument(f"{file}: http: expected introspection, client and secret together")
    if http.introspection and not http.issuer:
        raise InvalidArgument(f"{file}: http.issuer: expected the authorization server of introspection")
    if http.secret and not re.fullmatch(r"(env|file):.+", http.secret):
        raise InvalidArgument(f"{file}: http.secret: expected env:NAME or file:PATH, never a secret itself")
    return http


def _text(file: str, key: str, table: Mapping[str, Any]) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise InvalidArgument(f"{file}: http.{key}: expected a string")
    return value


def _address(file: str, key: str, table: Mapping[str, Any]) -> str:
    value = _text(file, key, table)
    parts = urlsplit(value)
    loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if value and not (parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and loopback))):
        raise InvalidArgument(f"{file}: http.{key}: expected an https:// address (http:// on loopback only)")
    return value


def _count(file: str, key: str, table: Mapping[str, Any], default: int) -> int:
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
        raise InvalidArgument(f"{file}: http.{key}: expected a number from 1 to 1000000")
    return value


def _seconds(file: str, key: str, table: Mapping[str, Any]) -> float:
    value = table.get(key, "0s")
    match = re.fullmatch(r"([0-9]{1,2})s", value) if isinstance(value, str) else None
    if match is None:
        raise InvalidArgument(f"{file}: http.{key}: expected a number of seconds such as 5s")
    return float(match[1])


def _flag(file: str, key: str, table: Mapping[str, Any]) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise InvalidArgument(f"{file}: http.{key}: expected true or false")
    return value
