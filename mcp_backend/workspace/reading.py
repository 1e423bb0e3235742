"""Reading a file of the workspace: never outside it, never a device, links only where they stay inside."""

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mcp_backend.errors import FailedPrecondition, InvalidArgument, NotFound
from mcp_backend.settings import Workspace
from mcp_backend.workspace import beneath, listing

LARGEST = 50_000_000
"""Bytes. More than that is data, not something to read or to edit."""
ENTRIES = 500
NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Content:
    """One file as it was read. `path` is where it really is: a link that stays inside the workspace leads there."""

    path: str
    data: bytes
    state: os.stat_result

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the whole file."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Folder:
    """What lies directly in a folder: sorted names, those of folders with a `/` at the end."""

    path: str
    entries: tuple[str, ...]
    total: int


def look(workspace: Workspace, path: str) -> Content | Folder:
    """The file or folder at a path from `naming.readable`.

    Raises `NotFound` naming what is near, `InvalidArgument` for a link out of the workspace, a device and the like, or
    a file over 50 MB, `FailedPrecondition` where the user may not read it.
    """
    with beneath.opened(beneath.root(workspace.root)) as base:
        try:
            real, descriptor = _followed(base, workspace.root, path)
        except FileNotFoundError as error:
            raise missing(workspace, path) from error
        except NotADirectoryError as error:
            raise NotFound(f"path: {path}: a file is where that path needs a folder") from error
        except OSError as error:
            raise unreadable(path, error) from error
        with beneath.opened(descriptor):
            state = os.fstat(descriptor)
            if stat.S_ISDIR(state.st_mode):
                return _folder(real, descriptor)
            return Content(real, regular(path, descriptor, state), state)


def regular(path: str, descriptor: int, state: os.stat_result) -> bytes:
    """The bytes of an open file. Raises `InvalidArgument` where it is no regular one or too large."""
    if not stat.S_ISREG(state.st_mode):
        raise InvalidArgument(f"path: {path} is a {_kind(state.st_mode)}, not a file")
    if state.st_size > LARGEST:
        raise InvalidArgument(
            f"path: {path} has {state.st_size / 1e6:.0f} MB; at most {LARGEST / 1e6:.0f} MB are read. search_code "
            "finds lines in it"
        )
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(LARGEST + 1)


def unreadable(path: str, error: OSError) -> InvalidArgument | FailedPrecondition:
    """What a failure to open means for the caller."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return FailedPrecondition(f"path: {path} cannot be opened by this server's user; a person changes that")
    return InvalidArgument(f"path: {path} cannot be opened: {error.strerror}")


def missing(workspace: Workspace, path: str) -> NotFound:
    """That there is no such file, with what is like it: in its folder, or of the same name elsewhere."""
    folder, _, name = path.rpartition("/")
    files = listing.files(workspace)
    beside = [file for file in files if file.rpartition("/")[0] == folder]
    names = get_close_matches(name, [file.rpartition("/")[2] for file in beside], n=NEIGHBOURS, cutoff=0.5)
    near = [*(f"{folder}/{found}" if folder else found for found in names)]
    near += [file for file in files if file.rpartition("/")[2] == name][:NEIGHBOURS]
    known = f"; there is {', '.join(near[:NEIGHBOURS])}" if near else "; search_code finds what there is"
    return NotFound(f"path: no file {path} in the workspace{known}")


def _followed(base: int, root: Path, path: str) -> tuple[str, int]:
    """The file a path leads to, opened where it really is, so that no link on the way there is followed unseen."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
    try:
        return path, _opened(base, path, flags)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    target = os.path.realpath(root / path)
    prefix = str(root).rstrip("/") + "/"
    if not (target + "/").startswith(prefix):
        link = beneath.first_link(base, path) or (path, "")
        raise InvalidArgument(f"path: {link[0]} is a link to {link[1]!r}, outside the workspace")
    real = target.removeprefix(prefix.rstrip("/")).strip("/")
    return real, _opened(base, real, flags)


def _opened(base: int, path: str, flags: int) -> int:
    """Opens for reading, but no device: opening one may already do something."""
    with beneath.opened(beneath.open_at(base, path, getattr(os, "O_PATH", flags))) as found:
        mode = os.fstat(found).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InvalidArgument(f"path: {path} is a {_kind(mode)}, not a file")
    return beneath.open_at(base, path, flags)


def _folder(path: str, descriptor: int) -> Folder:
    with os.scandir(descriptor) as found:
        names = sorted(f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in found)
    return Folder(path, tuple(names[:ENTRIES]), len(names))


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device",
             stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "special file")
