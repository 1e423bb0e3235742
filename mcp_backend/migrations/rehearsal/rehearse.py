"""One rehearsal from the target's facts to the report. https://www.postgresql.org/docs/current/explicit-locking.html"""

import asyncio
import marshal
import time
import zlib
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from psycopg import AsyncConnection

from mcp_backend.engines.pg.fingerprint import schema_version
from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.migrations import lost, snapshot
from mcp_backend.migrations.rehearsal import keys, plans, proofs, resuming, sample, shadow, target
from mcp_backend.migrations.rehearsal.catalog import Catalog, Changes, Doc, Key, Watch, difference
from mcp_backend.migrations.rehearsal.effects import Effect, World, effect
from mcp_backend.migrations.rehearsal.judging import Outcome, judged
from mcp_backend.migrations.rehearsal.observe import Observer
from mcp_backend.migrations.rehearsal.play import Played, play, unit_of
from mcp_backend.migrations.rehearsal.probes import probe
from mcp_backend.migrations.rehearsal.report import Hazard, Report, Reversible, Shadow, verdict
from mcp_backend.migrations.rehearsal.rewrites import HAZARDS, safer
from mcp_backend.migrations.rehearsal.shadow import Shadow as Place
from mcp_backend.migrations.rehearsal.subject import Subject
from mcp_backend.migrations.rehearsal.telling import statements
from mcp_backend.migrations.rehearsal.words import hazard
from mcp_backend.settings import Workspace
from mcp_backend.telling import tell

SECONDS = 60.0
MOST_STARTS = 4
MOST_COPIED = 150
"""Relations of a database that is copied for what commits; a larger one is used itself."""


@dataclass(slots=True)
class _Run:
    """What one rehearsal gathers."""

    subject: Subject
    world: World
    played: Played
    end: Catalog = field(default_factory=dict[Any, Any])
    version_after: str = ""
    schema_diff: tuple[str, ...] = ()
    writes: proofs.Writes = field(default_factory=proofs.Writes)
    writes_before: proofs.Writes = field(default_factory=proofs.Writes)
    proved: list[Any] = field(default_factory=list[Any])
    undone: proofs.Undone | None = None
    version_before: str = ""
    snapshot_before: snapshot.Snapshot = field(default_factory=dict[Any, Any])
    difference: tuple[str, ...] = ()
    resumed: list[Any] = field(default_factory=list[Any])


async def rehearse(engine: Postgresql, workspace: Workspace, subject: Subject) -> Report:
    """Rehearses the subject on a shadow of the engine's database.

    Raises `Unavailable` when the target does not answer or no shadow can be made. The target is only read.
    """
    if subject.unparsed:
        found = (hazard("syntax_error", 0, "reject", subject.unparsed, source="statement"),)
        return _report(engine, subject, found, Report(engine.settings.name, "", "", "", "safe"))
    began = time.monotonic()
    budget = engine.settings.migrating.blocking_budget * 1000
    parameters = dict((await engine.place()).parameters)
    texts = [s.sql for unit in (*subject.units, *subject.back) for s in unit.statements]
    await tell(f"reading what {engine.settings.name} holds")
    async with engine.session(True, SECONDS) as source:
        with lost.before(source, engine):
            facts = await target.read(source)
    fingerprint = subject.at_version.partition("@")[0]
    await tell(f"making a shadow of {len(facts.relations)} relations")
    async with shadow.opened(engine, workspace, facts, parameters, fingerprint) as place:
        await tell("copying sample rows to the shadow")
        admin = await place.connect(admin=True)
        try:
            async with engine.session(True, SECONDS) as source:
                parsed = [s for unit in subject.units for s in unit.statements]
                known = sample.with_new(facts, parsed)
                rows = await sample.load(source, admin, known, sample.touched(known, texts))
        finally:
            await admin.close()
        prepared = time.monotonic() - began
        await tell(f"rehearsing {sum(len(unit.statements) for unit in subject.units)} statements on the shadow")
        run = await _run(place, subject, World(facts, rows, {}))
        effects = tuple(effect(seen, run.world) for seen in run.played.seen)
        await tell("asking the database what the statements would meet there")
        probed, unasked = await probe(engine, run.world, effects)
        changed, unplanned = await _plans(engine, place, run, len(effects))
        hazards, held = judged(_outcome(run, effects, budget, [*probed, *changed]))
        await tell("judging, and rehearsing safer forms of what is hazardous")
        hazards = await _rewritten(place, run, effects, hazards, budget)
    equal = None if run.undone is None else run.undone.version == run.version_before
    report = Report(
        engine=engine.settings.name,
        dialect=f"postgresql {facts.version // 10000}.{facts.version % 10000}",
        digest=subject.digest,
        at_version=subject.at_version,
        verdict="safe",
        version_after=f"{run.version_after}@{subject.newest}" if run.version_after else "",
        statements=statements(effects, run.world),
        holds=held,
        reversible=Reversible(equal, run.difference),
        schema_diff=run.schema_diff,
        shadow=Shadow(sum(rows.rows.values()), _sizes(facts), prepared, place.version, place.cached),
        not_checked=(*unasked, *unplanned, *_not_checked(place, rows, run, facts)),
        budget_ms=budget,
    )
    return _report(engine, subject, hazards, report)


