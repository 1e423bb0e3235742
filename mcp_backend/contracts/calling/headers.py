"""Headers of one request: credentials by reference, nothing that decides where or how the request travels."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from mcp_backend import settings
from mcp_backend.errors import InvalidArgument
from mcp_backend.policy import Policy
from mcp_backend.policy.services import CREDENTIAL, REFERENCE, Service
from mcp_backend.settings import Workspace
from mcp_backend.workspace import naming, secrets_scan

MOST = 64
LONGEST = 8_000
DEPTH = 64
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
"""A token: RFC 9110 section 5.6.2."""
_OURS = re.compile(
    r"(?i)host|content-length|transfer-encoding|connection|keep-alive|upgrade|expect|te|trailer|via|forwarded"
    r"|proxy-.*|x-forwarded-.*|sec-websocket-(?!protocol$).*|:.*|grpc-.*"
)
_SECRET = re.compile(
    r"(?i)authorization|cookie|.*(?:token|secret|passw|credential|signature|api[_-]?key|access[_-]?key|auth[_-]?key).*"
    r"|x-auth(?:-.*)?|key|auth|sig"
)
_NO_SECRET = re.compile(r"(?i).*(?:csrf|xsrf|idempotency|page|next|cursor|continuation|sync).*")
_OTHERS = re.compile(
    r"(?i)(?:AWS|AZURE|GOOGLE|GCP|GCLOUD|GITHUB|GH|GITLAB|NPM|PYPI|TWINE|UV|DOCKER|KUBE\w*|ANTHROPIC|OPENAI|CLAUDE|CODEX"
    r"|GEMINI|SSH|GPG|MCP_BACKEND|VAULT|PG)_\w+|PGPASSWORD|HOME|PATH|\w*DATABASE_URL|(?:POSTGRES|REDIS|NATS|KAFKA|CLICKHOUSE"
    r"|VALKEY)\w*"
)
_OVERRIDE = re.compile(r"(?i)x-(?:http-)?method(?:-override)?")


@dataclass(frozen=True, slots=True)
class Headers:
    """`shown` has references where `sent` has what they stand for; `secrets` are those texts, to be hidden from every
    answer."""

    shown: tuple[tuple[str, str], ...]
    sent: tuple[tuple[str, str], ...]
    secrets: tuple[str, ...]

    def get(self, name: str) -> str:
        """The value that is sent under a name; empty for none."""
        return next((value for n, value in self.sent if n.lower() == name), "")

    @property
    def overrides_method(self) -> bool:
        """Whether one of them makes frameworks take the request for another method."""
        return any(_OVERRIDE.fullmatch(name) for name, _ in self.sent)


class References:
    """Reads what `env:NAME` and `file:PATH` stand for, as far as a caller may send it: what belongs to an engine, to
    this server or to another known program is sent only where the policy says so for the service."""

    def __init__(self, policy: Policy, workspace: Workspace, service: Service | None) -> None:
        self._root = workspace.root
        self._named = frozenset(r for v in (service.headers.values() if service else ()) for r in _references(v))
        self._taken = {e.url: f"the engine {e.name}" for e in policy.engines.values()}
        self._taken |= dict.fromkeys(policy.http.tokens.values(), "this server's tokens")
        other = [s for s in policy.services.values() if s is not service]
        self._taken |= {r: f"the service {s.name}" for s in other for v in s.headers.values() for r in _references(v)}
        self.secrets: list[str] = []
        self.named: list[str] = []

    def read(self, field: str, reference: str) -> str:
        """Raises `InvalidArgument` naming the field, never the value."""
        if reference not in self._named:
            if owner := self._taken.get(reference):
                raise InvalidArgument(f"{field}: {reference} belongs to {owner} and is not sent elsewhere")
            kind, _, rest = reference.partition(":")
            if kind == "env" and _OTHERS.fullmatch(rest):
                raise InvalidArgument(
                    f"{field}: {rest} belongs to another program; a person may name it in the policy as "
                    "services.NAME.headers"
                )
            if kind == "file":
                reference = f"file:{self._root / naming.readable(rest, self._root, field=field)}"
        value = settings.resolve(reference, field=field)
        self.named.append(reference)
        if value not in self.secrets:
            self.secrets.append(value)
        return value

    def resolved(self, body: Any, field: str = "body", depth: int = 0) -> Any:
        """A JSON body in which what stands as a reference under a name for credentials is what it stands for."""
        if isinstance(body, list) and depth < DEPTH:
            return [self.resolved(item, field, depth + 1) for item in cast("list[Any]", body)]
        if not isinstance(body, dict) or depth >= DEPTH:
            return cast("Any", body)
        found: dict[str, Any] = {}
        for name, value in cast("dict[str, Any]", body).items():
            inner = f"{field}.{name[:60]}"
            if isinstance(value, str) and credential(name) and re.fullmatch(REFERENCE, value):
                found[name] = self.read(inner, value)
            else:
                found[name] = self.resolved(value, inner, depth + 1)
        return found


def read(
    given: Mapping[str, str],
    references: References,
    service: Service | None,
    secret_names: frozenset[str] = frozenset(),
) -> Headers:
    """The headers of a request: the caller's, then those that the policy has for the service. `secret_names` are
    headers (lower case) that the contract names as credentials. Raises `InvalidArgument`."""
    if len(given) > MOST:
        raise InvalidArgument(f"headers: expected at most {MOST}")
    names = {name.lower() for name in given}
    if len(names) != len(given):
        raise InvalidArgument("headers: the same name twice")
    own = {n: v for n, v in (service.headers.items() if service else ()) if n.lower() not in names}
    shown: list[tuple[str, str]] = []
    sent: list[tuple[str, str]] = []
    for name, text in {**given, **own}.items():
        field = f"headers.{name[:60]}"
        if not _NAME.fullmatch(name):
            raise InvalidArgument(f"{field!r}: not a name of a header")
        if _OURS.fullmatch(name):
            raise InvalidArgument(f"{field}: is set by this server; leave it out")
        value = _value(field, name, text, references, secret_names)
        if len(value) > LONGEST or any(ord(c) < 32 or ord(c) == 127 or ord(c) > 255 for c in value):
            raise InvalidArgument(f"{field}: expected at most {LONGEST} printable Latin-1 characters in one line")
        shown.append((name, text))
        sent.append((name, value))
    return Headers(tuple(sorted(shown)), tuple(sent), tuple(references.secrets))


def credential(name: str) -> bool:
    """Whether something of this name holds a credential."""
    return _SECRET.fullmatch(name) is not None and not _NO_SECRET.fullmatch(name)


def _value(field: str, name: str, text: str, references: References, secret_names: frozenset[str]) -> str:
    if CREDENTIAL.fullmatch(text):
        scheme, space, reference = text.rpartition(" ") if re.match(r"\S+ (?:env|file):", text) else ("", "", text)
        if not re.fullmatch(REFERENCE, reference):  # a file name with blanks
            scheme, space, reference = text.partition(" ")
        return scheme + space + references.read(field, reference)
    if credential(name) or name.lower() in secret_names or secrets_scan.scan("value", text.encode()):
        raise InvalidArgument(
            f"{field}: a credential is given by reference, never as it is: env:NAME, file:PATH or Bearer env:NAME; "
            "set the variable for this server"
        )
    return text


def _references(text: str) -> Iterator[str]:
    if found := re.search(rf"{REFERENCE}$", text):
        yield found[0]
