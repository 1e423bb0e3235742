"""Takes back what the fence could not refuse: files that did not exist before, and protected ones it can't hold.

Nothing is thrown away. What has to go is moved to a folder of the user's outside the workspace, because a person may
have made it in the same minute; what is restored is first moved there too. Content that came from git is left alone:
the fence keeps `.git` read-only, so no command put it there.
"""

import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcp_backend.errors import Json
from mcp_backend.facts import Owner
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace, private
from mcp_backend.workspace import listing
from mcp_backend.workspace.changes import shown
from mcp_backend.workspace.fence import kernel
from mcp_backend.workspace.fence.layout import ruling
from mcp_backend.workspace.fence.scan import Before, Difference, Kept

KEPT_DAYS = 30
SHOWN = 50
_RUNS = re.compile(
    rb"(?im)^\s*\[\s*(filter|include|includeif|alias|credential|url|gpg|difftool|mergetool|pager|sequence)\b"
    rb"|^\s*(fsmonitor|hookspath|sshcommand|gitproxy|editor|pager|askpass|worktree|attributesfile|command|textconv"
    rb"|driver|external|program|helper|uploadpack|receivepack|update)\s*="
)
"""Settings of git that name a program, or files with more of them. https://git-scm.com/docs/git-config"""


@dataclass(frozen=True, slots=True)
class Refused:
    """One change that was taken back: whose the path is, what happened, and where the content is kept."""

    path: str
    owner: Owner
    what: str
    kept: str | None = None


def told(refused: Sequence[Refused]) -> list[Json]:
    """The first of them as a result carries them."""
    found: list[Json] = [
        {"path": shown(item.path), "owner": item.owner, "what": item.what, **({"kept": item.kept} if item.kept else {})}
        for item in refused[:SHOWN]
    ]
    return [*found, {"left_out": len(refused) - SHOWN}] if len(refused) > SHOWN else found


def revert(workspace: Workspace, policy: Policy, before: Before, found: Difference) -> tuple[Refused, ...]:
    """Takes back what belongs to somebody else; the rest stays. Call when no process of the command is left."""
    work = _Work(workspace, before, found)
    if found.created:
        after = ruling(workspace, policy)
        head = listing.committed(workspace.root) if workspace.repository else None
        for path in found.created:
            owner = before.layout.ruled.owner(path) or after.owner(path)
            if owner is not None and not (head and _from_git(workspace.root, head, path)):
                work.take_away(path, owner)
    for path in found.repositories:
        if _starts_programs(workspace.root / path):
            work.take_away(path, "git")
    for path, kept in before.kept.items():
        work.restore(path, kept, before.layout.ruled.owner(path) or "frontend")
    work.empty(found.folders)
    return tuple(work.refused)


def _from_git(root: Path, commit: str, path: str) -> bool:
    there = listing.texts_of(root, commit, [path]).get(path)
    return there is not None and there == listing.text(root, path, len(there) * 4 + 4)


def _starts_programs(folder: Path) -> bool:
    """Whether a new repository would run programs of its own for whoever looks at it with git."""
    if folder.is_symlink() or not folder.is_dir():
        return True
    with_hooks = folder / "hooks"
    try:
        config = (folder / "config").read_bytes() if (folder / "config").exists() else b""
        hooks = [name for name in os.listdir(with_hooks) if not name.endswith(".sample")] if with_hooks.exists() else []
    except OSError:
        return True
    return bool(hooks) or _RUNS.search(config) is not None


