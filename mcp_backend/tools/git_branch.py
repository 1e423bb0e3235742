"""git_branch: make, switch or delete a local branch; bring a branch of a remote up to date."""

import asyncio
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mcp_backend.actions import MoveBranch
from mcp_backend.app import App
from mcp_backend.errors import FailedPrecondition, InvalidArgument
from mcp_backend.facts import Facts
from mcp_backend.tools.base import Plan, Result, Tool
from mcp_backend.tools.wholly import wholly

if TYPE_CHECKING:
    from mcp_backend.workspace.git import Repository


class GitBranch(Tool):
    """Create (start) a new branch, switch to one or delete it; fetch updates a remote's (origin/main).

    switch keeps uncommitted work or is refused; delete needs another branch to have the commits.
    """

    name = "git_branch"
    title = "Branch"
    toolset = "git"
    read_only = False
    destructive = False
    open_world = True

    branch: str = Field(alias="name", max_length=200)
    action: Literal["create", "switch", "delete", "fetch"] = "create"
    base: str | None = Field(default=None, max_length=200, description="of create; default HEAD")

    async def plan(self, app: App) -> Plan:
        return await asyncio.to_thread(self._planned, app)

    def _planned(self, app: App) -> Plan:
        from mcp_backend.workspace import branches, git, remotes
        from mcp_backend.workspace.git_environment import open_repository

        if self.base is not None and self.action != "create":
            raise InvalidArgument("base: only for action create")
        repository = remotes.lazily(open_repository(app.workspace))
        head, ref = git.head(repository)
        if self.action == "fetch":
            return self._fetching(app, repository)
        name = branches.checked(repository, self.branch)
        before = branches.at(repository, name) if branches.exists(repository, name) else None
        match self.action:
            case "create":
                if before is not None:
                    raise FailedPrecondition(
                        f"name: {name} exists and stands on {before[:12]}; action switch goes there"
                    )
                if head is None and self.base is None:
                    raise FailedPrecondition(
                        "there is no commit yet to begin a branch at: action switch names the first one"
                    )
                after = git.resolve(repository, self.base or "HEAD", name="base")
                action = MoveBranch(name, None, after)
            case "switch":
                _unhindered(repository)
                after = None if head is None and before is None else branches.at(repository, name)
                action = MoveBranch("HEAD", head, after or head)
            case _:
                after = None
                before = branches.at(repository, name)
                action = MoveBranch(name, before, None)
                self._deletable(repository, before, ref)
        facts = Facts(refs=branches.facts(repository, app.policy, [name]))
        return Plan((action,), facts, f"{self.action} {name}", before or "", (repository, head, ref, before, after))

    def _deletable(self, repository: "Repository", before: str, ref: str | None) -> None:
        from mcp_backend.workspace import branches

        if ref == branches.HEADS + self.branch:
            raise FailedPrecondition(f"name: {self.branch} is checked out; switch to another branch first")
        if folder := branches.elsewhere(repository, self.branch):
            raise FailedPrecondition(f"name: {self.branch} is checked out in {folder}")
        if not branches.kept_by(repository, before, self.branch):
            raise FailedPrecondition(
                f"name: {self.branch} has commits that no other branch has ({before[:12]}): push it or merge it first"
            )

    def _fetching(self, app: App, repository: "Repository") -> Plan:
        from mcp_backend.workspace import branches, remotes

        name, slash, branch = self.branch.partition("/")
        if not slash:
            raise InvalidArgument("name: expected REMOTE/BRANCH for action fetch, such as origin/main")
        branches.checked(repository, branch)
        remote = remotes.remote(repository, name)
        there = remotes.refs(remote).ids.get(branches.HEADS + branch)
        if there is None:
            raise FailedPrecondition(f"name: {name} ({remote.shown}) has no branch {branch}")
        before = branches.tracking(repository, name, branch)
        facts = Facts(refs=branches.facts(repository, app.policy, []))
        action = MoveBranch(f"{name}/{branch}", before, there)
        return Plan((action,), facts, f"fetch {name}/{branch}", before or "", (repository, None, remote, before, there))

    async def run(self, app: App, plan: Plan) -> Result:
        return await wholly(self._done, app, plan)

    def _done(self, app: App, plan: Plan) -> Result:
        from mcp_backend.workspace import branches, git, remotes
        from mcp_backend.workspace.git_environment import known_identity
        from mcp_backend.workspace.trees import Trees

        repository, head, ref, before, after = plan.prepared
        result: Result = {"action": self.action, "branch": self.branch, "before": before, "after": after}
        if self.action == "fetch":
            remotes.fetch(ref, self.branch.partition("/")[2])
            result["after"] = branches.tracking(repository, ref.name, self.branch.partition("/")[2])
            return result
        identity = known_identity(repository)
        match self.action:
            case "switch" if after is None:
                git.run(repository, "symbolic-ref", "HEAD", branches.HEADS + self.branch)
            case "switch":
                branches.switch(repository, Trees(repository, app.workspace.state), self.branch, after, head, identity)
                result |= {
                    "before": ref.removeprefix(branches.HEADS) if ref else head,
                    "after": self.branch,
                    "commit": after,
                }
            case _:
                done = branches.Move(branches.HEADS + self.branch, before, after)
                branches.move(repository, done, f"branch: {self.action}", identity)
        if self.action == "create":
            here = ref.removeprefix(branches.HEADS) if ref else head
            result["current"] = here
            if here != self.branch:
                result["note"] = f"{here} is still checked out: action switch goes to {self.branch}"
        return result


def _unhindered(repository: "Repository") -> None:
    from mcp_backend.workspace import git

    if operation := git.in_progress(repository):
        raise FailedPrecondition(f"a {operation} is in progress: finish or abort it first")