async def _plans(engine: Postgresql, place: Place, run: _Run, last: int) -> tuple[list[Hazard], list[str]]:
    """What becomes of the plans of queries that the target is known to run."""
    if run.played.failed:
        return [], []
    async with engine.session(True, SECONDS) as source:
        asked = await plans.known(source, run.world, _whole(run))
    if len(run.world.target.relations) > MOST_COPIED and not any(query.calls for query in asked.queries):
        return [], [*asked.unknown]
    return await plans.judge(asked, place, run.subject.units, run.world.sample.rows, last if last == 1 else 0)


def _report(engine: Postgresql, subject: Subject, hazards: tuple[Any, ...], report: Report) -> Report:
    return replace(
        report,
        engine=engine.settings.name,
        digest=subject.digest,
        at_version=subject.at_version,
        direction=subject.direction,
        hazards=hazards,
        verdict=verdict(hazards),
    )


def _outcome(run: _Run, effects: tuple[Effect, ...], budget: float, probed: list[Hazard]) -> Outcome:
    return Outcome(
        run.subject, run.world, effects, run.played, run.end, budget, run.writes, run.writes_before,
        (*run.proved, *probed, *run.resumed), run.undone, run.version_before, run.difference,
    )  # fmt: skip


async def _rewritten(
    place: Place, run: _Run, effects: tuple[Effect, ...], hazards: tuple[Hazard, ...], budget: float
) -> tuple[Hazard, ...]:
    """The hazards, and with them the safe form, rehearsed with the rest of the migration, where there is one."""
    forms = safer(effects, hazards)
    if not forms or run.played.failed:
        return hazards
    texts = [text for e in effects for text in forms.get(e.seen.number, (e.seen.parsed.sql,))]
    subject = replace(run.subject, units=tuple(unit_of(text) for text in texts), back=(), no_down=False)
    again = await _run(place, subject, replace(run.world, start={}))
    seen = tuple(effect(s, again.world) for s in again.played.seen)
    found, _ = judged(_outcome(again, seen, budget, []))
    said = verdict(found)
    return tuple(
        replace(h, rewrite=";\n".join(forms[h.statement]), rewrite_verdict=said)
        if h.id in HAZARDS and h.statement in forms and said in ("safe", "warn")
        else h
        for h in hazards
    )


async def _run(place: Place, subject: Subject, world: World) -> _Run:
    """In one transaction that is rolled back where that is what would run; otherwise in a copy."""
    units = subject.units
    alone = len(units) == 1 and units[0].atomic and all(unit.atomic for unit in subject.back)
    run = _Run(subject, world, Played())
    async with AsyncExitStack() as stack:
        if alone:
            here = place
        elif len(units) == 1 and len(world.target.relations) > MOST_COPIED and not place.missing:
            here = await stack.enter_async_context(place.used())
        else:
            here = await stack.enter_async_context(place.copy())
        conn, admin = await here.connect(), await here.connect(admin=True)
        try:
            await _observed(conn, admin, run, alone=alone)
        finally:
            await conn.close()
            await admin.close()
    if run.writes.failed or run.writes.idle:
        conn = await place.connect()
        try:
            names = {table for table, _ in (*run.writes.failed, *run.writes.idle)}
            tables = [k[1] for k, d in run.end.items() if k[0] == "rel" and d["name"] in names]
            run.writes_before = await proofs.write(conn, run.world, tables, run.world.start)
        finally:
            await conn.close()
    if not run.played.failed:
        for unit in units:
            if not unit.atomic and len(unit.statements) > 1 and len(units) == 1:
                run.resumed += await resuming.resumed(place, unit, list(run.world.sample.rows))
    return run


