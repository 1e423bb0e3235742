"""Rows for the shadow: of the tables that a migration touches, as many as tell what would happen, and no more.

A table that is small on the target is copied whole; of a large one a random part of its pages, with the rows its
foreign keys refer to, so that what holds on the target holds on the shadow.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, LiteralString, cast

import psycopg
from psycopg import AsyncConnection, sql

from mcp_backend.migrations.rehearsal.kinds import Parsed, strings, walk
from mcp_backend.migrations.rehearsal.target import PAGE, Target

WHOLE_BYTES = 4 * 2**20
ROWS = 5000
MOST_TABLES = 40
_WORD = re.compile(r'"((?:[^"]|"")+)"|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)')


@dataclass(slots=True)
class Sample:
    """Rows on the shadow by table, which tables are there whole, and what could not be read."""

    rows: dict[str, int] = field(default_factory=dict[str, int])
    whole: set[str] = field(default_factory=set[str])
    unread: list[str] = field(default_factory=list[str])
    changed: bool = False
    """Whether something of the shadow, a constraint or a view's file, was made anew: its catalog is not what it was."""


def touched(target: Target, texts: Iterable[str]) -> list[str]:
    """The tables that the texts name, in whatever way, and those that these depend on or are parts of."""
    words: set[str] = set()
    for text in texts:
        for quoted, plain in _WORD.findall(text):
            words |= {quoted.replace('""', '"')} if quoted else {plain.lower(), plain}
    found = [name for name in target.relations if name.partition(".")[2] in words]
    found += [relation for typ, relation in target.typed if typ in words]
    wanted = list(dict.fromkeys(found))
    for name in wanted:  # grows while it is read
        if len(wanted) >= MOST_TABLES:
            break
        more = [base for view, base in target.views if view == name]
        more += [child for child, about in target.relations.items() if about["parent"] == name]
        more += [str(target.relations[name]["parent"])] if name in target.relations else []
        more += [parent for child, parent, _, _ in target.references if child == name]
        if name in found:
            more += [child for child, parent, _, _ in target.references if parent == name]
        wanted += [n for n in dict.fromkeys(more) if n in target.relations and n not in wanted]
    tables = [n for n in wanted if target.relations[n]["kind"] in ("r", "m")]
    return tables[:MOST_TABLES]


async def load(source: AsyncConnection[Any], admin: AsyncConnection[Any], target: Target, tables: list[str]) -> Sample:
    """Puts rows of these tables into the shadow. `source` is in a READ ONLY transaction of the target."""
    sample = Sample()
    await admin.execute(b"set session_replication_role = replica; set statement_timeout = '60s'")
    await clear(admin)
    columns = await _columns(admin)
    order = sorted((t for t in tables if target.relations[t]["kind"] == "r"), key=lambda t: _depth(t, target))
    for table in order:
        if table not in columns:
            continue
        size = target.size(table)
        if not target.relations[table]["readable"]:
            sample.unread.append(f"rows of {table}: the role may not read them")
            continue
        names = sql.SQL(", ").join(sql.Identifier(c) for c in columns[table])
        place = sql.Identifier(*table.split(".", 1))
        whole = size.stored <= WHOLE_BYTES
        part = min(100.0, 100.0 * (ROWS / 20) * PAGE / max(size.stored, 1))
        limited = sql.SQL(" tablesample system ({}) limit {}").format(sql.Literal(max(part, 0.001)), sql.Literal(ROWS))
        how = sql.SQL("") if whole else limited
        query = sql.SQL("select {} from {}{}").format(names, sql.SQL("only {}").format(place), how)
        try:
            if not whole:
                await _parents_of(source, admin, target, table, columns, sample, place, names)
            async with source.transaction(), admin.transaction():
                later = await _unvalidated(admin, place)
                count = await _pour(source, admin, query, place, names, distinct=not whole)
                for statement in later:
                    await admin.execute(statement)
                    sample.changed = True
        except psycopg.Error as error:
            sample.unread.append(f"rows of {table}: {error.diag.message_primary or type(error).__name__}")
            continue
        sample.rows[table] = sample.rows.get(table, 0) + count
        if whole:
            sample.whole.add(table)
    await _sequences(source, admin, list(sample.rows))
    await _statistics(admin, list(sample.rows))
    for table in (t for t in tables if target.relations[t]["kind"] == "m"):
        try:
            await admin.execute(sql.SQL("refresh materialized view {}").format(sql.Identifier(*table.split(".", 1))))
            sample.changed = True
        except psycopg.Error as error:
            sample.unread.append(f"rows of {table}: {error.diag.message_primary}")
    await admin.execute(b"reset session_replication_role")
    return sample


