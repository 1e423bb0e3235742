"""api_contract: what the repository's specifications promise, and what they leave open."""

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from mcp_backend.app import App
from mcp_backend.errors import FailedPrecondition, InvalidArgument, Json, NotFound
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.contracts.contract import Contract
    from mcp_backend.contracts.sources import Source
    from mcp_backend.contracts.specs import Spec
    from mcp_backend.contracts.words import Gap

BYTES = 7_600
"""Of a summary, about 2,000 tokens."""
GAP_BYTES = 2_600
NONE = (
    "this repository has no OpenAPI, protobuf, GraphQL or AsyncAPI specification. The architect writes one: ask with "
    "escalate, kind spec_clarification"
)
SAME = 3
"""Gaps with the same id that a summary shows; the rest is counted."""
SPECS = 60


class ApiContract(Tool):
    """Show what the API specifications promise (OpenAPI, protobuf, GraphQL, AsyncAPI): endpoints, fields, status codes;
    and what they leave open.

    Without path, all found. operation shows one in full. gaps: what an implementer would have to guess; escalate them.
    """

    name = "api_contract"
    title = "Show an API contract"
    toolset = "contracts"
    read_only = True
    idempotent = True

    path: str | None = None
    operation: str | None = Field(default=None, description="POST /orders, operationId, Service.Method or type")
    search: str | None = None
    after: str | None = None

    async def plan(self, app: App) -> Plan:
        from mcp_backend.workspace import naming

        path = (naming.readable(self.path, app.workspace.root) or ".") if self.path else ""
        return Plan(prepared=(path, await accepted(app)))

    async def run(self, app: App, plan: Plan) -> Result:
        path, reasons = cast("tuple[str, Mapping[str, str]]", plan.prepared)
        return await asyncio.to_thread(show, app, path, reasons, self.operation, self.search, self.after)


async def accepted(app: App) -> dict[str, str]:
    """The gaps that people accepted, with their reasons."""
    from mcp_backend import escalations
    from mcp_backend.contracts import accepted

    return accepted.known(app.policy.accepted_gaps, await app.store.rows("escalations_all", limit=escalations.COMPARED))


def show(
    app: App,
    path: str,
    reasons: Mapping[str, str],
    operation: str | None = None,
    search: str | None = None,
    after: str | None = None,
) -> Result:
    """The answer of the tool and of the resource. `reasons` are those of accepted gaps."""
    from mcp_backend.contracts import sources, specs

    source = sources.work_tree(app.workspace)
    found = specs.find(source, path)
    if path and not found:
        raise missing(source, path)
    if not found:
        raise NotFound(NONE)
    chosen = one(found, path)
    if chosen is None and operation is not None:
        return _anywhere(source, found, reasons, operation)
    if chosen is None:
        return _listing(source, found, reasons, search)
    contract = read(source, chosen, reasons)
    if operation is not None:
        return _detail(contract, operation)
    return _summary(contract, search, after)


def one(found: "list[Spec]", path: str) -> "Spec | None":
    """The one specification meant: the only one, or the one of exactly that path."""
    exact = [s for s in found if s.path == path]
    return exact[0] if len(exact) == 1 else found[0] if len(found) == 1 else None


def missing(source: "Source", path: str) -> NotFound:
    """The error for a path that holds no specification; it names what does."""
    from mcp_backend.contracts import specs

    there = path in source.known or any(f.startswith(f"{path}/") for f in source.files)
    what = "holds no specification that is understood" if there else "does not exist"
    names = ", ".join(s.path for s in specs.find(source)[:10])
    if path == "." and not names:
        return NotFound(NONE)
    return NotFound(f"path: {path} {what}; specifications here: {names or 'none'}")


def read(source: "Source", spec: "Spec", reasons: Mapping[str, str]) -> "Contract":
    """The contract of a specification. Raises `FailedPrecondition` when it cannot be read."""
    from mcp_backend.contracts import accepted, reading
    from mcp_backend.contracts.documents import Broken

    try:
        return accepted.settled(reading.contract(source, spec), reasons)
    except Broken as error:
        raise FailedPrecondition(
            f"{spec.path} cannot be read: {error}. Its owner, the architect, has to mend it"
        ) from error


def _listing(source: "Source", found: "list[Spec]", reasons: Mapping[str, str], search: str | None) -> Result:
    from mcp_backend.contracts.documents import Broken

    entries: list[Json] = []
    for spec in found[:SPECS]:
        entry: dict[str, Json] = {"path": spec.path, "kind": spec.kind}
        try:
            from mcp_backend.contracts import accepted, reading

            contract = accepted.settled(reading.contract(source, spec), reasons)
        except Broken as error:
            entry["broken"] = str(error)[:200]
        else:
            entry |= {"title": contract.title, "version": contract.version, "operations": len(contract.operations)}
            entry["gaps"] = _counts(contract.gaps)
            if search:
                hits = [o.name for o in _searched(contract, search)]
                entry |= {"found": len(hits), "matching": [*hits[:8]]}
        if not search or entry.get("found"):
            entries.append(entry)
    return {"specs": entries, "truncated": len(found) > SPECS, "hint": "path shows one of them"}


