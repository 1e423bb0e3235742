"""A diff judged by the guards of a commit: what is staged, or what a branch changes. For pre-commit hooks and CI.

Everything a commit is judged by but one: whether the tests passed on this tree. Receipts are of the machine that ran
them, and CI runs the tests itself. Ownership follows the folders as they are in the commit compared with and as they
are now, whichever is stricter, so that a branch cannot give itself a folder.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mcp_backend.actions import CreateCommit
from mcp_backend.errors import FailedPrecondition, NotFound
from mcp_backend.facts import Facts, Ownership, Secret, TestEvidence
from mcp_backend.guards import GUARDS
from mcp_backend.policy import Constraint, Outcome, Policy, Verdict
from mcp_backend.settings import Workspace
from mcp_backend.workspace import evidence, git, git_environment, ownership, secrets_scan
from mcp_backend.workspace.changes import classified, shown
from mcp_backend.workspace.code import judging
from mcp_backend.workspace.current import roots_at, roots_of
from mcp_backend.workspace.git import Repository
from mcp_backend.workspace.trees import Difference, Trees

LARGEST = 4_000_000
"""Bytes of one file that are looked at."""
COMMITS = 500
"""Commits of a range that are searched for credentials, newest first."""
NOT_HERE = ("tested_tree",)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a guard says about one place. `outcome` is `warn`, `approve` or `deny`."""

    path: str
    line: int
    constraint: str
    outcome: Outcome
    reason: str
    remedy: str


def staged(workspace: Workspace, policy: Policy) -> list[Finding]:
    """What is staged, compared with HEAD. Raises `FailedPrecondition` for an index with conflicts."""
    repository = git_environment.open_repository(workspace)
    trees = Trees(repository, workspace.state)
    head, _ = git.head(repository)
    return judged(workspace, policy, trees, head, _index(repository, trees, workspace.state))


def uncommitted(workspace: Workspace, policy: Policy) -> list[Finding]:
    """The work tree as it is, without what git ignores, compared with HEAD."""
    repository = git_environment.open_repository(workspace)
    trees = Trees(repository, workspace.state)
    head, _ = git.head(repository)
    return judged(workspace, policy, trees, head, trees.of_work_tree().id)


def branch(workspace: Workspace, policy: Policy, base: str) -> list[Finding]:
    """What HEAD changes since it left `base`: a branch, a tag or a commit. Credentials are looked for in each commit,
    because history keeps what a later one removes. Raises `NotFound`."""
    repository = git_environment.open_repository(workspace)
    trees = Trees(repository, workspace.state)
    tip = git.resolve(repository, "HEAD", name="HEAD")
    other = git.resolve(repository, base.removesuffix("...HEAD"), name="--diff")
    fork = git.run(repository, "merge-base", other, tip, accept=(0, 1)).decode().split()
    if not fork:
        raise NotFound(f"--diff: HEAD and {base} have no commit in common; fetch more history (fetch-depth: 0)")
    found = judged(workspace, policy, trees, fork[0], tip)
    constraint = next((c for c in policy.constraints if c.guard == "secrets" and c.outcome != "allow"), None)
    if constraint is None:
        return found
    seen = {(f.path, f.constraint) for f in found}
    listing = git.run(repository, "rev-list", f"--max-count={COMMITS}", "--no-merges", tip, f"^{fork[0]}")
    for commit in listing.decode().split()[1:]:
        parents = git.run(repository, "rev-list", "--parents", "-n1", commit).decode().split()[1:]
        parent = parents[0] if parents else None
        for finding in _secrets(trees, parent, commit, trees.between(parent, commit), constraint):
            if (finding.path, finding.constraint) not in seen:
                reason = f"{finding.reason}, in commit {commit[:12]}"
                found.append(
                    Finding(finding.path, finding.line, finding.constraint, finding.outcome, reason, finding.remedy)
                )
    return found


def _index(repository: Repository, trees: Trees, state: Path) -> str:
    """The tree of the index; of the one git made for this commit when this runs as its hook (githooks(5))."""
    given = os.environ.get("GIT_INDEX_FILE")
    index = repository.root / given if given else repository.git_dir / "index"
    with tempfile.TemporaryDirectory(prefix="index-", dir=state) as folder:
        copy = Path(folder) / "index"
        if index.is_file():
            shutil.copy2(index, copy)
        try:
            return trees.git("write-tree", "--missing-ok", index=copy).decode().strip()
        except git.GitFailed as error:
            raise FailedPrecondition(
                f"what is staged makes no tree, resolve conflicts first: {error.reason}"
            ) from error


