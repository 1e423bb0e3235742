"""Which migrations come next, from the files of a folder and the versions in the history. Pure functions.

Order is the order in which the tool takes the files. A pending migration that sorts before one that is applied never
runs by itself, because it was not tested in that order: it has to be named, or cannot run where its tool refuses it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcp_backend.actions import listed
from mcp_backend.errors import FailedPrecondition, NotFound
from mcp_backend.migrations.files import number
from mcp_backend.migrations.model import File

SHOWN = 10


@dataclass(frozen=True, slots=True)
class State:
    """Files against history. `missing` are versions of the history that no file has; `late` are the pending files
    that sort before something applied."""

    applied: tuple[File, ...]
    pending: tuple[File, ...]
    missing: tuple[str, ...]
    late: tuple[File, ...]
    key: Callable[[str], Any] = number

    @property
    def newest(self) -> str | None:
        """The newest applied version, with or without a file."""
        return newest((*(file.version for file in self.applied if not file.repeatable), *self.missing), self.key)


def state(files: tuple[File, ...], history: tuple[str, ...], key: Callable[[str], Any] = number) -> State:
    """What is applied and what is not. `key` sorts versions as the tool does."""
    done = frozenset(history)
    applied = tuple(file for file in files if file.version in done)
    pending = tuple(file for file in files if file.version not in done)
    missing = tuple(sorted(done - {file.version for file in files}, key=key))
    versioned = tuple(file for file in files if not file.repeatable)
    last = max((index for index, file in enumerate(versioned) if file.version in done), default=-1)
    late = tuple(
        file for index, file in enumerate(versioned)
        if file.version not in done and (index < last or (missing and key(file.version) < key(missing[-1])))
    )  # fmt: skip
    return State(applied, pending, missing, late, key)


def newest(versions: tuple[str, ...], key: Callable[[str], Any] = number) -> str | None:
    """The greatest version, or None of none."""
    return max(versions, key=key, default=None)


def meant(files: tuple[File, ...], given: str | None) -> str | None:
    """The version of the file that is called like this: by version, by version and name, by its file or its path; what
    was given where that is none, or several."""
    if given is None or any(file.version == given for file in files):
        return given
    named = {f.version for f in files if given in (f"{f.version}_{f.name}", f.path.name, f.path.stem, f.where, f.name)}
    return named.pop() if len(named) == 1 else given


def up(state: State, version: str | None, never: str = "") -> tuple[File, ...]:
    """The migrations to apply: all that are pending, or the one named; none when there is nothing to do. `never` is
    the tool that refuses a migration out of order, if it does.

    Raises `NotFound` for an unknown version, `FailedPrecondition` when the order would be broken.
    """
    version = meant((*state.applied, *state.pending), version)
    if state.late and never:
        raise FailedPrecondition(
            f"{_list(state.late)}: pending, but {_before(state)}; {never} does not apply it after that. If it was "
            "applied nowhere, give it a newer version"
        )
    if version is None:
        if state.late:
            raise FailedPrecondition(
                f"{_list(state.late)}: pending, but {_before(state)}; it was never tested after that. If it was "
                "applied nowhere, rename it to a newer version; to apply it as it is, name it: "
                f'version="{state.late[0].version}"'
            )
        return state.pending
    if any(file.version == version for file in state.applied) or version in state.missing:
        return ()
    if state.pending and state.pending[0].version == version:
        return state.pending[:1]
    if any(file.version == version for file in state.pending):
        raise FailedPrecondition(f"{state.pending[0].where} is pending before {version}: apply it first")
    raise NotFound(f"version: no migration {version}; pending: {_list(state.pending) or 'none'}")


def down(state: State, version: str | None) -> File:
    """The migration to take back: the newest applied. Raises `NotFound` or `FailedPrecondition` otherwise."""
    newest = state.newest
    version = meant((*state.applied, *state.pending), version)
    if any(file.repeatable and file.version == version for file in (*state.applied, *state.pending)):
        raise FailedPrecondition(f"{version} is repeatable: change its text and apply it again instead")
    if newest is None:
        raise FailedPrecondition("no migration is applied, so none can be taken back")
    if version is not None and version != newest:
        if (
            not any(version == file.version for file in (*state.applied, *state.pending))
            and version not in state.missing
        ):
            raise NotFound(f"version: no migration {version}; the newest applied is {newest}")
        raise FailedPrecondition(
            f"only the newest applied migration can be taken back: that is {newest}, not {version}"
        )
    file = next((file for file in state.applied if file.version == newest), None)
    if file is None:
        raise FailedPrecondition(
            f"the newest applied migration {newest} has no file here: get the file (from another branch?) first"
        )
    return file


def _before(state: State) -> str:
    if state.newest in state.missing:
        return f"the history has {state.newest}, which has no file here (another branch?)"
    newest = next(file for file in reversed(state.applied) if not file.repeatable)
    return f"{newest.where} is applied"


def _list(files: tuple[File, ...]) -> str:
    return listed([file.where for file in files], SHOWN)
