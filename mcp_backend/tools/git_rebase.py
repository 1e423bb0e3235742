"""git_rebase: put the current branch onto another commit; conflicts are results, abort restores exactly."""

import asyncio
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mcp_backend.actions import Action, DeleteFile, MoveBranch, WriteFile
from mcp_backend.app import App
from mcp_backend.errors import FailedPrecondition, InvalidArgument, Json
from mcp_backend.facts import Facts, Secret
from mcp_backend.tools.base import Plan, Result, Tool
from mcp_backend.tools.wholly import wholly

if TYPE_CHECKING:
    from mcp_backend.workspace.git import Repository
    from mcp_backend.workspace.rebasing import Begun, Stopped

SHOWN = 50
NEXT = "resolve the conflicts in these files (edit_file), then git_rebase action continue; abort takes everything back"


class GitRebase(Tool):
    """Rebase the current branch onto a branch or commit; the work tree must be clean.

    A conflict is a result with its hunks: resolve them in the files, then continue; abort restores what was there.
    """

    name = "git_rebase"
    title = "Rebase"
    toolset = "git"
    read_only = False
    destructive = True

    onto: str | None = Field(default=None, max_length=200, description="for start; else ignored")
    action: Literal["start", "continue", "abort", "status"] = "start"

    async def plan(self, app: App) -> Plan:
        return await asyncio.to_thread(self._planned, app)

    def _planned(self, app: App) -> Plan:
        from mcp_backend.workspace import git, rebasing, remotes
        from mcp_backend.workspace.git_environment import open_repository

        if self.onto is None and self.action == "start":
            raise InvalidArgument("onto: is required for action start")
        repository = remotes.lazily(open_repository(app.workspace))
        if self.action == "start":
            return self._starting(app, repository)
        if not rebasing.running(repository):
            other = git.in_progress(repository)
            if self.action == "status":
                return Plan(prepared=(repository, None))
            raise FailedPrecondition(f"no rebase is in progress{f', but a {other} is' if other else ''}")
        kept = rebasing.begun(repository, app.workspace)
        if self.action == "status":
            return Plan(prepared=(repository, kept))
        if kept is None:
            raise FailedPrecondition(
                f"this rebase was begun by somebody else, who ends it (git rebase --{self.action}); status shows it"
            )
        if foreign := rebasing.foreign(repository, kept):
            raise FailedPrecondition(
                f"changed besides the conflicts since the rebase stopped: {', '.join(foreign[:5])}. Whoever changed it "
                "takes it out again or keeps it elsewhere; a rebase would mix it with its commits or throw it away"
            )
        return self._ending(app, repository, kept) if self.action == "abort" else self._going_on(app, repository, kept)

    def _starting(self, app: App, repository: "Repository") -> Plan:
        from mcp_backend.workspace import branches, git, rebasing
        from mcp_backend.workspace.git_environment import identity
        from mcp_backend.workspace.trees import Trees

        if operation := git.in_progress(repository):
            raise FailedPrecondition(
                f"a {operation} is in progress: continue or abort it first (action status shows it)"
            )
        head, ref = git.head(repository)
        if head is None:
            raise FailedPrecondition("there is no commit yet to rebase")
        if ref is None:
            raise FailedPrecondition("HEAD is detached: switch to the branch to rebase (git_branch)")
        onto = git.resolve(repository, self.onto or "", name="onto")
        identity(repository)
        trees = Trees(repository, app.workspace.state)
        branches.clean(repository, trees, "a rebase")
        listed = git.run(repository, "rev-list", "--no-merges", head, f"^{onto}").decode().split()
        if git.is_ancestor(repository, onto, head):
            return Plan(at_version=head, prepared=(repository, None))
        rebasing.obstacles(repository, trees, head, onto, listed)
        branch = ref.removeprefix(branches.HEADS)
        rewritten = branches.published(repository, app.policy, listed)
        facts = Facts(refs=branches.facts(repository, app.policy, [branch], rewritten))
        preview = f"rebase {len(listed)} commit(s) of {branch} from {head[:12]} onto {self.onto} ({onto[:12]})"
        kept = rebasing.fresh(repository, head, ref, onto)
        return Plan((MoveBranch(branch, head, onto),), facts, preview, head, (repository, kept))

    def _ending(self, app: App, repository: "Repository", kept: "Begun") -> Plan:
        from mcp_backend.workspace import branches, rebasing
        from mcp_backend.workspace.trees import Trees

        rebasing.restorable(repository, Trees(repository, app.workspace.state), kept)
        branch = kept.ref.removeprefix(branches.HEADS)
        facts = Facts(refs=branches.facts(repository, app.policy, [branch]))
        action = MoveBranch(branch, kept.head, kept.head)
        return Plan((action,), facts, f"abort the rebase of {branch}", kept.head, (repository, kept))

    def _going_on(self, app: App, repository: "Repository", kept: "Begun") -> Plan:
        """The resolutions as writes, judged like any other write."""
        from mcp_backend.workspace import conflicts, ownership, secrets_scan
        from mcp_backend.workspace.changes import classified, shown
        from mcp_backend.workspace.trees import Trees

        waiting = [conflict.path for conflict in conflicts.unmerged(repository)]
        found = ownership.owners([classified(path) for path in waiting], app.workspace, app.policy)
        owners = {shown(path): found[classified(path)] for path in waiting}
        here = [path for path in waiting if _regular(repository, path)]
        mine = all(owner.owner not in ("frontend", "spec", "policy", "git") for owner in owners.values())
        if mine and (open_ones := [path for path in here if conflicts.marked(repository, path)]):
            raise FailedPrecondition(
                f"the marks of conflicts are still in {', '.join(map(shown, open_ones[:5]))}: {NEXT}"
            )
        trees = Trees(repository, app.workspace.state)
        tree = trees.with_paths(None, here)
        entries = {d.path: (d.new_mode, d.new) for d in trees.between(None, tree)}
        blobs = trees.contents({oid for _, oid in entries.values()}, 4_000_000)
        actions: list[Action] = []
        secrets: list[Secret] = []
        for path in waiting:
            if (entry := entries.get(path)) is None:
                actions.append(DeleteFile(shown(path)))
                continue
            content = blobs.get(entry[1], b"")
            actions.append(WriteFile(shown(path), None, hashlib.sha256(content).hexdigest()))
            secrets += [Secret(shown(path), s.line, s.kind) for s in secrets_scan.scan(classified(path), content)]
        resolved = {path: entries.get(path) for path in waiting}
        preview = f"go on with the rebase; resolved: {', '.join(map(shown, waiting[:SHOWN])) or 'nothing'}"
        facts = Facts(owners=owners, secrets=tuple(secrets))
        return Plan(tuple(actions), facts, preview, kept.head, (repository, kept, resolved, trees, tree))

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.workspace import repository_hooks

        repository, kept, *rest = plan.prepared
        if self.action == "start" and kept is not None:
            await repository_hooks.run(app.workspace, app.policy, repository, "pre-rebase", (kept.onto,))
        return await wholly(self._done, app, repository, kept, rest)

    def _done(self, app: App, repository: "Repository", kept: "Begun | None", rest: list[object]) -> Result:
        from mcp_backend.workspace import git, rebasing

        if self.action == "status":
            return _status(app, repository, kept)
        head, ref = git.head(repository)
        if kept is None:
            branch = (ref or "").removeprefix("refs/heads/")
            return {"status": "up_to_date", "branch": branch, "before": head, "after": head}
        match self.action:
            case "start":
                stopped = rebasing.start(repository, app.workspace, kept)
            case "continue":
                stopped = rebasing.resume(repository, app.workspace, kept, *rest)  # pyright: ignore[reportArgumentType]
            case _:
                rebasing.abort(repository, app.workspace, kept)
                return {"status": "aborted", "branch": kept.ref.removeprefix("refs/heads/"), "head": kept.head}
        return _told(app, repository, kept, stopped)


