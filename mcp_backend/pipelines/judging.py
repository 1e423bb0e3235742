"""What is risky along a pipeline, from its beginning to its end."""

import difflib
import re
from collections.abc import Iterator, Sequence

from mcp_backend.actions import listed
from mcp_backend.pipelines.brokers import Broker, overlaps
from mcp_backend.pipelines.fields import holds, misfit
from mcp_backend.pipelines.joining import Destination, Joined
from mcp_backend.pipelines.linking import Stage
from mcp_backend.pipelines.model import Column, Table, Write

Found = tuple[str, str, tuple[str, ...]]
"""The id of a finding, where it is, and the nodes it is about."""
DEAD = re.compile(r"(?i)dlq|dead|fail|poison|reject|parking|quarantine|retry|error")
_ADDS_UP = re.compile(r"(?:Summing|Aggregating)MergeTree$")
SHOWN = 4


def judged(joined: Joined, broker: Broker) -> Iterator[Found]:
    """Every finding, in the order of the stages."""
    for node, stage in joined.stages:
        yield from _sent(joined, node, stage)
        yield from _handled(joined, node, stage)
    for node, write, table in joined.targets:
        for source in joined.sources.get(node, ()):
            yield from _written(joined, node, joined.destinations[source], write, table)
    for node, table in joined.tables.items():
        yield from _engine_table(joined, node, table)
        yield from _view(joined, node, table)
    yield from _around(joined)
    yield from _ends(joined, broker)


def _sent(joined: Joined, node: str, stage: Stage) -> Iterator[Found]:
    """What a publisher sends, against the contract and the order of its topic."""
    for out in stage.out:
        at = joined.destinations[f"{out.publish.system}:{out.to}"]
        place, nodes = f"{out.path}:{out.publish.line} -> {at.name}", (node, at.id)
        if out.publish.in_transaction:
            yield "published_before_commit", place, nodes
        given = out.publish.fields
        if given is not None and at.closed and at.fields is not None and at.contract is not None:
            missing = sorted(f.name for f in at.fields.by_name.values() if f.required and f.name not in given)
            if missing:
                yield "field_missing", f"{place}: {listed(missing, SHOWN)} required by {at.contract.source}", nodes
            if at.fields.closed and (extra := sorted(given - at.fields.by_name.keys())):
                yield "field_not_in_contract", f"{place}: {listed(extra, SHOWN)}", nodes
        if out.publish.system != "kafka" or out.publish.key or (at.held and at.held.partitions == 1):
            continue
        keyed = [s for s in joined.sources.get(node, ()) if joined.destinations[s].keyed and s.startswith("kafka:")]
        if at.keyed:
            yield "ordering_lost", f"{place}: no key, others publish with one", nodes
        elif keyed and not DEAD.search(at.name):
            came = joined.destinations[keyed[0]].name
            yield "ordering_lost", f"{place}: no key, and what comes from {came} has one", (*nodes, keyed[0])


def _handled(joined: Joined, node: str, stage: Stage) -> Iterator[Found]:
    """How a reader treats what it reads."""
    sources = [joined.destinations[s] for s in joined.sources.get(node, ())]
    where = f"{stage.function.path}:{stage.line}"
    if not stage.writes and not stage.out:
        return
    early = [i for i in stage.into if not i.consume.acknowledges]
    if early and stage.writes:
        yield "acknowledged_early", f"{where} reading {early[0].of}", (node,)
    if stage.writes and (heard := next((i for i in stage.into if i.consume.at_most_once), None)):
        yield "misses_messages", f"{where} reading {heard.of}", (node,)
    if stage.side_by_side and (ordered := [d for d in sources if d.keyed]):
        yield "ordering_lost", f"{where}: handles {ordered[0].name} side by side", (node, ordered[0].id)
    kept = [i for i in stage.into if not i.consume.at_most_once and i.consume.system != "nats"]
    if kept and not any(DEAD.search(out.to) for out in stage.out) and not DEAD.search(kept[0].of):
        yield "no_dead_letter", f"{where} reading {kept[0].of}", (node,)


def _written(joined: Joined, node: str, at: Destination, write: Write, table: Table) -> Iterator[Found]:
    """A row that code makes of a message."""
    stage = next(s for n, s in joined.stages if n == node)
    target = f"table:{table.engine}:{table.name}"
    place, nodes = f"{at.name} -> {table.name} ({stage.function.path}:{write.line})", (node, target)
    named = [c for c in table.columns if not write.columns or c.name.lower() in write.columns]
    if table.system == "postgresql" and write.columns:
        unset = [c.name for c in table.columns if not c.nullable and not c.default and c not in named]
        if unset:
            yield "field_missing", f"{place}: {listed(unset, SHOWN)} not null, no default, not written", nodes
    once = write.once or any(key <= {c.name for c in named} and _given(key, named, write) for key in table.keys)
    if not once and table.columns and not any(i.consume.at_most_once for i in stage.into):
        yield "no_dedupe_key", place, nodes
    if at.fields is None:
        return
    carried = {_plain(c.name): c for c in named}
    matched = [f for f in at.fields.by_name.values() if _plain(f.name) in carried]
    for field in matched:
        column = carried[_plain(field.name)]
        if field.name not in stage.converted and (why := misfit(field, column)):
            yield "field_type_mismatch", f"{place}: {field.name}, {why}", nodes
        if table.system == "postgresql" and not column.nullable and (field.nullable or not field.required):
            bound = not (field.types or at.contract)  # names from code say nothing about null
            if not bound and field.name not in stage.converted:
                what = "may be null" if field.nullable else "may be left out"
                yield "field_missing", f"{place}: {field.name} {what}, {column.name} takes no null", nodes
    lost = sorted(
        f.name for f in at.fields.by_name.values()
        if f.required and f not in matched and f.name not in stage.names and _plain(f.name) not in carried
    )  # fmt: skip
    if matched and lost:
        yield "field_dropped", f"{place}: {listed(lost, SHOWN)}", nodes


