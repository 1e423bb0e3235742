"""What a promise is, what a guard says about it, and when a changed promise is a looser one. Standard library only."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from mcp_backend.records import dataclass, field

Outcome: TypeAlias = Literal["allow", "warn", "approve", "deny"]
STRICTNESS: Mapping[str, int] = MappingProxyType({"allow": 0, "warn": 1, "approve": 2, "deny": 3})
Environment: TypeAlias = Literal["development", "staging", "production"]
ENVIRONMENTS: tuple[Environment, ...] = ("development", "staging", "production")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guard says about one action. `step` names what is missing when doing it makes the call right."""

    outcome: Outcome
    constraint: str
    reason: str
    remedy: str = ""
    step: str = ""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A promise of the persona, in its own words, and the guard that keeps it.

    `source` is the sentence of the persona it comes from, word for word; a promise that comes from none says
    `because` instead. `guard` is a name in `GUARDS`, empty while no guard keeps the promise; `planned` says what is
    still to come. `environments` empty means all. `escalate` is the kind of escalation a refusal leads to,
    `approvers` the roles that may answer it, `channels` the ways in which they may (empty: all).
    """

    id: str
    statement: str
    guard: str = ""
    outcome: Outcome = "deny"
    source: str = ""
    because: str = ""
    planned: str = ""
    owner: str = ""
    escalate: str = ""
    approvers: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    expires: str = "4h"
    parameters: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    disabled_because: str = ""

    @property
    def status(self) -> str:
        """`kept` by a guard, `partly kept` while something is planned, `not yet kept` without a guard, `switched off`
        by the policy of the repository."""
        if self.outcome == "allow":
            return "switched off"
        if not self.guard:
            return "not yet kept"
        return "partly kept" if self.planned else "kept"

    def verdict(self, reason: str, remedy: str = "", *, step: str = "") -> Verdict:
        """What a guard says of an action that this promise is about: its outcome, and why."""
        return Verdict(self.outcome, self.id, reason, remedy, step)


@dataclass(frozen=True, slots=True)
class Promises:
    """The constraints of a policy alone: all that judging asks it for."""

    constraints: tuple[Constraint, ...] = ()

    def constraint(self, identifier: str) -> Constraint | None:
        """The constraint of that id, if there is one."""
        return next((c for c in self.constraints if c.id == identifier), None)


_SECONDS = MappingProxyType({"s": 1, "m": 60, "h": 3600, "d": 86400})


def seconds(duration: str) -> float:
    """`90s`, `15m`, `4h` or `7d` in seconds. Raises `ValueError` for anything else."""
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", duration)
    if not match:
        raise ValueError(f"expected a duration such as 90s, 15m, 4h or 7d, got {duration!r}")
    return int(match[1]) * _SECONDS[match[2]]


def looser(promise: Constraint, changed: Constraint) -> bool:
    """Whether `changed` asks for less than `promise` in any respect."""
    return (
        STRICTNESS[changed.outcome] < STRICTNESS[promise.outcome]
        or not _covers(changed.environments, promise.environments)
        or not _covers(promise.channels, changed.channels)
        or seconds(changed.expires) > seconds(promise.expires)
        or _unlike(promise.parameters, changed.parameters)
    )


def _unlike(promised: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether parameters differ from what was promised; a list of protected `branches` may grow, and a
    `justification` may ask for a `decision`."""
    grown = set(promised.get("branches", "-")) <= set(now.get("branches", ""))
    tighter = {"branches"} if grown else set[str]()
    tighter |= {"justification"} if now.get("justification") == "decision" else set()
    return any(promised.get(key) != now[key] and key not in tighter for key in now)


def _covers(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    """Whether everything in `narrow` is in `wide`; an empty list stands for everything."""
    return not wide or (bool(narrow) and set(narrow) <= set(wide))
