"""What is said about a contract: a gap in it, a change of it, a deviation from it. The ids are a public vocabulary."""

import hashlib
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mcp_backend.errors import Json

Kind: TypeAlias = Literal["openapi", "protobuf", "graphql", "asyncapi"]
Severity: TypeAlias = Literal["block", "ask", "note"]
Level: TypeAlias = Literal["breaking", "risky", "safe"]
SEVERITIES: tuple[Severity, ...] = ("block", "ask", "note")
LEVELS: tuple[Level, ...] = ("breaking", "risky", "safe")


@dataclass(frozen=True, slots=True)
class Gap:
    """What an implementer would have to guess. `readings` are at least two ways to understand the specification;
    `block`: it cannot be implemented; `ask`: ask before implementing; `note`: worth knowing."""

    id: str
    where: str
    question: str
    readings: tuple[str, ...]
    severity: Severity
    accepted: str = ""
    """The reason people accepted it with, empty where they did not."""

    def key(self, spec: str) -> str:
        """The same as long as specification, id and place are, so that a gap can be accepted with a reason."""
        return hashlib.sha256(f"{spec}\0{self.id}\0{self.where}".encode()).hexdigest()[:10]

    def as_json(self, spec: str) -> dict[str, Json]:
        """The gap as results show it."""
        shown: dict[str, Json] = {
            "id": self.id,
            "where": self.where,
            "question": self.question,
            "readings": [*self.readings],
            "severity": self.severity,
            "key": self.key(spec),
        }
        return shown | ({"accepted": self.accepted} if self.accepted else {})


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two revisions of a contract, and the operations it reaches."""

    id: str
    level: Level
    where: str
    before: str = ""
    after: str = ""
    operations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deviation:
    """Where an implementation does not do what its contract says. `source` is who found it: routes, schema, probe,
    static, descriptor, introspection."""

    id: str
    kind: Literal["missing", "extra", "different"]
    where: str
    expected: str = ""
    actual: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Unverified:
    """What could not be checked, and why."""

    where: str
    why: str
