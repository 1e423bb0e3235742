"""Which migrations come next, from the files of a folder and the versions in the history. Pure functions.

Order is the order of the file names, as in dbmate. Unlike dbmate without `--strict`, a pending migration that sorts
before one that is applied never runs by itself, because it was not tested in that order: it has to be named.
"""

from dataclasses import dataclass

from mcp_backend.errors import FailedPrecondition, NotFound
from mcp_backend.migrations.dbmate import File

SHOWN = 10


@dataclass(frozen=True, slots=True)
class State:
    """Files against history. `missing` are versions of the history that no file has; `late` are the pending files
    that sort before something applied."""

    applied: tuple[File, ...]
    pending: tuple[File, ...]
    missing: tuple[str, ...]
    late: tuple[File, ...]

    @property
    def newest(self) -> str | None:
        """The newest applied version, with or without a file."""
        return newest((*(file.version for file in self.applied[-1:]), *self.missing))


def state(files: tuple[File, ...], history: tuple[str, ...]) -> State:
    """What is applied and what is not."""
    done = frozenset(history)
    applied = tuple(file for file in files if file.version in done)
    pending = tuple(file for file in files if file.version not in done)
    missing = tuple(sorted(done - {file.version for file in files}, key=_number))
    last = files.index(applied[-1]) if applied else -1
    newest_missing = _number(missing[-1]) if missing else (-1, "")
    late = tuple(
        file for index, file in enumerate(files)
        if file.version not in done and (index < last or _number(file.version) < newest_missing)
    )  # fmt: skip
    return State(applied, pending, missing, late)


def newest(versions: tuple[str, ...]) -> str | None:
    """The greatest version, or None of none."""
    return max(versions, key=_number, default=None)


def _number(version: str) -> tuple[int, str]:
    """Orders versions as numbers of any length; what is no number comes first, because it says nothing."""
    digits = version.lstrip("0")
    return (len(digits) + 1, digits) if version.isascii() and version.isdigit() else (0, version)


def up(state: State, version: str | None) -> tuple[File, ...]:
    """The migrations to apply: all that are pending, or the one named; none when there is nothing to do.

    Raises `NotFound` for an unknown version, `FailedPrecondition` when the order would be broken.
    """
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
    return f"{state.applied[-1].where} is applied"


def _list(files: tuple[File, ...]) -> str:
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return ", ".join(file.where for file in files[:SHOWN]) + more
