"""message_topology: what a messaging system holds, joined with what the repository declares."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from pydantic import Field

from mcp_backend.app import App
from mcp_backend.errors import InvalidArgument, Json, PermissionDenied
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.engines.nats import Nats
    from mcp_backend.engines.nats_findings import Finding
    from mcp_backend.engines.nats_join import Item, Position

BYTES = 6_800
"""What destinations, consumers and findings of a page may take; the answer as a whole stays under 8,000."""
FULL = 30
"""More destinations than this are shown briefly."""
PLACES = 12
"""Places that one finding lists; the rest is counted."""
BROKEN = 5


class MessageTopology(Tool):
    """Show a NATS server's streams, buckets and consumers with lag, the declared contract of each, and what is risky.

    A destination is a stream, a KV or object store bucket, or a declared subject that nothing stores. `lag` is what a
    consumer has not acknowledged yet. `search` takes words of names, subjects, descriptions, contracts, consumers.
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
    after: str | None = Field(default=None, min_length=1, max_length=600, description="`next` of the page before")

    async def plan(self, app: App) -> Plan:
        if self.after is not None:
            _position(self.after)
        return Plan(prepared=app.engines.nats(self.engine))

    async def run(self, app: App, plan: Plan) -> Result:
        return await page(app, plan.prepared, self.search, self.after)


async def page(app: App, nats: "Nats", search: str | None, after: str | None) -> Result:
    """One page of the topology. Raises `Unavailable`, and `PermissionDenied` when this user may not look."""
    from mcp_backend.engines.nats import JetStreamError
    from mcp_backend.engines.nats_connection import Denied

    try:
        return await _page(app, nats, search, after)
    except Denied as error:
        text = f"engine {nats.settings.name}: {error}; a person grants it, then the topology can be shown"
        raise PermissionDenied(text) from error
    except JetStreamError as error:
        raise nats.unavailable(f"JetStream: {error}", "protocol") from error


async def _page(app: App, nats: "Nats", search: str | None, after: str | None) -> Result:
    from mcp_backend.contracts.watch import contracts
    from mcp_backend.engines import nats_topology
    from mcp_backend.engines.nats_join import Topology

    index = await contracts(app.workspace, app.policy).index()
    streams = await nats_topology.streams(nats)
    topology = Topology(nats, index, streams or [], app.clock())
    chosen, missing = await topology.choose(search.lower().split() if search else [])
    count, filling, cursor, complete = len(chosen) + len(missing), _Filling(BYTES), after, True
    if not after:
        filling.broken(list(index.broken.values())[:BROKEN])
    items = topology.items(chosen, missing, _position(after) if after else (0, "", ""), brief=count > FULL)
    async for item in items:
        if not filling.add(item):
            complete = False
            break
        cursor = _cursor(item.position)
    result: Result = {
        "engine": nats.settings.name,
        "kind": "nats",
        "environment": nats.settings.environment,
        "version": (await nats.connection()).version,
        "destinations": filling.destinations,
        "consumers": filling.consumers,
        "findings": filling.grouped(),
        "totals": topology.totals() | ({"found": count} if search else {}),
        "truncated": not complete,
        "next": None if complete else cursor,
    }
    if streams is None:
        result["notes"] = ["this server or account has no JetStream: nothing is stored, delivery is at most once"]
    return result


@dataclass(slots=True)
class _Filling:
    """A page while it is filled."""

    left: int
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

    def broken(self, problems: Sequence[str]) -> None:
        """Contracts that cannot be read."""
        if problems:
            self.findings["contract_unreadable"] = [problem[:200] for problem in problems]
            self.left -= sum(len(problem) for problem in self.findings["contract_unreadable"]) + 150

    def grouped(self) -> list[Json]:
        """The findings, the worst first, each with all its places."""
        from mcp_backend.engines.nats_findings import MEANING

        order = ("error", "warn", "info")
        grouped: list[Json] = []
        for identifier in sorted(self.findings, key=lambda i: (order.index(MEANING[i][0]), i)):
            severity, meaning = MEANING[identifier]
            places = self.findings[identifier]
            entry: dict[str, Json] = {"id": identifier, "severity": severity, "where": [*places[:PLACES]]}
            if len(places) > PLACES:
                entry["more"] = len(places) - PLACES
            grouped.append(entry | {"meaning": meaning})
        return grouped

    def _cost(self, findings: "Sequence[Finding]") -> int:
        from mcp_backend.engines.nats_findings import MEANING

        new = {finding.id for finding in findings} - self.findings.keys()
        places = sum(len(f.where.encode()) + 3 for f in findings if len(self.findings.get(f.id, ())) < PLACES)
        return places + sum(len(MEANING[identifier][1]) + len(identifier) + 70 for identifier in new)


def _size(entry: dict[str, Json]) -> int:
    return len(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()) + 1


def _cursor(position: "Position") -> str:
    # Names of streams and consumers have no slash: https://docs.nats.io/nats-concepts/subjects#characters
    return "/".join((("stream", "declared")[position[0]], *position[1:])).rstrip("/")


def _position(cursor: str) -> "Position":
    parts = cursor.split("/")
    if parts[0] not in ("stream", "declared") or not 2 <= len(parts) <= 3:
        raise InvalidArgument("after: expected the `next` of the page before")
    return int(parts[0] == "declared"), parts[1], parts[2] if len(parts) == 3 else ""
