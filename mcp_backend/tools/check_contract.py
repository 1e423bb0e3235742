"""check_contract: what changed in the specifications since a revision."""

import asyncio
import json
from typing import TYPE_CHECKING, cast

from pydantic import Field

from mcp_backend.app import App
from mcp_backend.errors import InvalidArgument, Json
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.contracts.revisions import Compared
    from mcp_backend.contracts.words import Change

BYTES = 9_000
"""Of the changes of one page."""
OPERATIONS = 6
"""Operations that one change lists; the rest is counted."""


class CheckContract(Tool):
    """Compare API specifications with a git revision: which changes break clients, which are risky, which are safe.

    base: the revision, such as main. Without path, every specification. operations are those a change reaches. `next`
    is the `after` of the rest.
    """

    name = "check_contract"
    title = "Check an API contract"
    toolset = "contracts"
    read_only = True
    idempotent = True

    path: str | None = None
    base: str | None = Field(default=None, min_length=1, max_length=200)
    after: int | None = Field(default=None, ge=0)

    async def plan(self, app: App) -> Plan:
        from mcp_backend.workspace import naming

        if self.base is None:
            raise InvalidArgument(
                "base: expected a git revision to compare the specifications with, such as HEAD or main"
            )
        return Plan(prepared=(naming.readable(self.path, app.workspace.root) or ".") if self.path else "")

    async def run(self, app: App, plan: Plan) -> Result:
        path = cast("str", plan.prepared)
        return await asyncio.to_thread(_revisions, app, path, cast("str", self.base), self.after or 0)


def _revisions(app: App, path: str, base: str, after: int) -> Result:
    from mcp_backend.contracts import revisions, sources
    from mcp_backend.tools.api_contract import missing
    from mcp_backend.workspace import git
    from mcp_backend.workspace.git_environment import open_repository

    commit = git.resolve(open_repository(app.workspace), base, name="base")
    new = sources.work_tree(app.workspace)
    found = revisions.compared(sources.committed(app.workspace, commit), new, path, app.clock().date())
    if path and not found:
        raise missing(new, path)
    return {"base": commit[:12], **_page(found, after)}


def _page(found: "list[Compared]", after: int) -> Result:
    from mcp_backend.contracts import revisions
    from mcp_backend.contracts.words import LEVELS

    counts = revisions.counted(found)
    every = [(one, change) for one in found for change in one.changes]
    every.sort(key=lambda pair: LEVELS.index(pair[1].level))
    shown: list[Json] = []
    room = BYTES
    for one, change in every[after:]:
        entry = _entry(one, change, many=len(found) > 1)
        room -= len(json.dumps(entry, ensure_ascii=False).encode()) + 2
        if room < 0 and shown:
            break
        shown.append(entry)
    result: Result = {
        "compatible": counts["breaking"] == 0 and not any(one.problem for one in found),
        "counts": {level: counts[level] for level in LEVELS},
        "specs": [_spec(one) for one in found[:40]],
        "changes": shown,
        "truncated": after + len(shown) < len(every),
    }
    if result["truncated"]:
        result["next"] = after + len(shown)
    return result


def _spec(one: "Compared") -> Json:
    entry: dict[str, Json] = {"path": one.path, "kind": one.kind, "changes": len(one.changes)}
    if one.kind == "protobuf":
        entry["rules"] = "buf FILE"
    return entry | ({"problem": one.problem[:300]} if one.problem else {})


def _entry(one: "Compared", change: "Change", *, many: bool) -> dict[str, Json]:
    entry: dict[str, Json] = {"id": change.id, "level": change.level, "where": change.where}
    if many:
        entry["spec"] = one.path
    entry |= {"before": change.before, "after": change.after, "operations": [*change.operations[:OPERATIONS]]}
    if len(change.operations) > OPERATIONS:
        entry["operations_more"] = len(change.operations) - OPERATIONS
    return entry
