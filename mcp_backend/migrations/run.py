"""What one call of run_migration carries along."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.migrations.failures import Left
from mcp_backend.migrations.history import History
from mcp_backend.migrations.statements import Statement
from mcp_backend.migrations.steps import Step

TURN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what may take, in seconds. `turn`: for other servers to finish their migrations."""

    lock: float = 1.0
    statement: float = 900.0
    attempts: int = 5
    turn: float = field(default_factory=lambda: TURN_SECONDS)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What planning read: the steps, and the history and version of the world they were planned for."""

    steps: tuple[Step, ...]
    history: History
    table: str
    version: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Done:
    """One applied step. Times in milliseconds."""

    version: str
    name: str
    elapsed_ms: float


@dataclass(slots=True)
class Run:
    """One call while it runs. `unsafe` tells that a commit is on its way, so that its outcome may become unknown."""

    engine: Postgresql
    limits: Limits
    prepared: Prepared
    done: list[Done] = field(default_factory=list[Done])
    waited_ms: float = 0
    unsafe: bool = False
    statement: Statement | None = None

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


Progress: TypeAlias = Callable[[float, float | None, str], Awaitable[None]]
