"""Reading migration files: the same care for every tool's. Standard library only."""

import ast
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations.model import File

LARGEST = 16 * 2**20
"""Bytes of one migration file. Above that a migration is a data load and belongs elsewhere."""


def shown(path: Path, root: Path) -> str:
    """The path as errors name it: relative to the workspace where it lies inside."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def names(folder: Path, root: Path) -> list[str]:
    """The names of the files of a folder, by their bytes. Raises `InvalidArgument` for one that is no text."""
    found = [entry.name for entry in os.scandir(folder) if not entry.is_dir(follow_symlinks=False)]
    for name in found:
        if not name.isprintable() and name.endswith(".sql"):
            raise InvalidArgument(f"{name!a} in {shown(folder, root)}: expected a printable UTF-8 file name")
    return sorted(found, key=os.fsencode)


def once(files: Iterable[File]) -> tuple[File, ...]:
    """The files. Raises `InvalidArgument` when two have the same version."""
    versions: dict[str, File] = {}
    for file in files:
        other = versions.setdefault(file.version, file)
        if other is not file:
            raise InvalidArgument(
                f"{other.where} and {file.path.name} have the same version {file.version}: which of them was applied "
                "cannot be told apart; give one a new version"
            )
    return tuple(versions.values())


def content(path: Path, where: str, root: Path) -> bytes:
    """The bytes of a file.

    Raises `InvalidArgument` for a link that leads out of the workspace and the folder, anything but a regular file,
    and a file larger than `LARGEST`.
    """
    real = path.resolve()
    if not real.is_relative_to(root.resolve()) and not real.is_relative_to(path.parent.resolve()):
        raise InvalidArgument(f"{where}: is a link out of the workspace; put the file itself there")
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as opened:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise InvalidArgument(f"{where}: expected a regular file")
            if about.st_size > LARGEST:
                raise InvalidArgument(
                    f"{where}: has {about.st_size} bytes, at most {LARGEST} are read; load data outside migrations"
                )
            return opened.read()
    except OSError as error:
        raise InvalidArgument(f"{where}: cannot be read: {error.strerror}") from error


def python(path: Path, where: str, root: Path) -> ast.Module:
    """The syntax tree of a migration in Python, which is not run. Raises `InvalidArgument` for one that is no Python,
    and as `content` does."""
    try:
        return ast.parse(content(path, where, root))
    except (SyntaxError, ValueError) as error:
        raise InvalidArgument(f"{where}: not Python: {error}") from None


def read(file: File, root: Path, *, down: bool = False, mark: bool = False) -> str:
    """The text of a migration, byte for byte; of the file that takes it back with `down`. With `mark` a byte order
    mark is left out, for tools that do so.

    Raises `InvalidArgument` naming the file and the byte when it is no text, and as `content` does.
    """
    path = file.down if down and file.down else file.path
    where = shown(path, root)
    raw = content(path, where, root)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidArgument(
            f"{where}: byte {error.start} (0x{raw[error.start]:02x}, line {line}) is not valid UTF-8; "
            "save the file as UTF-8"
        ) from error
    if "\0" in text:
        raise InvalidArgument(f"{where}: byte {raw.index(bytes(1))} is NUL, which PostgreSQL does not accept in SQL")
    if text.startswith("\ufeff"):
        if mark:
            return text[1:]
        raise InvalidArgument(f"{where}: starts with a byte order mark (bytes 0 to 2); save it as UTF-8 without")
    return text


def number(version: str) -> tuple[int, str]:
    """Orders versions as numbers of any length; what is no number comes first, because it says nothing."""
    digits = version.lstrip("0")
    return (len(digits) + 1, digits) if version.isascii() and version.isdigit() else (0, version)


def setting(root: Path, name: str) -> str | None:
    """A variable as the tools that read `.env` find it: from the environment, otherwise from the workspace's file."""
    if value := os.environ.get(name):
        return value
    place = root / ".env"
    try:
        text = place.read_text("utf-8", "replace") if place.is_file() else ""
    except OSError:
        return None
    pattern = rf"^\s*(?:export\s+)?{re.escape(name)}\s*=\s*([\"']?)([^\"'\s#]+)\1"
    found = re.search(pattern, text, re.MULTILINE)
    return found[2] if found else None
