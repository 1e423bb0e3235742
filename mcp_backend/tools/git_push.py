"""git_push: one branch to one remote, after the guards have looked at every commit that is new there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from mcp_backend.actions import PushCommits
from mcp_backend.app import App
from mcp_backend.errors import Aborted, FailedPrecondition, Json, OutcomeUnknown, Unavailable
from mcp_backend.facts import Facts, RefFacts
from mcp_backend.settings import hide_credentials
from mcp_backend.threads import patiently
from mcp_backend.tools.base import Plan, Result, Tool
from mcp_backend.tools.wholly import wholly

if TYPE_CHECKING:
    from mcp_backend.workspace.git import Repository
    from mcp_backend.workspace.remotes import Remote

SHOWN = 50
DIFF_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A push: the branch goes from `before` to `commit`. `lost` are commits the remote would no longer reach."""

    repository: "Repository"
    remote: "Remote"
    branch: str
    before: str | None
    commit: str
    commits: tuple[str, ...]
    lost: tuple[str, ...] = ()
    forced: bool = False


class GitPush(Tool):
    """Push a branch (default: the current one); paths and credentials of each commit new to the remote are judged.

    Protected branches are refused: push your own, ask for a review. A person approves force_with_lease.
    """

    name = "git_push"
    title = "Push"
    toolset = "git"
    read_only = False
    destructive = True
    idempotent = True
    open_world = True
    deadline = 400.0

    remote: str = Field(default="origin", max_length=100)
    branch: str | None = Field(default=None, max_length=200)
    force_with_lease: bool = False

    async def plan(self, app: App) -> Plan:
        from mcp_backend.people import decided

        return await decided.looked_up(app, await patiently(self._planned, app))

    def _planned(self, app: App) -> Plan:
        from mcp_backend.workspace import branches, git, ranges, remotes
        from mcp_backend.workspace.git_environment import open_repository
        from mcp_backend.workspace.trees import Trees

        repository = open_repository(app.workspace)
        branch = self.branch or _current(repository)
        branches.checked(repository, branch, field="branch")
        commit = branches.at(repository, branch, field="branch")
        remote = remotes.remote(repository, self.remote, pushing=True)
        there = remotes.refs(remote)
        ref = branches.HEADS + branch
        before = there.ids.get(ref)
        known = RefFacts(branches.protected(app.policy, [branch], there.head))
        prepared = Prepared(repository, remote, branch, before, commit, ())
        if before is not None and before == commit:
            return Plan(at_version=before, prepared=prepared)
        here = ranges.present(repository, [before]) if before else frozenset[str]()
        forced = bool(before) and not (before in here and git.is_ancestor(repository, before, commit))
        if forced and not self.force_with_lease:
            raise FailedPrecondition(_behind(self.remote, branch, known=before in here))
        commits = ranges.commits(repository, commit, [*there.ids.values()])
        found = ranges.look(app.workspace, app.policy, Trees(repository, app.workspace.state), commits)
        lost = ranges.commits(repository, before, [commit]) if forced and before in here else ()
        action = PushCommits(self.remote, ref, commits or (commit,), forced, found.paths)
        prepared = Prepared(repository, remote, branch, before, commit, commits, lost, forced)
        _without_large_files(prepared)
        facts = Facts(owners=found.owners, secrets=found.secrets, special_files=found.special, refs=known)
        evidence: dict[str, Json] = {"diff": _diff(prepared)} if forced else {}
        return Plan((action,), facts, _preview(prepared), before or "", prepared, evidence=evidence)

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.workspace import repository_hooks

        prepared: Prepared = plan.prepared
        if not plan.actions:
            return {**_result(prepared), "commits": [], "note": "the remote has it already"}
        new = "0" * len(prepared.commit)
        line = f"refs/heads/{prepared.branch} {prepared.commit} refs/heads/{prepared.branch} {prepared.before or new}\n"
        await repository_hooks.run(
            app.workspace, app.policy, prepared.repository, "pre-push", (prepared.remote.name, prepared.remote.shown),
            given=line.encode(),
        )  # fmt: skip
        await wholly(_pushed, prepared)
        return _result(prepared)


