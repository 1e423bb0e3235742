"""A commit in two halves: what it would be, prepared beside the repository, and making exactly that.

The half that makes it reads nothing from the work tree and nothing from the index: the tree was written when the
commit was prepared. A person's staged and unstaged work stays as it is.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mcp_backend.errors import Aborted, FailedPrecondition, InvalidArgument
from mcp_backend.facts import Ownership
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import branches, changes, git, git_environment, ownership, repository_hooks
from mcp_backend.workspace.changes import Status, shown
from mcp_backend.workspace.git import GitFailed, Repository
from mcp_backend.workspace.trees import Difference, Trees

SUBJECT = 200
LOCK_SECONDS = 3.0
HOOKS = ("post-commit", "post-rewrite")
"""They could only tell somebody: they run after the commit. commit_hooks.py runs those that have a say."""
DEFAULT_OWNERS = ("backend", "shared")
"""Whose changes go into a commit that names no paths."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything the commit will be. `owners` is keyed by path as git has it."""

    repository: Repository
    trees: Trees
    head: str | None
    ref: str | None
    parents: tuple[str, ...]
    base: str | None
    """The commit that `tree` is compared with: HEAD, whether it is the parent or the one that is replaced."""
    tree: str
    differences: tuple[Difference, ...]
    owners: Mapping[str, Ownership]
    left_out: tuple[str, ...]
    message: str
    identity: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that differs, both ends of a rename included, as actions and results show it."""
        found = {d.path for d in self.differences} | {d.source for d in self.differences if d.source}
        return tuple(shown(path) for path in sorted(found))


def prepare(
    workspace: Workspace, policy: Policy, message: str, paths: Sequence[str] | None, *, amend: bool
) -> Prepared:
    """The commit of `paths` as they are in the work tree, or of all changes that are the backend's.

    Raises `FailedPrecondition` when there is nothing to commit, an operation is in progress, nobody is known as the
    author, or the commit to amend is not there or already published.
    """
    repository = git_environment.open_repository(workspace)
    if operation := git.in_progress(repository):
        raise FailedPrecondition(
            f"a {operation} is in progress: whoever started it finishes or aborts it first "
            f"(git {operation} --continue or --abort)"
        )
    head, ref = git.head(repository)
    identity = git_environment.identity(repository)
    parents = (head,) if head else ()
    if amend:
        parents, identity = _amended(repository, head, identity)
    status = changes.status(repository, renames=False)
    if status.conflicts:
        named = ", ".join(map(shown, status.conflicts[:5]))
        raise FailedPrecondition(f"unresolved conflicts in {named}: resolve them first")
    trees = Trees(repository, workspace.state)
    chosen, left_out, owners = _chosen(repository, workspace, policy, status, paths)
    tree = trees.with_paths(head, chosen)
    differences = trees.between(head, tree)
    if not differences and not amend:
        raise FailedPrecondition(_nothing(paths, left_out, owners))
    named = {d.path for d in differences} | {d.source for d in differences if d.source}
    missing = named - owners.keys()
    owners |= _owners(missing, workspace, policy)
    return Prepared(
        repository, trees, head, ref, parents, head, tree, differences, owners, left_out, message, identity,
        tuple(_notes(repository, ref, policy)),
    )  # fmt: skip


def make(prepared: Prepared) -> str:
    """Makes the prepared commit and moves the branch, if it still stands where it stood; the id is returned.

    Raises `Aborted` when somebody moved or changed the branch meanwhile: nothing has happened then.
    """
    repository = prepared.repository
    if git.head(repository) != (prepared.head, prepared.ref):
        raise Aborted("HEAD moved since this commit was planned; look at git_status, then repeat the call")
    prepared.trees.publish(prepared.head, prepared.tree)
    arguments = [word for parent in prepared.parents for word in ("-p", parent)]
    given = prepared.message.encode()
    made = git.run(
        repository, "commit-tree", prepared.tree, *arguments, "-F", "-", given=given, extra=prepared.identity
    )
    commit = made.decode().strip()
    subject = prepared.message.splitlines()[0]
    old = prepared.head or "0" * len(commit)
    target = (prepared.ref,) if prepared.ref else ("--no-deref", "HEAD")
    try:
        git.run(repository, "update-ref", "-m", f"commit: {subject}", *target, commit, old, extra=prepared.identity)
    except GitFailed as error:
        now = git.head(repository)
        if now == (commit, prepared.ref):
            return commit
        if now == (prepared.head, prepared.ref):
            raise
        raise Aborted(
            "somebody else committed or switched branches meanwhile; nothing was changed. Repeat the call"
        ) from error
    return commit


def refresh_index(prepared: Prepared) -> str | None:
    """Brings the user's index in line for exactly the committed paths; a reason when it is locked for too long."""
    entries: list[str] = []
    for difference in prepared.differences:
        if difference.source:
            entries.append(f"0 {'0' * len(difference.old)}\t{difference.source}\0")
        if difference.letter == "D":
            entries.append(f"0 {'0' * len(difference.old)}\t{difference.path}\0")
        else:
            entries.append(f"{difference.new_mode} {difference.new}\t{difference.path}\0")
    entries.sort(key=lambda entry: not entry.startswith("0 "))
    given = "".join(entries).encode("utf-8", "surrogateescape")
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            git.run(prepared.repository, "update-index", "--add", "--replace", "-z", "--index-info", given=given)
            git.run(prepared.repository, "update-index", "-q", "--refresh", "--ignore-submodules", accept=(0, 1))
            return None
        except GitFailed as error:
            if time.monotonic() > until:
                return (
                    f"the commit is made, but the index is locked ({error.reason}): until `git reset -q -- PATHS` for "
                    "its paths, git shows them as staged"
                )
            time.sleep(0.05)


