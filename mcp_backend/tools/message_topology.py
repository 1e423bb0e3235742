"""message_topology: what a messaging system holds, joined with what the repository declares."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote

from pydantic import Field

from mcp_backend.app import App
from mcp_backend.errors import InvalidArgument, Json
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.contracts.messages import Index
    from mcp_backend.engines.topology import Finding, Item, Position, Severity, View
    from mcp_backend.pipelines.model import Graph

BYTES = 6_800
"""What destinations, consumers and findings of a page may take; the answer as a whole stays under 8,000."""
FULL = 30
"""More destinations than this are shown briefly."""
SHOWN_PLACES = 12
"""Places that one finding lists; the rest is counted."""
BROKEN = 5
PIPELINES = 2_200
"""Bytes of a page that findings about pipelines may take, and those about drift as well."""
NOTES = 3


class MessageTopology(Tool):
    """Show streams, topics, channels and consumers of NATS, Kafka or Redis: lag (how many
    messages wait for whom), the contract of each, what is risky.

    A destination is also a declared one that nothing stores. `lag` is what a consumer has not acknowledged yet.
    `search` takes words of names, subjects, descriptions, contracts, consumers.
    """

    name = "message_topology"
    title = "Show the messaging topology"
    toolset = "messaging"
    read_only = True
    idempotent = True
    output = {
        "destinations": {"type": "array", "items": {"type": "object"}},
        "consumers": {"type": "array", "items": {"type": "object"}},
        "findings": {"type": "array", "items": {"type": "object"}},
    }

    engine: str | None = Field(default=None, max_length=100)
    search: str | None = Field(default=None, min_length=1, max_length=200)
    after: str | None = Field(default=None, min_length=1, max_length=2000, description="`next` of the page before")

    async def plan(self, app: App) -> Plan:
        from mcp_backend.engines.publishing import KINDS

        if self.after is not None:
            _position(self.after)
        return Plan(prepared=app.engines.choose(self.engine, KINDS).name)

    async def run(self, app: App, plan: Plan) -> Result:
        return await page(app, plan.prepared, self.search, self.after)


async def page(app: App, engine: str, search: str | None, after: str | None, *, whole: bool = False) -> Result:
    """One page of the topology; the first one knows of the pipelines, `whole` with all their places. Raises
    `Unavailable`, and `PermissionDenied` when this user may not look."""
    from mcp_backend.contracts.watch import contracts
    from mcp_backend.engines import desired
    from mcp_backend.engines.topology import view
    from mcp_backend.pipelines import reading as pipelines

    index = await contracts(app.workspace, app.policy).index()
    seen = await view(app.engines, engine, index, app.clock())
    try:
        graph = await pipelines.read(app.engines, app.workspace, index, seen, engine) if after is None else None
        drifted = await desired.drift(app.engines, engine, app.workspace.root) if after is None else []
        filling, count, following = await _fill(seen, index, search, after, graph, drifted)
    except seen.failures as error:
        raise seen.told(error) from error
    result: Result = {
        "engine": engine,
        "kind": seen.kind,
        "environment": app.engines.settings[engine].environment,
        "version": seen.version,
        "destinations": filling.destinations,
        "consumers": filling.consumers,
        "findings": filling.grouped(),
        "totals": seen.totals() | ({"found": count} if search else {}),
        "truncated": following is not None,
        "next": following,
    }
    if seen.notes:
        result["notes"] = [*seen.notes]
    if graph is not None and (graph.nodes or graph.notes):
        result["pipelines"] = _pipelines(app, engine, graph, whole=whole)
    return result


def _pipelines(app: App, engine: str, graph: "Graph", *, whole: bool) -> dict[str, Json]:
    """Where the pipelines can be looked at, or all of them."""
    from mcp_backend.pipelines.reading import as_json
    from mcp_backend.web.pipelines import keep

    shown = str(keep(app.workspace, engine, graph, app.clock()))
    if whole:
        return {"page": shown, **as_json(graph)}
    told: dict[str, Json] = {
        "stages": len(graph.nodes), "findings": len(graph.findings), "resource": f"topology://{engine}", "page": shown,
    }  # fmt: skip
    if graph.notes:
        told["notes"] = [*graph.notes[:NOTES]]
    return told


async def _fill(
    seen: "View", index: "Index", search: str | None, after: str | None, graph: "Graph | None", drifted: "list[Finding]"
) -> "tuple[_Filling, int, str | None]":
    """The page, how many destinations were found, and the cursor of the next page."""
    from mcp_backend.engines import desired
    from mcp_backend.pipelines.model import MEANING

    words = search.lower().split() if search else []
    count = await seen.choose(words)
    filling, cursor = _Filling(BYTES, {**MEANING, **desired.MEANING, **seen.meaning}), after
    if graph is not None:
        filling.left -= 500 if graph.nodes or graph.notes else 0  # where the pipelines can be looked at
        filling.along(graph.findings, words)
    filling.along(drifted, words)
    if not after:
        filling.broken(list(index.broken.values())[:BROKEN])
    async for item in seen.items(_position(after) if after else (0, "", ""), brief=count > FULL):
        if not filling.add(item):
            return filling, count, cursor
        cursor = _cursor(item.position)
    return filling, count, None


@dataclass(slots=True)
class _Filling:
    """A page while it is filled."""

    left: int
    meaning: "Mapping[str, tuple[Severity, str]]"
    destinations: list[Json] = field(default_factory=list[Json])
    consumers: list[Json] = field(default_factory=list[Json])
    findings: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def add(self, item: "Item") -> bool:
        """Puts an item and its findings on the page, unless there is no room; the first always has."""
        cost = _size(item.entry) + self._cost(item.findings)
        if cost > self.left and (self.destinations or self.consumers):
            return False
        self.left -= cost
        (self.consumers if item.consumer else self.destinations).append(cast("Json", item.entry))
        for finding in item.findings:
            self.findings.setdefault(finding.id, []).append(finding.where)
        return True

    def along(self, findings: "Sequence[Finding]", words: Sequence[str]) -> None:
        """Findings that belong to no item, in which all words occur, as long as they leave room."""
        room = PIPELINES
        for finding in findings:
            if not all(word in finding.where.lower() for word in words):
                continue
            if (cost := self._cost((finding,))) <= room:
                self.findings.setdefault(finding.id, []).append(finding.where)
                room, self.left = room - cost, self.left - cost

    def broken(self, problems: Sequence[str]) -> None:
        """Contracts that cannot be read."""
        if problems:
            self.findings["contract_unreadable"] = [problem[:200] for problem in problems]
            self.left -= sum(len(problem) for problem in self.findings["contract_unreadable"]) + 150

    def grouped(self) -> list[Json]:
        """The findings, the worst first, each with all its places."""
        order = ("error", "warn", "info")
        grouped: list[Json] = []
        for identifier in sorted(self.findings, key=lambda i: (order.index(self.meaning[i][0]), i)):
            severity, meaning = self.meaning[identifier]
            places = self.findings[identifier]
            entry: dict[str, Json] = {"id": identifier, "severity": severity, "where": [*places[:SHOWN_PLACES]]}
            if len(places) > SHOWN_PLACES:
                entry["more"] = len(places) - SHOWN_PLACES
            grouped.append(entry | {"meaning": meaning})
        return grouped

    def _cost(self, findings: "Sequence[Finding]") -> int:
        new = {finding.id for finding in findings} - self.findings.keys()
        places = sum(len(f.where.encode()) + 3 for f in findings if len(self.findings.get(f.id, ())) < SHOWN_PLACES)
        return places + sum(len(self.meaning[identifier][1]) + len(identifier) + 70 for identifier in new)


def _size(entry: dict[str, Json]) -> int:
    return len(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()) + 1


def _cursor(position: "Position") -> str:
    from mcp_backend.engines.topology import PLACES

    return "/".join((PLACES[position[0]], *(quote(part, safe="") for part in position[1:]))).rstrip("/")


def _position(cursor: str) -> "Position":
    from mcp_backend.engines.topology import PLACES

    parts = cursor.split("/")
    if parts[0] not in PLACES or not 2 <= len(parts) <= 3:
        raise InvalidArgument("after: expected the `next` of the page before")
    return PLACES.index(parts[0]), unquote(parts[1]), unquote(parts[2]) if len(parts) == 3 else ""