async def _observed(conn: AsyncConnection[Any], admin: AsyncConnection[Any], run: _Run, *, alone: bool) -> None:
    observer = Observer(conn, admin)
    observer.watch.now, run.snapshot_before = await _start(conn, run)
    run.world = replace(run.world, start=observer.watch.now)
    with_history = run.snapshot_before
    run.version_before = run.subject.at_version.partition("@")[0]
    if create := [sql for unit in run.subject.units[:1] for sql in unit.create]:
        async with conn.transaction(force_rollback=True):  # down leaves the history table that the first up makes
            for sql in create:
                await conn.execute(sql.encode())
            run.version_before, with_history = await schema_version(conn), await snapshot.take(conn)
    given = await keys.last_values(conn)
    await play(observer, run.subject.units, run.played, keep_open=alone)
    run.end = observer.watch.now
    if run.played.failed:
        return
    await conn.execute(b"reset role; reset search_path; set statement_timeout = '60s'")
    path = run.world.target.settings.get("search_path", "")
    await conn.execute("select pg_catalog.set_config('search_path', %s, false)", (path,))
    run.version_after = await schema_version(conn)
    run.schema_diff = tuple(snapshot.difference(run.snapshot_before, await snapshot.take(conn)))
    changes = _whole(run)
    named = {n for s in run.played.seen for n in s.parsed.relations}
    tables = proofs.watched(run.world, changes, [*named, *(f"public.{n}" for n in named)])
    run.proved = await keys.behind(conn, run.world, given, run.end, run.played.seen)
    run.writes = await proofs.write(conn, run.world, tables, run.end)
    run.proved += await proofs.judge_unvalidated(conn, run.end, changes)
    if run.subject.back:
        run.undone = await proofs.take_back(conn, run.subject.back)
        if run.undone.failed is None and run.undone.version != run.version_before:
            run.difference = tuple(snapshot.difference(with_history, await snapshot.take(conn)))


Start: TypeAlias = tuple[dict[Key, Doc], snapshot.Snapshot]
_STARTS: dict[tuple[str, str], bytes] = {}
"""The catalog and the picture of the last shadows, by server and database: what is rolled back stays as it was. Packed,
because a thousand tables are 700,000 objects."""


def packed(start: Start) -> bytes:
    """What is kept of the start of a rehearsal until the next one."""
    plain: Any = start  # nothing but what JSON has, and tuples
    return zlib.compress(marshal.dumps(plain), 1)


def unpacked(kept: bytes) -> Start:
    """The start again."""
    return marshal.loads(zlib.decompress(kept))


async def _start(conn: AsyncConnection[Any], run: _Run) -> Start:
    row = await (await conn.execute(_SELF.encode())).fetchone()
    key = (f"{conn.info.host}:{conn.info.port}", str(row))
    if key in _STARTS and not run.world.sample.changed:
        return await asyncio.to_thread(unpacked, _STARTS[key])
    watch = Watch()
    await watch.start(conn)
    found = (watch.now, await snapshot.take(conn))
    kept = await asyncio.to_thread(packed, found)
    while len(_STARTS) >= MOST_STARTS:
        _STARTS.pop(next(iter(_STARTS)))
    _STARTS[key] = kept
    return found


_SELF = (
    "select d.oid, d.datname, pg_catalog.pg_postmaster_start_time() from pg_catalog.pg_database d "
    "where d.datname = pg_catalog.current_database()"
)


def _whole(run: _Run) -> Changes:
    return difference(run.world.start, run.end)


def _sizes(facts: target.Target) -> str:
    return f"rows and bytes from the target's pg_class ({len(facts.sizes)} relations); no rows beyond the sample"


def _not_checked(place: Place, rows: sample.Sample, run: _Run, facts: target.Target) -> tuple[str, ...]:
    said = [*place.missing, *rows.unread]
    major, here = facts.version // 10000, place.version.split(".")[0]
    if str(major) != here:
        said.append(f"the target runs PostgreSQL {major}, the shadow {here}: locks of that version may differ")
    partly = [name for name in rows.rows if name not in rows.whole]
    if partly:
        said.append(f"of {', '.join(partly[:5])} only a sample was copied; all rows were asked on the target itself")
    if facts.superuser:
        said.append("the target's role is a superuser, the shadow's is not: what only a superuser may do failed here")
    if run.played.failed:
        said.append("what comes after the statement that failed")
    said.append("code of the application; replicas; how long other sessions hold locks")
    return tuple(dict.fromkeys(said))
