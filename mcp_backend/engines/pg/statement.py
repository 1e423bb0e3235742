"""What a PostgreSQL statement is made of, by PostgreSQL's own grammar (libpg_query), without asking a server.

An allow-list in both directions: every node and every field of the parse tree must be known to belong to a read.
What is not known is not a read, so syntax of a later release is refused until it is added here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, cast

from mcp_backend.engines.pg.grammar import FIELDS, HIDDEN_FUNCTIONS, NODES, WRITE_FIELDS, WRITE_NODES
from mcp_backend.engines.pg.parsing import TOO_DEEP, raw_statements
from mcp_backend.errors import InvalidArgument

Name: TypeAlias = tuple[str, str]
"""Schema, or `""` when the search path decides; and the name."""
Call: TypeAlias = tuple[str, str, int]
"""A function's name, and how many arguments it is given: -1 when that cannot be told."""
Kind: TypeAlias = Literal["select", "explain", "show"]

ALWAYS_OPERATORS = frozenset(("=", "<", ">", "<=", ">=", "<>"))
"""What IN, BETWEEN, USING, ORDER BY, GROUP BY, DISTINCT and CASE apply without naming it."""
SECRET_SETTINGS = ("primary_conninfo", "ssl_passphrase_command")


@dataclass(slots=True)
class Mentions:
    """Everything a statement names that may hide code: what the catalog says about each decides."""

    relations: set[Name] = field(default_factory=set[Name])
    functions: set[Call] = field(default_factory=set[Call])
    attributes: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """`x.name` as (x, name), `(…).name` as ("", name): a column, or a function called in attribute notation."""
    aliases: dict[str, set[Name | None]] = field(default_factory=dict[str, set[Name | None]])
    """What the names of row sources stand for: a relation, or `None` for a subquery. Functions are left out, because
    a function in FROM may stand for a plain value."""
    functions_as: set[str] = field(default_factory=set[str])
    """The names of functions in FROM."""
    operators: set[Name] = field(default_factory=set[Name])
    types: set[Name] = field(default_factory=set[Name])
    samplers: set[str] = field(default_factory=set[str])
    unread: set[str] = field(default_factory=set[str])
    """Functions that are given a type, a relation or a query as a text which is known only when the statement runs."""
    parameters: int = 0

    def __bool__(self) -> bool:
        return bool(
            self.relations or self.functions or self.attributes or self.operators or self.types or self.samplers
        )


@dataclass(frozen=True, slots=True)
class Shape:
    """One statement. `why` is empty when its structure reads only. `executes` is false for a bare EXPLAIN, whose
    query is planned and not run; `writes` tells that such a query is a write."""

    kind: Kind
    mentions: Mentions
    why: str = ""
    executes: bool = True
    writes: bool = False
    text: str = ""
    """The statement as it was written, without a semicolon after it."""
    given: tuple["Shape", ...] = ()
    """The queries that it hands to functions as texts, where the texts are written down."""


def shape(sql: str) -> Shape:
    """The shape of the one statement in `sql`.

    Raises `InvalidArgument` when it is empty, several statements, not PostgreSQL, or nested too deeply to analyse.
    """
    statements = raw_statements(sql)
    if not statements:
        raise InvalidArgument("sql: holds no statement; expected one SELECT, VALUES, TABLE, SHOW or EXPLAIN")
    shapes = [shape_of(entry["stmt"]) for entry in statements]
    if len(shapes) > 1:
        guilty = next((s for s in shapes if s.why), None)
        if guilty is None:
            raise InvalidArgument(f"sql: holds {len(shapes)} statements; expected one, so call once for each")
        return Shape("select", Mentions(), f"it holds {len(shapes)} statements, and {guilty.why}")
    start, size = int(statements[0].get("stmt_location", 0)), int(statements[0].get("stmt_len", 0))
    raw = sql.encode()
    return replace(shapes[0], text=raw[start : start + size if size else len(raw)].decode())


def shape_of_expression(tree: Mapping[str, Any]) -> Shape:
    """The shape of a statement that evaluates the expression, given as a raw parse tree."""
    return _walked("select", tree, writes_allowed=False)


