"""What is read from a ClickHouse statement's words and from its syntax tree, without a server."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_backend.engines.ch import address, analysis, errors, explaining, hardening, reading, statement, values
from mcp_backend.engines.ch.effects import Function, objection
from mcp_backend.engines.ch.reading import Question, Taker
from mcp_backend.engines.ch.standing import Catalog, Standing
from mcp_backend.errors import InvalidArgument
from mcp_backend.keeper.chdb.tokens import identifier, literal, statements, tokens, unquoted


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ("select 1; -- x ; y\n", 1), ("select 'a;b', `x``;`, $$;$$, $t$ ; $$ $t$ ; drop table x", 2), (";;", 0),
        ("select '\\';' ; 2", 2), ("/* ; */ select # x ;\n 1 #! ;", 1), ('select "a"";"', 1), ("select 'it'';s'", 1),
        ("select 'open ; drop", 1), ("select 1 /* open ; ", 1), ("select a$b;$c", 2), ("select ‘;’", 1),
    ],
)  # fmt: skip
def test_a_semicolon_ends_a_statement_only_outside_of_strings_names_and_comments(sql: str, count: int) -> None:
    assert statements(tokens(sql)) == count


@given(st.text(max_size=40))
def test_what_is_quoted_is_one_word_and_comes_back_whole(text: str) -> None:
    for quoted in (literal(text), identifier(text)):
        (word,) = tokens(quoted)
        assert word.text == quoted
        assert unquoted(word.text) == text


@given(st.text(alphabet="'\"`$/*-#;\\ \nab1.(", max_size=60))
def test_every_character_belongs_to_a_word_or_to_space(sql: str) -> None:
    found = tokens(sql)
    assert [word.text for word in found] == [sql[word.start : word.end] for word in found]
    assert all(before.end <= after.start for before, after in pairwise(found))


@pytest.mark.parametrize("piece", ["/*", "'", "$a$", "$", "\\", '`"', "1e", "“", "(", "--", "a.", "''"])
def test_no_text_keeps_the_lexer_busy(piece: str) -> None:
    began = time.process_time()
    tokens(piece * (40_000 // len(piece)))
    assert time.process_time() - began < 2


def test_format_is_taken_off_and_settings_are_kept() -> None:
    for sql, text in (
        ("SELECT 1 FORMAT JSON", "SELECT 1"), ("SELECT 1 FORMAT JSON;", "SELECT 1"), ("SELECT format FROM t", None),
        ("SELECT 1 FORMAT CSV SETTINGS max_threads = 1", "SELECT 1  SETTINGS max_threads = 1"),
        ("SELECT 1 SETTINGS max_threads = 1 FORMAT CSV", "SELECT 1 SETTINGS max_threads = 1"),
        ("SELECT format('{}', 1)", None), ("SELECT * FROM (SELECT 1 FORMAT x)", None),
    ):  # fmt: skip
        assert statement.outline(sql).text == (text or sql)


@pytest.mark.parametrize(
    ("sql", "settings", "why"),
    [
        ("SELECT 1 SETTINGS max_threads = 2, final = 1", {"max_threads": "2", "final": "1"}, ""),
        ("SELECT * FROM (SELECT 1 SETTINGS join_algorithm = 'hash')", {"join_algorithm": "hash"}, ""),
        ("SELECT 1 SETTINGS limit = -1", {"limit": "-1"}, ""), ("SELECT Settings FROM system.processes", {}, ""),
        ("SELECT 1 SETTINGS readonly = 0", {}, "readonly is not for a read"),
        ("SELECT 1 SETTINGS max_threads = 1, allow_ddl = 1", {"max_threads": "1"}, "allow_ddl is not for a read"),
        ("SELECT 1 /* SETTINGS x = 1 */ settings `readonly`=0", {}, "readonly is not"),
        ("SELECT 1 SETTINGS parallel_replicas_custom_key = 'sleep(1)'", {}, "parallel_replicas_custom_key is not"),
        ("SELECT 1 SETTINGS use_query_cache = 0", {"use_query_cache": "0"}, ""),
        ("SELECT 1 SETTINGS max_threads = {x:UInt8}", {}, "not a number"),
    ],
)  # fmt: skip
def test_a_statement_sets_only_how_it_runs(sql: str, settings: dict[str, str], why: str) -> None:
    found = statement.outline(sql)
    assert why in found.why if why else not found.why
    assert found.settings == settings


def test_parameters_are_known_by_their_first_appearance() -> None:
    found = statement.outline("SELECT {b:Array(String)}, {a:DateTime64(3, 'UTC')}, '{c:Int8}', {b:Array(String)}")
    assert found.parameters == {"b": "Array(String)", "a": "DateTime64(3,'UTC')"}


def test_what_the_syntax_tree_hides_is_looked_for_among_the_words() -> None:
    found = statement.outline("SELECT row_number() OVER w FROM t WINDOW w AS (ORDER BY f(x))")
    tree = ["SelectWithUnionQuery (children 1)", " ExpressionList (children 1)", "  WindowListElement"]
    shape = statement.shape(found, tree)
    assert shape.hides
    assert "f" in shape.outline.called
    unknown = statement.shape(found, ["SelectWithUnionQuery (children 1)", " SomethingNew"])
    assert "SomethingNew, which is not known to read only" in unknown.why
    assert statement.shape(found, ["SomethingNew"]).why == "it is SOMETHING NEW"


@pytest.mark.parametrize(
    ("function", "allowed"),
    [
        (Function("lower", False, "System", True), True), (Function("now", False, "System", False), True),
        (Function("newWithEffect", False, "System", False), False), (Function("unknown", False, "System", None), False),
        (Function("sumIf", True, "System", None), True), (Function("run", False, "ExecutableUserDefined", True), False),
        (Function("sleep", False, "System", True), False), (Function("dictGetOrDefault", False, "System", False), True),
        (Function("__internal", False, "System", True), False),
        (Function("twice", False, "SQLUserDefined", None), True),
    ],
)  # fmt: skip
def test_functions_are_judged_by_what_the_catalog_says(function: Function, allowed: bool) -> None:
    assert (objection(function) == "") is allowed


def standing(readonly: int, without: str = "") -> Standing:
    may_set = frozenset({"readonly", "limit", "max_threads", *reading.ALWAYS, *reading.LIMITS} - {without})
    return Standing("26.5", "UTC", "d", "u", readonly, may_set if readonly != 1 else frozenset(), 0, "deterministic")


class Whole:
    """A server that has every function; it answers what a ClickHouse 26.5 says of the syntax of `select format(…)`."""

    def __init__(self, syntax: str) -> None:
        self.syntax = syntax
        self.shapes: dict[object, statement.Shape] = {}

    async def standing(self) -> Standing:
        return standing(1)

    async def catalog(self) -> Catalog:
        return Catalog({"format": Function("format", False, "System", True)}, frozenset({"format"}))

    async def rows(self, sql: str, parameters: object = None, settings: object = None) -> list[list[str]]:
        return [[line] for line in self.syntax.splitlines()] if sql.startswith("EXPLAIN AST") else [["1"]]


@pytest.mark.parametrize(
    ("sql", "syntax", "why"),
    [
        (
            "SELECT format('{}', 1)",
            "SelectWithUnionQuery (children 1)\n ExpressionList (children 1)\n  SelectQuery (children 1)\n"
            "   ExpressionList (children 1)\n    Function format (children 1)\n     ExpressionList (children 2)\n"
            "      Literal '{}'\n      Literal UInt64_1",
            "",
        ),
        (
            "SELECT 1 FROM format(CSV, '1')",
            "SelectWithUnionQuery (children 1)\n ExpressionList (children 1)\n  SelectQuery (children 2)\n"
            "   ExpressionList (children 1)\n    Literal UInt64_1\n   TablesInSelectQuery (children 1)\n"
            "    TablesInSelectQueryElement (children 1)\n     TableExpression (children 1)\n"
            "      Function format (children 1)\n       ExpressionList (children 2)\n        Identifier CSV\n"
            "        Literal '1'",
            "format() is not for read-only users",
        ),
    ],
)
async def test_a_function_is_not_taken_for_its_namesake_among_the_table_functions(
    sql: str, syntax: str, why: str
) -> None:
    found = await analysis.effect(statement.outline(sql), Whole(syntax), {})
    assert found.why.startswith(why) if why else found.why == ""


def test_totals_that_come_before_their_document_are_said_to_be_unreadable() -> None:
    taker = Taker(Question("SELECT k FROM x GROUP BY k WITH TOTALS", {}, 10, 1, totals=True))
    with pytest.raises(InvalidArgument, match="WITH TOTALS"):
        taker(iter([b'\n\t],\n\n\t"totals": [1, 0]{\n\t"meta":']), {})


def test_only_what_the_user_may_set_is_sent() -> None:
    question = Question("SELECT 1", {}, 10, 2.5, {"max_threads": "3"})
    writer = reading.settings(question, standing(0))
    assert writer["readonly"] == "1"
    assert (writer["limit"], writer["max_threads"], writer["max_execution_time"]) == ("11", "3", "3")
    reader = reading.settings(question, standing(2, without="max_memory_usage"))
    assert "readonly" not in reader
    assert "max_memory_usage" not in reader
    assert reading.settings(question, standing(1)) == {}
    with pytest.raises(InvalidArgument, match="at most 3"):
        reading.settings(Question("SELECT 1", {}, 10, 2.5, {"max_execution_time": "9"}), standing(0))


def test_rows_are_read_as_they_come_in_whatever_pieces() -> None:
    whole = b'["a","b"]\n["UInt64","String"]\n[18446744073709551615,"x\xff"]\n[2,"y"]\n[3,"z"]\n'
    for size in (1, 7, 1000):
        pieces = (whole[at : at + size] for at in range(0, len(whole), size))
        answer = Taker(Question("", {}, 2, 1))(pieces, {})
        assert answer.columns == (("a", "UInt64"), ("b", "String"))
        assert answer.rows == (("18446744073709551615", {"base64": "eP8="}), (2, "y"))
        assert answer.truncated == "rows"
    with pytest.raises(errors.ServerError, match="late"):
        Taker(Question("", {}, 9, 1))(
            iter([b'["a"]\n["Int8"]\n[1]\nCode: 395. DB::Exception: late. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)\n']), {}
        )


def test_a_row_without_end_is_cut_and_not_waited_for() -> None:
    def endless() -> "object":
        yield b'["a","b"]\n["Int8","String"]\n[1,"'
        while True:
            yield b"x" * 100_000

    answer = Taker(Question("", {}, 5, 1))(endless(), {})  # type: ignore[arg-type]
    assert answer.rows[0][0] == 1
    assert str(answer.rows[0][1]).startswith("xxx")
    assert answer.cut_values == 1


def test_types_are_read_however_the_server_writes_numbers() -> None:
    for kind, written, shown in (
        ("UInt64", "9007199254740993", "9007199254740993"), ("Int128", 170141183460469231731687303715884105727,
         "170141183460469231731687303715884105727"), ("Nullable(Decimal(10, 2))", "1.50", "1.50"),
        ("Array(Nullable(UInt64))", [1, None], [1, None]), ("Float64", None, None),
        ("Date", "2026-01-02", "2026-01-02"),
        ("Map(String, Array(UInt64))", {"k": ["9007199254740993"]}, {"k": ["9007199254740993"]}),
        ("DateTime", "2026-01-02 03:04:05", "2026-01-02T03:04:05"), ("Tuple()", [], []),
        ("Tuple(UInt8, String)", [1], [1]), ("UInt64", "not a number", "not a number"),
        ("Tuple(`a b` UInt8, c Tuple(UInt8, String))", {"a b": 1, "c": [2, "x"]}, {"a b": 1, "c": [2, "x"]}),
    ):  # fmt: skip
        assert values.shown(written, values.reader(kind)) == shown, kind


@pytest.mark.parametrize(
    ("url", "place", "secure", "database"),
    [
        ("clickhouse://u:p%40ss@h", "h:8123", False, "default"), ("https+clickhouse://u@h/d", "h:8443", True, "d"),
        ("clickhouse://u:p@h:9000/d", "h:8123", False, "d"), ("clickhouse://h:9440", "h:8443", True, "default"),
        ("clickhouse://h:8123/?secure=true", "h:8123", True, "default"), ("http://h:80?database=x", "h:80", False, "x"),
        ("clickhouse+https://u:p@[::1]:1234/d", "[::1]:1234", True, "d"),
        ("clickhouse://h/d?username=u&password=p%40ss", "h:8123", False, "d"),
    ],
)  # fmt: skip
def test_addresses_in_every_usual_form(url: str, place: str, secure: bool, database: str) -> None:
    found = address.parse(url, where="engines.main.url")
    assert (found.place, found.secure, found.database) == (place, secure, database)
    assert "p@ss" not in repr(found)
    assert found.hide("refused p@ss") == ("refused ***" if found.password == "p@ss" else "refused p@ss")


@pytest.mark.parametrize("url", ["postgresql://h/d", "clickhouse://", "nonsense secret", "clickhouse://h:port/d"])
def test_what_is_no_address_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        address.parse(url, where="engines.main.url")
    assert refused.value.reason.startswith("engines.main.url: expected a ClickHouse URL")
    assert "secret" not in refused.value.reason


def test_a_plan_of_an_older_server_is_read_too() -> None:
    lines = [
        "Expression", "  ReadFromMergeTree (d.t)", "  Indexes:", "    MinMax", "      Keys: ", "        at",
        "      Condition: true", "      Parts: 5/5", "      Granules: 290/290", "    PrimaryKey", "      Keys: ",
        "        id", "      Condition: (id in [5, 5])", "      Parts: 1/5", "      Granules: 2/290",
    ]  # fmt: skip
    shown, (read,) = explaining.parse(lines)
    assert read.granules == (2, 290)
    assert read.index("PrimaryKey") is not None
    assert shown[-1].strip() == "PrimaryKey (id): (id in [5, 5]) → parts 1/5, granules 2/290"


@pytest.mark.parametrize(
    ("readonly", "granted", "found"),
    [
        (1, ["GRANT SELECT, SHOW, dictGet ON shop.* TO reader"], ()),
        (2, ["GRANT SELECT(a, b), SHOW TABLES ON shop.t TO reader"], ()),
        (0, ["GRANT SELECT ON *.* TO reader"], ("readonly is 0 in its profile",)),
        (1, ["GRANT SELECT, INSERT, ALTER UPDATE ON shop.* TO reader"], ("was granted ALTER, INSERT",)),
        (1, ["GRANT URL ON *.* TO reader", "GRANT SELECT ON a.* TO reader"], ("was granted URL",)),
        (1, ["GRANT ALL ON *.* TO reader WITH GRANT OPTION"], ("was granted ALL",)),
        (1, ["GRANT admin TO reader"], ("was granted ADMIN",)),
    ],
)
def test_a_user_is_hardened_when_all_it_was_granted_only_reads(
    readonly: int, granted: list[str], found: tuple[str, ...]
) -> None:
    assert hardening.faults(readonly, [[row] for row in granted]) == found
