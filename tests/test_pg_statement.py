"""The analysis of statements by grammar: what is not wholly understood as a read is none, whatever it looks like."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_backend.engines.pg import grammar, parsing, statement
from mcp_backend.engines.pg.statement import shape
from mcp_backend.errors import InvalidArgument

EXPRESSIONS = [
    "1", "'x'", "null", "a", "t.a", "(t).a", "a + b", "a = any (array[1, 2])", "f(a, b => 2)", "a::int",
    "cast(a as text)",
    "case when a then b else c end", "exists (select 1)", "array(select 1)", "(select max(b) from u)",
    "coalesce(a, b)",
    "a is distinct from b", "a between 1 and 2", "a in (1, 2)", "row(1, 2)", "extract(year from a)",
    "a at time zone 'UTC'",
    "count(*) filter (where a) over (partition by b order by c)", "percentile_cont(0.5) within group (order by a)",
    "json_object('k': a)", "xmlelement(name x, a)", "$1", "a[1:2]", "not a", "a like 'x%' escape '!'", "current_user",
    "interval '1 day'", "trim(both 'x' from a)", "position('a' in b)", "a collate \"C\"", "grouping(a)",
    "(a, b) overlaps (c, d)",
]  # fmt: skip
SOURCES = [
    "t", "public.t", "t as x (a, b)", "only t", "(select 1) s", "lateral (select 1) s", "generate_series(1, 2) g",
    "rows from (f(1), g(2)) with ordinality r", "t tablesample bernoulli (10)", "t join u using (id)",
    "t cross join u",
    "t left join u on t.a = u.a", "(values (1), (2)) v (a)", "json_table('{}', '$' columns (a int path '$.a')) j",
    "xmltable('/r' passing '<r/>' columns a int path 'a') x",
]  # fmt: skip
WRITES = [
    "insert into t values (1)", "update t set a = 1", "delete from t",
    "merge into t using u on t.a = u.a when matched then delete",
]  # fmt: skip
UTILITIES = [
    *WRITES, "truncate t", "drop table t", "create table x (a int)", "copy t to stdout", "do 'begin end'", "call p()",
    "set a = 1", "reset all", "begin", "commit", "rollback", "savepoint s", "lock t", "listen c", "notify c",
    "vacuum",
    "analyze", "cluster", "checkpoint", "discard all", "prepare p as select 1", "execute p", "deallocate p",
    "declare c cursor for select 1", "fetch c", "close c", "grant select on t to u", "comment on table t is 'x'",
    "refresh materialized view m", "reindex table t", "alter system set a = 1", "load 'x'",
    "security label on table t is 'x'",
    "create extension x", "import foreign schema s from server v into w", "reassign owned by a to b",
    "prepare transaction 'x'",
    "select 1 into x", "select * from t for update", "select * from t for key share", "unlisten *",
    "explain analyze delete from t",
    "explain (analyze, verbose) insert into t values (1)", "explain execute p", "table t for update",
]  # fmt: skip

reads = st.builds(
    "select {} from {} where {} group by {} order by {}".format,
    *(st.sampled_from(pool) for pool in (EXPRESSIONS, SOURCES, EXPRESSIONS, EXPRESSIONS, EXPRESSIONS)),
)
nested = st.recursive(
    reads,
    lambda inner: st.one_of(
        st.builds("select ({} limit 1) as one".format, inner),
        st.builds("with c as ({}) select * from c".format, inner),
        st.builds("({}) union all ({})".format, inner, inner),
        st.builds("select * from ({}) s".format, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=120, deadline=None)
@given(nested)
def test_reads_are_understood_however_they_are_nested(sql: str) -> None:
    assert shape(sql).why == ""
    assert shape(f"/* x */ {sql} -- y").why == ""
    assert shape(f"explain analyze {sql}").why == ""


@settings(max_examples=120, deadline=None)
@given(nested, st.sampled_from(WRITES), st.sampled_from(["with w as ({} returning 1) select * from w, ({}) s",
       "select * from ({1}) s, (with w as ({0} returning 1) select 1) x"]))  # fmt: skip
def test_a_write_inside_a_read_is_found(read: str, write: str, form: str) -> None:
    sql = form.format(write, read)
    try:
        found = shape(sql)
    except InvalidArgument:
        return
    assert found.why
    assert shape(f"explain {sql}").why == ""
    assert shape(f"explain analyze {sql}").why


@pytest.mark.parametrize("sql", UTILITIES)
def test_everything_else_is_no_read(sql: str) -> None:
    assert shape(sql).why
    assert shape(f"select 1; {sql}").why
    with pytest.raises(InvalidArgument, match="expected one"):
        shape("select 1; select 2")


def judged(sql: str) -> str:
    try:
        return "no read" if shape(sql).why else "a read"
    except InvalidArgument as error:
        return "invalid" if error.reason.startswith("sql: ") else error.reason


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200))
def test_any_text_is_a_shape_or_an_invalid_argument(sql: str) -> None:
    assert judged(sql) in ("a read", "no read", "invalid")


WORDS = """select from where with as ( ) , ; * 1 'x' $1 a t . :: int = + for update into delete insert values explain
  analyze case when end in any array [ ] -- /* */ union all limit over lateral row null"""
tokens = st.lists(st.sampled_from(re.findall(r"\S+", WORDS)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(tokens)
def test_any_sequence_of_words_is_judged_without_failing(words: list[str]) -> None:
    try:
        found = shape(" ".join(words))
    except InvalidArgument:
        return
    assert found.why or found.kind in ("select", "explain", "show")


@settings(max_examples=50, deadline=None)
@given(reads, st.sampled_from(sorted(grammar.NODES)))
def test_a_node_that_is_not_known_makes_it_no_read(sql: str, node: str) -> None:
    uses = any(name == node for name, _ in statement.nodes(parsing.parse(sql)[0]))
    statement.NODES = grammar.NODES - {node}
    try:
        assert bool(shape(sql).why) is uses
    finally:
        statement.NODES = grammar.NODES


@pytest.mark.parametrize(
    ("unit", "times"),
    [("select 1{}", "+1"), ("select 1{}", "::int"), ("select {}true", "not "), ("select 1 from a{}", " join b on true"),
     ("select 1{}", " union all select 1"), ("select {}1", "- "), ("select a{}", "[1]"),
     ("select 1 where a{}", " or b")],
)  # fmt: skip
@pytest.mark.parametrize("count", [300, 3000, 30_000])
def test_depth_neither_breaks_the_process_nor_passes_unseen(unit: str, times: str, count: int) -> None:
    sql = unit.format(times * count)[:100_000]
    assert judged(sql) in ("a read", "invalid")


@pytest.mark.parametrize(
    ("sql", "relations", "functions", "attributes"),
    [
        ("select s.f, (x).g, a.b.c from s.t a join u on true", {("s", "t"), ("", "u")}, set[object](),
         {("s", "f"), ("", "g"), ("b", "c")}),
        ("select pg_catalog.now(), \"F\"(1) from t", {("", "t")}, {("pg_catalog", "now", 0), ("", "F", 1)},
         set[object]()),
    ],
)  # fmt: skip
def test_names_are_collected_from_everywhere(
    sql: str, relations: set[object], functions: set[object], attributes: set[object]
) -> None:
    mentions = shape(sql).mentions
    assert (mentions.relations, mentions.functions, mentions.attributes) == (relations, functions, attributes)


CLAUSES = [
    "select distinct a from t", "select distinct max(a) from t", "select distinct a, b from t order by b",
    "select count(*) from (select distinct a from t) s", "with d as (select distinct a from t) select * from d",
    "select distinct on (a) a, b from t", "select array_agg(distinct a) from t",
    "select a from t group by distinct a, b", "select row() = row()", "select from t",
    "select a, sum(b) from t group by grouping sets ((), (a))",
]  # fmt: skip


@pytest.mark.parametrize("sql", CLAUSES)
def test_clauses_that_hold_nothing_are_understood(sql: str) -> None:
    assert shape(sql).why == ""
