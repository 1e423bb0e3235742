"""git_commit: exactly the named changes, after the guards have looked at the very tree that is committed."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mcp_backend.actions import CreateCommit
from mcp_backend.app import App
from mcp_backend.errors import Json
from mcp_backend.facts import Facts, Secret, TestEvidence
from mcp_backend.settings import hide_credentials
from mcp_backend.tools.base import Plan, Result, Tool
from mcp_backend.tools.wholly import wholly

if TYPE_CHECKING:
    from mcp_backend.workspace.commits import Prepared
    from mcp_backend.workspace.evidence import Changed
    from mcp_backend.workspace.receipts import Receipt

LARGEST = 4_000_000
"""Bytes of one file that are looked at for credentials and for what changed."""
SHOWN = 100
DIFF = 20_000
"""Characters of a changed specification that the architect sees."""
Name = Annotated[str, Field(min_length=1, max_length=4096)]


class GitCommit(Tool):
    """Commit exactly the named paths, or all changes that are the backend's when none are named.

    Refused unless tests passed on this content (run_tests gives the receipt) and backend changes come with a test;
    frontend, specification and policy files, credentials, links and nested repositories are refused. Other people's
    staged and unstaged work stays untouched. `message`: the subject; `body`: the rest. amend replaces the last commit
    while it is not pushed.
    """

    name = "git_commit"
    title = "Commit"
    toolset = "git"
    read_only = False
    destructive = False
    output = {"commit": {"type": "string"}, "tree": {"type": "string"}, "files": {"type": "array"}}

    message: str = Field(min_length=1, max_length=10_000)
    paths: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None
    body: str | None = Field(default=None, max_length=20_000)
    amend: bool = False

    async def plan(self, app: App) -> Plan:
        from mcp_backend.people import decided
        from mcp_backend.workspace import commits, receipts
        from mcp_backend.workspace.code import decisions

        message = commits.message_of(self.message, self.body)
        prepared = await asyncio.to_thread(
            commits.prepare, app.workspace, app.policy, message, self.paths, amend=self.amend
        )
        recent = await receipts.recent(app.store)
        facts = await asyncio.to_thread(_facts, prepared, app, recent)
        facts = replace(facts, code=await decisions.looked_up(app.store, facts.code))
        action = CreateCommit(prepared.paths, message, prepared.tree, prepared.head if self.amend else None)
        subject = message.splitlines()[0]
        preview = f"commit {len(prepared.paths)} paths: {subject}\n" + "\n".join(prepared.paths[:SHOWN])
        plan = Plan(
            (action,), facts, preview, prepared.head or "", (prepared, facts.tests), decisions.recorded(facts.code)
        )
        plan = await decided.looked_up(app, plan)
        if not plan.facts.decided:
            return plan
        return replace(plan, evidence={"diff": await asyncio.to_thread(_diff, prepared, plan.facts.decided)})

    async def run(self, app: App, plan: Plan) -> Result:
        from mcp_backend.workspace import commit_hooks

        prepared, tests = plan.prepared
        prepared = await commit_hooks.run(app.workspace, app.policy, prepared)
        return await wholly(_made, prepared, tests)


def _diff(prepared: "Prepared", paths: Iterable[str]) -> str:
    """What the commit changes in some paths, as people read it."""
    options = ("-r", "-p", "--root", "--no-ext-diff", "--no-textconv", "--no-color", "--no-commit-id")
    trees = (prepared.base, prepared.tree) if prepared.base else (prepared.tree,)
    said = prepared.trees.git("diff-tree", *options, *trees, "--", *paths)
    return hide_credentials(said.decode("utf-8", "replace")[:DIFF])


def _made(prepared: "Prepared", tests: TestEvidence) -> Result:
    from mcp_backend.workspace import commits
    from mcp_backend.workspace.changes import shown

    commit = commits.make(prepared)
    late = commits.refresh_index(prepared)
    files = [*prepared.paths]
    result: Result = {
        "commit": commit,
        "tree": prepared.tree,
        "branch": prepared.ref.removeprefix("refs/heads/") if prepared.ref else None,
        "files": [*files[:SHOWN]],
        "truncated": len(files) > SHOWN,
        "receipt": tests.receipt,
    }
    if prepared.left_out:
        result["left_out"] = [
            {"path": shown(path), "owner": prepared.owners[path].owner} for path in prepared.left_out[:SHOWN]
        ]
    notes: list[Json] = [*prepared.notes, *([late] if late else [])]
    if notes:
        result["notes"] = notes
    return result


def _facts(prepared: "Prepared", app: App, recent: "list[Receipt]") -> Facts:
    from mcp_backend.contracts import gate
    from mcp_backend.workspace.changes import shown
    from mcp_backend.workspace.code import judging
    from mcp_backend.workspace.evidence import Changed

    blobs = prepared.trees.contents(
        {oid for d in prepared.differences for mode, oid in ((d.old_mode, d.old), (d.new_mode, d.new))
         if mode.startswith("100")}, LARGEST,
    )  # fmt: skip
    changes = [
        Changed(d.path, prepared.owners[d.path].owner, d.letter, blobs.get(d.old), blobs.get(d.new),
                pure_rename=d.source is not None)
        for d in prepared.differences if (d.old_mode if d.letter == "D" else d.new_mode).startswith("100")
    ]  # fmt: skip
    changes += [Changed(d.source, prepared.owners[d.source].owner, "D") for d in prepared.differences if d.source]
    code, unjudged = judging.looked(judging.Version(shown(c.path), c.before, c.after) for c in changes)
    contracts, uncompared = gate.looked(
        prepared.trees, app.workspace, next(iter(prepared.parents), None), prepared.tree, prepared.differences
    )
    return Facts(
        owners={shown(path): owner for path, owner in prepared.owners.items()},
        secrets=tuple(_secrets(prepared, changes)),
        special_files=tuple(shown(d.path) for d in prepared.differences if d.new_mode in ("120000", "160000")),
        tests=_tests(prepared, app, recent, changes),
        code=code,
        code_unjudged=unjudged,
        contracts=contracts,
        contracts_unjudged=uncompared,
    )


def _secrets(prepared: "Prepared", changes: "list[Changed]") -> list[Secret]:
    from mcp_backend.workspace import secrets_scan
    from mcp_backend.workspace.changes import classified, shown

    found: list[Secret] = []
    for change in changes:
        if change.after is None or change.pure_rename:
            continue
        name = classified(change.path)
        if not secrets_scan.scan(name, change.after, None):
            continue
        added = None
        if change.before is not None and prepared.base is not None:
            added = prepared.trees.added_lines(prepared.base, prepared.tree, change.path)
        found += [Secret(shown(change.path), s.line, s.kind) for s in secrets_scan.scan(name, change.after, added)]
    return found


def _tests(prepared: "Prepared", app: App, recent: "list[Receipt]", changes: "list[Changed]") -> TestEvidence:
    from mcp_backend.workspace import evidence, runners, since
    from mcp_backend.workspace.changes import shown

    migrations = [s.migrations for s in app.policy.engines.values() if s.migrations]
    needs = [c.path for c in changes if evidence.should_have_test(c, migrations, app.policy.no_tests_needed)]
    command = runners.declared(app.policy, app.workspace)
    receipts = [receipt for receipt in recent if receipt.command == command]
    found = evidence.judged(
        prepared.tree,
        changes,
        receipts,
        since.differing(prepared.trees, [receipt.tree for receipt in receipts if receipt.tree]),
        evidence.decider(app.workspace, app.policy),
        needs,
    )
    return TestEvidence(
        found.receipt, found.newest, found.newest_passed, tuple(map(shown, found.stale)), found.carries_tests,
        tuple(map(shown, found.needs_tests)), tuple(map(shown, found.needs_run)),
    )  # fmt: skip
