"""What stands out in a plan, and what to do about it. Numbers from the plan, table facts from the catalog."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from mcp_backend.engines.pg import catalog
from mcp_backend.engines.pg.parsing import parse
from mcp_backend.engines.pg.reading import PATH
from mcp_backend.engines.pg.wire import Reply, Step
from mcp_backend.errors import InvalidArgument

Node: TypeAlias = Mapping[str, Any]

LARGE_TABLE = 10_000
"""Rows from which reading a whole table is worth a word."""
SELECTIVE = 0.05
MISESTIMATE = 10
FEW = 100
"""Rows below which a wrong estimate does no harm."""
MOST_FINDINGS = 12


@dataclass(frozen=True, slots=True)
class Table:
    """What the catalog knows about a table of the plan."""

    name: str
    rows: float
    analyzed: str | None
    indexes: tuple[tuple[str, ...], ...]
    """The leading columns of each index, in order."""


@dataclass(frozen=True, slots=True)
class Known:
    """The tables of a plan by the name the plan gives them, and the memory a sort or hash may use."""

    tables: Mapping[str, Table]
    work_mem: str
    hypopg: str
    """The schema of the extension that tries indexes without making them, quoted; empty without it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What stands out at a node and what to do. `index` is the table and the columns of an index that would help."""

    says: str
    advice: str
    index: tuple[str, tuple[str, ...]] | None = None
    node: str = ""
    weight: float = 0


_TABLES = """
select pg_catalog.json_build_object('as', q.name, 'name', pg_catalog.format('%s', c.oid::pg_catalog.regclass),
  'rows', c.reltuples, 'analyzed', greatest(pg_catalog.pg_stat_get_last_analyze_time(c.oid),
    pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid))::text,
  'indexes', (select pg_catalog.json_agg((select pg_catalog.json_agg(a.attname order by k.n)
      from pg_catalog.unnest(i.indkey) with ordinality k(attnum, n)
      left join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum and k.attnum > 0
      where k.n <= i.indnkeyatts))
    from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisvalid and i.indpred is null))
from pg_catalog.unnest($1::text[]) q(name) join pg_catalog.pg_class c on c.relname = q.name::name,
  (select pg_catalog.array_agg(n.oid) as visible from pg_catalog.pg_namespace n
   where n.nspname = any ($2::name[])) p
