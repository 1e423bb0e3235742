"""What the policy says about questions to people: `[escalations.KIND]`, `[webhooks.NAME]`. Standard library only.

Whom a kind of question goes to and when the next role is asked is a matter of the team. Nothing here can make silence
a yes: a question that nobody answered lapses, whatever its timers are.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from mcp_backend.errors import InvalidArgument
from mcp_backend.promises import seconds
from mcp_backend.records import dataclass

KEYS = ("to", "then", "escalate_after", "expires_after")
TIMERS = ("escalate_after", "expires_after")
_NAMES = ("spec_clarification", "trade_off", "frontend_contract", "data_model", "unknown", "approval")


@dataclass(frozen=True, slots=True)
class Asking:
    """What replaces the persona's own for one kind; empty where it says nothing. `to`: the first role. `then`: the
    roles that are asked after it, each when `escalate_after` passed and nobody had acknowledged."""

    to: str = ""
    then: tuple[str, ...] | None = None
    escalate_after: str = ""
    expires_after: str = ""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A system that brings decisions of people over HTTP. `secret`: reference of the key of its signatures. `people`:
    those it may speak for."""

    secret: str
    people: tuple[str, ...]


def read_webhooks(file: str, tables: Mapping[str, object]) -> Mapping[str, Webhook]:
    """The section by name. Raises `InvalidArgument` naming the key and what was expected."""
    return MappingProxyType({name: _webhook(file, name, table) for name, table in tables.items()})


def _webhook(file: str, name: str, given: object) -> Webhook:
    key = f"{file}: webhooks.{name}"
    table = cast("dict[str, object]", given) if isinstance(given, dict) else {}
    if set(table) != {"secret", "people"}:
        raise InvalidArgument(f"{key}: expected a table with secret and people")
    secret, people = table["secret"], table["people"]
    if not isinstance(secret, str) or not secret.startswith(("env:", "file:")):
        raise InvalidArgument(f"{key}.secret: expected env:NAME or file:PATH, never a secret itself")
    if not _roles(people) or not people:
        raise InvalidArgument(f"{key}.people: expected a list of the people it may speak for")
    return Webhook(secret, tuple(cast("list[str]", people)))


def read(file: str, tables: Mapping[str, object]) -> Mapping[str, Asking]:
    """The section by kind. Raises `InvalidArgument` naming the key and what was expected."""
    return MappingProxyType({kind: _one(file, kind, table) for kind, table in tables.items()})


def _one(file: str, kind: str, given: object) -> Asking:
    key = f"{file}: escalations.{kind}"
    if kind not in _NAMES:
        raise InvalidArgument(f"{key}: unknown kind of question; known: {', '.join(_NAMES)}")
    if not isinstance(given, dict):
        raise InvalidArgument(f"{key}: expected a table")
    table = cast("dict[str, object]", given)
    for name in table:
        if name not in KEYS:
            raise InvalidArgument(f"{key}: unknown key {name}; known: {', '.join(KEYS)}")
    if kind == "approval" and ("to" in table or "then" in table):
        raise InvalidArgument(f"{key}: who approves is said by approvers of the constraint (constraints.ID.approvers)")
    then = table.get("then")
    if then is not None and not _roles(then):
        raise InvalidArgument(f"{key}.then: expected a list of roles")
    for name in ("to", *TIMERS):
        if not isinstance(table.get(name, ""), str):
            raise InvalidArgument(f"{key}.{name}: expected a string")
    timers = {name: cast("str", table.get(name, "")) for name in TIMERS}
    for name, value in timers.items():
        try:
            if value and seconds(value) <= 0:
                raise ValueError("expected more than nothing")
        except ValueError as error:
            raise InvalidArgument(f"{key}.{name}: {error}") from error
    roles = None if then is None else tuple(cast("list[str]", then))
    return Asking(cast("str", table.get("to", "")), roles, timers["escalate_after"], timers["expires_after"])


def _roles(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(role, str) and role for role in cast("list[object]", value))
