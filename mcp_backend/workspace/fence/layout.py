"""What the fence protects in a workspace: which places are read-only, and which folders are pinned because of them.

A folder is protected as a whole when a new file in it would be somebody else's (a frontend root, `.git`, `.claude`);
a single file by itself. Inside a protected folder, what is the backend's is writable again. Links, and frontend files
scattered among backend files where only Landlock holds, can't be protected by the kernel: what they were is kept, and
restored afterwards.
"""

import os
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from mcp_backend.facts import Owner
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import listing
from mcp_backend.workspace.canonical import words
from mcp_backend.workspace.current import roots_before, roots_of
from mcp_backend.workspace.ownership import classify
from mcp_backend.workspace.roots import Roots

Kind: TypeAlias = Literal["folder", "file", "link", "other"]
Access: TypeAlias = Literal["ro", "rw", "pin"]
GIT = ".git"
OUTPUT = listing.SKIPPED - {GIT} | words("htmlcov staticfiles site-packages _build target")
"""Folders of what tools made. Where git ignores all of one, nobody looks for a new frontend in it."""
PROBE = "new-file"
_GUARDED: Mapping[str, tuple[Owner, ...]] = {
    "frontend_paths": ("frontend",),
    "spec_files": ("spec",),
    "protected_files": ("policy",),
}


@dataclass(slots=True)
class Entries:
    """The names in the folders of a workspace; "" is the root. Folders of output and `.git` are not entered."""

    folders: dict[str, dict[str, Kind]] = field(default_factory=dict[str, dict[str, Kind]])
    inodes: dict[str, int] = field(default_factory=dict[str, int])
    closed: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class Layout:
    """`places` are what is mounted, in order. `protected` folders and files are the kernel's to keep; `soft` are
    protected links. `ruled` decides about paths that do not exist yet."""

    entries: Entries
    places: tuple[tuple[str, Access], ...]
    protected: frozenset[str]
    soft: tuple[str, ...]
    ruled: "Ruling"

    def writable(self, folder: str) -> bool:
        """Whether files directly in a folder are writable, unless they are protected one by one."""
        access = dict(self.places)
        while folder:
            if (found := access.get(folder)) is not None:
                return found != "ro"
            folder = folder.rpartition("/")[0]
        return True


@dataclass(slots=True)
class Ruling:
    """Whose a path is, by the workspace as it was before a command, and which owners are kept out by the policy."""

    now: Roots
    before: Roots | None
    kept: frozenset[Owner]
    own: tuple[str, ...] = ()
    _known: dict[str, Owner | None] = field(default_factory=dict[str, Owner | None])

    def owner(self, path: str) -> Owner | None:
        """The owner a path is protected for; `None` when anybody may write it."""
        if path not in self._known:
            self._known[path] = self._owner(path)
        return self._known[path]

    def _owner(self, path: str) -> Owner | None:
        if any(path == own or path.startswith(own + "/") for own in self.own):
            return "policy"
        for roots in (self.now, self.before):
            if roots is not None and (owner := classify(path, roots).owner) in self.kept:
                return owner
        return None

    def same(self, other: "Ruling") -> bool:
        return (self.now, self.before, self.kept, self.own) == (other.now, other.before, other.kept, other.own)


_last: dict[Path, Ruling] = {}


def ruling(workspace: Workspace, policy: Policy) -> Ruling:
    """How paths are judged now. Judgements are remembered for as long as nothing that decides them changes."""
    now, before = roots_of(workspace, policy), roots_before(workspace, policy)
    kept: set[Owner] = {"git"}
    for constraint in policy.constraints:
        if constraint.outcome in ("deny", "approve"):
            kept.update(_GUARDED.get(constraint.guard, ()))
    found = Ruling(now, None if before == now else before, frozenset(kept), _own_code(workspace.root))
    last = _last.get(workspace.root)
    if last is not None and last.same(found):
        return last
    _last[workspace.root] = found
    return found


def _own_code(root: Path) -> tuple[str, ...]:
    """This server's own code where it lies in the workspace: whoever writes it writes the fence."""
    code = (Path(sys.prefix), Path(__file__).resolve().parents[2])
    return tuple({path.relative_to(root).as_posix() for path in code if path != root and path.is_relative_to(root)})


