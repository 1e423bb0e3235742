"""One specification, read: its operations in a line each, its gaps, and any operation in full."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mcp_backend.contracts.words import Gap, Kind
from mcp_backend.errors import Json


@dataclass(frozen=True, slots=True)
class Line:
    """One operation in brief. `name` is what a caller asks for it by; `text` is what a search looks at."""

    name: str
    line: str
    group: str = ""
    text: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contract:
    """What a specification promises. `about` are facts of the whole; `detail` shows the operation of that name."""

    path: str
    kind: Kind
    version: str
    title: str
    operations: tuple[Line, ...]
    gaps: tuple[Gap, ...]
    detail: Callable[[str], dict[str, Json]]
    about: Mapping[str, Json] = field(default_factory=dict[str, Json])
    sources: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def named(self, name: str) -> Line | None:
        """The operation of that name, id or unambiguous last part."""
        wanted = " ".join(name.split())
        for line in self.operations:
            if wanted.lower() in (line.name.lower(), *(a.lower() for a in line.aliases)):
                return line
        ends = [o for o in self.operations if o.name.lower().endswith((f".{wanted.lower()}", f" {wanted.lower()}"))]
        return ends[0] if len(ends) == 1 else None
