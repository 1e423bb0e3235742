"""Migration folders in dbmate's form, read as dbmate reads them. Standard library only.

A file counts when its name starts with digits (its version) and ends in `.sql`; files are taken in the order of their
names. Inside, `-- migrate:up` and `-- migrate:down` at the start of a line open a block; both are required, and pairs
may follow each other (each pair runs by itself). `transaction:false` after a directive runs its block outside a
transaction. https://github.com/amacneil/dbmate#creating-migrations (checked against dbmate 2.37).
"""

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mcp_backend.errors import InvalidArgument

FILE = re.compile(r"([0-9]+)([^\n]*)\.sql")
LARGEST = 16 * 2**20
"""Bytes of one migration file. Above that a migration is a data load and belongs elsewhere."""

_SPACE = r"[\t\n\f\r ]"  # what \s means in dbmate's regular expressions (RE2); Python's is wider
_UP = re.compile(rf"^--{_SPACE}*migrate:up({_SPACE}*$|{_SPACE}+[^\t\n\f\r ]+)", re.MULTILINE)
_DOWN = re.compile(rf"^--{_SPACE}*migrate:down({_SPACE}*$|{_SPACE}+[^\t\n\f\r ]+)", re.MULTILINE)
_DIRECTIVE = re.compile(rf"^--{_SPACE}*migrate:(up|down)")
_COMMENT_OR_EMPTY = re.compile(rf"{_SPACE}*(--|$)")


@dataclass(frozen=True)
class File:
    """One migration file. `where` is its path as errors name it."""

    version: str
    path: Path
    where: str

    @cached_property
    def name(self) -> str:
        """What the file calls the migration: its name without version and suffix."""
        return self.path.name[len(self.version) : -len(".sql")].lstrip("_- ")


@dataclass(frozen=True, slots=True)
class Block:
    """The text of one `up` or `down`, from its directive on, which stands in `line` (from 1) of the file."""

    sql: str
    line: int
    transaction: bool

    @property
    def sha256(self) -> str:
        """Hex digest of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Section:
    """A pair of blocks. Most files have one."""

    up: Block
    down: Block


def files(folder: Path, root: Path) -> tuple[File, ...]:
    """The migrations of a folder in the order in which dbmate applies them: by the bytes of their names.

    Raises `InvalidArgument` for a name that is not UTF-8 and for two files with the same version.
    """
    found: list[File] = []
    for entry in sorted(os.scandir(folder), key=lambda e: os.fsencode(e.name)):
        match = FILE.fullmatch(entry.name)
        if match is None or entry.is_dir(follow_symlinks=False):
            continue
        path = folder / entry.name
        if not entry.name.isprintable():
            raise InvalidArgument(f"{entry.name!a} in {shown(folder, root)}: expected a printable UTF-8 file name")
        found.append(File(match[1], path, shown(path, root)))
    versions: dict[str, File] = {}
    for file in found:
        other = versions.setdefault(file.version, file)
        if other is not file:
            raise InvalidArgument(
                f"{other.where} and {file.path.name} have the same version {file.version}: which of them was applied "
                "cannot be told apart; give one a new version"
            )
    return tuple(found)


def shown(path: Path, root: Path) -> str:
    """The path as errors name it: relative to the workspace where it lies inside."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def read(file: File, root: Path) -> str:
    """The text of a migration, byte for byte.

    Raises `InvalidArgument` naming the file and the byte when it is no UTF-8 text, and for a link that leads out of
    the workspace and the folder, anything but a regular file, and a file larger than `LARGEST`.
    """
    real = file.path.resolve()
    if not real.is_relative_to(root.resolve()) and not real.is_relative_to(file.path.parent.resolve()):
        raise InvalidArgument(f"{file.where}: is a link out of the workspace; put the file itself there")
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as opened:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):
                raise InvalidArgument(f"{file.where}: expected a regular file")
            if about.st_size > LARGEST:
                raise InvalidArgument(
                    f"{file.where}: has {about.st_size} bytes, at most {LARGEST} are read; load data outside migrations"
                )
            content = opened.read()
    except OSError as error:
        raise InvalidArgument(f"{file.where}: cannot be read: {error.strerror}") from error
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidArgument(
            f"{file.where}: byte {error.start} (0x{content[error.start]:02x}, line {line}) is not valid UTF-8; "
            "save the file as UTF-8"
        ) from error
    if "\0" in text:
        position = content.index(b"\0")
        raise InvalidArgument(f"{file.where}: byte {position} is NUL, which PostgreSQL does not accept in SQL")
    if text.startswith("\ufeff"):
        raise InvalidArgument(f"{file.where}: starts with a byte order mark (bytes 0 to 2); save it as UTF-8 without")
    return text


def parse(text: str, where: str) -> tuple[Section, ...]:
    """The sections of a migration. Raises `InvalidArgument` where dbmate refuses the file too, naming the line."""
    ups = [match.start() for match in _UP.finditer(text)]
    if not ups:
        raise InvalidArgument(f"{where}: needs a line '-- migrate:up' (at the start of the line, in lower case)")
    for number, line in enumerate(text[: ups[0]].split("\n"), 1):
        if not _COMMENT_OR_EMPTY.match(line):
            raise InvalidArgument(f"{where}:{number}: only '--' comments may stand before '-- migrate:up'")
    return tuple(_section(text, start, end, where) for start, end in zip(ups, [*ups[1:], len(text)], strict=True))


def _section(text: str, start: int, end: int, where: str) -> Section:
    downs = [match.start() + start for match in _DOWN.finditer(text[start:end])]
    line = text.count("\n", 0, start) + 1
    if not downs:
        raise InvalidArgument(f"{where}:{line}: this '-- migrate:up' needs a '-- migrate:down' after it (may be empty)")
    if len(downs) > 1:
        second = text.count("\n", 0, downs[1]) + 1
        raise InvalidArgument(f"{where}:{second}: a second '-- migrate:down' without a '-- migrate:up' before it")
    return Section(_block(text, start, downs[0]), _block(text, downs[0], end))


def _block(text: str, start: int, end: int) -> Block:
    sql = text[start:end]
    options: dict[str, str] = {}
    for word in _DIRECTIVE.sub("", sql.split("\n", 1)[0]).split():
        pair = word.split(":")
        if len(pair) == 2:
            options[pair[0]] = pair[1]
    return Block(sql, text.count("\n", 0, start) + 1, options.get("transaction") != "false")
