"""The pipelines through one messaging engine, as code, contracts, broker and databases are right now."""

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from mcp_backend.actions import listed
from mcp_backend.engines import Engines
from mcp_backend.engines.topology import Finding
from mcp_backend.errors import BackendError, Json
from mcp_backend.pipelines import judging, tables
from mcp_backend.pipelines.brokers import broker
from mcp_backend.pipelines.joining import join
from mcp_backend.pipelines.linking import Code
from mcp_backend.pipelines.model import MEANING, Graph, Table
from mcp_backend.pipelines.scan import scan
from mcp_backend.settings import Workspace, hide_credentials

if TYPE_CHECKING:
    from mcp_backend.contracts.messages import Index
    from mcp_backend.engines.topology import View
    from mcp_backend.policy import EngineSettings

DATABASE_SECONDS = 8.0
"""How long one database may take; pipelines are shown without its tables then. A local one is started first."""
SHOWN_PLACES = 3
MOST_NODES = 150
"""Nodes of an answer as JSON; the page has all."""


async def read(engines: Engines, workspace: Workspace, index: "Index", view: "View", engine: str) -> Graph:
    """The graph with its findings. Raises only what `view` raises: everything else that fails is a note."""
    code, created = await asyncio.to_thread(scan(workspace).look)
    notes = [f"code: {code.unread}"] if code.unread else []
    if code.unresolved:
        notes.append(f"destinations known at run time only: {listed(code.unresolved, SHOWN_PLACES)}")
    names = {o.to for s in code.stages for o in s.out} | {i.of for s in code.stages for i in s.into}
    names |= {topic for table in created for topic in table.topics}
    names |= {channel.pattern.text for channel in index.channels}
    if not code.stages and not any(table.broker for table in created) and not _real_clickhouse(engines):
        return Graph({}, (), notes=tuple(notes))
    held, found = await broker(view, engine, names), await _tables(engines, code, created, notes)
    joined = join(code, index, held, found)
    judged = list(dict.fromkeys(judging.judged(joined, held)))
    places: dict[str, list[str]] = {}
    for identifier, _, nodes in judged:
        for node in nodes:
            if identifier not in places.setdefault(node, []):
                places[node].append(identifier)
    order = ("error", "warn", "info")
    findings = sorted((Finding(i, where) for i, where, _ in judged), key=lambda f: order.index(MEANING[f.id][0]))
    return Graph(
        joined.nodes, tuple(joined.edges), tuple(findings), {n: tuple(ids) for n, ids in places.items()}, tuple(notes)
    )


def as_json(graph: Graph) -> dict[str, Json]:
    """The graph as a result shows it, bounded."""
    nodes: list[Json] = []
    shown = list(graph.nodes.values())[:MOST_NODES]
    kept = {node.id for node in shown}
    for node in shown:
        entry: dict[str, Json] = {"id": node.id, "kind": node.kind, "name": node.name, "about": [*node.about]}
        if ids := graph.places.get(node.id):
            entry["findings"] = [*ids]
        nodes.append(entry)
    findings: list[Json] = [
        {"id": f.id, "severity": MEANING[f.id][0], "where": f.where, "meaning": MEANING[f.id][1]}
        for f in graph.findings[:MOST_NODES]
    ]
    edges: list[Json] = [[source, target] for source, target in graph.edges if source in kept and target in kept]
    more: dict[str, Json] = {"truncated": True} if len(graph.nodes) > MOST_NODES else {}
    return {"nodes": nodes, "edges": edges, "findings": findings, "notes": [*graph.notes], **more}


def _real_clickhouse(engines: Engines) -> bool:
    return any(_remote(s) for s in engines.settings.values() if s.kind == "clickhouse")


def _remote(settings: "EngineSettings") -> bool:
    return not settings.url.startswith("embedded:")


async def _tables(engines: Engines, code: Code, created: Iterable[Table], notes: list[str]) -> list[Table]:
    """The tables of every database of the policy that can be asked: databases before statements of files. A local
    database is started only when the code writes to tables."""
    names = {w.table for s in (*code.stages, *code.writers) for w in s.writes}
    names |= {table for s in code.stages if s.out for table in s.reads}
    found: list[Table] = []
    chosen = [s for s in engines.settings.values() if s.origin != "default"]
    for settings in (s for s in chosen if s.kind == "postgresql" and names):
        engine = engines.postgresql(settings.name)
        found += await _asked(settings.name, tables.of_postgresql(engine, names), notes)
    missing = names - {table.name for table in found}
    local = [s.name for s in chosen if s.kind == "clickhouse"]
    for settings in (s for s in chosen if s.kind == "clickhouse" and (_remote(s) or missing)):
        found += await _asked(settings.name, tables.of_clickhouse(engines.clickhouse(settings.name)), notes)
    known = {table.name for table in found if table.system == "clickhouse"}
    name = local[0] if local else "clickhouse"
    return found + [replace(table, engine=name) for table in created if table.name not in known]


async def _asked(name: str, asking: Awaitable[list[Table]], notes: list[str]) -> list[Table]:
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            return await asking
    except (BackendError, TimeoutError) as error:
        why = error.reason if isinstance(error, BackendError) else f"no answer within {DATABASE_SECONDS:.0f} s"
        notes.append(hide_credentials(f"tables of {name} were not looked at: {why}")[:200])
        return []
