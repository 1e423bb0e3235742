"""git trees of the work tree, and of commits to be, made without touching the repository.

An index of our own and an object folder of our own (in the workspace's state, with the repository's objects as
alternates) hold what is new; the repository sees nothing of it until `publish`.
https://git-scm.com/docs/git#Documentation/git.txt-codeGITOBJECTDIRECTORYcode
"""

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mcp_backend.errors import FailedPrecondition, InvalidArgument
from mcp_backend.settings import private
from mcp_backend.workspace.changes import litter, shown
from mcp_backend.workspace.git import GitFailed, Repository, run, text

LARGEST = 50_000_000
"""Bytes. A larger file is not committed (forges refuse 100 MB), and a tree of the work tree knows it by size and time
only, so that a database dump in the folder does not make every test run hash it."""
KEPT_DAYS = 14
MANY = 40
"""Objects in one of 256 folders: about 10,000 in all. From there on, old ones are thrown away."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree with everything in the work tree that git does not ignore. `watched` are files too large to read, known
    by size and time; `nested` are repositories inside this one, which are left out."""

    id: str
    watched: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that differs between two trees: modes and object ids, `0…` where it does not exist."""

    path: str
    old_mode: str
    new_mode: str
    old: str
    new: str
    letter: str
    source: str | None = None
    """Where the same content was before, of a pure rename."""


class Trees:
    """The private objects of one workspace. Safe with any number of processes: each uses an index of its own."""

    def __init__(self, repository: Repository, state: Path) -> None:
        self.repository = repository
        self._folder = private(state / "trees")
        self._objects = private(self._folder / "objects")
        alternate = str(repository.common_dir / "objects")
        if ":" in alternate or '"' in alternate:
            alternate = '"' + alternate.replace("\\", "\\\\").replace('"', '\\"') + '"'
        self._environment = {
            "GIT_OBJECT_DIRECTORY": str(self._objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": alternate,
        }

    def git(
        self, *arguments: str, given: bytes = b"", index: Path | None = None, accept: Iterable[int] = (0,)
    ) -> bytes:
        """A git command that sees the private objects and writes new ones there."""
        extra = self._environment | ({"GIT_INDEX_FILE": str(index)} if index is not None else {})
        return run(self.repository, *arguments, given=given, extra=extra, accept=accept)

    @property
    def alternate(self) -> str:
        """The objects of the repository, as `GIT_ALTERNATE_OBJECT_DIRECTORIES` names them."""
        return self._environment["GIT_ALTERNATE_OBJECT_DIRECTORIES"]

    def of_work_tree(self) -> Tree:
        """The tree of the work tree as it is now, whatever is staged, hidden by `assume-unchanged`, or untracked."""
        self._prune()
        with self._index() as index:
            current = self.repository.git_dir / "index"
            if current.is_file():
                # The time of the copy matters: git takes an entry younger than its index for possibly changed.
                shutil.copy2(current, index)
            flagged, dirty, nested, unmerged = self._looked(index)
            if unmerged:
                self.git("update-index", "--force-remove", "-z", "--stdin", given=_joined(unmerged), index=index)
                dirty |= unmerged
            # An entry that sparse checkout left out is not there and belongs to the tree; any other flag only hides.
            hidden = {p for p, tag in flagged.items() if tag == "h" or os.path.lexists(self._path(p))}
            for flag in ("--no-assume-unchanged", "--no-skip-worktree") if hidden else ():
                self.git("update-index", flag, "-z", "--stdin", given=_joined(hidden), index=index)
            watched = self._update(index, dirty | hidden)
            return Tree(self._written(index), tuple(sorted(watched)), tuple(sorted(nested)))

    def with_paths(self, base: str | None, paths: Iterable[str]) -> str:
        """The tree of commit `base` with exactly these paths as they are in the work tree now.

        Raises `FailedPrecondition` for a path that git stores through a filter this server does not run, or that is
        too large.
        """
        chosen = set(paths)
        self._unfiltered(chosen)
        for path in chosen:
            if (size := _size(self._path(path))) > LARGEST:
                raise FailedPrecondition(
                    f"paths: {shown(path)} has {size / 1e6:.0f} MB; files over {LARGEST / 1e6:.0f} MB do not go into "
                    "git. Leave it out, or ask the person to add it to git-lfs"
                )
        with self._index() as index:
            if base is not None:
                self.git("read-tree", base, index=index)
            self._update(index, chosen)
            return self._written(index)

    def between(self, old: str | None, new: str) -> tuple[Difference, ...]:
        """What differs from tree-ish `old` (`None`: the empty tree) to `new`; pure renames are found."""
        return tuple(self._differences(old, new, "-r", "--find-renames=100%"))

    def paths_between(self, old: str, new: str) -> frozenset[str] | None:
        """The paths that differ, or `None` when one of the trees is no longer kept."""
        if old == new:
            return frozenset()
        try:
            return frozenset(d.path for d in self._differences(old, new, "-r", "--no-renames"))
        except GitFailed:
            return None

    def contents(self, oids: Iterable[str], limit: int) -> dict[str, bytes]:
        """The content of the blobs of at most `limit` bytes."""
        known = sorted(set(oids))
        sizes = self.git("cat-file", "--batch-check=%(objectname) %(objectsize)", given="\n".join(known).encode())
        small = [oid for oid, _, size in (line.partition(" ") for line in sizes.decode().splitlines())
                 if size.isdigit() and int(size) <= limit]  # fmt: skip
        output = self.git("cat-file", "--batch=%(objectname) %(objectsize)", given="\n".join(small).encode())
        found: dict[str, bytes] = {}
        position = 0
        while position < len(output):
            end = output.index(b"\n", position)
            oid, _, size = output[position:end].decode().partition(" ")
            position = end + 2 + int(size)
            found[oid] = output[end + 1 : position - 1]
        return found

    def added_lines(self, old: str, new: str, path: str) -> set[int]:
        """The numbers of the lines of `path` that tree-ish `new` has and `old` has not."""
        options = ("-r", "-p", "-U0", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--text")
        found: set[int] = set()
        for line in self.git("diff-tree", *options, "--no-commit-id", old, new, "--", path).split(b"\n"):
            if line.startswith(b"@@ "):
                start, _, count = line.split(b" ")[2].removeprefix(b"+").partition(b",")
                found.update(range(int(start), int(start) + int(count or 1)))
        return found

    def filtered_in(self, tree: str, paths: Iterable[str]) -> str | None:
        """A path that `tree` stores through a filter which git would run here and this server does not, or `None`."""
        wanted = _joined(paths)
        if not wanted or not self.repository.filters:
            return None
        with self._index() as index:
            self.git("read-tree", tree, index=index)
            arguments = ("check-attr", "--cached", "-z", "--stdin", "filter")
            fields = text(self.git(*arguments, given=wanted, index=index)).split("\0")
            pairs = zip(fields[::3], fields[2::3], strict=False)
            return next((path for path, value in pairs if value in self.repository.filters), None)

    def ignores(self, path: str) -> bool:
        """Whether the repository ignores a path, wherever the rule stands."""
        arguments = ("check-ignore", "--no-index", "-z", "--stdin")
        # check-ignore knows no literal pathspecs.
        magic = {"GIT_LITERAL_PATHSPECS": "0"}
        return bool(run(self.repository, *arguments, given=_joined([path]), extra=magic, accept=(0, 1)))

    def publish(self, old: str | None, tree: str) -> None:
        """Copies into the repository what `tree` has and commit `old` has not."""
        run(self.repository, "unpack-objects", "-q", given=self._pack(old, tree))

    def copy_out(self, old: str | None, tree: str, folder: Path) -> None:
        """As `publish`, into a folder of objects beside the repository."""
        extra = {"GIT_OBJECT_DIRECTORY": str(private(folder)), "GIT_ALTERNATE_OBJECT_DIRECTORIES": self.alternate}
        run(self.repository, "unpack-objects", "-q", given=self._pack(old, tree), extra=extra)

    def written_by(self, index: Path, objects: Path) -> str:
        """The tree of an index that somebody else wrote, with their folder of objects."""
        extra = {"GIT_OBJECT_DIRECTORY": str(objects), "GIT_ALTERNATE_OBJECT_DIRECTORIES": self.alternate}
        extra |= {"GIT_INDEX_FILE": str(index)}
        return run(self.repository, "write-tree", "--missing-ok", extra=extra).decode().strip()

    def _pack(self, old: str | None, tree: str) -> bytes:
        wanted = {tree} | {
            d.new
            for d in self._differences(old, tree, "-r", "-t", "--no-renames")
            if d.letter != "D" and d.new_mode != "160000"
        }
        return self.git("pack-objects", "--stdout", "-q", given="\n".join(sorted(wanted)).encode())

    def _prune(self) -> None:
        """Throws away private objects that nothing has used for two weeks, once there are many."""
        with suppress(OSError):
            if len(os.listdir(self._objects / "17")) < MANY:
                return
            oldest = time.time() - KEPT_DAYS * 86400
            for folder in self._objects.glob("[0-9a-f][0-9a-f]"):
                for file in folder.iterdir():
                    if file.stat().st_mtime < oldest:
                        file.unlink(missing_ok=True)

    def _looked(self, index: Path) -> tuple[Mapping[str, str], set[str], set[str], set[str]]:
        """From one listing: entries whose flags hide changes, dirty paths, nested repositories, unmerged paths."""
        flagged: dict[str, str] = {}
        dirty: set[str] = set()
        nested: set[str] = set()
        unmerged: set[str] = set()
        listing = self.git("ls-files", "-v", "-c", "-o", "-m", "--exclude-standard", "-z", index=index)
        for line in text(listing).split("\0"):
            tag, path = line[:1], line[2:]
            if tag == "?" and path.endswith("/"):
                nested.add(path)
            elif tag == "?":
                dirty |= set() if litter(path) else {path}
            elif tag in ("C", "c"):
                dirty.add(path)
            elif tag == "M":
                unmerged.add(path)
            elif tag and tag != "H":
                flagged[path] = tag
        return flagged, dirty, nested, unmerged

    def _update(self, index: Path, paths: set[str]) -> set[str]:
        """Brings index entries in line with the work tree; the paths that were too large to read are returned."""
        watched = {path for path in paths if _size(self._path(path)) > LARGEST}
        options = ("--add", "--remove", "--replace", "-z", "--stdin")
        if rest := paths - watched:
            self.git("update-index", *options, given=_joined(rest), index=index)
        for path in watched:
            state = os.lstat(self._path(path))
            mark = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}".encode()
            oid = self.git("hash-object", "-w", "--stdin", given=mark).decode().strip()
            entry = f"100644 {oid}\t{path}\0".encode("utf-8", "surrogateescape")
            self.git("update-index", "--add", "--replace", "-z", "--index-info", given=entry, index=index)
        return watched

    def _unfiltered(self, paths: set[str]) -> None:
        fields = text(self.git("check-attr", "-z", "--stdin", "filter", given=_joined(paths))).split("\0")
        for path, value in zip(fields[::3], fields[2::3], strict=False):
            # A filter that is nowhere defined is none, but git-lfs that is not installed means a mistake.
            if value in self.repository.filters or (value == "lfs" and not self.repository.lfs):
                raise FailedPrecondition(
                    f"paths: {shown(path)} is stored through the filter {value!r} (.gitattributes), a program this "
                    "server does not run: a person commits it"
                )

    def _differences(self, old: str | None, new: str, *options: str) -> Iterator[Difference]:
        output = text(
            self.git("diff-tree", "-z", "--raw", "--no-commit-id", "--no-abbrev", *options, self._tree(old), new)
        )
        fields = iter(output.split("\0"))
        for line in fields:
            if not line.startswith(":"):
                continue
            old_mode, new_mode, before, after, letter = line[1:].split(" ")
            path = next(fields)
            source = None
            if letter[0] in "RC":
                source, path = path, next(fields)
            yield Difference(path, old_mode, new_mode, before, after, letter[0], source)

    def _tree(self, revision: str | None) -> str:
        return revision or self.git("hash-object", "-t", "tree", "--stdin").decode().strip()

    def _written(self, index: Path) -> str:
        return self.git("write-tree", "--missing-ok", index=index).decode().strip()

    def _path(self, path: str) -> str:
        return os.path.join(self.repository.root, path)

    @contextmanager
    def _index(self) -> Generator[Path]:
        with tempfile.TemporaryDirectory(prefix="index-", dir=self._folder) as folder:
            yield Path(folder) / "index"


def _joined(paths: Iterable[str]) -> bytes:
    return "".join(f"{path}\0" for path in sorted(paths)).encode("utf-8", "surrogateescape")


def _size(path: str) -> int:
    try:
        state = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise InvalidArgument(f"paths: {path[:200]!r} cannot be read: {error.strerror}") from error
    return state.st_size if stat.S_ISREG(state.st_mode) else 0