def _chosen(
    repository: Repository, workspace: Workspace, policy: Policy, status: Status, paths: Sequence[str] | None
) -> tuple[list[str], tuple[str, ...], dict[str, Ownership]]:
    """The changed paths that go into the commit, those that are left out, and the owners of both."""
    changed = [entry.path for entry in status.changed]
    if paths is not None:
        wanted = [changes.given(path, repository) for path in paths]
        changes.unknown(wanted, status, repository)
        every = [*changed, *status.untracked, *(path.rstrip("/") for path in status.nested)]
        chosen = [path for path in every if changes.within(path, wanted)]
        return chosen, (), _owners(chosen, workspace, policy)
    every = [*changed, *(path for path in status.untracked if not changes.litter(path))]
    owners = _owners(every, workspace, policy)
    mine = [path for path in every if owners[path].owner in DEFAULT_OWNERS]
    return mine, tuple(path for path in every if path not in mine), owners


def _owners(paths: Iterable[str], workspace: Workspace, policy: Policy) -> dict[str, Ownership]:
    read = {path: changes.classified(path) for path in paths}
    found = ownership.owners(read.values(), workspace, policy) if read else {}
    return {path: found[text] for path, text in read.items()}


def _nothing(paths: Sequence[str] | None, left_out: Sequence[str], owners: Mapping[str, Ownership]) -> str:
    if paths is not None:
        return f"nothing to commit: {', '.join(paths[:5])} has no changes. git_status shows what changed"
    if left_out:
        named = ", ".join(f"{shown(path)} ({owners[path].owner})" for path in left_out[:5])
        return f"nothing of the backend's to commit; changed by others: {named}"
    return "nothing to commit: the work tree is as the last commit has it"


def _amended(
    repository: Repository, head: str | None, identity: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The parents of the commit to replace, and its author, who stays the author."""
    if head is None:
        raise FailedPrecondition("amend: there is no commit yet; commit without amend")
    where = ("for-each-ref", "--count=1", "--format=%(refname:short)", "--contains", head, "refs/remotes")
    published = git.text(git.run(repository, *where)).strip()
    if published:
        raise FailedPrecondition(f"amend: the last commit is already on {published}; make a new commit")
    parents: list[str] = []
    author: dict[str, str] = {}
    for line in git.text(git.run(repository, "cat-file", "commit", head)).partition("\n\n")[0].splitlines():
        key, _, value = line.partition(" ")
        if key == "parent":
            parents.append(value)
        elif key == "author" and (found := re.fullmatch(r"(.*) <(.*)> (\d+ [+-]\d+)", value)):
            author = {"GIT_AUTHOR_NAME": found[1], "GIT_AUTHOR_EMAIL": found[2], "GIT_AUTHOR_DATE": f"@{found[3]}"}
    return tuple(parents), {**identity, **author}


def _notes(repository: Repository, ref: str | None, policy: Policy) -> Iterator[str]:
    if hooks := [name for name in HOOKS if repository_hooks.program(repository, name)]:
        yield f"hooks of the repository were not run: {', '.join(hooks)}"
    if repository.passed.get("commit.gpgsign", "false").lower() in ("true", "yes", "on", "1"):
        yield "commit.gpgSign is set, but this server does not sign commits"
    if ref is None:
        yield "HEAD is detached: the commit is on no branch"
    elif git.run(repository, "remote").strip():
        name = ref.removeprefix(branches.HEADS)
        if branches.facts(repository, policy, [name]).protected:
            yield (
                f"{name} is protected, so git_push refuses it: git_branch creates a branch of your own here; "
                "switch to it and push that for a review"
            )


def message_of(subject: str, body: str | None) -> str:
    """A commit message: subject, blank line, the rest; ends with one newline.

    Raises `InvalidArgument` naming the field.
    """
    for name, text in (("message", subject), ("body", body or "")):
        if any(ord(character) < 32 and character not in "\n\t" for character in text):
            raise InvalidArgument(f"{name}: control characters other than newline and tab are not allowed")
    first, _, rest = subject.strip().partition("\n")
    if not first.strip():
        raise InvalidArgument("message: expected a subject line that says why the change is there")
    if len(first) > SUBJECT:
        raise InvalidArgument(f"message: the subject line has {len(first)} characters, at most {SUBJECT}; use body")
    parts = [first.strip(), rest.strip("\n").rstrip(), (body or "").strip("\n").rstrip()]
    return "\n\n".join(part for part in parts if part) + "\n"
