"""Rehearses a migration of ClickHouse: every statement on a shadow of the target, judged by what it does there and by
what the target's own rows say."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mcp_backend.engines.ch import statement as reads
from mcp_backend.engines.ch.errors import ServerError
from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations.clickhouse import (
    arriving,
    differences,
    effect_hazards,
    estimating,
    failing,
    flow,
    grammar_hazards,
    moving,
    observing,
    repeating,
    shadow,
    target,
)  # fmt: skip
from mcp_backend.migrations.clickhouse import whole as whole_hazards
from mcp_backend.migrations.clickhouse.differences import shown
from mcp_backend.migrations.clickhouse.effect_hazards import Data
from mcp_backend.migrations.clickhouse.grammar_hazards import hazard
from mcp_backend.migrations.clickhouse.history import History, structure
from mcp_backend.migrations.clickhouse.language import Name, Statement, statements
from mcp_backend.migrations.clickhouse.looking import look
from mcp_backend.migrations.clickhouse.mapping import mapped
from mcp_backend.migrations.clickhouse.observing import Moment, Seen
from mcp_backend.migrations.clickhouse.probing import Probes
from mcp_backend.migrations.clickhouse.shadow import Shadow
from mcp_backend.migrations.clickhouse.target import Schema, Target
from mcp_backend.migrations.rehearsal import report
from mcp_backend.migrations.rehearsal.report import Hazard, Hold, Lock, Report, Reversible, Rewrite, Scan
from mcp_backend.settings import Workspace

if TYPE_CHECKING:
    from mcp_backend.engines.clickhouse import Clickhouse


@dataclass(frozen=True, slots=True)
class Text:
    """One migration: its block up (or down, when that is the direction), and the block that takes it back."""

    sql: str
    where: str = "sql"
    line: int = 1
    back: str | None = None


@dataclass(slots=True)
class _Stage:
    """A rehearsal while it runs."""

    engine: "Clickhouse"
    there: Target
    local: Shadow
    probes: Probes
    hazards: list[Hazard] = field(default_factory=list[Hazard])
    shown: list[report.Statement] = field(default_factory=list[report.Statement])
    holds: list[Hold] = field(default_factory=list[Hold])
    seen: list[Seen] = field(default_factory=list[Seen])
    notes: list[str] = field(default_factory=list[str])
    session: dict[str, str] = field(default_factory=dict[str, str])


async def rehearse(
    engine: "Clickhouse",
    workspace: Workspace,
    texts: Sequence[Text],
    *,
    digest: str,
    at_version: str,
    direction: str = "up",
    past: History | None = None,
    newest: str = "",
    sizes: Mapping[Name, tuple[int, int]] | None = None,
) -> Report:
    """The report about texts that would run one after the other.

    `sizes` (rows and bytes by table) stand in for the target's own, to look at a migration at another scale. Raises
    `InvalidArgument` for a text that does not end, `Unavailable` when the target or the local ClickHouse is.
    """
    began = time.monotonic()
    listed = [s for text in texts for s in _placed(text)]
    if not listed:
        raise InvalidArgument("sql: holds no statement to rehearse")
    there = _sized(await target.read(engine), sizes or {})
    touched = _touched([statement for _, statement in listed], there)
    async with shadow.opened(workspace, there.database) as local:
        await shadow.fill(local, engine, there, touched, rows=True)
        stage = _Stage(engine, there, local, Probes(engine))
        before = await observing.moment(local)
        version_before = await structure(local, past)
        near = [t for n, t in before.schema.tables.items() if n in _near(before.schema, touched)]
        arrived = await flow.arrivals(local, near, before.schema)
        last = await _statements(stage, listed)
        whole = len(stage.shown) == len(listed) and not any(s.error for s in stage.shown)
        stage.hazards += await arriving.of_arrivals(local, len(listed), arrived, before.schema, last.schema)
        version_after = await structure(local, past) if whole else ""
        reversible = await _back(stage, texts, version_before, before.schema, past) if whole else Reversible()
        sampled = sum(local.sampled.values())
        left_out = [*local.left_out]
        seconds = time.monotonic() - began
    if whole and len([s for _, s in listed if not s.session]) > 1:
        stage.hazards += await repeating.of_repeating(workspace, engine, there, touched, [s for _, s in listed])
    stage.hazards += repeating.of_inserts([(s.number, s.statement) for s in stage.seen], there)
    stage.hazards += whole_hazards.of_whole(there, [s for _, s in listed], touched, stage.holds, stage.notes)
    hazards = tuple(_ordered(stage.hazards))
    exact = version_before == at_version.partition("@")[0]
    return Report(
        engine.settings.name,
        "clickhouse",
        digest,
        at_version,
        report.verdict(hazards),
        f"{version_after}@{newest or 'empty'}" if exact and version_after else "",
        direction,
        tuple(stage.shown),
        tuple(stage.holds),
        hazards,
        reversible,
        differences.lines(before.schema, last.schema),
        report.Shadow(sampled, "system.parts of the target" if not sizes else "given", seconds, local.version, False),
        tuple(dict.fromkeys([*stage.notes, *stage.probes.failed, *left_out, *there.partly, *_always(there, local)])),
    )


async def _statements(stage: _Stage, listed: list[tuple[Text, Statement]]) -> Moment:
    now = await observing.moment(stage.local)
    failed = False
    for number, (text, statement) in enumerate(listed, 1):
        if failed:
            break
        _, notes = mapped(statement.sql)
        stage.notes += notes
        entry = report.Statement(number, statement.shown, statement.line, "" if text.where == "sql" else text.where)
        try:
            ast = [str(row[0]) for row in await stage.local.rows(f"EXPLAIN AST {_parsed(statement)}")]
        except ServerError as error:
            moved = ServerError(error.code, error.name, error.message, max(0, error.position - len("EXPLAIN AST ")))
            seen = Seen(statement, number, now, now, 0, moved)
            stage.hazards += failing.of_failure(seen, stage.there, Data(), len(stage.seen))
            stage.shown.append(replace(entry, error=f"{error.message} (code {error.code})"))
            break
        found = [
            *grammar_hazards.of_statement(statement, number, stage.there, ast),
            *_cluster(statement, number, stage),
        ]
        stage.hazards += found
        reaches_out = any(h.id == "filesystem_access" and h.severity == "reject" for h in found)
        if statement.session:
            stage.session |= {k: v for k, v in statement.settings.items() if k not in grammar_hazards.GUARDS}
        if reaches_out or not grammar_hazards.runnable(statement):
            stage.notes.append(f"statement {number} was not run on the shadow: {found[0].reason[:120]}")
            stage.shown.append(entry)
            continue
        data = await look(statement, stage.there, stage.probes, stage.local, stage.engine)
        seen = await observing.run(stage.local, statement, number, now, stage.session)
        now, failed = seen.after, seen.error is not None
        if failed:
            data.undone = await observing.undone(stage.local, seen)
            stage.hazards += failing.of_failure(
                seen, stage.there, data, sum(not s.statement.session for s in stage.seen)
            )
        else:
            stage.hazards += effect_hazards.of_effects(seen, stage.there, data)
            if any(cast.failing or cast.nulls for cast in data.casts.values()):
                stage.hazards += failing.casting(seen, stage.there, data)
            stage.seen.append(seen)
        stage.shown.append(_told(entry, seen, stage, data))
    return now


def _told(entry: report.Statement, seen: Seen, stage: _Stage, data: Data) -> report.Statement:
    """What was seen of a statement, and what it means for the target."""
    sizes = moving.rewritten(seen, stage.there)
    total = sum(sizes.values())
    mutated = [name for name in seen.mutations() if not name[1].startswith(".inner")]
    for name in mutated:
        stage.holds.append(
            Hold(
                shown(name),
                "mutation",
                "ddl",
                seen.number,
                seen.number,
                seen.elapsed_ms,
                estimating.band(sizes.get(name, 0)),
            )
        )
    scans = tuple(
        Scan(shown(table.name), cast.rows, table.rows)
        for cast in data.casts.values() if (table := stage.there.schema.find(seen.statement.name, stage.there.database))
    )  # fmt: skip
    return replace(
        entry,
        elapsed_ms=seen.elapsed_ms,
        locks=tuple(Lock(shown(name), "mutation", "ddl") for name in mutated),
        rewrites=tuple(Rewrite(shown(n), stage.there.schema.tables[n].rows, size) for n, size in sizes.items()),
        scans=scans,
        rows=seen.changed_rows(),
        estimate=estimating.band(total),
        error=f"{seen.error.message} (code {seen.error.code})" if seen.error else "",
    )


async def _back(stage: _Stage, texts: Sequence[Text], version: str, before: Schema, past: History | None) -> Reversible:
    """Takes every text back in turn and compares with what there was."""
    if any(not (text.back or "").strip() for text in texts):
        return Reversible()
    for text in reversed(texts):
        for statement in statements(text.back or "", text.where):
            if not grammar_hazards.runnable(statement):
                return Reversible(None, (f"not tried: {statement.verb} is not run on a shadow",))
            try:
                await stage.local.run(mapped(statement.sql)[0], shadow.SYNCHRONOUS)
            except ServerError as error:
                return Reversible(
                    False, (f"{text.where}: {' '.join(statement.shown.split())[:120]}: {error.message[:200]}",)
                )
    if await structure(stage.local, past) == version:
        return Reversible(True)
    return Reversible(False, differences.lines(before, (await stage.local.schema())))


def _cluster(statement: Statement, number: int, stage: _Stage) -> list[Hazard]:
    """A cluster that the target does not know."""
    known = stage.there.clusters
    name = statement.cluster
    if not name or "{" in name or name in known:
        return []
    if known:
        return [
            hazard("fails_in_rehearsal", number, "reject", f"the target has no cluster {name}; it has "
                                                           f"{', '.join(sorted(known))}",
                   "name a cluster of system.clusters", "catalog")
        ]  # fmt: skip
    stage.notes.append(f"the target names no cluster at all, so whether {name} exists on the real one was not checked")
    return []


def _parsed(statement: Statement) -> str:
    """The statement as the grammar is asked about it: a FORMAT of its own would be that of the answer."""
    return reads.outline(statement.sql).text if statement.verb in ("SELECT", "WITH") else mapped(statement.sql)[0]


def _placed(text: Text) -> list[tuple[Text, Statement]]:
    return [(text, statement) for statement in statements(text.sql, text.where, text.line)]


def _touched(listed: Sequence[Statement], there: Target) -> set[Name]:
    """The tables that statements are about, and those that any of their words could mean."""
    named = {(n[0] or there.database, n[1]) for s in listed for n in s.names}
    words = {word.name for s in listed for word in s.words if word.name}
    emptied = {n[1] for s in listed if s.verb.startswith(("TRUNCATE ALL", "TRUNCATE DATABASE")) for n in s.names}
    named |= {name for name in there.schema.tables if name[0] in emptied}
    return named | {
        name for name in there.schema.tables if name[1] in words and (name[0] in words or name[0] == there.database)
    }


def _near(schema: Schema, touched: set[Name]) -> set[Name]:
    steps = schema.views()
    found = set(touched)
    for _ in range(8):
        found |= {source for source, view, to in steps if view in found or to in found}
    return found


def _sized(there: Target, sizes: Mapping[Name, tuple[int, int]]) -> Target:
    tables = {
        name: replace(table, rows=sizes[name][0], bytes=sizes[name][1]) if name in sizes else table
        for name, table in there.schema.tables.items()
    }
    return replace(there, schema=replace(there.schema, tables=tables))


def _ordered(hazards: list[Hazard]) -> list[Hazard]:
    """The gravest first, each once."""
    rank = {"reject": 0, "needs_approval": 1, "warn": 2, "info": 3}
    once = {(h.id, h.statement, h.reason): h for h in hazards}
    return sorted(once.values(), key=lambda h: (rank[h.severity], h.statement))


def _always(there: Target, local: Shadow) -> list[str]:
    """What a rehearsal on a local server never tells."""
    said = ["other hosts of a cluster, free disk space and the load of the target were not looked at"]
    if there.version.split(".")[:2] != local.version.split(".")[:2]:
        said.append(f"the target is ClickHouse {there.version}, the shadow {local.version}")
    return said
