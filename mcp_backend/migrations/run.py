"""What one call of run_migration carries along."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.errors import Json
from mcp_backend.migrations.failures import Left
from mcp_backend.migrations.model import File, History, Step, Tool
from mcp_backend.migrations.statements import Statement
from mcp_backend.migrations.wiretap.observed import Observed

TURN_SECONDS = 30.0
LONG_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what may take, in seconds. `lock`: one wait for a lock; `deadline`: all tries of one transaction to get
    its locks; `turn`: for other servers to finish their migrations; `long`: the age from which a transaction that is
    in the way is not waited for at all."""

    lock: float = 0.5
    statement: float = 900.0
    deadline: float = 30.0
    turn: float = field(default_factory=lambda: TURN_SECONDS)
    long: float = field(default_factory=lambda: LONG_SECONDS)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What planning read: the steps, and the history and version of the world they were planned for. For a tool with
    a program of its own, `todo` are the files that are to run and `observed` what they did on a shadow."""

    steps: tuple[Step, ...]
    history: History
    version: str
    folder: Path
    tool: Tool
    root: Path
    files: tuple[File, ...]
    todo: tuple[File, ...] = ()
    observed: Observed | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """One applied step. Times in milliseconds."""

    version: str
    name: str
    elapsed_ms: float


@dataclass(slots=True)
class Run:
    """One call while it runs. `unsafe` tells that a commit is on its way, so that its outcome may become unknown.
    `noting` tells whether notes can be left on the history table, `noted` how many statements of the current step are
    known to have taken effect."""

    engine: Postgresql
    limits: Limits
    prepared: Prepared
    done: list[Done] = field(default_factory=list[Done])
    waited_ms: float = 0
    unsafe: bool = False
    statement: Statement | None = None
    noting: bool = False
    noted: int = 0

    def left(self, about: str, invalid: tuple[str, ...] = ()) -> Left:
        """What a failure now leaves behind."""
        return Left(tuple(done.version for done in self.done), about, invalid)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A call that did all it was asked to do."""

    done: tuple[Done, ...]
    version_after: str
    waited_ms: float
    difference: tuple[str, ...]
    preflight: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    note: str = ""


Progress: TypeAlias = Callable[[float, float | None, str], Awaitable[None]]