def placed(shape: Shape, path: Sequence[str]) -> Shape:
    """The shape of a statement that runs with the search path `path`: its names with every schema they can mean."""
    schemas = dict.fromkeys(["pg_catalog", *path])
    said = shape.mentions

    def meant(names: Iterable[Name]) -> set[Name]:
        return {(schema, name) for given, name in names for schema in ([given] if given else schemas)}

    calls = {(schema, *call) for given, *call in said.functions for schema in ([given] if given else schemas)}
    notations = {(schema, name, 1) for _, name in said.attributes for schema in path}
    operators = meant(said.operators) | {(schema, name) for schema in path for name in ALWAYS_OPERATORS}
    return replace(
        shape,
        given=tuple(placed(inner, path) for inner in shape.given),
        mentions=replace(
            said,
            relations=meant(said.relations),
            functions=cast("set[Call]", calls | notations),
            operators=operators,
            types=meant(said.types),
        ),
    )


def shape_of(statement: Mapping[str, Any]) -> Shape:
    """The shape of one raw parse tree."""
    name, body = next(iter(statement.items()))
    if name == "SelectStmt":
        return _walked("select", statement, writes_allowed=False)
    if name == "VariableShowStmt":
        setting = str(body.get("name", "")).lower()
        why = f"SHOW {setting} can hold a password" if setting in SECRET_SETTINGS else ""
        return Shape("show", Mentions(), why)
    if name == "ExplainStmt":
        return _explain(body)
    return Shape("select", Mentions(), f"it is {_words(name)}")


def _explain(body: Mapping[str, Any]) -> Shape:
    query = cast("dict[str, Any]", body.get("query", {}))
    inner = next(iter(query), "")
    executes = False
    for option in body.get("options", []):
        element = option.get("DefElem", {})
        name = str(element.get("defname", "")).lower()
        if name not in _EXPLAIN_OPTIONS:
            return Shape("explain", Mentions(), f"EXPLAIN has an unknown option {name}")
        if name == "analyze" and _truth(element.get("arg")):
            executes = True
    if executes and inner != "SelectStmt":
        return Shape("explain", Mentions(), f"EXPLAIN ANALYZE runs the statement, and it is {_words(inner)}")
    if inner not in ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CreateTableAsStmt"):
        return Shape("explain", Mentions(), f"EXPLAIN is asked about {_words(inner)}")
    return _walked("explain", query, writes_allowed=not executes)


_EXPLAIN_OPTIONS = frozenset(
    {
        "analyze", "verbose", "costs", "settings", "generic_plan", "buffers", "serialize", "wal", "timing",
        "summary", "memory", "format",
    }
)  # fmt: skip


def _truth(value: Mapping[str, Mapping[str, object]] | None) -> bool:
    """How the server reads a boolean option; what it would not understand counts as true.
    https://www.postgresql.org/docs/current/sql-explain.html"""
    if not value:
        return True
    body = next(iter(value.values()))
    return str(next(iter(body.values()), "0")).lower() not in ("false", "off", "0")


def _walked(kind: Kind, tree: Mapping[str, Any], *, writes_allowed: bool) -> Shape:
    mentions, why, writes = Mentions(), "", False
    given: list[Shape] = []
    try:
        for name, value in nodes(tree):
            if name in WRITE_NODES or name in WRITE_FIELDS:
                writes = True
                if not writes_allowed:
                    why = why or _WHY.get(name, "") or f"it contains {_words(name)}"
            elif name[0].isupper() and name not in NODES:
                why = why or f"it contains {_words(name)}, which is not known to read only"
            elif name[0].islower() and name not in FIELDS:
                why = why or f"it contains {name}, which is not known to read only"
            _mention(name, value, mentions)
            if name == "FuncCall":
                given += _told(value, mentions)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        why = why or "its parse tree is not understood"
    executes = kind != "explain" or not writes_allowed
    return Shape(kind, mentions, why, executes, writes, given=tuple(given))


