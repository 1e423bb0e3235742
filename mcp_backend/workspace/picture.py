"""A change as a reviewer first sees it: commits, files and whose they are, what the guards say, whether tests ran."""

from collections.abc import Iterator, Sequence

from mcp_backend.errors import NotFound
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import changes, diff_check, git, git_environment, ownership
from mcp_backend.workspace.changes import shown
from mcp_backend.workspace.diff_check import Finding
from mcp_backend.workspace.git import Repository
from mcp_backend.workspace.receipts import Receipt
from mcp_backend.workspace.trees import Trees

COMMITS, FILES, FINDINGS, LINE = 20, 60, 40, 240
"""How much is shown; what is left out is counted."""


def of(workspace: Workspace, policy: Policy, base: str, receipts: Sequence[Receipt]) -> str:
    """What the work tree has that `base` (a branch, a tag, a commit; "" for HEAD) had not when HEAD left it.

    Markdown lists with names and places, never content. Raises `NotFound` for an unknown base.
    """
    if not workspace.repository:
        return ""
    repository = git_environment.open_repository(workspace)
    trees = Trees(repository, workspace.state)
    old = _fork(repository, base) if base else git.head(repository)[0]
    new = trees.of_work_tree().id
    findings = diff_check.judged(workspace, policy, trees, old, new)
    parts = [
        _part("Commits", _commits(repository, old), COMMITS),
        _part("Files (lines added, removed; whose)", _files(workspace, policy, trees, old, new), FILES),
        _part("What the guards say (they judge what a commit is judged by)", [_told(f) for f in findings], FINDINGS),
        f"- Tests: {_tests(receipts, new)}",
    ]
    return "\n".join(part for part in parts if part)


def _fork(repository: Repository, base: str) -> str:
    tip, other = git.resolve(repository, "HEAD", name="HEAD"), git.resolve(repository, base, name="base")
    fork = git.run(repository, "merge-base", other, tip, accept=(0, 1)).decode().split()
    if not fork:
        raise NotFound(f"base: HEAD and {base} have no commit in common")
    return fork[0]


def _commits(repository: Repository, old: str | None) -> list[str]:
    if old is None:
        return []
    listing = git.text(git.run(repository, "log", "--format=%h %s", f"--max-count={COMMITS + 100}", "HEAD", f"^{old}"))
    return listing.splitlines()


def _files(workspace: Workspace, policy: Policy, trees: Trees, old: str | None, new: str) -> list[str]:
    before = old or trees.git("hash-object", "-t", "tree", "--stdin").decode().strip()
    output = git.text(trees.git("diff-tree", "-r", "-z", "--numstat", "--no-commit-id", "--no-renames", before, new))
    rows = [row.split("\t") for row in output.split("\0") if row.count("\t") == 2]
    names = {path: changes.classified(path) for _, _, path in rows}
    owners = ownership.owners(names.values(), workspace, policy) if names else {}
    return [f"{shown(path)} +{plus} -{minus}, {owners[names[path]].owner}" for plus, minus, path in rows]


def _told(finding: Finding) -> str:
    level = "warning" if finding.outcome == "warn" else "refused"
    return f"{finding.path}:{finding.line} {finding.constraint} ({level}): {finding.reason}"


def _tests(receipts: Sequence[Receipt], tree: str) -> str:
    if not receipts:
        return "no run is known"
    newest = receipts[0]
    said = "passed" if newest.passed else "failed"
    where = "on exactly this content" if newest.tree == tree else "on other content than this"
    return f"the newest run ({newest.id}, {newest.scope}) {said} {where}"


def _part(title: str, rows: Sequence[str], most: int) -> str:
    return "\n".join(_listed(title, rows, most)) if rows else ""


def _listed(title: str, rows: Sequence[str], most: int) -> Iterator[str]:
    yield f"- {title}:"
    yield from (f"  - {row if len(row) <= LINE else f'{row[:LINE]}…'}" for row in rows[:most])
    if len(rows) > most:
        yield f"  - and {len(rows) - most} more"
