"""Local branches: making, switching and deleting them, and which are protected.

https://git-scm.com/docs/git-update-ref, https://git-scm.com/docs/git-check-ref-format
"""

import fnmatch
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mcp_backend.actions import listed
from mcp_backend.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from mcp_backend.facts import RefFacts
from mcp_backend.policy import Policy
from mcp_backend.workspace import changes, git
from mcp_backend.workspace.changes import shown
from mcp_backend.workspace.git import REVISION, GitFailed, Repository
from mcp_backend.workspace.trees import Trees

HEADS, REMOTES = "refs/heads/", "refs/remotes/"
SHOWN = 30


@dataclass(frozen=True, slots=True)
class Move:
    """A branch (`refs/heads/…`, or HEAD when it is switched) and the commits it stands on before and after."""

    ref: str
    before: str | None
    after: str | None


def checked(repository: Repository, name: str, *, field: str = "name") -> str:
    """A branch name that git allows. Raises `InvalidArgument` naming the field."""
    plain = REVISION.fullmatch(name) and not name.startswith("refs/") and name not in ("HEAD", "@")
    try:
        git.run(repository, "check-ref-format", f"{HEADS}{name if plain else '..'}")
    except GitFailed:
        raise InvalidArgument(
            f"{field}: {name[:80]!r} is no branch name: letters, digits, `-`, `_`, `.` and `/`, such as feature/orders"
        ) from None
    return name


def at(repository: Repository, name: str, *, field: str = "name") -> str:
    """The commit a local branch stands on. Raises `NotFound` naming the branches there are."""
    found = _id(repository, HEADS + name)
    if found is None:
        known = local(repository)
        raise NotFound(f"{field}: no branch {name[:80]!r}; there are: {listed(known, SHOWN) or 'none yet'}")
    return found


def exists(repository: Repository, name: str) -> bool:
    """Whether there is a local branch of that name."""
    return _id(repository, HEADS + name) is not None


def local(repository: Repository) -> list[str]:
    """The names of the local branches."""
    listed = git.text(git.run(repository, "for-each-ref", "--format=%(refname)", HEADS))
    return [line.removeprefix(HEADS) for line in listed.splitlines()]


def _id(repository: Repository, ref: str) -> str | None:
    arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    return git.run(repository, *arguments, accept=(0, 1, 128)).decode().strip() or None


def patterns(policy: Policy) -> tuple[str, ...]:
    """Names and globs of protected branches, by the policy. Raises `InvalidArgument` where they are no list."""
    found: list[str] = []
    for constraint in policy.constraints:
        if constraint.guard == "protected_branches":
            value = constraint.parameters.get("branches", ())
            listed = cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else (None,)
            if not all(isinstance(item, str) for item in listed):
                raise InvalidArgument(
                    f"mcp-backend.toml: constraints.{constraint.id}.parameters.branches: expected a list of names"
                )
            found += cast("Sequence[str]", listed)
    return tuple(found)


def protected(policy: Policy, names: Iterable[str], head: str | None = None) -> tuple[str, ...]:
    """The full names of those of `names` that are protected: by the policy, or as the HEAD of a remote (full name).
    Case does not matter: some servers fold it."""
    wanted = [pattern.lower() for pattern in patterns(policy)]
    if head is not None:
        wanted.append(re.sub(r"([*?\[])", r"[\1]", head.removeprefix(HEADS).lower()))
    return tuple(HEADS + name for name in names if any(fnmatch.fnmatchcase(name.lower(), glob) for glob in wanted))


def facts(repository: Repository, policy: Policy, names: Iterable[str], rewritten: Iterable[str] = ()) -> RefFacts:
    """What guards ask about local branches: the HEADs that remotes are known to have are protected here, too."""
    listed = [*names]
    found = list(protected(policy, listed))
    heads = git.text(git.run(repository, "for-each-ref", "--format=%(symref)", f"{REMOTES}*/HEAD")).split()
    for head in heads:
        found += protected(policy, listed, HEADS + head.removeprefix(REMOTES).partition("/")[2])
    return RefFacts(tuple(dict.fromkeys(found)), tuple(rewritten))


def published(repository: Repository, policy: Policy, commits: Sequence[str]) -> tuple[str, ...]:
    """Those of `commits` that a protected branch of a remote has, as far as this repository knows."""
    tips: list[str] = []
    listing = git.text(git.run(repository, "for-each-ref", "--format=%(objectname) %(refname)", REMOTES))
    for line in listing.splitlines():
        commit, _, ref = line.partition(" ")
        name = ref.removeprefix(REMOTES).partition("/")[2]
        if name == "HEAD" or protected(policy, [name]):
            tips.append(commit)
    if not tips or not commits:
        return ()
    given = "".join(f"{line}\n" for line in (*commits, *(f"^{tip}" for tip in tips))).encode()
    unpublished = set(git.run(repository, "rev-list", "--stdin", given=given).decode().split())
    return tuple(commit for commit in commits if commit not in unpublished)


def move(repository: Repository, done: Move, reason: str, identity: dict[str, str]) -> None:
    """Creates, moves or deletes a branch, if it still stands where it stood. Raises `Aborted` otherwise."""
    nothing = "0" * len(done.before or done.after or "0" * 40)
    try:
        if done.after is None:
            git.run(repository, "update-ref", "-m", reason, "-d", done.ref, done.before or nothing, extra=identity)
        else:
            arguments = (done.ref, done.after, done.before or nothing)
            git.run(repository, "update-ref", "--create-reflog", "-m", reason, *arguments, extra=identity)
    except GitFailed as error:
        if _id(repository, done.ref) == done.after:
            return
        raise Aborted(f"{done.ref.removeprefix(HEADS)} could not be moved: {error.reason}. Look again") from error


