"""Bringing a finished file to its name in one step, inside a folder that is held open.

The file is written under no name (`O_TMPFILE`), so that a process that dies leaves nothing behind, and replaces another
by `RENAME_EXCHANGE`, so that what it replaced can be looked at and put back. Where a file system has neither, a name of
its own and a plain rename do.
https://man7.org/linux/man-pages/man2/open.2.html, https://man7.org/linux/man-pages/man2/rename.2.html
"""

import ctypes
import errno
import os
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, cast

from mcp_backend.errors import OutcomeUnknown
from mcp_backend.workspace import beneath

_NOREPLACE, _EXCHANGE = 1, 2
_UNNAMED = getattr(os, "O_TMPFILE", 0)
_NOT_HERE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""How file systems and kernels answer to what they do not know."""


class Draft:
    """A finished file in a folder, on its way to a place there."""

    def __init__(self, folder: int, descriptor: int, own: str | None) -> None:
        self._folder, self._descriptor = folder, descriptor
        self.own = own
        """The name beside the place: the draft's, or after `exchange` that of what was replaced."""
        self._placed: str | None = None
        self._exchanged = False

    def create(self, name: str) -> None:
        """Takes a place where nothing is. Raises `FileExistsError` when something is."""
        if self.own is None:
            self._link(name)
        else:
            try:
                os.link(self.own, name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=False)
            except PermissionError:  # No hard links on this file system.
                _rename(self._folder, self.own, name, _NOREPLACE)
                self.own = None
        self._placed = name

    def exchange(self, name: str) -> bool:
        """Takes the place of a file. `False` where the file system can only replace: then what was there is gone."""
        if self.own is None:
            own = f".{name[:60]}.{secrets.token_hex(6)}~"
            self._link(own)
            self.own = own
        try:
            _rename(self._folder, self.own, name, _EXCHANGE)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            os.rename(self.own, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self.own = None
            return False
        self._placed, self._exchanged = name, True
        return True

    def replaced(self) -> int:
        """What `exchange` took the place of, opened for reading. Raises `OSError` where it is no file."""
        assert self.own is not None, "nothing was exchanged"
        return beneath.open_at(self._folder, self.own, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)

    def take_back(self) -> None:
        """Undoes `create` or `exchange`. What somebody else put in the place meanwhile is kept beside it.

        Raises `OutcomeUnknown` then, naming the file.
        """
        placed, self._placed = self._placed, None
        if placed is None:
            return
        if not self._exchanged:
            if self._is_draft(placed):
                os.unlink(placed, dir_fd=self._folder)
            return
        assert self.own is not None, "exchanged under its own name"
        _rename(self._folder, self.own, placed, _EXCHANGE)
        if not self._is_draft(self.own):
            kept, self.own = self.own, None
            raise OutcomeUnknown(
                f"three writers met at {placed}: it has its earlier content, the newest is kept beside it as {kept}; a "
                "person compares them"
            )

    def _is_draft(self, name: str) -> bool:
        try:
            found = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == beneath.identity(self._descriptor)

    def _link(self, name: str) -> None:
        os.link(f"/proc/self/fd/{self._descriptor}", name, dst_dir_fd=self._folder, follow_symlinks=True)


@contextmanager
def draft(folder: int, data: bytes, like: os.stat_result | None) -> Generator[Draft]:
    """A file with this content, on the disk, with the owner and permissions of `like`. At the end it is gone unless it
    took a place, and so is what it took the place of. Raises `OSError`."""
    descriptor, own = _new(folder, 0o666 if like is None else 0o600)
    made = Draft(folder, descriptor, own)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if like is not None:
            _resemble(descriptor, like)
        os.fsync(descriptor)
        yield made
    finally:
        os.close(descriptor)
        if made.own is not None:
            with suppress(FileNotFoundError):
                os.unlink(made.own, dir_fd=folder)


def _new(folder: int, mode: int) -> tuple[int, str | None]:
    if _UNNAMED and os.path.isdir("/proc/self/fd"):
        try:
            return os.open(".", _UNNAMED | os.O_WRONLY | os.O_CLOEXEC, mode, dir_fd=folder), None
        except OSError as error:
            if error.errno not in (*_NOT_HERE, errno.EISDIR, errno.ENOENT):
                raise
    own = f".mcp-backend-{secrets.token_hex(8)}~"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(own, flags, mode, dir_fd=folder), own


def _resemble(descriptor: int, like: os.stat_result) -> None:
    """Owner and permissions of another file, as far as this user may give them. Set-id bits are left out, as the
    kernel does for every write."""
    for owner in (like.st_uid, -1):
        with suppress(PermissionError):
            os.fchown(descriptor, owner, like.st_gid)
            break
    os.fchmod(descriptor, like.st_mode & 0o777)


def _rename(folder: int, source: str, target: str, flags: int) -> None:
    """renameat2 inside one folder. Raises `OSError`; `ENOSYS` where there is no such call."""
    call = _renameat2()
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), target)
    if call(folder, os.fsencode(source), folder, os.fsencode(target), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


@cache
def _renameat2() -> Callable[..., int] | None:
    call: Any = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    call.restype = ctypes.c_int
    return cast("Callable[..., int]", call)
