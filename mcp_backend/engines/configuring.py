"""What configure_messaging needs of a messaging system, whichever it is."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mcp_backend.errors import InvalidArgument, Json
from mcp_backend.policy import EngineSettings

if TYPE_CHECKING:
    from mcp_backend.engines import Engines

Verb = Literal["set", "delete", "purge", "reset"]
_UNITS = {"ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One change as it is asked for. `config` is partial: what it leaves out stays as it is."""

    kind: str
    name: str
    of: str = ""
    verb: Verb = "set"
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        return f"{self.verb} {self.kind} {f'{self.of}/' if self.of else ''}{self.name}"


@dataclass(frozen=True, slots=True)
class Planned:
    """One change over what is there. `live` is what it was planned on, raw, and `desired` what is sent.

    `destroys` says in words what is lost by it, empty for nothing; `hazards` are risky but lose nothing by themselves.
    """

    wanted: Wanted
    exists: bool
    diff: Mapping[str, tuple[Json, Json]]
    live: Any = None
    desired: Any = None
    destroys: str = ""
    hazards: tuple[tuple[str, str], ...] = ()
    impact: Mapping[str, Json] = field(default_factory=dict[str, Json])
    at: Any = None
    """Of what is live, all that has to be the same when the change is made."""

    @property
    def nothing(self) -> bool:
        """Whether everything is as it is wanted already."""
        return self.wanted.verb == "set" and self.exists and not self.diff

    def shown(self) -> dict[str, Json]:
        """The change as people and models read it."""
        wanted = self.wanted
        entry: dict[str, Json] = {"kind": wanted.kind, "name": wanted.name}
        if wanted.of:
            entry["of"] = wanted.of
        entry |= {"action": wanted.verb if self.exists or wanted.verb != "set" else "create"}
        if self.nothing:
            return entry | {"action": "none"}
        if self.diff:
            entry["diff"] = {name: [before, after] for name, (before, after) in self.diff.items()}
        if self.destroys:
            entry["destroys"] = self.destroys
        if self.hazards:
            entry["hazards"] = [{"id": identifier, "reason": reason} for identifier, reason in self.hazards]
        if self.impact:
            entry["impact"] = {**self.impact}
        return entry

    def text(self) -> str:
        """Exactly what is judged and approved. What is there is not in it: that is what the version names."""
        return json.dumps([str(self.wanted), {**self.wanted.config}], sort_keys=True, ensure_ascii=False)


class Configurer(Protocol):
    """One engine, for one call."""

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        ...

    async def plan(self, wanted: Wanted) -> Planned:
        """What the change would do to what is there. Raises `InvalidArgument`, `NotFound`, `Unavailable`."""
        ...

    async def apply(self, planned: Planned) -> dict[str, Json]:
        """Makes the change, looks whether it came about, and says what it found.

        Raises `Aborted` when what is there is not what was planned on, `OutcomeUnknown`, `FailedPrecondition` when the
        server refuses.
        """
        ...


def version(planned: Sequence[Planned]) -> str:
    """Names the state that the changes were planned on: what was live of everything they touch."""
    live = json.dumps([[str(p.wanted), p.at] for p in planned], sort_keys=True, default=str)
    return hashlib.sha256(live.encode()).hexdigest()[:16]


def nanoseconds(field_: str, value: Any) -> Any:
    """`"90s"`, `"15m"`, `"7d"` as nanoseconds; a number is nanoseconds already. Raises `InvalidArgument`, also for a
    number below a millisecond, which was meant in another unit."""
    if isinstance(value, int) and 0 < value < _UNITS["ms"]:
        raise InvalidArgument(f'{field_}: a number is nanoseconds; write the unit, such as "{value}s" or "{value}d"')
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value)
        if not found:
            raise InvalidArgument(f'{field_}: expected a duration such as "90s", "15m" or "7d", or nanoseconds')
        return int(float(found[1]) * _UNITS[found[2]])
    return value


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Json, Json]]:
    """The fields that are not the same, with both values."""
    names = sorted(before.keys() | after.keys())
    return {n: (before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)}


def configurer(engines: "Engines", name: str | None) -> Configurer:
    """The configurer of the engine of that name, or of the only messaging engine."""
    from mcp_backend.engines.publishing import KINDS

    kind = engines.choose(name, KINDS).kind
    if kind == "redis":
        from mcp_backend.engines.redis_configure import RedisConfigurer

        return RedisConfigurer(engines.redis(name))
    if kind == "kafka":
        from mcp_backend.engines.kafka_configure import KafkaConfigurer

        return KafkaConfigurer(engines.kafka(name))
    from mcp_backend.engines.nats_configure import NatsConfigurer

    return NatsConfigurer(engines.nats(name))