where c.relkind in ('r', 'p', 'm') and not exists (
  select from pg_catalog.pg_class o where o.relname = c.relname and o.oid <> c.oid and o.relkind in ('r', 'p', 'm')
    and (c.relnamespace <> all (p.visible) or o.relnamespace = any (p.visible)))"""


def lookups(nodes: Sequence[tuple[int, Node]]) -> list[Step]:
    """What the catalog is asked about a plan, in one round trip."""
    names = sorted({str(node["Relation Name"]) for _, node in nodes if "Relation Name" in node})
    return [Step(_TABLES, [catalog.array(names), PATH]), Step("show work_mem"), Step(_HYPOPG)]


_HYPOPG = """
select pg_catalog.quote_ident(n.nspname) from pg_catalog.pg_extension e
join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'hypopg'"""


def read_lookups(replies: Sequence[Reply]) -> Known:
    """The answer to `lookups`."""
    tables: dict[str, Table] = {}
    for row in replies[0].rows:
        found = cast("dict[str, Any]", json.loads(row[0] or "{}"))
        indexes = tuple(tuple(column or "" for column in index) for index in found["indexes"] or ())
        tables[found["as"]] = Table(found["name"].removeprefix("public."), found["rows"], found["analyzed"], indexes)
    memory, hypopg = (str(reply.rows[0][0]) if reply.rows else "" for reply in replies[1:3])
    return Known(tables, memory, hypopg)


def findings(nodes: Sequence[tuple[int, Node]], known: Known) -> list[Finding]:
    """What stands out, the costliest first."""
    found: list[Finding] = []
    for at, (depth, node) in enumerate(nodes):
        loops = float(node.get("Actual Loops", 1))
        if loops == 0:
            continue
        weight = float(node.get("Actual Total Time", 0)) * loops or float(node["Total Cost"])
        children = [n for d, n in _under(nodes, at, depth) if d == depth + 1]
        here = (
            *_scan(node, known), *_estimate(node, children, known), *_spill(node, known), *_join(node, children),
            *_heap(node),
        )  # fmt: skip
        found += [replace(finding, node=_named(node), weight=weight) for finding in here]
    found.sort(key=lambda finding: -finding.weight)
    unique: dict[tuple[str, str], Finding] = {}
    for finding in found:
        unique.setdefault((finding.says, finding.advice), finding)
    return list(unique.values())[:MOST_FINDINGS]


def _under(nodes: Sequence[tuple[int, Node]], at: int, depth: int) -> Iterator[tuple[int, Node]]:
    for below in nodes[at + 1 :]:
        if below[0] <= depth:
            return
        yield below


def _named(node: Node) -> str:
    on = f" on {node['Relation Name']}" if "Relation Name" in node else ""
    return f"{node['Node Type']}{on}"


def _scan(node: Node, known: Known) -> Iterator[Finding]:
    """A large table read whole for few of its rows."""
    if node["Node Type"] not in ("Seq Scan", "Parallel Seq Scan") or "Filter" not in node:
        return
    table = known.tables.get(str(node["Relation Name"]))
    loops = float(node.get("Actual Loops", 1))
    if "Actual Rows" in node:
        kept = float(node["Actual Rows"])
        read = kept + float(node.get("Rows Removed by Filter", 0))
        measured = f"read {read * loops:,.0f} rows to keep {kept * loops:,.0f}"
    else:
        kept, read = float(node["Plan Rows"]), max(0.0, table.rows if table else 0.0)
        measured = f"would read about {read:,.0f} rows to keep about {kept:,.0f}"
    if read * loops < LARGE_TABLE or kept > read * SELECTIVE:
        return
    name = table.name if table else str(node["Relation Name"])
    condition = str(node["Filter"])
    equal, ranged = columns_of(condition)
    columns = (*equal, *ranged[:1])
    says = f"sequential scan of {name}: {measured}"
    if not columns:
        yield Finding(says, f"no column of the filter fits a plain index; index its expression: {condition[:120]}")
    elif table and any(set(index[: len(columns)]) == set(columns) for index in table.indexes):
        yield Finding(
            says,
            f"an index on ({', '.join(columns)}) exists, but the planner expects the scan to be cheaper; ANALYZE the "
            "table, and check that types and collations of the condition match the index",
        )
    else:
        advice = f"CREATE INDEX CONCURRENTLY ON {name} ({_listed(columns)}), by a migration"
        yield Finding(says, advice, (name, columns))


def _listed(columns: Sequence[str]) -> str:
    """The names as a statement has to write them: quoted where the grammar needs it."""
    shown: list[str] = []
    for column in columns:
        try:
            elements = parse(f"create index on t ({column})")[0]["IndexStmt"]["indexParams"]
            plain = [element["IndexElem"].get("name") for element in elements] == [column]
        except (InvalidArgument, KeyError):
            plain = False
        shown.append(column if plain else '"' + column.replace('"', '""') + '"')
    return ", ".join(shown)


def columns_of(condition: str) -> tuple[list[str], list[str]]:
    """The columns that a condition compares for equality, and those it compares otherwise, where an index could help.

    Read by the grammar from the text that EXPLAIN prints; only terms that all have to hold count.
    """
    try:
        target = parse(f"select {condition}")[0]["SelectStmt"]["targetList"][0]["ResTarget"]["val"]
    except (InvalidArgument, KeyError, IndexError):
        return [], []
    terms = target["BoolExpr"]["args"] if target.get("BoolExpr", {}).get("boolop") == "AND_EXPR" else [target]
    equal: list[str] = []
    ranged: list[str] = []
    for term in terms:
        comparison = term.get("A_Expr")
        if comparison is None:
            continue
        operator = comparison["name"][-1]["String"]["sval"]
        column = _column(comparison.get("lexpr", {}))
        if not column:
            continue
        if operator == "=" and column not in equal:
            equal.append(column)
        elif operator in ("<", ">", "<=", ">=") and column not in ranged:
            ranged.append(column)
    return equal, [column for column in ranged if column not in equal]


def _column(node: Mapping[str, Any]) -> str:
    while "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    fields = node.get("ColumnRef", {}).get("fields", [])
    return str(fields[-1]["String"]["sval"]) if fields and "String" in fields[-1] else ""


def _estimate(node: Node, children: Sequence[Node], known: Known) -> Iterator[Finding]:
    """Far more or fewer rows than the planner expected, where the error begins."""
    if "Actual Rows" not in node or _error(node) < MISESTIMATE:
        return
    if any("Actual Rows" in child and _error(child) >= MISESTIMATE for child in children):
        return
    expected, actual = float(node["Plan Rows"]), float(node["Actual Rows"])
    table = known.tables.get(str(node.get("Relation Name", "")))
    if table:
        columns = [c for kind in columns_of(str(node.get("Filter") or node.get("Index Cond", ""))) for c in kind]
        advice = f"ANALYZE {table.name} (last analysed: {table.analyzed or 'never'})"
        if len(columns) > 1:
            advice += f"; if that does not help, CREATE STATISTICS ON {_listed(columns)} FROM {table.name}"
    else:
        advice = "ANALYZE the tables below; for columns that depend on each other, CREATE STATISTICS"
    ratio = _error(node)
    says = f"the planner expected {expected:,.0f} rows and got {actual:,.0f} (off by a factor of {ratio:,.0f})"
    yield Finding(says, advice)


def _error(node: Node) -> float:
    expected, actual = max(1.0, float(node["Plan Rows"])), max(1.0, float(node["Actual Rows"]))
    return max(expected, actual) / min(expected, actual) if max(expected, actual) >= FEW else 1.0


def _spill(node: Node, known: Known) -> Iterator[Finding]:
    """Work that did not fit into memory."""
    advice = f"raise work_mem for this query (now {known.work_mem}), or let it sort or hash fewer or narrower rows"
    if node.get("Sort Space Type") == "Disk":
        yield Finding(f"the sort spilled {node['Sort Space Used']:,} kB to disk", advice)
    if float(node.get("Hash Batches", 1)) > 1:
        yield Finding(f"the hash table did not fit into memory ({node['Hash Batches']} batches)", advice)
    if float(node.get("Disk Usage", 0)) > 0:
        yield Finding(f"the aggregation spilled {node['Disk Usage']:,} kB to disk", advice)
    if float(node.get("Lossy Heap Blocks", 0)) > 0:
        yield Finding(f"the bitmap lost precision for {node['Lossy Heap Blocks']:,} pages", advice)


def _join(node: Node, children: Sequence[Node]) -> Iterator[Finding]:
    """A nested loop that reads a table again for each row, or joins that throw most pairs away."""
    if node["Node Type"] != "Nested Loop" or len(children) < 2:
        return
    removed = float(node.get("Rows Removed by Join Filter", 0)) * float(node.get("Actual Loops", 1))
    if removed >= LARGE_TABLE * 10:
        yield Finding(
            f"the join compared and threw away {removed:,.0f} pairs of rows",
            f"index the column of the inner table in {str(node.get('Join Filter', ''))[:120]}, or join on equality",
        )
    elif "Join Filter" not in node and "Actual Rows" not in node:
        pairs = float(children[0]["Plan Rows"]) * float(children[1]["Plan Rows"])
        inner_depends = any(key in children[1] for key in ("Index Cond", "Filter", "Recheck Cond"))
        if pairs >= 1e8 and not inner_depends:
            says = f"a join without a condition makes about {pairs:,.0f} pairs of rows"
            yield Finding(says, "add the condition of the join")


def _heap(node: Node) -> Iterator[Finding]:
    """An index-only scan that has to look at the table all the same."""
    fetches = float(node.get("Heap Fetches", 0))
    if fetches >= LARGE_TABLE and fetches > float(node.get("Actual Rows", 0)) * 0.5:
        yield Finding(
            f"the index-only scan visited the table {fetches:,.0f} times",
            "VACUUM the table: its visibility map is old",
        )