class _Work:
    def __init__(self, workspace: Workspace, before: Before, found: Difference) -> None:
        self.refused: list[Refused] = []
        self._workspace = workspace
        self._place: Path | None = None
        old = before.layout.entries.inodes
        gone = set(found.deleted)
        self._was = {old[path]: path for path in gone if path in old}
        self._still = {inode for path, inode in old.items() if path not in gone}
        self._inodes = found.inodes

    def take_away(self, path: str, owner: Owner) -> None:
        """Moves a new file back to where it was before, or out of the workspace."""
        inode = self._inodes.get(path)
        try:
            if inode in self._was and not os.path.lexists(self._full(self._was[inode])):
                self._move(path, self._full(self._was[inode]))
                self.refused.append(Refused(path, owner, f"moved back to {self._was[inode]}"))
            elif inode in self._still:
                self._unlink(path)
                self.refused.append(Refused(path, owner, "a second name of another file, removed"))
            else:
                kept = self._kept(path)
                self._move(path, kept)
                self.refused.append(Refused(path, owner, "new file, moved out of the workspace", str(kept)))
        except OSError as error:
            self.refused.append(Refused(path, owner, f"new file, could not be moved away: {error.strerror}"))

    def restore(self, path: str, kept: Kept, owner: Owner) -> None:
        """Makes a protected file what it was."""
        full = self._full(path)
        try:
            state = os.lstat(full)
        except FileNotFoundError:
            state = None
        try:
            same = state is not None and stat.S_IFMT(state.st_mode) == stat.S_IFMT(kept.mode)
            if state is not None and same and self._content(full, kept, state):
                if state.st_mode != kept.mode and not stat.S_ISLNK(kept.mode):
                    os.chmod(full, stat.S_IMODE(kept.mode), follow_symlinks=True)
                    self.refused.append(Refused(path, owner, "mode changed, restored"))
                return
            if kept.content is None:
                self.refused.append(Refused(path, owner, "changed, too large to be restored: a person looks at it"))
                return
            place = self._kept(path) if state is not None else None
            if place is not None:
                self._move(path, place)
            self._write(full, kept)
            what = "changed, restored" if state is not None else "deleted, restored"
            self.refused.append(Refused(path, owner, what, str(place) if place else None))
        except OSError as error:
            self.refused.append(Refused(path, owner, f"changed, could not be restored: {error.strerror}"))

    def empty(self, folders: Iterable[str]) -> None:
        """Removes new folders that hold nothing once their files are gone."""
        touched = {os.path.dirname(item.path) for item in self.refused}
        for folder in folders:
            if any(path == folder or path.startswith(folder + "/") for path in touched):
                try:
                    os.rmdir(self._full(folder))
                except OSError:
                    continue

    def _content(self, full: str, kept: Kept, state: os.stat_result) -> bool:
        if stat.S_ISLNK(kept.mode):
            return os.fsencode(os.readlink(full)) == kept.content
        if kept.content is None:
            return state.st_size == kept.size
        with open(full, "rb") as file:
            return file.read(len(kept.content) + 1) == kept.content

    def _write(self, full: str, kept: Kept) -> None:
        os.makedirs(os.path.dirname(full), exist_ok=True)
        folder = kernel.opened(os.path.dirname(full))
        try:
            name = os.path.basename(full)
            if stat.S_ISLNK(kept.mode):
                os.symlink(os.fsdecode(kept.content or b""), name, dir_fd=folder)
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(name, flags, 0o600, dir_fd=folder), "wb") as file:
                file.write(kept.content or b"")
                os.fchmod(file.fileno(), stat.S_IMODE(kept.mode))
        finally:
            os.close(folder)

    def _move(self, path: str, target: "str | Path") -> None:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        full = self._full(path)
        folder = kernel.opened(os.path.dirname(full))
        name = os.path.basename(full)
        try:
            os.rename(name, target, src_dir_fd=folder)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            there = f"/proc/self/fd/{folder}/{name}"
            if os.path.isdir(there) and not os.path.islink(there):
                shutil.copytree(there, target, symlinks=True)
                shutil.rmtree(there)
            else:
                shutil.copy2(there, target, follow_symlinks=False)
                os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)

    def _unlink(self, path: str) -> None:
        full = self._full(path)
        folder = kernel.opened(os.path.dirname(full))
        try:
            os.unlink(os.path.basename(full), dir_fd=folder)
        finally:
            os.close(folder)

    def _full(self, path: str) -> str:
        return os.path.join(self._workspace.root, path)

    def _kept(self, path: str) -> Path:
        if self._place is None:
            base = private(private(self._workspace.state) / "taken-back")
            _forget(base)
            self._place = private(base / f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}")
        return self._place / path


def _forget(base: Path) -> None:
    oldest = time.time() - KEPT_DAYS * 86400
    for folder in base.iterdir():
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
