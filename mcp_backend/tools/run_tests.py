"""run_tests: the repository's own tests, and a receipt that binds the result to the tree they ran on."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mcp_backend.actions import RunCommand
from mcp_backend.app import App
from mcp_backend.errors import FailedPrecondition, InvalidArgument
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.workspace.receipts import Scope
    from mcp_backend.workspace.runners import Command, Outcome
    from mcp_backend.workspace.running import Run
    from mcp_backend.workspace.trees import Tree, Trees

Item = Annotated[str, Field(min_length=1, max_length=500)]
PART = "a receipt needs the whole suite: run it without a selection (mode all)"
"""Why a part of the tests that passed gives no receipt. It takes none away either."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """`trees` and `head` are `None` outside a git repository; `problem` says why there will be no receipt then."""

    declared: str
    commands: "tuple[Command, ...]"
    scope: "Scope"
    trees: "Trees | None"
    head: str | None
    problem: str
    notes: tuple[str, ...] = ()


class RunTests(Tool):
    """Run the repository's own tests (pytest, go test, or the command of the policy) and report what failed.

    A failing run is a result. A full run that passes gives a receipt for exactly the tree it ran on: git_commit asks
    for one. `selection`: paths, PATH::test, or words of a test's name. mode "affected" runs tests that changed or are
    named after changed modules: quick, never a receipt.
    """

    name = "run_tests"
    title = "Run the tests"
    toolset = "tests"
    read_only = False
    open_world = True
    output = {
        "passed": {"type": "integer"},
        "failed": {"type": "integer"},
        "errors": {"type": "integer"},
        "skipped": {"type": "integer"},
        "failures": {"type": "array"},
        "receipt": {"type": ["string", "null"]},
    }

    selection: Annotated[list[Item], Field(max_length=200)] | Item | None = None
    mode: Literal["auto", "all", "affected"] = Field(default="auto", description="auto: the selection, or all")
    timeout_seconds: float = Field(default=600, gt=0, le=7200)
    coverage: bool = Field(default=False, description="also measure coverage (pytest needs pytest-cov)")

    async def plan(self, app: App) -> Plan:
        prepared = await asyncio.to_thread(self._prepare, app)
        actions = tuple(RunCommand(c.argv, _cwd(c, app)) for c in prepared.commands)
        preview = "run " + " && ".join(c.written for c in prepared.commands)
        recorded = app.policy.sandbox.loosened()
        return Plan(actions=actions, preview=preview, prepared=prepared, recorded=recorded)

    def _prepare(self, app: App) -> _Prepared:
        from mcp_backend.workspace import git, listing, runners, selection
        from mcp_backend.workspace.git_environment import open_repository
        from mcp_backend.workspace.trees import Trees

        root = app.workspace.root
        items = [self.selection] if isinstance(self.selection, str) else list(self.selection or ())
        if items and self.mode != "auto":
            raise InvalidArgument(f'selection: goes with mode "auto"; mode {self.mode!r} chooses the tests itself')
        declared = runners.declared(app.policy, app.workspace)
        commands = runners.commands(declared, root)
        trees, head, problem = None, None, ""
        try:
            repository = open_repository(app.workspace)
            trees, (head, _) = Trees(repository, app.workspace.state), git.head(repository)
        except FailedPrecondition as error:
            problem = error.reason
        scope: Scope = "selection" if items else "affected" if self.mode == "affected" else "all"
        if scope == "affected":
            if trees is None:
                raise FailedPrecondition(f'mode "affected" needs to know what changed: {problem}')
            items = _affected(trees, head, app)
            if not items:
                return _Prepared(declared, (), scope, trees, head, "")
        if not items:
            return _Prepared(declared, commands, scope, trees, head, problem)
        selected = selection.select(items, commands, root, lambda: listing.files(app.workspace))
        return _Prepared(declared, selected.commands, scope, trees, head, problem, selected.notes)

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.workspace import run_report, running

        prepared: _Prepared = plan.prepared
        if not prepared.commands:
            return _nothing_affected()
        before, steering = await asyncio.to_thread(_looked, prepared.trees)
        run = await running.run(
            prepared.commands, app.workspace, app.policy, seconds=self.timeout_seconds, coverage=self.coverage,
            extra=await asyncio.to_thread(_no_litter, prepared.trees), complete=prepared.scope == "all",
            progress=app.progress,
        )  # fmt: skip
        run = run_report.checked(run, coverage=self.coverage, scope=prepared.scope, seconds=self.timeout_seconds)
        changed = await asyncio.to_thread(_changed, prepared.trees, before, steering)
        reason = await _no_receipt(app, prepared, run.outcome, before, changed)
        identifier = await _kept(app, prepared, run, before if not changed else None, passed=reason in ("", PART))
        result = run_report.result(run, [c.written for c in prepared.commands])
        result |= {"receipt": None if reason else identifier, "tree": before.id if before else None}
        if reason:
            result |= {"no_receipt": reason, "run": identifier}
        if changed:
            result["changed"] = [*changed[: run_report.SHOWN]]
        if notes := [*prepared.notes, *(run_report.notes(before) if before else ())]:
            result["notes"] = [*notes]
        return result


def _cwd(command: "Command", app: App) -> str:
    return command.cwd.relative_to(app.workspace.root).as_posix()


def _affected(trees: "Trees", head: str | None, app: App) -> list[str]:
    from mcp_backend.workspace import listing, selection

    changed = [difference.path for difference in trees.between(head, trees.of_work_tree().id)]
    return selection.affected(changed, listing.files(app.workspace), app.workspace.root)


def _nothing_affected() -> Result:
    reason = "no test changed and none is named after a changed module; run all tests (mode all)"
    counts: Result = {"passed": 0, "failed": 0, "errors": 0, "skipped": 0, "duration_s": 0.0, "failures": []}
    return {"outcome": "no_tests", **counts, "receipt": None, "tree": None, "log": None, "no_receipt": reason}


def _no_litter(trees: "Trees | None") -> dict[str, str]:
    """Python writes no bytecode into a repository that does not ignore it."""
    if trees is not None:
        ignored = trees.ignores("__pycache__/x.pyc")
        return {} if ignored else {"PYTHONDONTWRITEBYTECODE": "1"}
    return {}


def _looked(trees: "Trees | None") -> "tuple[Tree | None, dict[str, bytes]]":
    """The work tree, and what steers git, as they are now."""
    from mcp_backend.workspace.git_environment import steering

    return (trees.of_work_tree(), steering(trees.repository)) if trees else (None, {})


def _changed(trees: "Trees | None", before: "Tree | None", steered: dict[str, bytes]) -> list[str]:
    """The paths that changed since `before`, in the work tree and in what steers git."""
    from mcp_backend.workspace.changes import shown

    if trees is None or before is None:
        return []
    after, steering = _looked(trees)
    paths = trees.paths_between(before.id, after.id) if after else None
    inside = {path for path in steering.keys() | steered.keys() if steering.get(path) != steered.get(path)}
    return [*sorted(inside), *(shown(path) for path in sorted(paths or ()))]


async def _no_receipt(
    app: App, prepared: _Prepared, outcome: "Outcome", before: "Tree | None", changed: Sequence[str]
) -> str:
    """Why this run is no evidence for a commit; empty when it is."""
    from mcp_backend.workspace import receipts, steering

    if outcome.failed or outcome.errors:
        return "tests failed"
    if not outcome.passed:
        return "no test ran" + (f", {outcome.skipped} were skipped" if outcome.skipped else "") + ": not a pass"
    if outcome.doubts:
        return "; ".join(outcome.doubts)
    if prepared.scope != "all":
        return PART
    if prepared.trees is None or before is None:
        return prepared.problem
    if changed:
        return (
            f"the work tree changed during the run: {', '.join(changed[:3])}; ignore what tests write, then run again"
        )
    earlier = await receipts.recent(app.store)
    full = next((r for r in earlier if r.scope == "all" and r.passed and r.command == prepared.declared), None)
    hooks, settings = await asyncio.to_thread(steering.changed, prepared.trees, prepared.head, before.id)
    files = full.files if full else dict[str, int]()
    return "; ".join(
        f"{doubt}: a person commits that file first, or let these tests run"
        for doubt in steering.doubts(outcome, files, hooks, settings, app.workspace.root)
    )


async def _kept(app: App, prepared: _Prepared, run: "Run", tree: "Tree | None", *, passed: bool) -> str | None:
    """Keeps the receipt of a run on a known tree, whether it passed or not. A selection in which no test ran says
    nothing of the tree."""
    from mcp_backend.workspace import receipts

    outcome = run.outcome
    if tree is None or (prepared.scope != "all" and not (outcome.passed or outcome.failed or outcome.errors)):
        return None
    receipt = await receipts.add(
        app.store, tree=tree.id, command=prepared.declared, scope=prepared.scope,
        passed=passed, now=app.now(),
        body={
            "counts": {"passed": outcome.passed, "failed": outcome.failed, "errors": outcome.errors,
                       "skipped": outcome.skipped},
            "exit_code": outcome.exit_code, "duration_s": round(run.seconds, 3), "runner": outcome.runner,
            "ran": [c.written for c in prepared.commands], "files": dict(outcome.files),
            "locks": await asyncio.to_thread(receipts.locks, app.workspace.root),
        },
    )  # fmt: skip
    return receipt.id