def _anywhere(source: "Source", found: "list[Spec]", reasons: Mapping[str, str], operation: str) -> Result:
    hits = [c for spec in found if (c := read(source, spec, reasons)).named(operation)]
    if len(hits) == 1:
        return _detail(hits[0], operation)
    if not hits:
        raise NotFound(
            f"operation: none is called {operation!r} in {', '.join(s.path for s in found[:8])}; search finds names"
        )
    raise InvalidArgument(
        f"path: {operation!r} is in several specifications; name one: {', '.join(c.path for c in hits)}"
    )


def _detail(contract: "Contract", operation: str) -> Result:
    line = contract.named(operation)
    if line is None:
        near = [o.name for o in _searched(contract, operation.split()[-1] if operation.split() else "")][:8]
        near = near or [o.name for o in contract.operations[:8]]
        raise NotFound(f"operation: {contract.path} has none called {operation!r}; there are {', '.join(near)}")
    shown = contract.detail(line.name)
    text = json.dumps(shown, ensure_ascii=False)
    own = [g for g in contract.gaps if _about(g, line.name, text)]
    return {"path": contract.path, "kind": contract.kind, **shown, "gaps": [g.as_json(contract.path) for g in own[:12]]}


def _about(gap: "Gap", name: str, text: str) -> bool:
    """Whether a gap is about an operation: about itself, or about a type that it shows."""
    if gap.where == name or gap.where.startswith((f"{name} ", f"{name}.", f"{name}(")):
        return True
    head = gap.where.partition(" ")[0].partition(".")[0].removesuffix("[]")
    whole = gap.where.rpartition(".")[0]
    return gap.where != "*" and any(part and f'"{part}"' in text for part in (head, whole, gap.where))


def _searched(contract: "Contract", search: str) -> "list[Any]":
    words = search.lower().split()
    return [o for o in contract.operations if all(w in f"{o.line} {o.text} {o.group}".lower() for w in words)]


def _counts(gaps: "tuple[Gap, ...]") -> dict[str, Json]:
    counted: dict[str, Json] = {}
    for gap in gaps:
        counted[gap.severity] = cast("int", counted.get(gap.severity, 0)) + 1
    return counted


def _summary(contract: "Contract", search: str | None, after: str | None) -> Result:
    result: Result = {
        "path": contract.path, "kind": contract.kind, "version": contract.version, "title": contract.title,
        **contract.about, "operations_total": len(contract.operations),
    }  # fmt: skip
    chosen = _searched(contract, search) if search else list(contract.operations)
    if search:
        result["found"] = len(chosen)
    if after is None and not search and len(chosen) > 40:
        groups: dict[str, Json] = {}
        for line in chosen:
            groups[line.group] = cast("int", groups.get(line.group, 0)) + 1
        most = sorted(groups, key=lambda g: -cast("int", groups[g]))[:40]
        result["groups"] = {g: groups[g] for g in most}
    start = 0
    if after is not None:
        start = next((i + 1 for i, o in enumerate(chosen) if o.name == after), -1)
        if start < 0:
            raise InvalidArgument("after: expected the `next` of the page before, with the same search")
    elif not search:
        result |= _gaps(contract, GAP_BYTES)
    room = BYTES - len(json.dumps(result, ensure_ascii=False).encode())
    lines: list[Json] = []
    for line in chosen[start:]:
        room -= len(line.line.encode()) + 4
        if room < 0 and lines:
            break
        lines.append(line.line)
    result["operations"] = lines
    more = start + len(lines) < len(chosen)
    result["truncated"] = more
    if more:
        result["next"] = chosen[start + len(lines) - 1].name
    return result


def _gaps(contract: "Contract", room: int) -> Result:
    """The gaps that matter most, and how many of each kind there are."""
    counts: dict[str, Json] = {}
    for gap in contract.gaps:
        counts[gap.id] = cast("int", counts.get(gap.id, 0)) + 1
    shown: list[Json] = []
    met: dict[str, int] = {}
    for gap in contract.gaps:
        met[gap.id] = met.get(gap.id, 0) + 1
        if met[gap.id] > SAME:
            continue
        entry = gap.as_json(contract.path)
        cost = len(json.dumps(entry, ensure_ascii=False).encode()) + 2
        if cost > room:
            continue
        room -= cost
        shown.append(entry)
    result: Result = {"gaps": shown, "gap_severities": _counts(contract.gaps)}
    if len(shown) < len(contract.gaps):
        result["gap_counts"] = counts
        result["gaps_left_out"] = len(contract.gaps) - len(shown)
    return result