def elsewhere(repository: Repository, name: str) -> str | None:
    """The folder of another work tree that has a branch checked out."""
    folder = ""
    for line in git.text(git.run(repository, "worktree", "list", "--porcelain", "-z")).split("\0"):
        if line.startswith("worktree "):
            folder = line.removeprefix("worktree ")
        elif line == f"branch {HEADS}{name}" and os.path.realpath(folder) != str(repository.root):
            return folder
    return None


def switch(
    repository: Repository, trees: Trees, name: str, commit: str, head: str | None, identity: dict[str, str]
) -> None:
    """Checks out a branch. What people changed and did not commit stays as it is: git refuses where it would not.

    Raises `FailedPrecondition` naming what is in the way, `Aborted` when the branch moved meanwhile.
    """
    if _id(repository, HEADS + name) != commit:
        raise Aborted(f"{name} moved since this call was planned; repeat it")
    filtered(trees, head, commit)
    coming = {difference.path for difference in trees.between(head, commit)}
    if lost := [path for path in hidden(trees) if path in coming]:
        raise FailedPrecondition(f"{_hidden(lost)}; nothing was switched")
    options = ("--quiet", "--no-guess", "--no-overwrite-ignore", "--no-recurse-submodules", "--no-progress")
    try:
        git.run(repository, "checkout", *options, name, "--", extra=identity)
    except GitFailed as error:
        raise FailedPrecondition(
            f"{error.reason}. Nothing was switched: what is in the way is not committed. git_commit what is yours; "
            "the rest belongs to whoever changed it"
        ) from error


def filtered(trees: Trees, old: str | None, new: str, more: Iterable[str] = ()) -> None:
    """Raises `FailedPrecondition` when files to be written are stored through a filter this server does not run."""
    paths = {d.path for d in trees.between(old, new) if d.letter != "D"} | set(more)
    if (found := trees.filtered_in(new, paths)) is not None:
        raise FailedPrecondition(
            f"{shown(found)} is stored through a filter (.gitattributes), a program this server does not run: a person "
            "does this"
        )


def hidden(trees: Trees) -> list[str]:
    """Changed files whose change a flag of the index hides from git (git-update-index(1): assume-unchanged,
    skip-worktree): git takes them for unchanged and writes over them."""
    repository = trees.repository
    flagged = [
        line[2:]
        for line in git.text(git.run(repository, "ls-files", "-v", "-z")).split("\0")
        if line[:1].islower() or (line[:1] == "S" and os.path.lexists(repository.root / line[2:]))
    ]
    if not flagged:
        return []
    given = "".join(f"{path}\0" for path in flagged).encode("utf-8", "surrogateescape")
    with tempfile.TemporaryDirectory(prefix="mb-") as folder:
        index = Path(folder) / "index"
        shutil.copy2(repository.git_dir / "index", index)
        for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
            trees.git("update-index", flag, "-z", "--stdin", given=given, index=index)
        trees.git("update-index", "-q", "--refresh", "--ignore-submodules", index=index, accept=(0, 1))
        changed = git.text(trees.git("diff-files", "--name-only", "-z", "--ignore-submodules=dirty", index=index))
    return sorted(set(changed.split("\0")) & set(flagged))


def _hidden(paths: Sequence[str]) -> str:
    return (
        f"changed, and hidden from git by assume-unchanged or skip-worktree: {', '.join(map(shown, paths[:5]))}. "
        "Whoever set the flag keeps the change elsewhere first"
    )


def clean(repository: Repository, trees: Trees, doing: str) -> changes.Status:
    """The status of a work tree without changes. Raises `FailedPrecondition` naming them: they are somebody's."""
    found = changes.status(repository, renames=False)
    if found.conflicts:
        raise FailedPrecondition(
            f"unresolved conflicts in {', '.join(map(shown, found.conflicts[:5]))}: resolve them first"
        )
    if lost := hidden(trees):
        raise FailedPrecondition(f"{doing} needs a clean work tree: {_hidden(lost)}")
    if found.changed:
        named = listed([shown(entry.path) for entry in found.changed], 5)
        raise FailedPrecondition(
            f"{doing} needs a clean work tree; not committed are: {named}. git_commit what is yours; the "
            "rest is for its author to commit or stash, never for this server"
        )
    return found


def kept_by(repository: Repository, commit: str, name: str) -> str | None:
    """A branch other than `name`, here or at a remote, that has the commit."""
    where = ("for-each-ref", "--format=%(refname)", "--contains", commit, HEADS, REMOTES)
    found = git.text(git.run(repository, *where)).splitlines()
    return next((ref.split("/", 2)[2] for ref in found if ref != HEADS + name), None)


def tracking(repository: Repository, remote: str, name: str) -> str | None:
    """The commit that the remote-tracking branch stands on."""
    return _id(repository, f"{REMOTES}{remote}/{name}")


def track(repository: Repository, remote: str, name: str, commit: str, identity: dict[str, str]) -> None:
    """Notes what a remote has now, where its branches are tracked in the usual place."""
    mapped = git.text(git.run(repository, "config", "--get-all", f"remote.{remote}.fetch", accept=(0, 1))).split()
    if f"+{HEADS}*:{REMOTES}{remote}/*" in mapped:
        arguments = ("-m", "update by push", f"{REMOTES}{remote}/{name}", commit)
        git.run(repository, "update-ref", *arguments, extra=identity)