def judged(workspace: Workspace, policy: Policy, trees: Trees, old: str | None, new: str) -> list[Finding]:
    """What the guards of a commit say about tree-ish `new`, compared with commit `old` (`None`: the empty tree)."""
    differences = trees.between(old, new)
    paths = sorted({d.path for d in differences} | {d.source for d in differences if d.source})
    before = roots_at(workspace, policy, old) if old else None
    names = {path: classified(path) for path in paths}
    found = ownership.decided(names.values(), workspace, roots_of(workspace, policy), before)
    owners = {shown(path): found[names[path]] for path in paths}
    links = tuple(shown(d.path) for d in differences if d.new_mode in ("120000", "160000"))
    findings: list[Finding] = []
    code: Facts | None = None
    for constraint in policy.constraints:
        guard = GUARDS.get(constraint.guard)
        if guard is None or constraint.outcome == "allow" or constraint.guard in NOT_HERE:
            continue
        match constraint.guard:
            case "secrets":
                findings += _secrets(trees, old, new, differences, constraint)
            case "carries_tests":
                findings += _untested(policy, trees, differences, owners, constraint)
            case "changed_code":
                code = code or _code(trees, differences)
                findings += _of_code(code, constraint)
            case "spec_files":
                findings += _specified(workspace, trees, old, new, differences, owners, constraint)
            case _:
                for path in owners:
                    special = tuple(link for link in links if link == path)
                    facts = Facts(owners={path: owners[path]}, special_files=special)
                    findings += _finding(path, 1, guard(CreateCommit((path,), "", new), constraint, facts))
    return findings


def _specified(
    workspace: Workspace,
    trees: Trees,
    old: str | None,
    new: str,
    differences: tuple[Difference, ...],
    owners: dict[str, Ownership],
    constraint: Constraint,
) -> Iterator[Finding]:
    """Changed specifications, and what does not do what they say, each place by itself."""
    from mcp_backend.contracts import gate

    guard = GUARDS["spec_files"]
    for path in owners:
        yield from _finding(
            path, 1, guard(CreateCommit((path,), "", new), constraint, Facts(owners={path: owners[path]}))
        )
    found, unjudged = gate.looked(trees, workspace, old, new, differences)
    for deviation in found:
        verdict = guard(CreateCommit((), "", new), constraint, Facts(contracts=(deviation,)))
        yield from _finding(deviation.path, deviation.line, verdict)
    if unjudged:
        yield from _finding(".", 1, guard(CreateCommit((), "", new), constraint, Facts(contracts_unjudged=unjudged)))


def _finding(path: str, line: int, verdict: Verdict | None) -> Iterator[Finding]:
    if verdict is not None:
        yield Finding(path, line, verdict.constraint, verdict.outcome, verdict.reason, verdict.remedy)


def _contents(trees: Trees, differences: Iterable[Difference]) -> dict[str, bytes]:
    sides = ((mode, oid) for d in differences for mode, oid in ((d.old_mode, d.old), (d.new_mode, d.new)))
    return trees.contents({oid for mode, oid in sides if mode.startswith("100")}, LARGEST)


def _secrets(
    trees: Trees, old: str | None, new: str, differences: tuple[Difference, ...], constraint: Constraint
) -> Iterator[Finding]:
    blobs = _contents(trees, differences)
    for difference in differences:
        after = blobs.get(difference.new)
        name = classified(difference.path)
        if after is None or difference.source or not secrets_scan.scan(name, after, None):
            continue
        added = trees.added_lines(old, new, difference.path) if old and difference.old in blobs else None
        path = shown(difference.path)
        for secret in secrets_scan.scan(name, after, added):
            one = Facts(secrets=(Secret(path, secret.line, secret.kind),))
            verdict = GUARDS["secrets"](CreateCommit((path,), "", new), constraint, one)
            yield from _finding(path, secret.line, verdict)


def _code(trees: Trees, differences: tuple[Difference, ...]) -> Facts:
    blobs = _contents(trees, differences)
    code, unjudged = judging.looked(
        judging.Version(shown(d.path), blobs.get(d.old), blobs.get(d.new)) for d in differences
    )
    return Facts(code=code, code_unjudged=unjudged)


def _of_code(facts: Facts, constraint: Constraint) -> Iterator[Finding]:
    """Each place by itself. Escalations that a comment names are known to the server that asked, not here."""
    for found in facts.code:
        verdict = GUARDS["changed_code"](CreateCommit((found.path,), "", ""), constraint, replace(facts, code=(found,)))
        if verdict is not None and found.constraint == constraint.id:
            reason = f"{found.problem} ({found.rule})"
            yield Finding(found.path, found.line, constraint.id, verdict.outcome, reason, verdict.remedy)
    if facts.code_unjudged:
        verdict = GUARDS["changed_code"](CreateCommit((), "", ""), constraint, facts)
        yield from _finding(".", 1, verdict)


def _untested(
    policy: Policy,
    trees: Trees,
    differences: tuple[Difference, ...],
    owners: dict[str, Ownership],
    constraint: Constraint,
) -> Iterator[Finding]:
    blobs = _contents(trees, differences)
    changes = [
        evidence.Changed(d.path, owners[shown(d.path)].owner, d.letter, blobs.get(d.old), blobs.get(d.new),
                         pure_rename=d.source is not None)
        for d in differences if (d.old_mode if d.letter == "D" else d.new_mode).startswith("100")
    ]  # fmt: skip
    migrations = [s.migrations for s in policy.engines.values() if s.migrations]
    needs = [c.path for c in changes if evidence.should_have_test(c, migrations, policy.no_tests_needed)]
    judged = evidence.judged("", changes, (), trees.paths_between, frozenset[str], needs)
    for path in map(shown, judged.needs_tests):
        facts = Facts(tests=TestEvidence(None, carries_tests=judged.carries_tests, needs_tests=(path,)))
        yield from _finding(path, 1, GUARDS["carries_tests"](CreateCommit((path,), "", ""), constraint, facts))
