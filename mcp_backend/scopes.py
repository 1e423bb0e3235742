"""What a principal may ask for, by the scopes of its token (RFC 6749 section 3.3), and how often.

`mcp-backend` allows everything; otherwise `mcp-backend:TOOLSET` allows the reading tools of a toolset,
`mcp-backend:write` also those that change something, `mcp-backend:production` also engines outside development,
whatever a call wants of them. Asking a person needs no scope.
"""

from collections.abc import Iterable

from mcp_backend.actions import Action
from mcp_backend.engines import Engines
from mcp_backend.errors import PermissionDenied, Unavailable
from mcp_backend.store import Store
from mcp_backend.tools import Tool

EVERYTHING = "mcp-backend"
WRITE = f"{EVERYTHING}:write"
PRODUCTION = f"{EVERYTHING}:production"

READS = {
    "schema": "database", "migrations": "database", "rehearsal": "database", "topology": "messaging",
    "receipt": "tests", "contract": "contracts",
}  # fmt: skip
"""Whose reading scope a resource needs, by the scheme of its URI; others are for anybody who may call at all."""


def check_resource(scopes: frozenset[str] | None, uri: str) -> None:
    """Raises `PermissionDenied` naming the missing scope."""
    toolset = READS.get(uri.partition(":")[0])
    if scopes is not None and toolset and not scopes & {EVERYTHING, f"{EVERYTHING}:{toolset}"}:
        raise PermissionDenied(f"{uri} needs the scope {EVERYTHING}:{toolset}, which this token does not have")


def lacking(scopes: frozenset[str], tool: type[Tool]) -> str:
    """The scope that `tool` needs and the token has not, empty when it may be called."""
    if EVERYTHING in scopes or tool.toolset == "escalation":
        return ""
    needed = (f"{EVERYTHING}:{tool.toolset}", *(() if tool.read_only else (WRITE,)))
    return next((scope for scope in needed if scope not in scopes), "")


def check_tool(scopes: frozenset[str] | None, tool: type[Tool]) -> None:
    """Raises `PermissionDenied` naming the missing scope; `None` is a caller without a token, on this machine."""
    if scopes is not None and (scope := lacking(scopes, tool)):
        raise PermissionDenied(f"{tool.name} needs the scope {scope}, which this token does not have")


def check_environments(scopes: frozenset[str] | None, actions: Iterable[Action]) -> None:
    """Raises `PermissionDenied` when an action reaches an engine outside development without the scope for it."""
    for action in actions:
        _check_environment(scopes, getattr(action, "environment", "development"))


def engines_for(scopes: frozenset[str] | None, engines: Engines) -> Engines:
    """`engines` as a caller with these scopes may choose among them: looking at a schema or at messages is no action,
    so the choice itself is held back."""
    if scopes is None:
        return engines
    return engines.checked(lambda engine: _check_environment(scopes, engine.environment))


def _check_environment(scopes: frozenset[str] | None, environment: str) -> None:
    if environment == "development" or scopes is None or EVERYTHING in scopes or PRODUCTION in scopes:
        return
    raise PermissionDenied(f"engines of {environment} need the scope {PRODUCTION}, which this token does not have")


async def take_call(store: Store, principal: str, per_minute: int) -> None:
    """Takes one of the calls that a principal may make. Raises `Unavailable` telling when the next may come."""
    if wait := await store.take(principal, per_minute):
        raise Unavailable(
            f"more than {per_minute} calls a minute by {principal}: this one was not made, the next may in {wait:.1f} s"
        )