def _current(repository: "Repository") -> str:
    from mcp_backend.workspace import branches, git

    _, ref = git.head(repository)
    if ref is None:
        raise FailedPrecondition("HEAD is detached: name the branch to push, or make one with git_branch")
    return ref.removeprefix(branches.HEADS)


def _behind(remote: str, branch: str, *, known: bool) -> str:
    what = "has commits that this branch lacks" if known else "has commits that are not here"
    return (
        f"{branch} at {remote} {what}. Bring them in: git_branch (name {remote}/{branch}, action fetch), then "
        f"git_rebase onto {remote}/{branch}; force_with_lease would take them away and needs a person's approval"
    )


def _preview(prepared: Prepared) -> str:
    from mcp_backend.workspace import history

    def listed(commits: tuple[str, ...]) -> str:
        return "\n".join(f"  {line}" for line in history.subjects(prepared.repository, commits[:SHOWN]))

    remote = prepared.remote
    words = f"push {len(prepared.commits)} commit(s) of {prepared.branch} to {remote.name} ({remote.shown})"
    words += f"\n{listed(prepared.commits)}"
    if prepared.forced:
        gone = listed(prepared.lost) or "  commits that are not known here"
        words += f"\nforced: {prepared.branch} there goes from {prepared.before} to {prepared.commit} and loses\n{gone}"
    return words


def _diff(prepared: Prepared) -> str:
    """What the branch there would become, against what it is, where that is known here."""
    from mcp_backend.workspace import git

    options = ("--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short", "-M")
    if not prepared.lost or prepared.before is None:
        return ""
    data = git.run(prepared.repository, "diff", *options, prepared.before, prepared.commit, limit=DIFF_BYTES)
    return hide_credentials(data.decode("utf-8", "replace"))


def _without_large_files(prepared: Prepared) -> None:
    """Raises `FailedPrecondition` where commits point to files that git-lfs keeps: this server would push the pointers
    alone. https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md#the-pointer"""
    from mcp_backend.workspace import git

    pointers = ("--no-ext-diff", "--no-textconv", "--text", "-m", "-G^oid sha256:[0-9a-f]{64}$")
    listed = ("log", "--no-walk", "--format=", "--name-only", "-z", *pointers, "--stdin")
    given = "".join(f"{commit}\n" for commit in prepared.commits).encode()
    names = git.text(git.run(prepared.repository, *listed, given=given)).split("\0") if prepared.commits else []
    if found := sorted({name.strip() for name in names if name.strip()}):
        raise FailedPrecondition(
            f"git-lfs keeps the content of {', '.join(found[:5])} (or did), and this server sends commits only: a "
            "person pushes this branch with git, whose hook sends the files too"
        )


def _pushed(prepared: Prepared) -> None:
    from mcp_backend.errors import DeadlineExceeded
    from mcp_backend.workspace import branches, remotes
    from mcp_backend.workspace.git import GitFailed
    from mcp_backend.workspace.git_environment import known_identity

    remote, branch = prepared.remote, prepared.branch
    try:
        remotes.push(remote, branch, prepared.commit, prepared.before)
    except (GitFailed, DeadlineExceeded) as error:
        try:
            now = remotes.refs(remote).ids.get(branches.HEADS + branch)
        except Unavailable as gone:
            raise OutcomeUnknown(
                f"the remote stopped answering during the push: {error.reason}. Whether {branch} moved there is not "
                "known; repeat this call, which looks first"
            ) from gone
        if now != prepared.commit:
            if now != prepared.before:
                raise Aborted(
                    f"somebody else pushed to {branch} meanwhile; nothing of yours was pushed. Repeat this call"
                ) from error
            raise FailedPrecondition(
                f"{remote.name} ({remote.shown}) refused the push: {error.reason}{remotes.hint(remote)}"
            ) from error
    branches.track(prepared.repository, remote.name, branch, prepared.commit, known_identity(prepared.repository))


def _result(prepared: Prepared) -> Result:
    commits: list[Json] = [*prepared.commits[:SHOWN]]
    result: Result = {
        "remote": prepared.remote.name,
        "url": prepared.remote.shown,
        "branch": prepared.branch,
        "before": prepared.before,
        "after": prepared.commit,
        "commits": commits,
        "truncated": len(prepared.commits) > SHOWN,
        "forced": prepared.forced,
    }
    return result