def _told(call: Mapping[str, Any], mentions: Mentions) -> Iterator[Shape]:
    """What a call names in a text: a type or a relation becomes a mention, a query a shape of its own."""
    from mcp_backend.engines.pg import told

    name = _name(call["funcname"])[1]
    if name not in told.FUNCTIONS:
        return
    found = told.read(name, call)
    if found is None:
        mentions.unread.add(name)
        return
    kind, trees = found
    for tree in trees:
        if kind == "query":
            try:
                inner = shape_of(tree)
            except RecursionError:
                raise InvalidArgument(TOO_DEEP) from None
            yield inner
        elif kind == "type":
            mentions.types.add(_name(tree["names"]))
        else:
            mentions.relations.add((str(tree.get("schemaname", "")), str(tree["relname"])))


_WHY = {
    "intoClause": "SELECT INTO creates a table",
    "lockingClause": "FOR UPDATE and its kin lock rows",
    "LockingClause": "FOR UPDATE and its kin lock rows",
}


_DISTINCT: tuple[str, list[dict[str, object]]] = ("distinctClause", [{}])


def nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every key of the tree with its value, without recursion. An element of a list that is empty stands for a null,
    which lists of lists have, and DISTINCT without ON; anywhere else it would be a node that the printer of the tree
    does not know."""
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            for name, value in cast("dict[str, Any]", node).items():
                yield name, value
                if isinstance(value, list) and name != "items" and {} in value and (name, value) != _DISTINCT:
                    raise ValueError(name)
                if isinstance(value, (dict, list)):
                    stack.append(value)
        else:
            stack.extend(cast("list[Any]", node))


def _mention(name: str, value: Any, mentions: Mentions) -> None:
    if name in HIDDEN_FUNCTIONS:
        mentions.functions.update(("", function, -1) for function in HIDDEN_FUNCTIONS[name])
    elif name in ("RangeVar", "relation", "rel") and "relname" in value:
        relation = (str(value.get("schemaname", "")), str(value["relname"]))
        mentions.relations.add(relation)
        mentions.aliases.setdefault(_alias(value) or relation[1], set()).add(relation)
    elif name in ("RangeSubselect", "JoinExpr", "RangeTableFunc", "JsonTable"):
        mentions.aliases.setdefault(_alias(value), set()).add(None)
    elif name == "CommonTableExpr":
        mentions.aliases.setdefault(str(value["ctename"]), set()).add(None)
    elif name == "RangeFunction":
        mentions.functions_as.add(_alias(value))
    elif name == "FuncCall":
        open_ended = value.get("func_variadic") or value.get("agg_within_group")
        mentions.functions.add((*_name(value["funcname"]), -1 if open_ended else len(value.get("args", []))))
    elif name == "TypeName" or (name == "typeName" and "names" in value):
        mentions.types.add(_name(value["names"]))
    elif name == "A_Expr":
        mentions.operators.add(_name(value["name"]))
    elif name in ("operName", "useOp"):
        mentions.operators.add(_name(value))
    elif name == "ColumnRef":
        fields: list[Any] = value["fields"]
        if len(fields) > 1 and "String" in fields[-1]:
            mentions.attributes.add((str(fields[-2]["String"]["sval"]), str(fields[-1]["String"]["sval"])))
    elif name == "indirection":
        mentions.attributes.update(("", str(item["String"]["sval"])) for item in value if "String" in item)
    elif name == "ParamRef":
        mentions.parameters = max(mentions.parameters, int(value.get("number", 0)))
    elif name == "RangeTableSample":
        mentions.samplers.add(_name(value["method"])[1])


def _alias(source: Mapping[str, Any]) -> str:
    return str(source.get("alias", {}).get("aliasname", ""))


def _name(parts: list[dict[str, dict[str, str]]]) -> Name:
    texts = [part["String"]["sval"] for part in parts]
    return (texts[-2] if len(texts) > 1 else "", texts[-1])


def _words(node: str) -> str:
    """A node type as a person writes it: `CreateTableAsStmt` is CREATE TABLE AS."""
    text = "".join(f" {c}" if c.isupper() else c for c in node.removesuffix("Stmt")).strip().upper()
    return _SPOKEN.get(text, text)


_SPOKEN = {
    "": "nothing",
    "CHECK POINT": "CHECKPOINT",
    "REFRESH MAT VIEW": "REFRESH MATERIALIZED VIEW",
    "TRANSACTION": "transaction control",
    "VARIABLE SET": "SET or RESET",
}
