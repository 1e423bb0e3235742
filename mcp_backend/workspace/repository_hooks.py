"""Hooks of the repository (githooks(5)), run in the fence: what they print is kept, what they change is seen.

Git itself runs none of them here. A hook sees the commit that is planned: an index and objects of its own, in which
what other people changed and did not commit does not show.
"""

import os
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mcp_backend.errors import FailedPrecondition
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import childenv, terminal
from mcp_backend.workspace.fence.around import around
from mcp_backend.workspace.git import Repository
from mcp_backend.workspace.terminal import Ended

SECONDS = 900.0
SHOWN = 3000
"""Characters of what a hook printed, its end."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A hook that ended well: its name and the paths of the work tree it changed."""

    name: str
    changed: tuple[str, ...]


def folder(repository: Repository) -> Path:
    """Where the hooks lie: `core.hooksPath` of whoever works here, or the git directory."""
    configured = repository.passed.get("core.hookspath")
    return repository.root / os.path.expanduser(configured) if configured else repository.common_dir / "hooks"


def program(repository: Repository, name: str) -> Path | None:
    """The hook of that name, where there is one that git would run."""
    path = folder(repository) / name
    return path if path.is_file() and os.access(path, os.X_OK) else None


async def run(
    workspace: Workspace,
    policy: Policy,
    repository: Repository,
    name: str,
    arguments: Sequence[str] = (),
    *,
    given: bytes = b"",
    extra: Mapping[str, str] | None = None,
    shared: Sequence[Path] = (),
) -> Ran | None:
    """Runs a hook in the fence, if there is one. `shared` are folders it may write besides.

    Raises `FailedPrecondition` with what it printed when it refuses, or when something it did was taken back.
    """
    path = program(repository, name)
    if path is None:
        return None
    environment = {**childenv.for_commands(workspace.root, os.environ, policy.sandbox.environment), **(extra or {})}
    async with around(workspace, policy, cwd=workspace.root, shared=shared) as inside:
        ended = await terminal.run(
            (str(path), *arguments), workspace, inside, cwd=workspace.root, environment=environment,
            seconds=SECONDS, given=given, told=_unheard,
        )  # fmt: skip
        if not ended.timed_out:
            inside.confirm()
    if ended.timed_out:
        raise FailedPrecondition(f"the hook {name} did not end within {SECONDS:.0f} s; nothing was done")
    taken = "".join(f"; {item.path} ({item.owner}): {item.what}" for item in inside.refused[:5])
    if ended.exit_code or taken:
        raise FailedPrecondition(
            f"the hook {name} of the repository refused (exit code {ended.exit_code}){taken}; nothing was done. Do "
            f"what it asks for, then repeat this call. It printed:\n{_printed(ended)}",
            details={"hook": name, "exit_code": ended.exit_code, "changed": [*inside.changed[:50]]},
        )
    return Ran(name, inside.changed)


async def _unheard(seconds: float, line: str) -> None:
    """Hooks are quick; nobody is told how far they are."""


def _printed(ended: Ended) -> str:
    words = "\n".join(part.text.strip() for part in (ended.stdout, ended.stderr) if part.text.strip())
    return words[-SHOWN:] or "nothing"


@asynccontextmanager
async def scratch() -> AsyncGenerator[Path]:
    """A folder that a hook may write, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mb-", ignore_cleanup_errors=True) as place:
        yield Path(place).resolve()
