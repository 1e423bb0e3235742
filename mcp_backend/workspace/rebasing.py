"""A rebase that this server started: started by git itself in the pinned environment, so that people see and can end
it with their own git; continued with exactly what was judged; aborted to exactly what was there.

What was there is kept beside the repository: the commit, the index to the byte, ORIG_HEAD. https://git-scm.com/docs/git-rebase
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mcp_backend.errors import Aborted, FailedPrecondition
from mcp_backend.settings import Workspace, private
from mcp_backend.workspace import branches, changes, conflicts, git, git_environment, repository_hooks
from mcp_backend.workspace.changes import shown
from mcp_backend.workspace.conflicts import Conflict
from mcp_backend.workspace.git import GitFailed, Repository
from mcp_backend.workspace.trees import Trees

SECONDS = 600.0
_SETTINGS = (
    ("rerere.enabled", "false"), ("rebase.autoStash", "false"), ("rebase.autoSquash", "false"),
    ("rebase.updateRefs", "false"), ("rebase.rebaseMerges", "false"), ("rebase.instructionFormat", "%s"),
    ("rebase.missingCommitsCheck", "ignore"), ("merge.conflictStyle", "merge"), ("advice.mergeConflict", "false"),
)  # fmt: skip
_OPTIONS = ("--merge", "--no-autostash", "--no-autosquash", "--no-fork-point", "--no-verify", "--no-stat", "--quiet",
            "--no-gpg-sign", "--empty=drop")  # fmt: skip
_HOOKS = ("post-checkout", "prepare-commit-msg", "post-commit", "post-rewrite")
_TEXT_DRIVER = "git merge-file --marker-size=%L %A %O %B"
"""What git does for text without a driver; stands in for programs that the repository names as drivers."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What was there before: `head` on branch `ref`, to be rebased onto `onto`; `merged` is a digest of the index
    entries without conflict when it stopped last, `orig_head` what ORIG_HEAD held."""

    head: str
    ref: str
    onto: str
    orig_head: str | None
    merged: str = ""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Where a rebase waits: the commit that does not apply, how many are done and left, and the conflicts."""

    commit: str | None
    done: int
    total: int
    conflicts: tuple[Conflict, ...]


def silent_hooks(repository: Repository) -> list[str]:
    """The hooks of the repository that git itself would run besides pre-rebase, and that do not run here. It runs
    neither pre-commit nor commit-msg for commits that are picked: they had their say when the commits were made."""
    return [name for name in _HOOKS if repository_hooks.program(repository, name)]


def running(repository: Repository) -> bool:
    """Whether a rebase is in progress, whoever began it."""
    return git.in_progress(repository) == "rebase"


def begun(repository: Repository, workspace: Workspace) -> Begun | None:
    """What was kept of the rebase in progress; `None` when somebody else began it."""
    try:
        kept = Begun(**json.loads(_place(workspace).read_bytes()))
        folder = repository.git_dir / "rebase-merge"
        same = (folder / "orig-head").read_text("utf-8").strip() == kept.head
        return kept if same and (folder / "head-name").read_text("utf-8").strip() == kept.ref else None
    except (OSError, ValueError, TypeError):
        return None


def obstacles(repository: Repository, trees: Trees, head: str, onto: str, listed: Sequence[str]) -> None:
    """Raises `FailedPrecondition` where a file that git does not track would be written over, or a filter is needed."""
    coming = {d.path for d in trees.between(head, onto) if d.letter == "A"}
    for commit in listed:
        coming |= {d.path for d in trees.between(f"{commit}^", commit) if d.letter == "A"}
    branches.filtered(trees, head, onto, coming)
    _untracked(repository, coming)


def start(repository: Repository, workspace: Workspace, kept: Begun) -> Stopped | None:
    """Begins the rebase; `None` when it went through. Raises `Aborted` when the branch moved, `GitFailed`."""
    if git.head(repository) != (kept.head, kept.ref):
        raise Aborted("HEAD moved since this call was planned; look at git_status, then repeat the call")
    place = _place(workspace)
    index = repository.git_dir / "index"
    _index_copy(workspace).write_bytes(index.read_bytes() if index.is_file() else b"")
    place.write_text(json.dumps(asdict(kept)), "utf-8")
    return _stopped(repository, workspace, kept, "rebase", *_OPTIONS, kept.onto)


def resume(repository: Repository, workspace: Workspace, kept: Begun, resolved: Mapping[str, tuple[str, str] | None],
           trees: Trees, tree: str) -> Stopped | None:  # fmt: skip
    """Stages exactly what was judged (mode and object id, `None` for a deletion) and goes on."""
    if {c.path for c in conflicts.unmerged(repository)} != set(resolved):
        raise Aborted("the conflicts changed since this call was planned; repeat it")
    if any(resolved.values()):
        trees.publish(None, tree)
    nothing = "0" * len(kept.head)
    entries = [f"0 {nothing}\t{path}\0" for path in resolved]
    entries += [f"{found[0]} {found[1]}\t{path}\0" for path, found in resolved.items() if found]
    given = "".join(entries).encode("utf-8", "surrogateescape")
    git.run(repository, "update-index", "--add", "--replace", "-z", "--index-info", given=given)
    git.run(repository, "update-index", "-q", "--refresh", "--ignore-submodules", accept=(0, 1))
    return _stopped(repository, workspace, kept, "rebase", "--continue")


