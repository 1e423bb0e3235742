"""A schema registry that speaks Confluent's protocol: read only. Only the one that the policy names is asked, without
proxies, and no redirect is followed.

https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import base64
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit

from mcp_backend.errors import InvalidArgument, Unavailable
from mcp_backend.settings import hide_credentials

SECONDS = 3.0
LATEST_SECONDS = 30.0
"""How long the newest version of a subject is believed to be that."""
LARGEST = 4_000_000
_REFERENCES = 100
_MEDIA = "application/vnd.schemaregistry.v1+json, application/json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One schema: its id, what it is written in (`AVRO`, `JSON`, `PROTOBUF`), and the texts it refers to by name."""

    schema_id: int
    kind: str
    text: str
    subject: str = ""
    version: int = 0
    references: tuple[tuple[str, str], ...] = ()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        return None


class Registry:
    """One registry. What an id stands for never changes, so it is asked for once."""

    def __init__(self, url: str, *, field: str) -> None:
        try:
            parsed = urlsplit(url)
            good = parsed.scheme in ("http", "https") and parsed.hostname and not parsed.query and not parsed.fragment
            self.place = f"{parsed.hostname}:{parsed.port or (443 if parsed.scheme == 'https' else 80)}"
        except ValueError:
            good, parsed = False, urlsplit("")
        if not good:
            raise InvalidArgument(f"{field}: expected http://[user:password@]host[:port] of a schema registry")
        self._base = f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}{parsed.path.rstrip('/')}"
        self._headers = {"Accept": _MEDIA, "Content-Type": "application/vnd.schemaregistry.v1+json"}
        if parsed.username is not None:
            pair = f"{unquote(parsed.username)}:{unquote(parsed.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
        self._ids: dict[int, Entry | None] = {}
        self._latest: dict[str, tuple[float, Entry | None]] = {}
        self._down_since: datetime | None = None
        self._lock = threading.Lock()

    def schema(self, schema_id: int) -> Entry | None:
        """What an id stands for, `None` where the registry does not know it. Raises `Unavailable`."""
        with self._lock:
            if schema_id not in self._ids:
                found = self._ask(f"/schemas/ids/{schema_id}")
                self._ids[schema_id] = None if found is None else self._entry({**found, "id": schema_id})
            return self._ids[schema_id]

    def latest(self, subject: str) -> Entry | None:
        """The newest version of a subject, `None` where there is none. Raises `Unavailable`."""
        with self._lock:
            until, known = self._latest.get(subject, (0.0, None))
            if time.monotonic() >= until:
                found = self._ask(f"/subjects/{quote(subject, safe='')}/versions/latest")
                known = None if found is None else self._entry(found)
                self._latest[subject] = (time.monotonic() + LATEST_SECONDS, known)
            return known

    def id_of(self, subject: str, kind: str, text: str) -> int | None:
        """The id under which a subject has exactly this schema in some version. Registers nothing. Raises
        `Unavailable`."""
        with self._lock:
            found = self._ask(f"/subjects/{quote(subject, safe='')}", {"schema": text, "schemaType": kind})
            return None if found is None else int(found["id"])

    def _entry(self, found: Mapping[str, Any]) -> Entry:
        try:
            texts: dict[str, str] = {}
            self._references(found, texts)
            return Entry(
                int(found["id"]), str(found.get("schemaType") or "AVRO"), str(found["schema"]),
                str(found.get("subject", "")), int(found.get("version", 0)), tuple(texts.items()),
            )  # fmt: skip
        except (KeyError, ValueError, TypeError) as error:
            raise self._unavailable("answers in a form that no registry uses") from error

    def _references(self, found: Mapping[str, Any], texts: dict[str, str]) -> None:
        for one in cast("list[dict[str, Any]]", found.get("references") or []):
            name = str(one["name"])
            if name in texts or len(texts) >= _REFERENCES:
                continue
            subject = quote(str(one["subject"]), safe="")
            other = self._ask(f"/subjects/{subject}/versions/{int(one['version'])}")
            if other is not None:
                texts[name] = str(other["schema"])
                self._references(other, texts)

    def _ask(self, path: str, body: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, self._headers)
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                found = json.loads(_whole(answer))
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    self._down_since = None
                    return None
            words = {401: "refuses these credentials", 403: "refuses these credentials"}
            raise self._unavailable(words.get(error.code, f"answers {error.code}")) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            text = getattr(reason, "strerror", None) or type(reason).__name__
            raise self._unavailable(f"does not answer ({str(text).lower()})") from error
        except ValueError as error:
            raise self._unavailable("answers no JSON") from error
        if not isinstance(found, dict):
            raise self._unavailable("answers in a form that no registry uses")
        self._down_since = None
        return cast("dict[str, Any]", found)

    def _unavailable(self, problem: str) -> Unavailable:
        self._down_since = self._down_since or datetime.now(UTC)
        since = self._down_since.isoformat(timespec="seconds").replace("+00:00", "Z")
        cause = "credentials" if "credentials" in problem else "unreachable"
        help_ = "A person corrects schema_registry in the policy" if cause == "credentials" else "Repeat the call later"
        return Unavailable(
            hide_credentials(f"schema registry {self.place} {problem}; not usable since {since}. {help_}"),
            details={"registry": self.place, "cause": cause, "since": since},
        )


def _whole(answer: Any) -> bytes:
    """The body, however slowly it comes: the timeout of a socket counts from each byte anew."""
    until, parts, size = time.monotonic() + SECONDS, list[bytes](), 0
    while part := answer.read1(65536):
        parts.append(part)
        size += len(part)
        if time.monotonic() > until:
            raise TimeoutError(f"no whole answer within {SECONDS:.0f} s")
        if size > LARGEST:
            raise ValueError("larger than any schema")
    return b"".join(parts)


@lru_cache(maxsize=16)
def registry(url: str, field: str) -> Registry:
    """The one client of a registry. Raises `InvalidArgument`."""
    return Registry(url, field=field)
