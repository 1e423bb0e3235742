"""Asks the authorization server what an opaque token is (RFC 7662)."""

import base64
import json
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, cast
from urllib.parse import quote, urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

SECONDS = 5.0
KEPT_SECONDS = 30.0
"""How long an answer holds: so long a token that was revoked may still be taken."""
MOST = 10_000
LONGEST = 65_536
"""Bytes of an answer."""


class _Straight(HTTPRedirectHandler):
    """Follows nothing: a token and a secret go to the configured address alone."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


class Introspection:
    """`claims` of tokens that are active and for this audience; blocks, so it is called in a thread."""

    def __init__(self, address: str, client: str, secret: str, *, issuer: str, audience: str) -> None:
        words = f"{quote(client, safe='')}:{quote(secret, safe='')}"  # RFC 6749 section 2.3.1.
        self._basic = "Basic " + base64.b64encode(words.encode()).decode()
        self._address, self._issuer, self._audience = address, issuer, audience
        self._open = build_opener(_Straight()).open
        self._known: dict[bytes, tuple[float, Mapping[str, Any]]] = {}

    def claims(self, token: str) -> Mapping[str, Any]:
        """Raises `ValueError` for a token that is nobody's here, `OSError` when the server does not answer."""
        digest, now = sha256(token.encode()).digest(), time.time()
        kept = self._known.get(digest)
        if kept is not None and kept[0] > now:
            return kept[1]
        found = self._checked(self._asked(token), now)
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[digest] = (min(now + KEPT_SECONDS, float(found["exp"])), found)
        return found

    def _asked(self, token: str) -> Mapping[str, Any]:
        body = urlencode({"token": token, "token_type_hint": "access_token"}).encode()
        headers = {"Authorization": self._basic, "Accept": "application/json",
                   "Content-Type": "application/x-www-form-urlencoded"}  # fmt: skip
        with self._open(Request(self._address, body, headers), timeout=SECONDS) as answer:
            found: object = json.loads(answer.read(LONGEST))
        if not isinstance(found, dict):
            raise ValueError("the authorization server answered no object")
        return cast("Mapping[str, Any]", found)

    def _checked(self, found: Mapping[str, Any], now: float) -> Mapping[str, Any]:
        audience = found.get("aud")
        wanted = cast("list[object]", audience) if isinstance(audience, list) else [audience]
        subject = found.get("sub") or found.get("username") or found.get("client_id")
        expires = found.get("exp", now + KEPT_SECONDS)
        if found.get("active") is not True:
            raise ValueError("not active")
        if self._audience not in wanted:
            raise ValueError("another audience")
        if found.get("iss", self._issuer) != self._issuer:
            raise ValueError("another issuer")
        if not isinstance(expires, (int, float)) or expires <= now or found.get("nbf", now) > now:
            raise ValueError("not valid now")
        if not isinstance(subject, str):
            raise ValueError("nobody's")
        return {**found, "sub": subject, "exp": expires}
