"""The one writer of files in a workspace: whole or not at all, and only over what it was told is there.

The new content is finished beside its place (placing.py), then takes the place in one step that hands back what was
there: content nobody has judged is put back instead of being lost, and a new file never replaces one that came
meanwhile. Servers of a workspace take turns by a lock in its state folder; an editor that knows no lock loses nothing
either.
"""

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcp_backend.errors import Aborted, BackendError, FailedPrecondition, InvalidArgument, Unavailable
from mcp_backend.settings import Workspace, private
from mcp_backend.workspace import beneath, placing, reading

LOCK_SECONDS = 20.0
PAUSE_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Target:
    """One place to write to, as it was when it was looked at; `before` is `None` where there was no file."""

    workspace: Workspace
    path: str
    before: bytes | None
    state: os.stat_result | None = None

    @property
    def sha256(self) -> str | None:
        """Hex SHA-256 of what was there."""
        return None if self.before is None else hashlib.sha256(self.before).hexdigest()


def look(workspace: Workspace, path: str) -> Target:
    """What is at a path from `naming.writable` now.

    Raises `InvalidArgument` for links on the way, folders, devices, files with several names and files over 50 MB,
    `FailedPrecondition` for files this server's user may not write.
    """
    with beneath.opened(beneath.root(workspace.root)) as base:
        try:
            data, state = _present(base, path)
        except FileNotFoundError:
            return Target(workspace, path, None)
        except OSError as error:
            raise _refused(base, path, error) from error
    return Target(workspace, path, data, state)


def write(target: Target, data: bytes) -> None:
    """Puts exactly these bytes in the place, with the permissions and, where this user may, the owner of what was
    there. Missing folders are created.

    Raises `Aborted` when the place is not as it was looked at: changed, gone, replaced by a link, or its folder moved;
    then nothing is changed. `Unavailable` when the disk is full or the lock is not to be had.
    """
    folder, name = os.path.split(target.path)
    with beneath.opened(beneath.root(target.workspace.root)) as base:
        try:
            with (
                beneath.opened(beneath.folder_at(base, folder)) as parent,
                placing.draft(parent, data, target.state) as draft,
                _turn(target.workspace.state),
            ):
                _check(base, target)
                _still_there(base, folder, parent)
                _place(target, draft, name)
                try:
                    _still_there(base, folder, parent)
                except Aborted:
                    draft.take_back()
                    raise
        except OSError as error:
            raise _failed(target.path, error) from error


def _place(target: Target, draft: placing.Draft, name: str) -> None:
    if target.before is None:
        try:
            draft.create(name)
        except FileExistsError as error:
            raise Aborted(f"path: {target.path} was created by somebody else meanwhile; read it first") from error
        return
    if not draft.exchange(name):
        return
    judged = False
    try:
        with beneath.opened(draft.replaced()) as old:
            judged = reading.regular(target.path, old, os.fstat(old)) == target.before
    finally:
        if not judged:
            draft.take_back()
    if not judged:
        raise _changed(target)


def _check(base: int, target: Target) -> None:
    """That the file is as it was looked at."""
    try:
        now, _ = _present(base, target.path)
    except FileNotFoundError:
        if target.before is None:
            return
        raise Aborted(f"path: {target.path} was deleted meanwhile; look at it again") from None
    if now != target.before:
        raise _changed(target)


def _changed(target: Target) -> Aborted:
    return Aborted(
        f"path: {target.path} was changed by somebody else meanwhile, nothing was written; read it and plan the change "
        "anew"
    )


def _still_there(base: int, folder: str, parent: int) -> None:
    """That the folder we hold is what its path leads to: it can be moved, or a link put in its place, at any time."""
    try:
        with beneath.opened(beneath.open_at(base, folder, beneath.FOLDER)) as now:
            same = beneath.identity(now) == beneath.identity(parent)
    except OSError:
        same = False
    if not same:
        raise Aborted(f"path: the folder {folder or '.'} was moved or replaced meanwhile; look at it again")


def _present(base: int, path: str) -> tuple[bytes, os.stat_result]:
    """The file that may be replaced. Raises `OSError` when it cannot be opened, `BackendError` when it may not be."""
    with beneath.opened(beneath.open_at(base, path, getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK))) as found:
        state = os.fstat(found)
    if stat.S_ISREG(state.st_mode) and state.st_nlink > 1:
        raise InvalidArgument(
            f"path: {path} has {state.st_nlink} hard links: its content is also another file's. Write to a new path, "
            "or ask a person to separate them"
        )
    if not stat.S_ISREG(state.st_mode):
        return reading.regular(path, -1, state), state
    if not state.st_mode & 0o222 or not os.access(path, os.W_OK, dir_fd=base, effective_ids=True):
        raise FailedPrecondition(
            f"path: {path} is read-only for this server's user ({state.st_mode & 0o777:04o}); a person changes that"
        )
    with beneath.opened(beneath.open_at(base, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)) as descriptor:
        now = os.fstat(descriptor)
        return reading.regular(path, descriptor, now), now


def _refused(base: int, path: str, error: OSError) -> BackendError:
    """What a path that cannot be opened means for whoever named it."""
    if error.errno == errno.ELOOP and (link := beneath.first_link(base, path)):
        return InvalidArgument(
            f"path: {link[0]} is a symbolic link (to {link[1][:120]!r}); links are not written through, name the real "
            "file"
        )
    if error.errno == errno.ENOTDIR:
        return InvalidArgument(f"path: a part of {path} is a file, not a folder")
    return _failed(path, error)


def _failed(path: str, error: OSError) -> BackendError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return Unavailable(f"the disk: {error.strerror}. Nothing of {path} was written")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return FailedPrecondition(f"path: {path} cannot be written by this server's user: {error.strerror}")
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.EXDEV):
        return Aborted(f"path: a part of {path} was moved or replaced by a link meanwhile; look at it again")
    return InvalidArgument(f"path: {path} cannot be written: {error.strerror}")


@contextmanager
def _turn(state: Path) -> Generator[None]:
    """This writer's turn among all servers of the workspace. The kernel ends the turn of a process that dies."""
    descriptor = os.open(private(state) / "writing.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with beneath.opened(descriptor):
        deadline = time.monotonic() + LOCK_SECONDS
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"another server of this workspace has been writing for {LOCK_SECONDS:.0f} s; nothing was written. "
                    "Try again"
                )
            time.sleep(PAUSE_SECONDS)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
