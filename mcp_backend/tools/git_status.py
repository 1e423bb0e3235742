"""git_status: what changed, whose it is, and whether the newest test receipt speaks for it."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mcp_backend.app import App
from mcp_backend.errors import Json
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.workspace.changes import Status
    from mcp_backend.workspace.git import Repository
    from mcp_backend.workspace.receipts import Receipt

SHOWN = 100
DIFF_BYTES = 24_000
Name = Annotated[str, Field(min_length=1, max_length=4096)]


class GitStatus(Tool):
    """Show branch, upstream, what has changed (staged, unstaged, untracked, the diff), recent commits and the
    newest test receipt.

    A path that is not the backend's carries its owner: git_commit leaves those out. diff adds the changes since
    `base` (default HEAD) as a patch; untracked files are not in it. receipt.for_this_tree tells whether git_commit
    would accept it for all changes as they are now.
    """

    name = "git_status"
    title = "Repository status"
    toolset = "git"
    read_only = True
    idempotent = True

    paths: list[Name] | None = Field(default=None, min_length=1, max_length=200, description="only these")
    diff: bool = False
    log: int = Field(default=5, ge=0, le=100)
    base: str | None = Field(default=None, min_length=1, max_length=200, description="revision to compare with")

    async def plan(self, app: App) -> Plan:
        return Plan()

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.workspace import receipts

        recent = await receipts.recent(app.store)
        return await asyncio.to_thread(self._read, app, recent)

    def _read(self, app: App, recent: "Sequence[Receipt]") -> Result:
        from mcp_backend.workspace import changes, git, history
        from mcp_backend.workspace.git_environment import open_repository

        repository = open_repository(app.workspace)
        paths = [changes.given(path, repository) for path in self.paths or ()]
        base = git.resolve(repository, self.base, name="base") if self.base else None
        status = changes.status(repository, paths)
        result = _status(status, app)
        if operation := git.in_progress(repository):
            result["in_progress"] = operation
        if base and status.head:
            result["base"] = base[:12]
            result["commits_since_base"] = int(git.run(repository, "rev-list", "--count", f"{base}..{status.head}"))
        if self.diff:
            result |= _diff(repository, base or status.head, paths)
        result["log"] = history.newest(repository, status.head, self.log) if status.head else []
        result["receipt"] = _receipt(repository, app, recent)
        return result


def _status(status: "Status", app: App) -> Result:
    from mcp_backend.workspace import ownership
    from mcp_backend.workspace.changes import classified, shown

    every = {path for entry in status.changed for path in (entry.path, entry.source) if path}
    every |= {*status.untracked, *status.conflicts}
    owners = ownership.owners({classified(path) for path in every}, app.workspace, app.policy) if every else {}

    def about(path: str, **more: Json) -> Json:
        owner = owners[classified(path)].owner
        return {"path": shown(path), **({} if owner == "backend" else {"owner": owner}), **more}

    staged = [
        about(e.path, change=e.staged, **({"from": shown(e.source)} if e.source else {}))
        for e in status.changed if e.staged
    ]  # fmt: skip
    unstaged = [about(e.path, change=e.unstaged) for e in status.changed if e.unstaged]
    untracked = [about(path) for path in status.untracked]
    conflicts = [about(path) for path in status.conflicts]
    result: Result = {
        "branch": status.branch,
        "head": status.head[:12] if status.head else None,
        "upstream": status.upstream,
        "ahead": status.ahead,
        "behind": status.behind,
        "staged": staged[:SHOWN],
        "unstaged": unstaged[:SHOWN],
        "untracked": untracked[:SHOWN],
        "conflicts": conflicts[:SHOWN],
        "truncated": False,
    }
    groups = {"staged": staged, "unstaged": unstaged, "untracked": untracked, "conflicts": conflicts}
    if more := {name: len(found) for name, found in groups.items() if len(found) > SHOWN}:
        result |= {"truncated": True, "counts": dict(more), "next": "name `paths` to see the rest"}
    if status.nested:
        result["nested_repositories"] = [shown(path) for path in status.nested[:SHOWN]]
    return result


def _diff(repository: "Repository", base: str | None, paths: Sequence[str]) -> Result:
    from mcp_backend.workspace import git

    options = ("--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short", "--ignore-submodules=dirty", "-M")
    since = base or git.run(repository, "hash-object", "-t", "tree", "--stdin").decode().strip()
    data = git.run(repository, "diff", *options, since, "--", *paths, limit=DIFF_BYTES + 1)
    if len(data) <= DIFF_BYTES:
        return {"diff": data.decode("utf-8", "replace")}
    return {"diff": data.rpartition(b"\n")[0].decode("utf-8", "replace"), "diff_truncated": True}


def _receipt(repository: "Repository", app: App, recent: "Sequence[Receipt]") -> Json:
    """The receipt that git_commit would accept for everything as it is now, or else the newest run."""
    from mcp_backend.workspace import evidence, runners, since
    from mcp_backend.workspace.changes import shown
    from mcp_backend.workspace.trees import Trees

    if not recent:
        return None
    trees = Trees(repository, app.workspace.state)
    command = runners.declared(app.policy, app.workspace)
    receipts = [receipt for receipt in recent if receipt.command == command]
    found = evidence.judged(
        trees.of_work_tree().id,
        (),
        receipts,
        since.differing(trees, [receipt.tree for receipt in receipts if receipt.tree]),
        evidence.decider(app.workspace, app.policy),
        ["everything"],
    )
    receipt = next((r for r in recent if r.id == (found.receipt or found.newest)), recent[0])
    about: dict[str, Json] = {
        "id": receipt.id,
        "passed": receipt.passed,
        "scope": receipt.scope,
        "for_this_tree": found.receipt is not None,
        "age_s": max(0, round(app.now() - receipt.created)),
    }
    if found.stale:
        about["changed_since"] = [shown(path) for path in found.stale[:10]]
    return about
