"""Types, relations and queries that a call names in a text. One that is written down says as much as if it stood in the
statement itself; one that is put together when the statement runs says nothing.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast

from mcp_backend.engines.pg.parsing import parse
from mcp_backend.errors import InvalidArgument

Kind: TypeAlias = Literal["type", "relation", "query"]

FUNCTIONS: Mapping[str, tuple[Kind, int]] = MappingProxyType(
    {
        "pg_input_is_valid": ("type", 1),
        "pg_input_error_info": ("type", 1),
        "table_to_xml": ("relation", 0),
        "table_to_xmlschema": ("relation", 0),
        "table_to_xml_and_xmlschema": ("relation", 0),
        "query_to_xml": ("query", 0),
        "query_to_xmlschema": ("query", 0),
        "query_to_xml_and_xmlschema": ("query", 0),
        "ts_stat": ("query", 0),
        "ts_rewrite": ("query", 1),
        "crosstab": ("query", 0),
        "crosstab2": ("query", 0),
        "crosstab3": ("query", 0),
        "crosstab4": ("query", 0),
        "crosstab_hash": ("query", 0),
    }
)
"""What kind of text a function of this name takes, and as which argument.
https://www.postgresql.org/docs/current/functions-xml.html, functions-info.html, tablefunc.html"""


def read(name: str, call: Mapping[str, Any]) -> tuple[Kind, list[dict[str, Any]]] | None:
    """The parse trees of the texts that a call gives to a function of `FUNCTIONS`: names of types, relations, or
    statements. `None` where one of them is not written down, or is not understood."""
    kind, at = FUNCTIONS[name]
    given = cast("list[dict[str, Any]]", call.get("args", []))
    if name == "ts_rewrite" and len(given) > 2:
        return kind, []  # Three texts of tsquery; only the form with two runs one.
    if call.get("func_variadic") or len(given) <= at or any("NamedArgExpr" in argument for argument in given):
        return None
    both = name in ("crosstab", "crosstab_hash") and len(given) == 2
    texts = [_text(argument) for argument in (given if both else given[at : at + 1])]
    if both and "ival" in given[1].get("A_Const", {}):
        texts = texts[:1]  # The form with a number, which is how many columns there are.
    trees: list[dict[str, Any]] = []
    for text in texts:
        tree = _tree(kind, text) if text else None
        if tree is None:
            return None
        trees.append(tree)
    return kind, trees


def _text(argument: Mapping[str, Any]) -> str | None:
    """A text that is written down, also with the type it has: `'x'::text`, `'x'::regclass`."""
    cast_to = argument.get("TypeCast")
    if cast_to:
        name = [part["String"]["sval"] for part in cast_to["typeName"].get("names", [])]
        if name[-1:] not in (["text"], ["regclass"]) or name[:-1] not in ([], ["pg_catalog"]):
            return None
        argument = cast_to["arg"]
    return argument.get("A_Const", {}).get("sval", {}).get("sval")


def _tree(kind: Kind, text: str) -> dict[str, Any] | None:
    """The tree of a text that is a name of a type, of a relation, or one statement."""
    frames = {"type": f"SELECT CAST(NULL AS {text}\n)", "relation": f"TABLE {text}\n", "query": text}
    try:
        trees = parse(frames[kind])
        if len(trees) != 1 or kind == "query":
            return trees[0] if len(trees) == 1 else None
        select = dict(trees[0]["SelectStmt"])
        if kind == "relation":
            (source,) = select.pop("fromClause")
            plain = parse("TABLE x")[0]["SelectStmt"]
            named = source["RangeVar"]
            return named if _same(select, plain, "fromClause") and named.keys() <= _RELATION else None
        (target,) = select.pop("targetList")
        value = target["ResTarget"]["val"]["TypeCast"]
        alone = _same(select, parse("SELECT 1")[0]["SelectStmt"], "targetList") and "isnull" in value["arg"]["A_Const"]
        return value["typeName"] if alone and "name" not in target["ResTarget"] else None
    except (InvalidArgument, KeyError, ValueError, TypeError):
        return None


_RELATION = frozenset(("schemaname", "relname", "inh", "relpersistence", "location"))


def _same(left: dict[str, Any], right: dict[str, Any], without: str) -> bool:
    """Whether two statements are alike but for one part, and where in the text things stand."""
    return _placeless(left) == _placeless({key: value for key, value in right.items() if key != without})


def _placeless(tree: Any) -> Any:
    if isinstance(tree, dict):
        found = cast("dict[str, Any]", tree)
        return {key: _placeless(value) for key, value in found.items() if key != "location"}
    return [_placeless(item) for item in cast("list[Any]", tree)] if isinstance(tree, list) else tree
