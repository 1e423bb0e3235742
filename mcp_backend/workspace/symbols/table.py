"""The definitions of a workspace in an SQLite file of its state folder: parsed once, again only where a file changed.

It is a cache: whatever is wrong with it, it is thrown away and made again. A file counts as changed when its size,
inode or one of its times is another, or when it was so young at parsing that it could have changed unseen
(https://git-scm.com/docs/racy-git).
"""

import os
import sqlite3
import stat
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcp_backend.errors import Unavailable
from mcp_backend.settings import private
from mcp_backend.workspace.symbols.parsing import Symbol

VERSION = 1
"""Of this format and of the queries of languages.py: another number makes the table anew."""
BUSY_SECONDS = 30.0
YOUNG_NS = 50_000_000
_SCHEMA = """
create table file (path text primary key, stamp text not null, clean integer not null) without rowid;
create table symbol (
  path text not null, name text not null, kind text not null, within text not null, line integer not null,
  end_line integer not null, begin integer not null, "end" integer not null, signature text not null,
  digest blob not null
);
create index symbol_name on symbol (name);
create index symbol_path on symbol (path);
"""
_COLUMNS = 'name, kind, within, line, end_line, begin, "end", signature, digest'


@dataclass(frozen=True, slots=True)
class Parsed:
    """What was found in one file. `clean`: all of it was understood."""

    path: str
    stamp: str
    symbols: Sequence[Symbol]
    clean: bool


class Table:
    """The open table. Safe with several processes: each writes whole files of what it parsed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def stamps(self) -> dict[str, str]:
        """Every known file, and how it looked when it was parsed."""
        return dict(self._connection.execute("select path, stamp from file"))

    def put(self, files: Iterable[Parsed]) -> None:
        """Replaces what is known of these files."""
        with self._connection:
            self._connection.execute("begin immediate")
            for file in files:
                self._forget(file.path)
                self._connection.execute("insert into file values (?, ?, ?)", (file.path, file.stamp, file.clean))
                self._connection.executemany(
                    "insert into symbol values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (file.path, s.name, s.kind, s.within, s.line, s.end_line, s.begin, s.end, s.signature, s.digest)
                        for s in file.symbols
                    ],
                )

    def drop(self, paths: Iterable[str]) -> None:
        """Forgets files that are gone."""
        with self._connection:
            self._connection.execute("begin immediate")
            for path in paths:
                self._forget(path)

    def named(self, name: str) -> list[tuple[str, Symbol]]:
        """All definitions of a name, in the order of paths and lines."""
        rows = self._connection.execute(
            f"select path, {_COLUMNS} from symbol where name = ? order by path, begin", (name,)
        )
        return [(path, Symbol(*rest)) for path, *rest in rows]

    def unclear(self) -> list[str]:
        """The files that were not wholly understood."""
        return [path for (path,) in self._connection.execute("select path from file where not clean order by path")]

    def names(self) -> list[str]:
        """Every name that is defined somewhere."""
        return [name for (name,) in self._connection.execute("select distinct name from symbol")]

    def _forget(self, path: str) -> None:
        self._connection.execute("delete from symbol where path = ?", (path,))
        self._connection.execute("delete from file where path = ?", (path,))


@contextmanager
def opened(state: Path) -> Generator[Table]:
    """The table of a workspace, made where there is none, made again where it is damaged. Raises `Unavailable` when it
    cannot be used."""
    path = private(state) / "symbols.db"
    try:
        connection = _connected(path)
    except sqlite3.OperationalError as error:
        raise _unusable(path, error) from error
    except sqlite3.DatabaseError:
        try:
            _remove(path)
            connection = _connected(path)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(path, error) from error
    with closing(connection):
        try:
            yield Table(connection)
        except sqlite3.OperationalError as error:
            raise _unusable(path, error) from error
        except sqlite3.DatabaseError as error:
            _remove(path)
            raise Unavailable(f"symbols: the table {path} was damaged and is thrown away; ask again") from error


def _unusable(path: Path, error: Exception) -> Unavailable:
    return Unavailable(f"symbols: the table {path} cannot be used: {error}; search_code needs none")


def _remove(path: Path) -> None:
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        file.unlink(missing_ok=True)


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = off")
        if connection.execute("pragma user_version").fetchone()[0] != VERSION:
            _made(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _made(connection: sqlite3.Connection) -> None:
    connection.execute("begin immediate")
    if connection.execute("pragma user_version").fetchone()[0] != VERSION:
        for table in ("file", "symbol"):
            connection.execute(f"drop table if exists {table}")
        for statement in _SCHEMA.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"pragma user_version = {VERSION}")
    connection.execute("commit")


def stamps(root: Path, paths: Iterable[str], now_ns: int) -> dict[str, str]:
    """How each file looks now; what is no regular file is left out. The stamp of a file younger than 50 ms fits no
    other moment."""
    found: dict[str, str] = {}
    base = f"{root}/"
    for path in paths:
        try:
            state = os.lstat(base + path)
        except OSError:
            continue
        if stat.S_ISREG(state.st_mode):
            young = max(state.st_mtime_ns, state.st_ctime_ns) > now_ns - YOUNG_NS
            when = f"seen {now_ns}" if young else f"{state.st_mtime_ns} {state.st_ctime_ns}"
            found[path] = f"{when} {state.st_size} {state.st_ino}"
    return found