async def clear(admin: AsyncConnection[Any]) -> None:
    """Empties the shadow's tables, also after a rehearsal that was killed."""
    cursor = await admin.execute(
        b"select pg_catalog.format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_class c "
        b"join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and n.nspname !~ '^pg_' "
        b"and n.nspname <> 'information_schema' and pg_catalog.pg_relation_size(c.oid) > 0"
    )
    if names := [str(row[0]) for row in await cursor.fetchall()]:
        # TRUNCATE would take every table along that refers to one of these, however far away.
        await admin.execute("; ".join(f"delete from only {name}" for name in names).encode())
        await admin.execute(f"vacuum {', '.join(names)}".encode())


def with_new(target: Target, statements: Iterable[Parsed]) -> Target:
    """The target with the foreign keys that these statements add, so that a sample keeps to them, too."""
    found = list(target.references)
    for parsed in statements:
        child = _known(target, parsed.tree.get("relation", {}))
        for key, value in walk(parsed.tree):
            if key != "Constraint" or value.get("contype") != "CONSTR_FOREIGN":
                continue
            parent = _known(target, value.get("pktable", {}))
            own = tuple(strings(value.get("fk_attrs")))
            referred = tuple(strings(value.get("pk_attrs"))) or tuple(target.relations.get(parent, {}).get("key") or ())
            if child and parent and own and len(own) == len(referred):
                found.append((child, parent, own, referred))
    return replace(target, references=tuple(found))


def _known(target: Target, relation: Mapping[str, Any]) -> str:
    """The name of a relation of the target that a statement names; its first of that name without a schema."""
    name, schema = str(relation.get("relname", "")), relation.get("schemaname")
    wanted = [f"{schema}.{name}"] if schema else [n for n in target.relations if n.partition(".")[2] == name]
    return next((n for n in wanted if n in target.relations), "")


def _depth(table: str, target: Target) -> int:
    """Children come before the tables they refer to."""
    depth, frontier, seen = 0, {table}, {table}
    while frontier and depth < 6:
        frontier = {c for c, parent, _, _ in target.references if parent in frontier} - seen
        seen |= frontier
        depth += 1
    return depth


async def _columns(admin: AsyncConnection[Any]) -> dict[str, list[str]]:
    cursor = await admin.execute(
        b"select n.nspname || '.' || c.relname, array_agg(a.attname::text order by a.attnum) "
        b"from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
        b"join pg_catalog.pg_attribute a on a.attrelid = c.oid "
        b"where c.relkind = 'r' and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' "
        b"and n.nspname !~ '^pg_' group by 1"
    )
    return {str(name): list(found) for name, found in await cursor.fetchall()}


async def _pour(
    source: AsyncConnection[Any], admin: AsyncConnection[Any], query: sql.Composed, place: sql.Identifier,
    names: sql.Composed, *, distinct: bool,
) -> int:  # fmt: skip
    """Copies the rows of a query into a table; with `distinct`, those that are not there yet."""
    into = sql.Identifier("poured") if distinct else place
    if distinct:
        await admin.execute(
            sql.SQL("drop table if exists pg_temp.poured; create temp table poured (like {})").format(place)
        )
    text = sql.SQL("copy ({}) to stdout").format(query)
    async with source.cursor() as reader, admin.cursor() as writer:
        async with (
            reader.copy(text) as out,
            writer.copy(sql.SQL("copy {} ({}) from stdin").format(into, names)) as sink,
        ):
            async for block in out:
                await sink.write(block)
        count = writer.rowcount
    if distinct:
        done = await admin.execute(
            sql.SQL(
                "insert into {0} ({1}) overriding system value select {1} from pg_temp.poured on conflict do nothing"
            ).format(place, names)
        )  # fmt: skip
        count = done.rowcount
    return max(count, 0)