def abort(repository: Repository, workspace: Workspace, kept: Begun) -> None:
    """Puts everything back: the branch, the work tree, the index to the byte, ORIG_HEAD."""
    _git(repository, "rebase", "--abort")
    restored = repository.git_dir / "ORIG_HEAD"
    if kept.orig_head is None:
        restored.unlink(missing_ok=True)
    else:
        _replaced(restored, kept.orig_head.encode())
    _replaced(repository.git_dir / "index", _index_copy(workspace).read_bytes())
    if git.head(repository) != (kept.head, kept.ref):
        raise Aborted("the branch was moved by somebody else while the rebase was taken back; look at git_status")
    _forget(workspace)


def foreign(repository: Repository, kept: Begun) -> list[str]:
    """What somebody changed besides the conflicts since the rebase stopped, staged or not."""
    waiting = {c.path for c in conflicts.unmerged(repository)}
    found = [e.path for e in changes.status(repository, renames=False).changed if e.unstaged and e.path not in waiting]
    if _merged(repository) != kept.merged:
        found.append("the index")
    return found


def restorable(repository: Repository, trees: Trees, kept: Begun) -> None:
    """Raises `FailedPrecondition` where taking back would write over a file that git does not track."""
    _untracked(repository, {d.path for d in trees.between(kept.onto, kept.head)})


def stopped(repository: Repository) -> Stopped:
    """Where the rebase in progress waits."""
    folder = repository.git_dir / "rebase-merge"
    commit = git.run(repository, "rev-parse", "--verify", "--quiet", "REBASE_HEAD", accept=(0, 1)).decode().strip()
    return Stopped(commit or None, _number(folder / "msgnum"), _number(folder / "end"), conflicts.unmerged(repository))


def fresh(repository: Repository, head: str, ref: str, onto: str) -> Begun:
    """What is kept of a rebase that is about to begin."""
    try:
        orig = (repository.git_dir / "ORIG_HEAD").read_text("utf-8", "surrogateescape")
    except OSError:
        orig = None
    return Begun(head, ref, onto, orig)


def _stopped(repository: Repository, workspace: Workspace, kept: Begun, *arguments: str) -> Stopped | None:
    try:
        _git(repository, *arguments)
    except GitFailed:
        if not running(repository):
            _forget(workspace)
            raise
        found = stopped(repository)
        noted = replace(kept, merged=_merged(repository))
        _place(workspace).write_text(json.dumps(asdict(noted)), "utf-8")
        if not found.conflicts:
            raise
        return found
    _forget(workspace)
    return None


def _git(repository: Repository, *arguments: str) -> bytes:
    listing = git.run(repository, "config", "-z", "--name-only", "--get-regexp", r"^merge\..*\.driver$", accept=(0, 1))
    drivers = [(key, _TEXT_DRIVER) for key in git.text(listing).split("\0") if key]
    environment = git_environment.with_settings(repository.environment, [*_SETTINGS, *drivers])
    # The message of a commit that waited stays as it is: nobody edits it.
    environment |= {"GIT_EDITOR": ":", **git_environment.identity(repository)}
    for role in ("NAME", "EMAIL", "DATE"):
        environment.pop(f"GIT_AUTHOR_{role}", None)
    return git.run(replace(repository, environment=environment), *arguments, seconds=SECONDS)


def _untracked(repository: Repository, paths: set[str]) -> None:
    there = sorted(path for path in paths if os.path.lexists(repository.root / path))
    if not there:
        return
    given = "".join(f"{path}\0" for path in there).encode("utf-8", "surrogateescape")
    known = set(git.text(git.run(repository, "ls-files", "-z", "--cached")).split("\0")) if given else set[str]()
    if lost := [path for path in there if path not in known and not (repository.root / path).is_dir()]:
        raise FailedPrecondition(
            f"files that git does not track would be written over: {', '.join(map(shown, lost[:5]))}. Whoever made "
            "them moves them away"
        )


def _merged(repository: Repository) -> str:
    entries = git.run(repository, "ls-files", "--stage", "-z").split(b"\0")
    return hashlib.sha256(b"\0".join(e for e in entries if e.partition(b"\t")[0].endswith(b" 0"))).hexdigest()


def _number(path: Path) -> int:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return 0


def _replaced(path: Path, data: bytes) -> None:
    """Writes a file of the git directory under git's own lock."""
    lock = path.with_name(path.name + ".lock")
    with open(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb") as file:
        file.write(data)
    os.replace(lock, path)


def _place(workspace: Workspace) -> Path:
    return private(workspace.state) / "rebase.json"


def _index_copy(workspace: Workspace) -> Path:
    return private(workspace.state) / "rebase.index"


def _forget(workspace: Workspace) -> None:
    _place(workspace).unlink(missing_ok=True)
    _index_copy(workspace).unlink(missing_ok=True)
