"""The tables that pipelines end in, from the catalogs of PostgreSQL and ClickHouse and from ClickHouse's statements."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mcp_backend.pipelines.model import Column, System, Table

if TYPE_CHECKING:
    from mcp_backend.engines.clickhouse import Clickhouse
    from mcp_backend.engines.postgresql import Postgresql
    from mcp_backend.keeper.chdb.tokens import Token

SECONDS = 5.0
MOST_TABLES = 500
_COLUMNS = """
select n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
  not (a.attnotnull or (t.typtype = 'd' and t.typnotnull)),
  a.atthasdef or a.attidentity <> '' or a.attgenerated <> '' or (t.typtype = 'd' and t.typdefault is not null),
  array(select e.enumlabel::text from pg_enum e where e.enumtypid = t.oid order by e.enumsortorder)
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
  join pg_type t on t.oid = a.atttypid
where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relname = any(%s) and a.attnum > 0 and not a.attisdropped
  and n.nspname not in ('pg_catalog', 'information_schema')
order by n.nspname <> all(current_schemas(false)), n.nspname, c.relname, a.attnum
"""
_KEYS = """
select n.nspname, c.relname, array(select a.attname::text from unnest(i.indkey::int2[]) k join pg_attribute a
  on a.attrelid = c.oid and a.attnum = k)
from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
where i.indisunique and i.indisvalid and i.indexprs is null and c.relname = any(%s)
"""
_CLICKHOUSE = f"""
SELECT create_table_query FROM system.tables
WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema') AND NOT is_temporary
ORDER BY database = currentDatabase() DESC, name LIMIT {MOST_TABLES}
"""
BROKERS: Mapping[str, tuple[System, str, str]] = {
    "Kafka": ("kafka", "kafka_topic_list", "kafka_"), "NATS": ("nats", "nats_subjects", "nats_"),
}  # fmt: skip
"""Engines of ClickHouse that read from a broker. https://clickhouse.com/docs/engines/table-engines/integrations"""
_KEPT = ("format", "group_name", "handle_error_mode", "skip_broken_messages", "stream", "consumer_name", "queue_group",
         "num_consumers", "thread_per_consumer")  # fmt: skip
_POSITIONS = ("broker_list", "topic_list", "group_name", "format")
_CREATE = re.compile(r"(?is)\bcreate\s+(?:or\s+replace\s+)?(?:table|materialized\s+view)\b")


async def of_postgresql(engine: "Postgresql", names: Iterable[str]) -> list[Table]:
    """The tables of these names; of several schemas the first of the search path. Raises `BackendError`."""
    import psycopg

    from mcp_backend.engines.pg import errors

    wanted = sorted(set(names))
    if not wanted:
        return []
    try:
        async with engine.session(True, SECONDS) as conn:
            columns = await (await conn.execute(_COLUMNS, (wanted,))).fetchall()
            keys = await (await conn.execute(_KEYS, (wanted,))).fetchall()
    except psycopg.Error as error:
        raise errors.refusal(errors.server_error(error), field="engine", timeout_seconds=SECONDS) from None
    found: dict[str, tuple[str, list[Column]]] = {}
    for row in columns:
        schema, table, name, kind, nullable, default, labels = row
        if found.setdefault(str(table), (str(schema), []))[0] == schema:
            found[str(table)][1].append(
                Column(str(name), str(kind), bool(nullable), bool(default), tuple(str(v) for v in labels))
            )
    unique: dict[tuple[str, str], list[frozenset[str]]] = {}
    for schema, table, names_ in keys:
        unique.setdefault((str(schema), str(table)), []).append(frozenset(str(n) for n in names_))
    return [
        Table(engine.settings.name, "postgresql", name, tuple(held), keys=tuple(unique.get((schema, name), ())))
        for name, (schema, held) in found.items()
    ]  # fmt: skip


async def of_clickhouse(engine: "Clickhouse") -> list[Table]:
    """Its tables and views. Raises `BackendError`."""
    from mcp_backend.engines.ch.errors import ServerError, refusal

    try:
        rows = await engine.rows(_CLICKHOUSE)
    except ServerError as error:
        raise refusal(error, field="the catalog") from None
    found: dict[str, Table] = {}
    for (query,) in rows:
        if (table := _clickhouse(engine.settings.name, str(query))) is not None:
            found.setdefault(table.name, table)
    return list(found.values())


def of_statements(engine: str, text: str) -> list[Table]:
    """The tables and views that a file of statements for ClickHouse creates."""
    from mcp_backend.keeper.chdb.tokens import tokens

    found: list[Table] = []
    start = 0
    ends = [word.start for word in tokens(text) if word.text == ";"]
    for end in (*ends, len(text)):
        if (table := _clickhouse(engine, text[start:end].strip())) is not None:
            found.append(table)
        start = end + 1
    return found