async def _unvalidated(admin: AsyncConnection[Any], place: sql.Identifier) -> list[sql.Composed]:
    """Takes the CHECK constraints away that rows of the target may violate; the statements that bring them back."""
    cursor = await admin.execute(
        b"select conname, pg_catalog.pg_get_constraintdef(oid) from pg_catalog.pg_constraint "
        b"where conrelid = %s::text::regclass and contype = 'c' and not convalidated and coninhcount = 0",
        (place.as_string(None),),
    )
    back: list[sql.Composed] = []
    for name, definition in await cursor.fetchall():
        constraint = sql.Identifier(str(name))
        await admin.execute(sql.SQL("alter table {} drop constraint {}").format(place, constraint))
        text = sql.SQL(cast("LiteralString", definition))
        back.append(sql.SQL("alter table {} add constraint {} {}").format(place, constraint, text))
    return back


async def _parents_of(
    source: AsyncConnection[Any], admin: AsyncConnection[Any], target: Target, table: str,
    columns: dict[str, list[str]], sample: Sample, place: sql.Identifier, names: sql.Composed,
) -> None:  # fmt: skip
    """The rows of a large table that children on the shadow refer to already."""
    for child, parent, keys, referred in target.references:
        if parent != table or child == table or child not in sample.rows or not set(referred) <= set(columns[table]):
            continue
        own = [sql.Identifier(key) for key in keys]
        arrays = sql.SQL(", ").join(sql.SQL("array_agg({})::text").format(key) for key in own)
        there = sql.SQL(" and ").join(sql.SQL("{} is not null").format(key) for key in own)
        cursor = await admin.execute(
            sql.SQL("select {} from (select distinct {} from {} where {}) x").format(
                arrays, sql.SQL(", ").join(own), sql.Identifier(*child.split(".", 1)), there
            )
        )
        row = await cursor.fetchone()
        if row is None or row[0] is None:
            continue
        types = dict(
            await (
                await admin.execute(
                    "select attname::text, format_type(atttypid, atttypmod) from pg_catalog.pg_attribute "
                    "where attrelid = %s::text::regclass and attnum > 0 and not attisdropped",
                    (place.as_string(None),),
                )
            ).fetchall()
        )
        values = [
            sql.SQL("{}::{}[]").format(sql.Literal(str(text)), sql.SQL(cast("LiteralString", types[name])))
            for text, name in zip(row, referred, strict=True)
        ]
        wanted = sql.SQL("select {} from {} where ({}) in (select * from unnest({}) x)").format(
            names, place, sql.SQL(", ").join(map(sql.Identifier, referred)), sql.SQL(", ").join(values)
        )
        async with source.transaction():
            count = await _pour(source, admin, wanted, place, names, distinct=True)
        sample.rows[table] = sample.rows.get(table, 0) + count


_OWNED = """
select pg_catalog.format('%%I.%%I', q.schemaname, q.sequencename), q.last_value
from pg_catalog.pg_sequences q
join pg_catalog.pg_namespace n on n.nspname = q.schemaname
join pg_catalog.pg_class s on s.relnamespace = n.oid and s.relname = q.sequencename
join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = s.oid
  and d.refclassid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i')
join pg_catalog.pg_class t on t.oid = d.refobjid join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
where q.last_value is not null and tn.nspname || '.' || t.relname = any(%s)
"""


async def _sequences(source: AsyncConnection[Any], admin: AsyncConnection[Any], tables: list[str]) -> None:
    """Sequences go on where the target's are: a row that a migration adds gets a key that no copied row has."""
    try:
        async with source.transaction():
            found = await (await source.execute(_OWNED.encode(), (tables,))).fetchall()
        for name, last in found:
            await admin.execute(b"select pg_catalog.setval(%s::text::regclass, %s)", (name, last))
    except psycopg.Error:
        return  # a key may then be taken, which the rehearsal will say


async def _statistics(admin: AsyncConnection[Any], tables: list[str]) -> None:
    """What the planner of the shadow thinks of the tables: the sample's distribution, the target's counts."""
    if not tables:
        return
    names = sql.SQL(", ").join(sql.Identifier(*t.split(".", 1)) for t in tables)
    await admin.execute(sql.SQL("analyze {}").format(names))
