"""Why a message format of one's own is used: the reason, what else was looked at, and until when it holds.

Text alone is the reason: then the contracts that the workspace declares are written down as what was passed over, and
the reason holds for `DAYS` from its first use at that destination.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from mcp_backend.errors import InvalidArgument
from mcp_backend.records import dataclass
from mcp_backend.settings import private

DAYS = 30
LONGEST_DAYS = 366
LONGEST = 2000
"""Characters of a reason."""
NAMED = 5
"""Declared contracts that are written down as passed over."""
KEPT = 500
_KEYS = ("reason", "alternatives", "expires")


@dataclass(frozen=True, slots=True)
class Justification:
    """`expires` is the last day on which it holds. `id` is the same for the same words about the same destination.
    `first`: this use is the first one, from which on it holds, and has to be remembered."""

    id: str
    reason: str
    alternatives: str
    expires: date
    destination: str
    first: bool = False

    def recorded(self) -> dict[str, str]:
        """What the audit record keeps."""
        return {
            "justification_id": self.id, "justification": self.reason, "alternatives": self.alternatives,
            "expires": self.expires.isoformat(), "destination": self.destination,
        }  # fmt: skip

    def headers(self) -> dict[str, str]:
        """What travels with each message."""
        return {"Mcp-Backend-Justification": self.id, "Mcp-Backend-Justification-Expires": self.expires.isoformat()}

    def problem(self, today: date) -> str:
        """Why it does not hold, empty when it does."""
        if self.expires < today:
            return (
                f"the justification {self.id} ended on {self.expires}: declare the contract by now, or say what changed"
            )
        return ""


def justification(given: Any, destination: str, declared: list[str], state: Path, today: date) -> Justification:
    """What a caller gives: the reason as text, or reason, alternatives and expires. Raises `InvalidArgument` naming
    the field and what was expected."""
    if isinstance(given, str):
        if len(given) > LONGEST:
            raise InvalidArgument(f"justification: expected at most {LONGEST} characters")
        name = _name(destination, given)
        first = _known(state).get(name, "")
        until = date.fromisoformat(first) if first else today + timedelta(days=DAYS)
        passed = (
            f"declared here, and not fitting: {', '.join(declared[:NAMED])}" if declared else "none is declared here"
        )
        return Justification(name, given, passed, until, destination, first=not first)
    if not isinstance(given, Mapping):
        raise InvalidArgument("justification: expected text, or {reason, alternatives, expires}")
    said = cast("Mapping[str, Any]", given)
    if unknown := [key for key in said if key not in _KEYS]:
        raise InvalidArgument(f"justification.{unknown[0]}: unknown; expected {', '.join(_KEYS)}")
    for key in _KEYS:
        if not isinstance(said.get(key), str) or not 0 < len(str(said[key]).strip()) <= LONGEST:
            what = "a date such as 2026-12-31" if key == "expires" else f"text of at most {LONGEST} characters"
            raise InvalidArgument(f"justification.{key}: expected {what}")
    try:
        until = date.fromisoformat(str(said["expires"]).strip())
    except ValueError as error:
        raise InvalidArgument("justification.expires: expected a date such as 2026-12-31") from error
    if until > today + timedelta(days=LONGEST_DAYS):
        raise InvalidArgument(f"justification.expires: expected a day within {LONGEST_DAYS} days")
    reason, alternatives = str(said["reason"]).strip(), str(said["alternatives"]).strip()
    name = _name(destination, json.dumps([reason, alternatives, until.isoformat()]))
    return Justification(name, reason, alternatives, until, destination)


def remember(state: Path, one: Justification) -> None:
    """Keeps until when a justification holds, from its first use. A state folder that cannot be written stops no
    message: the audit record has it too."""
    known = _known(state)
    if one.id in known:
        return
    kept = dict(sorted({**known, one.id: one.expires.isoformat()}.items(), key=lambda item: item[1])[-KEPT:])
    with suppress(OSError):
        place = private(state) / "justifications.json"
        fresh = place.with_suffix(".new")
        fresh.write_text(json.dumps(kept), "utf-8")
        fresh.replace(place)


def _name(destination: str, words: str) -> str:
    digest = hashlib.sha256(f"{destination}\n{words}".encode()).hexdigest()
    return f"J-{digest[:12]}"


def _known(state: Path) -> Mapping[str, str]:
    path = f"{state}/justifications.json"
    try:
        found = os.stat(path)  # It is replaced as a whole, so a stat tells whether it is the one that was read.
    except OSError:
        return {}
    return _read(path, found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=16)
def _read(path: str, *version: int) -> Mapping[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.loads(file.read())
    except (OSError, ValueError):
        return {}
    return cast("dict[str, str]", found) if isinstance(found, dict) else {}