def _clickhouse(engine: str, query: str) -> Table | None:
    from mcp_backend.engines.ch import definition
    from mcp_backend.keeper.chdb.tokens import tokens

    created = _CREATE.search(query)
    if created is None:
        return None
    query = query[created.start() :]
    words = tokens(query)
    at = next(i for i, word in enumerate(words) if word.upper in ("TABLE", "VIEW")) + 1
    if words[at].upper == "IF":
        at += 3
    name = words[at].name
    if at + 2 < len(words) and words[at + 1].text == ".":
        name = words[at + 2].name
    parsed = definition.parse(query)
    view = words[1].upper == "MATERIALIZED"
    full = parsed.clauses.get("ENGINE", "")
    kind = re.split(r"[(\s]", full, maxsplit=1)[0] or ("MaterializedView" if view else "")
    select = parsed.clauses.get("AS", "")
    broker, topics, settings = _broker(kind, full, parsed.clauses.get("SETTINGS", ""))
    order = parsed.clauses.get("ORDER", "") or parsed.clauses.get("PRIMARY", "")
    sorting = frozenset(w.name for w in tokens(order) if w.name)
    replaces = kind.endswith(("ReplacingMergeTree", "CollapsingMergeTree", "VersionedCollapsingMergeTree"))
    return Table(
        engine, "clickhouse", name, tuple(c for text in parsed.columns if (c := _column(text)) is not None),
        "MaterializedView" if view else kind, (sorting,) if replaces and sorting else (),
        tuple(_sources(select)) if view else (), _target(words) if view else "", broker, topics,
        settings, frozenset(w.name or w.text for w in tokens(select)) if view else frozenset(),
    )  # fmt: skip


def _column(text: str) -> Column | None:
    from mcp_backend.keeper.chdb.tokens import tokens

    words = tokens(text)
    if len(words) < 2 or not words[0].name:
        return None
    ends = ("DEFAULT", "MATERIALIZED", "ALIAS", "EPHEMERAL", "CODEC", "TTL", "COMMENT", "PRIMARY", "NOT", "NULL")
    depth, stop = 0, len(text)
    for word in words[1:]:
        depth += (word.text == "(") - (word.text == ")")
        if depth == 0 and word.upper in ends:
            stop = word.start
            break
    kind = text[words[1].start : stop].strip()
    default = any(word.upper in ("DEFAULT", "MATERIALIZED", "ALIAS") for word in words[1:])
    labels = re.findall(r"'((?:[^'\\]|\\.)*)'\s*=", kind) if kind.startswith("Enum") else []
    return Column(words[0].name, kind, True, default, tuple(labels))


def _broker(kind: str, full: str, settings: str) -> tuple[System | None, tuple[str, ...], dict[str, str]]:
    """What an engine table reads: only what pipelines need of its settings, so no address and no password."""
    if kind not in BROKERS:
        return None, (), {}
    system, listed, prefix = BROKERS[kind]
    pairs = re.findall(r"(\w+)\s*=\s*(?:'([^']*)'|([\w.]+))", f"{settings} {full}")
    given: dict[str, str] = {name: text or word for name, text, word in pairs}
    topics = given.get(listed, "")
    if not topics and (inside := re.search(r"\((.*)\)", full, re.DOTALL)):
        for name, value in zip(_POSITIONS, re.findall(r"'([^']*)'", inside[1]), strict=False):
            given.setdefault(prefix + name, value)
        topics = given.get(listed, "")
    kept = {
        name.removeprefix(prefix): value.strip() for name, value in given.items() if name.removeprefix(prefix) in _KEPT
    }
    return system, tuple(t.strip() for t in topics.split(",") if t.strip()), kept


def _target(words: "Sequence[Token]") -> str:
    """Where a view writes; empty for a table of its own."""
    for at, word in enumerate(words):
        if word.upper in ("AS", "ENGINE") or word.text == "(":
            break
        if word.upper == "TO" and at + 1 < len(words):
            dotted = at + 3 < len(words) and words[at + 2].text == "."
            return words[at + 3 if dotted else at + 1].name
    return ""


def _sources(select: str) -> list[str]:
    """The tables that a view's query reads."""
    from mcp_backend.keeper.chdb.tokens import tokens

    words = tokens(select)
    found: list[str] = []
    for at, word in enumerate(words[:-1]):
        if word.upper in ("FROM", "JOIN") and words[at + 1].name:
            last = at + 3 if at + 3 < len(words) and words[at + 2].text == "." else at + 1
            found.append(words[last].name)
    return list(dict.fromkeys(found))