def _regular(repository: "Repository", path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(repository.root / path).st_mode)
    except OSError:
        return False


def _status(app: App, repository: "Repository", kept: "Begun | None") -> Result:
    from mcp_backend.workspace import rebasing

    if not rebasing.running(repository):
        return {"status": "none"}
    return {**_told(app, repository, kept, rebasing.stopped(repository)), "begun_here": kept is not None}


def _told(app: App, repository: "Repository", kept: "Begun | None", stopped: "Stopped | None") -> Result:
    from mcp_backend.workspace import conflicts, git, history, ownership, rebasing
    from mcp_backend.workspace.changes import classified

    head, ref = git.head(repository)
    branch: Json = (kept.ref if kept else ref or "").removeprefix("refs/heads/") or None
    if stopped is None:
        assert kept is not None, "only what was begun here ends here"
        listed = git.run(repository, "rev-list", f"--max-count={SHOWN}", "HEAD", f"^{kept.onto}").decode().split()
        subjects: list[Json] = [*history.subjects(repository, listed)]
        note = "the tests have not run on these trees: run_tests before a push"
        if hooks := rebasing.silent_hooks(repository):
            note += f"; hooks of the repository were not run: {', '.join(hooks)}"
        return {
            "status": "done", "branch": branch, "before": kept.head, "after": head, "commits": subjects, "note": note,
        }  # fmt: skip
    paths = [classified(conflict.path) for conflict in stopped.conflicts]
    found = ownership.owners(paths, app.workspace, app.policy) if paths else {}
    owners = {c.path: found[classified(c.path)].owner for c in stopped.conflicts}
    subject = history.subjects(repository, [stopped.commit])[0] if stopped.commit else None
    return {
        "status": "conflict" if stopped.conflicts else "stopped", "branch": branch, "stopped_at": subject,
        "done": max(stopped.done - 1, 0), "total": stopped.total,
        "conflicts": conflicts.told(repository, stopped.conflicts, {**owners}), "next": NEXT,
    }  # fmt: skip
