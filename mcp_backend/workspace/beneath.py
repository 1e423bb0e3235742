"""Opening files below a folder so that nothing in between leads elsewhere: no link, no `..`, no magic link.

`openat2` lets the kernel refuse while it resolves, so no moment lies between looking and opening
(https://man7.org/linux/man-pages/man2/openat2.2.html). Where it is missing (Linux before 5.6, a seccomp filter, macOS),
each component is opened by itself with `O_NOFOLLOW`, which refuses the same.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeAlias

Identity: TypeAlias = tuple[int, int]
"""Device and inode: which file it is, whatever it is called."""

_OPENAT2 = 437
"""The number of the system call on every architecture of Linux but Alpha."""
_HOW = struct.Struct("QQQ")
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
FOLDER = os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)


@contextmanager
def opened(descriptor: int) -> Generator[int]:
    """The descriptor, closed at the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def root(folder: Path) -> int:
    """A descriptor of the folder that everything has to lie below. Raises `OSError`."""
    return os.open(folder, FOLDER | os.O_CLOEXEC)


def open_at(base: int, path: str, flags: int) -> int:
    """Opens an existing file or folder by a path relative to the folder `base`; "" is the folder itself.

    Raises `OSError`: `ELOOP` where a component is a link, `EXDEV` where the path would leave, and those of `open`.
    """
    if path.startswith("/") or ".." in path.split("/"):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    if _kernel_resolves():
        return _openat2(base, path or ".", flags | os.O_CLOEXEC)
    return _one_by_one(base, path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)


def folder_at(base: int, path: str) -> int:
    """Opens a folder below `base` whose parents may be missing: they are created, with the permissions of the umask.

    Raises `OSError` as `open_at` does.
    """
    current = os.dup(base)
    try:
        for part in path.split("/") if path else []:
            try:
                below = open_at(current, part, FOLDER)
            except FileNotFoundError:
                with suppress(FileExistsError):  # Somebody else was quicker; whether it is a folder shows below.
                    os.mkdir(part, dir_fd=current)
                below = open_at(current, part, FOLDER)
            os.close(current)
            current = below
    except OSError:
        os.close(current)
        raise
    return current


def identity(descriptor: int) -> Identity:
    """Which file or folder an open descriptor is."""
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def first_link(base: int, path: str) -> tuple[str, str] | None:
    """The first component of a path that is a symbolic link, as far as it exists, and what it says."""
    parts = path.split("/")
    for count in range(1, len(parts) + 1):
        name = "/".join(parts[:count])
        try:
            if stat.S_ISLNK(os.stat(name, dir_fd=base, follow_symlinks=False).st_mode):
                return name, os.readlink(name, dir_fd=base)
        except OSError:
            return None
    return None


def _openat2(base: int, path: str, flags: int) -> int:
    how = _HOW.pack(flags, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    descriptor = _syscall()(_OPENAT2, base, os.fsencode(path), how, _HOW.size)
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return descriptor


def _one_by_one(base: int, path: str, flags: int) -> int:
    *folders, last = path.split("/")
    current = os.dup(base)
    try:
        for part in folders:
            below = os.open(part, FOLDER | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = below
        return _not_a_link(os.open(last or ".", flags, dir_fd=current), last)
    except NotADirectoryError as error:
        # O_DIRECTORY with O_NOFOLLOW says ENOTDIR of a link, and of a file.
        if first_link(base, path):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from error
        raise
    finally:
        os.close(current)


def _not_a_link(descriptor: int, path: str) -> int:
    """With `O_PATH`, `O_NOFOLLOW` opens the link itself."""
    if stat.S_ISLNK(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return descriptor


@cache
def _syscall() -> Callable[..., int]:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
    call.restype = ctypes.c_long
    return call


@cache
def _kernel_resolves() -> bool:
    """Whether `openat2` works here: it is younger than the other calls, and some filters answer EPERM to it."""
    if not hasattr(os, "O_PATH"):
        return False
    with opened(os.open("/", FOLDER | os.O_CLOEXEC)) as base:
        try:
            os.close(_openat2(base, ".", FOLDER | os.O_CLOEXEC))
        except OSError:
            return False
    return True
