"""A note beside the workspace while a migration program runs, so that the next run can say what a killed one left."""

import json
import os
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from mcp_backend.errors import Json
from mcp_backend.migrations.run import Prepared
from mcp_backend.settings import Workspace, private

_RUNNING: set[Path] = set()
"""Notes of runs of this process that go on now."""


@contextmanager
def noted(workspace: Workspace, engine: str, prepared: Prepared) -> Generator[None]:
    """Notes that a run begins, and in what world, until `end` is called."""
    place = _place(workspace, engine)
    _RUNNING.add(place)
    try:
        _begin(place, prepared)
        yield
    finally:
        _RUNNING.discard(place)


def _begin(place: Path, prepared: Prepared) -> None:
    todo = list(prepared.observed.applied) if prepared.observed else []
    note = {
        "began": datetime.now(UTC).isoformat(timespec="seconds"), "pid": os.getpid(), "todo": todo,
        "direction": prepared.observed.direction if prepared.observed else "up", "at_version": prepared.version,
    }  # fmt: skip
    part = place.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(note))
    part.replace(place)


def end(workspace: Workspace, engine: str) -> None:
    """Takes the note away: how the run ended is known."""
    _place(workspace, engine).unlink(missing_ok=True)


def found(workspace: Workspace, engine: str, applied: Collection[str], at_version: str) -> dict[str, Json] | None:
    """What an earlier run that never ended left, by the history and the schema as they are; None without one."""
    try:
        note = cast("Mapping[str, Any]", json.loads(_place(workspace, engine).read_text()))
        todo, before = [str(version) for version in note["todo"]], str(note["at_version"])
        up, pid = note["direction"] == "up", int(note["pid"])
        began = str(note["began"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if _place(workspace, engine) in _RUNNING or (pid != os.getpid() and _alive(pid)):
        return None
    done = [version for version in todo if (version in applied) == up]
    left = [version for version in todo if version not in done]
    same = before.partition("@")[0] == at_version.partition("@")[0]
    told = (
        "the schema is what it was before it: nothing of it took effect" if same and not done
        else "by the history all of it took effect" if not left
        else "by the history it took effect in part; what is left is planned from what is there now" if done
        else "the schema is another one than before it, though the history records none of it: a migration that does "
        "not run in one transaction stopped half-way, or somebody else changed the schema. Look at both before going on"
    )  # fmt: skip
    return {
        "began": began, "took_effect": list[Json](done), "did_not": list[Json](left), "schema_as_before": same,
        "found": told,
    }  # fmt: skip


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _place(workspace: Workspace, engine: str) -> Path:
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in engine)
    return private(private(workspace.state) / "migrating") / f"{safe}.json"
