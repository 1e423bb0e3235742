"""What a command changed in the workspace: names before, names and times after. The kernel sets the time of the last
change (ctime) itself, so a restored modification time hides nothing. inode(7)
"""

import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from mcp_backend.settings import Workspace
from mcp_backend.workspace.fence.layout import Entries, Ignored, Kind, Layout, walk

CLOCK_REALTIME_COARSE = 5
"""The clock that file systems take their times from; Python has no name for it. clock_gettime(2)"""
KEPT_BYTES = 64_000_000
"""How much of what the kernel can't protect is kept in memory to be restored."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One protected file or link as it was. `content` is the target of a link; `None` where it was too much to keep."""

    mode: int
    size: int
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Before:
    """A workspace before a command. `mounted` tells that read-only places were the kernel's to keep."""

    layout: Layout
    since: int
    mounted: bool
    kept: Mapping[str, Kept] = field(default_factory=dict[str, Kept])


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed below the places a command could write; paths relative to the workspace, sorted. `folders` are
    new ones, deepest first; `inodes` are those of the entries that are there now."""

    created: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]
    folders: tuple[str, ...]
    repositories: tuple[str, ...]
    inodes: Mapping[str, int]


def before(workspace: Workspace, layout: Layout, tier: str) -> Before:
    """Notes what has to be known to see afterwards what changed. `tier` decides what is kept to be restored."""
    mounted = tier in ("namespaces", "bubblewrap")
    wanted = set(layout.soft)
    if not mounted:
        wanted |= protected_files(layout)
    contents = soft_files(layout) if tier == "landlock" else wanted
    since = time.clock_gettime_ns(CLOCK_REALTIME_COARSE)
    return Before(layout, since, mounted, _kept(workspace, wanted, contents | set(layout.soft)))


def soft_files(layout: Layout) -> set[str]:
    """Frontend files among backend files: Landlock can't protect one file without closing its folder to everybody."""
    alone = {path for path, access in layout.places if access == "ro" and path not in layout.entries.folders}
    return {path for path in alone if layout.ruled.owner(path) == "frontend" and "/" in path}


def protected_files(layout: Layout) -> set[str]:
    """Every protected file and link by itself, those in protected folders too."""
    found: set[str] = set()
    for folder, names in layout.entries.folders.items():
        closed = not layout.writable(folder)
        for name, kind in names.items():
            path = f"{folder}/{name}" if folder else name
            if kind in ("file", "link") and (path in layout.protected or (closed and layout.ruled.owner(path))):
                found.add(path)
    return found


def _kept(workspace: Workspace, paths: set[str], contents: set[str]) -> dict[str, Kept]:
    found: dict[str, Kept] = {}
    left = KEPT_BYTES
    for path in sorted(paths):
        place = os.path.join(workspace.root, path)
        try:
            state = os.lstat(place)
            content: bytes | None = None
            if stat.S_ISLNK(state.st_mode):
                content = os.fsencode(os.readlink(place))
            elif path in contents and state.st_size <= left:
                with open(place, "rb") as file:
                    content = file.read()
                left -= len(content)
        except OSError:
            continue
        found[path] = Kept(state.st_mode, state.st_size, content)
    return found


def after(workspace: Workspace, before: Before) -> Difference:
    """What is different now. Places the kernel kept read-only are not looked at: others may work there meanwhile."""
    layout, old = before.layout, before.layout.entries
    skip = _unchanged(layout) if before.mounted else set[str]()
    new = walk(workspace.root, Ignored(workspace, old), skip=skip)
    prefix = f"{workspace.root}/"
    created: list[str] = []
    changed: list[str] = []
    repositories: list[str] = []
    folders = [path for path in new.folders if path not in old.folders and path not in old.closed]
    for folder, names in new.folders.items():
        known = old.folders.get(folder, {})
        closed = before.mounted and not layout.writable(folder)
        for name, kind in names.items():
            path = f"{folder}/{name}" if folder else name
            if kind == "folder":
                if path in new.closed and path not in old.closed and path not in old.folders and _git(name):
                    repositories.append(path)
                continue
            if (was := known.get(name)) is None or was == "folder":
                created.append(path)
            elif not closed and path not in layout.protected and _changed(prefix + path, before.since):
                changed.append(path)
    deleted = _deleted(old, new, skip)
    folders.sort(key=lambda path: path.count("/"), reverse=True)
    return Difference(
        tuple(sorted(created)), tuple(sorted(changed)), tuple(sorted(deleted)), tuple(folders), tuple(repositories),
        new.inodes,
    )  # fmt: skip


def _git(name: str) -> bool:
    return name.lower() == ".git"


def _unchanged(layout: Layout) -> set[str]:
    """Read-only folders with nothing writable inside."""
    writable = [path for path, access in layout.places if access != "ro"]
    return {
        path for path, access in layout.places
        if access == "ro" and path in layout.entries.folders and not any(w.startswith(path + "/") for w in writable)
    }  # fmt: skip


def _changed(path: str, since: int) -> bool:
    try:
        return os.lstat(path).st_ctime_ns >= since
    except OSError:
        return False


def _deleted(old: Entries, new: Entries, skip: set[str]) -> list[str]:
    found: list[str] = []
    for folder, names in old.folders.items():
        if any(folder == path or folder.startswith(path + "/") for path in skip):
            continue
        now: Mapping[str, Kind] = new.folders.get(folder, {})
        for name, kind in names.items():
            if kind != "folder" and now.get(name, "folder") == "folder":
                path = f"{folder}/{name}" if folder else name
                if not any(path.startswith(closed + "/") for closed in new.closed):
                    found.append(path)
    return found
