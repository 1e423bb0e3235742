"""What a range of commits changes, commit by commit: history keeps what a later commit takes away.

A merge counts with what differs from all its parents: the rest came with them and is looked at there, or is not new.
https://git-scm.com/docs/git-diff-tree#_combined_diff_format
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mcp_backend.errors import FailedPrecondition
from mcp_backend.facts import Ownership, Secret
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import differences, git, ownership, secrets_scan
from mcp_backend.workspace.changes import classified, shown
from mcp_backend.workspace.current import roots_at, roots_of
from mcp_backend.workspace.git import Repository
from mcp_backend.workspace.trees import Trees

COMMITS = 2000
LARGEST = 4_000_000
"""Bytes of one file that are looked at for credentials."""


@dataclass(frozen=True, slots=True)
class Touched:
    """One path that one commit changes: the object ids before (of the first parent) and after, and the new mode."""

    commit: str
    path: str
    old: str
    new: str
    mode: str


@dataclass(frozen=True, slots=True)
class Range:
    """The commits, newest first, what they touch, and what guards ask about it. Keys and paths as results show them."""

    commits: tuple[str, ...]
    touched: tuple[Touched, ...]
    owners: Mapping[str, Ownership]
    secrets: tuple[Secret, ...]
    special: tuple[str, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that some commit changes."""
        return tuple(sorted(self.owners))


def commits(repository: Repository, tip: str, without: Sequence[str]) -> tuple[str, ...]:
    """The commits that `tip` reaches and none of `without` does, newest first; ids that are not here are passed over.

    Raises `FailedPrecondition` for more than can be looked at.
    """
    known = present(repository, without)
    given = "".join(f"{line}\n" for line in (tip, *(f"^{commit}" for commit in sorted(known)))).encode()
    found = git.run(repository, "rev-list", "--topo-order", f"--max-count={COMMITS + 1}", "--stdin", given=given)
    listed = tuple(found.decode().split())
    if len(listed) > COMMITS:
        raise FailedPrecondition(
            f"more than {COMMITS} commits are new to the remote: a person pushes so much at once, then repeat this call"
        )
    return listed


def present(repository: Repository, ids: Sequence[str]) -> frozenset[str]:
    """Those of `ids` that are commits of this repository."""
    if not ids:
        return frozenset()
    asked = "".join(f"{identifier}^{{commit}}\n" for identifier in dict.fromkeys(ids)).encode()
    lines = git.run(repository, "cat-file", "--batch-check=%(objectname) %(objecttype)", given=asked).decode()
    return frozenset(line.split()[0] for line in lines.splitlines() if line.endswith(" commit"))


def look(workspace: Workspace, policy: Policy, trees: Trees, listed: Sequence[str]) -> Range:
    """What these commits (newest first) change, whose it is, and which credentials they add."""
    touched = tuple(_touched(trees.repository, listed))
    blobs = trees.contents({t.new for t in touched if t.mode.startswith("100")}, LARGEST)
    secrets: dict[tuple[str, int, str], Secret] = {}
    for one in touched:
        for secret in _secrets(trees, one, blobs.get(one.new)):
            secrets.setdefault((secret.path, secret.line, secret.kind), secret)
    special = {shown(t.path) for t in touched if t.mode in ("120000", "160000")}
    return Range(
        tuple(listed), touched, _owners(workspace, policy, trees.repository, touched, listed), tuple(secrets.values()),
        tuple(sorted(special)),
    )  # fmt: skip


def _touched(repository: Repository, listed: Sequence[str]) -> Iterator[Touched]:
    options = ("--stdin", "-r", "-c", "-z", "--raw", "--no-abbrev", "--root", "--no-renames")
    given = "".join(f"{commit}\n" for commit in listed).encode()
    fields = iter(git.text(git.run(repository, "diff-tree", *options, given=given)).split("\0"))
    commit = ""
    for field in fields:
        if not field.startswith(":"):
            commit = field.strip() or commit
            continue
        parents = len(field) - len(field.lstrip(":"))
        words = field[parents:].split(" ")
        modes, ids = words[: parents + 1], words[parents + 1 : 2 * parents + 2]
        yield Touched(commit, next(fields), ids[0], ids[-1], modes[-1])


def _secrets(trees: Trees, one: Touched, after: bytes | None) -> Iterator[Secret]:
    name = classified(one.path)
    if after is None or not secrets_scan.scan(name, after, None):
        return
    before = trees.contents([one.old], LARGEST).get(one.old) if one.old.strip("0") else None
    for found in secrets_scan.scan(name, after, differences.added(before, after)):
        yield Secret(shown(one.path), found.line, f"{found.kind} (commit {one.commit[:12]})")


def _owners(
    workspace: Workspace, policy: Policy, repository: Repository, touched: Sequence[Touched], listed: Sequence[str]
) -> dict[str, Ownership]:
    """Whose each path is: by the folders as they are now, as the newest commit has them and as they were before the
    oldest one; the strictest counts, so that no commit gives itself a folder."""
    if not touched:
        return {}
    names = {t.path: classified(t.path) for t in touched}
    tip = roots_at(workspace, policy, listed[0])
    parents = git.run(repository, "rev-list", "--parents", "-n1", listed[-1]).decode().split()[1:]
    before = roots_at(workspace, policy, parents[0]) if parents else None
    now = ownership.decided(names.values(), workspace, roots_of(workspace, policy), tip)
    then = ownership.decided(names.values(), workspace, tip, before)
    open_to_all = ("backend", "shared")
    return {
        shown(path): now[name] if then[name].owner in open_to_all or now[name].owner not in open_to_all else then[name]
        for path, name in names.items()
    }
