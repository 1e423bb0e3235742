"""The files of a git tree by name and object id, and what was kept about them."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from mcp_backend.contracts.documents import Broken, Documents, parsed
from mcp_backend.contracts.sources import HEAD, LARGEST, Seen, Source
from mcp_backend.settings import private
from mcp_backend.workspace.trees import Trees

Json: TypeAlias = Any
KEPT = 20_000
"""Answers that are kept; the oldest give way."""


class Kept:
    """Answers about contents that never change, by their object ids, in the state folder of the workspace. Losing it
    costs time only, so a file that is damaged or locked counts as empty."""

    def __init__(self, state: Path) -> None:
        self._path = private(state) / "contracts.sqlite"
        self._waiting: dict[str, str] = {}
        self._fresh: dict[str, Json] = {}

    def get(self, keys: Iterable[str]) -> dict[str, Json]:
        """The answers that are known."""
        wanted = list(dict.fromkeys(keys))
        found = {key: self._fresh[key] for key in wanted if key in self._fresh}
        rest = [key for key in wanted if key not in found]
        if not rest or not self._path.is_file():
            return found
        try:
            with closing(sqlite3.connect(self._path, timeout=1)) as connection:
                for start in range(0, len(rest), 500):
                    some = rest[start : start + 500]
                    marks = ",".join("?" * len(some))
                    rows = connection.execute(f"select key, answer from kept where key in ({marks})", some)
                    found |= {key: json.loads(answer) for key, answer in rows}
        except (sqlite3.Error, ValueError):
            return found
        return found

    def put(self, answers: Mapping[str, Json]) -> None:
        """Keeps answers when `write` is called."""
        self._fresh |= answers
        self._waiting |= {key: json.dumps(answer, separators=(",", ":")) for key, answer in answers.items()}

    def write(self) -> None:
        """Writes what is new."""
        if not self._waiting:
            return
        try:
            with closing(sqlite3.connect(self._path, timeout=1)) as connection, connection:
                connection.execute("pragma journal_mode = wal")
                connection.execute("create table if not exists kept (key text primary key, answer text not null)")
                connection.executemany("insert or replace into kept values (?, ?)", self._waiting.items())
                connection.execute("delete from kept where rowid <= (select max(rowid) from kept) - ?", (KEPT,))
        except sqlite3.Error:
            return  # said above: what is not kept is worked out again
        self._waiting.clear()


class TreeFiles:
    """One tree: its regular files, read by object id."""

    def __init__(self, trees: Trees, tree: str | None, root: Path, kept: Kept) -> None:
        self._trees, self._root, self.kept = trees, root, kept
        self.oids: dict[str, str] = {}
        for entry in trees.git("ls-tree", "-r", "-z", tree).split(b"\0") if tree else ():
            about, _, name = entry.partition(b"\t")
            if about.startswith(b"100"):
                try:
                    self.oids[name.decode("utf-8")] = about.split(b" ")[2].decode()
                except UnicodeDecodeError:
                    continue  # no specification and no module has such a name
        self._texts: dict[str, bytes] = {}

    def read(self, paths: Iterable[str], limit: int = LARGEST) -> dict[str, bytes]:
        """The contents of some files, in one call of git; larger ones are left out."""
        wanted = [p for p in paths if p in self.oids]
        missing = {self.oids[p] for p in wanted} - self._texts.keys()
        if missing:
            self._texts |= self._trees.contents(missing, limit)
        return {p: self._texts[self.oids[p]] for p in wanted if self.oids[p] in self._texts}

    def about(self, paths: Iterable[str], what: str, work: Callable[[bytes], Json]) -> dict[str, Json]:
        """What `work` says about each content: from what was kept under the name `what`, else worked out now."""
        wanted = {p: f"{what}:{self.oids[p]}" for p in paths if p in self.oids}
        known = self.kept.get(wanted.values())
        fresh: dict[str, Json] = {}
        for path, content in self.read(p for p, key in wanted.items() if key not in known).items():
            fresh[wanted[path]] = work(content)
        self.kept.put(fresh)
        known |= fresh
        return {p: known[key] for p, key in wanted.items() if key in known}

    def source(self) -> Source:
        """The tree as the checks of a whole contract read it."""
        files = tuple(sorted(self.oids))
        return _OfTree(self._root, files, lambda: _Documents(self._root, self), "", frozenset(files), self)


class _OfTree(Source):
    """A source whose texts come from a tree."""

    def __init__(
        self, root: Path, files: tuple[str, ...], documents: Callable[[], Documents], commit: str,
        known: frozenset[str], tree: TreeFiles,
    ) -> None:  # fmt: skip
        super().__init__(root, files, documents, commit, known)
        object.__setattr__(self, "_tree", tree)

    def seen(self, paths: Iterable[str], look: Callable[[str, str], Seen], size: int = HEAD) -> dict[str, Seen]:
        return {path: look(path, text[:size]) for path, text in self.texts(paths).items()}

    def texts(self, paths: Iterable[str]) -> dict[str, str]:
        tree: TreeFiles = getattr(self, "_tree")  # noqa: B009 - the class above is frozen
        return {path: data.decode("utf-8", "replace") for path, data in tree.read(paths).items()}


class _Documents(Documents):
    """Documents of a tree, kept as JSON by their object ids: reading YAML costs more than everything else here."""

    def __init__(self, root: Path, tree: TreeFiles) -> None:
        super().__init__(root, LARGEST)
        self._tree = tree

    def load(self, path: str) -> Any:
        if path not in self._read:
            if path not in self._tree.oids:
                raise Broken(f"{path}: not in this tree")
            said = self._tree.about([path], "document:1", lambda data: _document(data, path)).get(path)
            if said is None:
                raise Broken(f"{path}: larger than {LARGEST // 1_000_000} MB")
            if "broken" in said:
                raise Broken(said["broken"])
            self._read[path] = said["is"]
        return self._read[path]


def _document(data: bytes, path: str) -> Json:
    try:
        return {"is": parsed(data.decode("utf-8-sig"), path)}
    except (Broken, UnicodeDecodeError) as error:
        return {"broken": str(error)}
