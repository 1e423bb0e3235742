"""What of an answer a model is shown: bounded, credentials hidden, said to be so."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

from mcp_backend.contracts.calling.headers import credential
from mcp_backend.errors import Json
from mcp_backend.settings import hide_credentials
from mcp_backend.workspace.masking import MASK, masked

BYTES = 9_000
"""Of a body, or of all messages together."""
HEADERS = 40
HEADER = 300
SHORTEST = 4
"""Characters of a credential that is looked for in answers: shorter ones are everywhere."""
NAMED = 12
"""Characters of the shortest text that may hold a credential beside its name, or one of a known form."""
LONGEST = 3 * BYTES
"""Characters of one text that are looked at; what is shown is shorter."""
_DEPTH = 60
_HIDING = frozenset({"set-cookie", "authorization", "cookie"})


class Hider:
    """Replaces credentials, and counts them. `secrets` are those that were sent."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({s for text in secrets for s in (text, text.strip()) if len(s) >= SHORTEST}, key=len)
        self.count = 0

    def text(self, text: str) -> str:
        """A text without credentials."""
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode()  # no transport can say a lone surrogate
        before = text = text[:LONGEST]
        for secret in reversed(self._secrets):
            text = text.replace(secret, MASK)
        if len(text) >= NAMED:
            text, _ = masked("answer", hide_credentials(text))
        self.count += text != before
        return text

    def json(self, value: Any, depth: int = 0) -> Any:
        """A JSON value without credentials: also what stands under a name for them."""
        if depth > _DEPTH:
            return "…"
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, float) and not math.isfinite(value):
            return json.dumps(value)  # JSON has no such number
        if isinstance(value, list):
            return [self.json(item, depth + 1) for item in cast("list[Any]", value)]
        if isinstance(value, dict):
            return {self.text(str(k)): self._under(str(k), v, depth) for k, v in cast("dict[Any, Any]", value).items()}
        return value

    def _under(self, name: str, value: Any, depth: int) -> Any:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != "" and credential(name):
            self.count += 1
            return MASK
        return self.json(value, depth + 1)

    def headers(self, given: Mapping[str, str]) -> dict[str, Json]:
        """Headers of an answer."""
        found: dict[str, Json] = {}
        for name, value in list(given.items())[:HEADERS]:
            if name in _HIDING or credential(name):
                self.count += 1
                found[name] = value.partition("=")[0][:60] + f"={MASK}" if name == "set-cookie" else MASK
            else:
                found[name] = self.text(value)[:HEADER]
        return found


def bounded(value: Any, most: int = BYTES) -> tuple[Json, bool]:
    """A JSON value, or as text the beginning of it where it is larger; whether something was left out."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) <= most:
        return value, False
    return text.encode()[:most].decode("utf-8", "ignore"), True