def _engine_table(joined: Joined, node: str, table: Table) -> Iterator[Found]:
    """A table of ClickHouse that reads from a broker by itself."""
    if table.broker is None:
        return
    mode = table.settings.get("handle_error_mode", "default")
    if table.broker == "kafka" and mode == "default":
        yield (
            "no_dead_letter",
            f"{table.name}: one broken message stops it (kafka_handle_error_mode = 'stream')",
            (node,),
        )
    if table.broker == "nats" and not table.settings.get("stream"):
        yield "misses_messages", f"{table.name} (ClickHouse's NATS engine without a stream)", (node,)
    if not table.settings.get("format", "JSONEachRow").startswith(("JSON", "Avro")):
        return
    for source in joined.sources.get(node, ()):
        at = joined.destinations[source]
        if at.fields is None:
            continue
        place, nodes = f"{at.name} -> {table.name}", (at.id, node)
        columns = {c.name: c for c in table.columns}
        matched = [f for f in at.fields.by_name.values() if f.name in columns]
        for field in matched:
            if why := misfit(field, columns[field.name]):
                yield "field_type_mismatch", f"{place}: {field.name}, {why}", nodes
        lost = sorted(f.name for f in at.fields.by_name.values() if f.required and f.name not in columns)
        if matched and lost:
            yield "field_dropped", f"{place}: {listed(lost, SHOWN)}", nodes


def _view(joined: Joined, node: str, view: Table) -> Iterator[Found]:
    """A materialised view between a table and another."""
    if view.kind != "MaterializedView":
        return
    sources = [joined.tables[s] for s, t in joined.edges if t == node and s in joined.tables]
    targets = [(t, joined.tables[t]) for s, t in joined.edges if s == node and t in joined.tables]
    delivered = next((s for s in sources if s.broker), None)
    for source in sources:
        place = f"{source.name} -> {view.name}"
        if source.broker and "*" not in view.words:
            lost = [c.name for c in source.columns if c.name not in view.words]
            if lost and len(lost) < len(source.columns):
                yield "field_dropped", f"{place}: {listed(lost, SHOWN)}", (f"table:{source.engine}:{source.name}", node)
        for _, target in targets:
            columns = {c.name: c for c in target.columns}
            for column in source.columns:
                into = columns.get(column.name)
                if into and (column.name in view.words or "*" in view.words) and (why := _narrower(column, into)):
                    yield "field_type_mismatch", f"{place} -> {target.name}: {column.name}, {why}", (node,)
    if delivered is None or (delivered.broker == "nats" and not delivered.settings.get("stream")):
        return
    for id_, target in targets or [(node, view)]:
        if target.kind.endswith("MergeTree") and not target.keys:
            more = ", which counts it twice" if _ADDS_UP.search(target.kind) else ""
            yield "no_dedupe_key", f"{view.name} -> {target.name} ({target.kind}{more})", (node, id_)


def _around(joined: Joined) -> Iterator[Found]:
    """Publishers beside the relay of an outbox."""
    relayed = [(o.publish.system, o.to, next(iter(s.reads))) for _, s in joined.stages for o in s.out if s.reads]
    for node, stage in joined.stages:
        for out in stage.out if not stage.reads else ():
            system = out.publish.system
            table = next((t for s, to, t in relayed if s == system and overlaps(system, to, out.to)), None)
            if table:
                yield (
                    "publish_around_outbox", f"{out.path}:{out.publish.line} -> {out.to}, which {table} feeds",
                    (node, f"{out.publish.system}:{out.to}"),
                )  # fmt: skip


def _ends(joined: Joined, broker: Broker) -> Iterator[Found]:
    """Destinations where nothing comes in, or nothing goes out."""
    begins, ends = {target for _, target in joined.edges}, {source for source, _ in joined.edges}
    known = [d.name for d in joined.destinations.values() if d.id in begins]
    known += [name for held in broker.held for name in held.names if "*" not in name and ">" not in name]
    for at in joined.destinations.values():
        if at.system != broker.system or not broker.whole:
            continue
        if at.id not in begins and at.contract is None:
            near = difflib.get_close_matches(at.name, known, 1, 0.75)
            stored = at.held is not None  # a stream's wildcard takes any name, also one that nobody uses
            if near or not stored:
                yield "unknown_destination", f"{at.name}{f' (nearest: {near[0]})' if near else ''}", (at.id,)
        elif at.id not in ends and not DEAD.search(at.name):
            yield "no_consumer", at.name, (at.id,)


def _narrower(column: Column, into: Column) -> str:
    """Why a value of one column does not fit into another that it is copied to."""
    one, other = holds(column.type), holds(into.type)
    if one.family == other.family == "integer" and (one.most > other.most or one.least < other.least):
        return f"{column.type} into {into.type}"
    if one.family in ("decimal", "float") and other.family == "integer":
        return f"{column.type} into {into.type}"
    if one.family == "text" and other.family in ("integer", "float", "decimal", "date", "uuid"):
        return f"{column.type} into {into.type}"
    return ""


def _given(key: frozenset[str], columns: Sequence[Column], write: Write) -> bool:
    """Whether a key is made of what the message brings: a number that the database draws tells no two rows apart."""
    return bool(write.columns) or not any(c.default for c in columns if c.name in key)


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
