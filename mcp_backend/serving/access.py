"""Who calls over HTTP: static bearer tokens of the policy, and tokens of its authorization server.

RFC 6750 (bearer tokens), RFC 9068 (JWT access tokens), RFC 7662 (introspection of opaque ones), RFC 8414 (the issuer's
metadata), RFC 8707 (audience). The SDK answers 401 with `WWW-Authenticate` and serves the protected-resource metadata
of RFC 9728.
"""

import hmac
import json
import logging
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import urlopen

import jwt
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings

from mcp_backend.errors import InvalidArgument
from mcp_backend.policy.serving import Http
from mcp_backend.scopes import EVERYTHING
from mcp_backend.serving.introspection import Introspection
from mcp_backend.settings import resolve
from mcp_backend.threads import patiently

log = logging.getLogger("mcp_backend")
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric only: with a shared secret every resource server could issue tokens."""
LEEWAY_SECONDS = 30
SHORTEST = 24
"""Characters of a static token, at least."""
SECONDS = 5.0


class Verifier:
    """Verifies bearer tokens (the SDK's `TokenVerifier`). What is not verified is nobody; why goes to the log."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._known = [(_digest(_static(name, ref)), name) for name, ref in http.tokens.items()]
        self._keys: jwt.PyJWKClient | None = None
        self._opaque = _introspection(http) if http.client else None

    async def verify_token(self, token: str) -> AccessToken | None:
        """The principal and its scopes, or `None`."""
        given, found = _digest(token), ""
        for digest, name in self._known:  # All of them: how long it takes must not tell which came near.
            if hmac.compare_digest(digest, given):
                found = name
        if found:
            return AccessToken(token="", client_id=found, subject=found, scopes=[EVERYTHING], resource=self._http.url)
        if not self._http.issuer:
            return None
        try:
            claims = await patiently(self._claims, token)
        except (jwt.PyJWTError, OSError, ValueError) as error:
            log.warning("a bearer token was refused: %s", type(error).__name__)
            return None
        scopes = claims.get("scope", claims.get("scp", ""))
        listed = scopes.split() if isinstance(scopes, str) else [str(scope) for scope in cast("list[object]", scopes)]
        subject = str(claims["sub"])
        return AccessToken(
            token="",
            client_id=str(claims.get("client_id") or claims.get("azp") or subject),
            subject=subject,
            scopes=listed,
            expires_at=int(claims["exp"]) + LEEWAY_SECONDS,
            resource=self._http.url,
            claims={"iss": self._http.issuer},
        )

    def _claims(self, token: str) -> Mapping[str, Any]:
        if self._opaque is not None and token.count(".") != 2:
            return self._opaque.claims(token)
        if self._keys is None:
            self._keys = jwt.PyJWKClient(self._http.jwks or discovered(self._http.issuer), timeout=SECONDS)
        key = self._keys.get_signing_key_from_jwt(token)
        return jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            audience=self._http.audience,
            issuer=self._http.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )


def settings(http: Http) -> AuthSettings:
    """What the SDK needs to tell clients whose tokens this resource takes."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(http.url))
    return AuthSettings.model_validate(  # From text: an address without a path keeps its spelling (RFC 8414).
        {"issuer_url": http.issuer or origin, "resource_server_url": http.url, "validate_token_resource": True}
    )


def discovered(issuer: str) -> str:
    """The address of the issuer's keys, from its metadata. Raises `ValueError` or `OSError`."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    places = (
        f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{path}",
        f"{parts.scheme}://{parts.netloc}{path}/.well-known/openid-configuration",
    )
    for place in places:
        try:
            with urlopen(place, timeout=SECONDS) as answer:
                metadata = cast("dict[str, Any]", json.load(answer))
        except (OSError, ValueError):
            continue
        if metadata.get("issuer") == issuer and isinstance(metadata.get("jwks_uri"), str):
            return str(metadata["jwks_uri"])
    raise ValueError("the issuer serves no metadata with its own name and jwks_uri")


def _introspection(http: Http) -> Introspection:
    secret = resolve(http.secret, field="http.secret")
    return Introspection(http.introspection, http.client, secret, issuer=http.issuer, audience=http.audience)


def _static(name: str, reference: str) -> str:
    token = resolve(reference, field=f"http.tokens.{name}")
    if len(token) < SHORTEST:
        raise InvalidArgument(f"http.tokens.{name}: expected at least {SHORTEST} characters in {reference}")
    return token


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