def look(workspace: Workspace, policy: Policy) -> Layout:
    """The layout of a workspace as it is now. Reads names only."""
    ruled = ruling(workspace, policy)
    entries = walk(workspace.root, Ignored(workspace))
    found = _Finder(entries, ruled)
    found.visit("", "rw")
    if policy.path is not None and policy.path.is_relative_to(workspace.root):
        found.places.setdefault(policy.path.relative_to(workspace.root).as_posix(), "ro")
    for path in ruled.own:
        found.places[path] = "ro"
    places = found.pinned()
    protected = frozenset(path for path, access in places if access == "ro")
    return Layout(entries, places, protected, tuple(found.soft), ruled)


class _Finder:
    """Goes down the folders and notes where the access changes."""

    def __init__(self, entries: Entries, ruled: Ruling) -> None:
        self._entries, self._ruled = entries, ruled
        self.places: dict[str, Access] = {}
        self.soft: list[str] = []

    def visit(self, folder: str, inherited: Access) -> None:
        own: Access = "rw"
        if folder:
            own = "ro" if self._ruled.owner(f"{folder}/{PROBE}") else "rw"
            if own != inherited:
                self.places[folder] = own
        for name, kind in self._entries.folders.get(folder, {}).items():
            path = f"{folder}/{name}" if folder else name
            if kind == "folder":
                if path in self._entries.folders:
                    self.visit(path, own)
                elif own == "rw" and name.lower() == GIT:
                    self.places[path] = "ro"
                continue
            wanted: Access = "ro" if self._ruled.owner(path) else "rw"
            if wanted == own:
                continue
            if kind == "file":
                self.places[path] = wanted
            elif kind == "link" and wanted == "ro":
                self.soft.append(path)

    def pinned(self) -> tuple[tuple[str, Access], ...]:
        """The places with a pin for every writable folder above one, in the order in which they are mounted."""
        found = dict(self.places)
        for path in self.places:
            folder = path.rpartition("/")[0]
            while folder and folder not in found:
                if _access(folder, self.places) != "ro":
                    found[folder] = "pin"
                folder = folder.rpartition("/")[0]
        return tuple(sorted(found.items(), key=lambda place: place[0].count("/")))


def _access(folder: str, places: Mapping[str, Access]) -> Access:
    while folder:
        if folder in places:
            return places[folder]
        folder = folder.rpartition("/")[0]
    return "rw"


class Ignored:
    """Which folders of output git ignores wholly. git is asked when the first one is met that `known` does not tell
    about; outside git every folder of output counts as ignored."""

    def __init__(self, workspace: Workspace, known: Entries | None = None) -> None:
        self._workspace, self._known = workspace, known
        self._listed: set[str] | None = None

    def __contains__(self, path: str) -> bool:
        if self._known is not None and (path in self._known.closed or path in self._known.folders):
            return path in self._known.closed
        if not self._workspace.repository:
            return True
        if self._listed is None:
            self._listed = set()
            for file in listing.files(self._workspace):
                folder = file.rpartition("/")[0]
                while folder and folder not in self._listed:
                    self._listed.add(folder)
                    folder = folder.rpartition("/")[0]
        return path not in self._listed


def walk(root: Path, ignored: Container[str], *, skip: Iterable[str] = ()) -> Entries:
    """The names below a root. A folder that is named like output and `ignored` is not entered, nor are `skip`."""
    found = Entries()
    closed = set(skip)
    todo = [""]
    while todo:
        folder = todo.pop()
        names: dict[str, Kind] = {}
        try:
            for name, kind, inode in _scanned(root / folder):
                names[name] = kind
                path = f"{folder}/{name}" if folder else name
                found.inodes[path] = inode
                if kind != "folder":
                    continue
                if path in closed or (name in OUTPUT and path in ignored) or name.lower() == GIT:
                    found.closed.add(path)
                else:
                    todo.append(path)
        except OSError:
            # Not ours to read, or gone since: nothing in it is looked at, and nobody without rights writes it.
            found.closed.add(folder)
        found.folders[folder] = names
    return found


def _scanned(folder: Path) -> Iterator[tuple[str, Kind, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield entry.name, "link", entry.inode()
            elif entry.is_dir(follow_symlinks=False):
                yield entry.name, "folder", entry.inode()
            elif entry.is_file(follow_symlinks=False):
                yield entry.name, "file", entry.inode()
            else:
                yield entry.name, "other", entry.inode()
