"""How many rows a statement changes at most, by its own words: a batch by LIMIT, or values of a unique column.

A sample cannot tell a batch from the whole: 50 rows of 3,000 may be 50 of any number, or 1.7 % of it.
"""

from collections.abc import Iterator
from typing import Any, cast

from mcp_backend.migrations.rehearsal.catalog import Catalog
from mcp_backend.migrations.rehearsal.kinds import Parsed, strings, walk

_WHOLE = ("smallint", "integer", "bigint")


def most(parsed: Parsed, before: Catalog, table: int) -> int | None:
    """The most rows of a table that UPDATE and DELETE hit; nothing when their words do not bound it."""
    named = str(before["rel", table, 0]["name"]).partition(".")[2] if ("rel", table, 0) in before else ""
    trees = [(parsed.node, parsed.tree), *walk(parsed.tree)]
    found = [
        _bound(tree, dict(_unique(before, table)), _numbered(before, table), _limits(parsed.tree.get("withClause")))
        for node, tree in trees
        if node in ("UpdateStmt", "DeleteStmt") and tree.get("relation", {}).get("relname") == named
    ]
    bounds = [bound for bound in found if bound is not None]
    return sum(bounds) if bounds and len(bounds) == len(found) else None


def _bound(tree: Any, unique: dict[str, str], numbered: dict[str, bool], outer: list[int]) -> int | None:
    edges: dict[str, dict[str, int]] = {}
    found: list[int] = []
    for kind, conjunct in _conjuncts(tree.get("whereClause")):
        if kind == "SubLink":
            keyed = conjunct.get("subLinkType") == "ANY_SUBLINK" and _column(conjunct.get("testexpr")) in unique
        elif conjunct.get("kind") == "AEXPR_OP_ANY" and "SubLink" in conjunct.get(
            "rexpr", {}
        ):  # = ANY (ARRAY(SELECT …))
            keyed = _column(conjunct.get("lexpr")) in unique and strings(conjunct.get("name"))[-1:] == ["="]
        else:
            found += _values(conjunct, unique, edges)
            keyed = bool({_column(conjunct.get("lexpr")), _column(conjunct.get("rexpr"))} & unique.keys())
            keyed = keyed and "ColumnRef" in conjunct.get("lexpr", {}) and "ColumnRef" in conjunct.get("rexpr", {})
        if keyed:  # as many as the batch has keys
            parts = [tree.get(part) for part in ("withClause", "fromClause", "usingClause")]
            found += [*outer, *_limits([*parts, conjunct])]
    for column, edge in edges.items():
        if "<" in edge and (">" in edge or numbered.get(column)):  # a sequence's keys begin at 1
            found.append(max(0, edge["<"] - edge.get(">", 1) + 1))
    return min(found) if found else None


def _limits(tree: Any) -> list[int]:
    found = [_number(value) for key, value in walk(tree) if key == "limitCount"]
    return [limit for limit in found if limit]


def _unique(before: Catalog, table: int) -> Iterator[tuple[str, str]]:
    """Columns of which each value is in one row at most, with their types."""
    yield "ctid", "tid"
    for key, doc in before.items():
        one = key[0] == "idx" and doc["rel"] == table and doc["unique"] and doc["valid"] and not doc["partial"]
        if one and len(doc["keys"]) == 1 and (column := before.get(("col", table, int(doc["keys"][0])))):
            yield str(column["name"]), str(column["type"])


def _numbered(before: Catalog, table: int) -> dict[str, bool]:
    """Which columns a sequence fills."""
    return {
        str(doc["name"]): bool(doc["identity"]) or "nextval(" in str(doc["default"] or "")
        for key, doc in before.items() if key[:2] == ("col", table)
    }  # fmt: skip


def _conjuncts(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, value in cast("dict[str, dict[str, Any]]", node or {}).items():
        if kind == "BoolExpr" and value.get("boolop") == "AND_EXPR":
            for argument in value["args"]:
                yield from _conjuncts(argument)
        elif kind in ("A_Expr", "SubLink"):
            yield kind, value


def _column(node: Any) -> str:
    names = strings(cast("dict[str, dict[str, Any]]", node or {}).get("ColumnRef", {}).get("fields"))
    return names[-1] if names else ""


def _values(expression: dict[str, Any], unique: dict[str, str], edges: dict[str, dict[str, int]]) -> Iterator[int]:
    column = _column(expression.get("lexpr"))
    if column not in unique:
        return
    right = cast("dict[str, dict[str, Any]]", expression.get("rexpr") or {})
    operator = "".join(strings(expression.get("name"))[-1:])
    items = cast("list[Any]", right.get("List", {}).get("items") or right.get("A_ArrayExpr", {}).get("elements") or [])
    match expression.get("kind"):
        case "AEXPR_IN" | "AEXPR_OP_ANY" if items and operator == "=":
            yield len(items)
        case "AEXPR_OP" if operator == "=" and "A_Const" in right:
            yield 1
        case "AEXPR_BETWEEN" if len(items) == 2 and unique[column] in _WHOLE:
            low, high = _number(items[0]), _number(items[1])
            if low is not None and high is not None:
                yield max(0, high - low + 1)
        case "AEXPR_OP" if operator[:1] in ("<", ">") and unique[column] in _WHOLE:
            if operator != "<>" and (value := _number(right)) is not None:
                edges.setdefault(column, {})[operator[0]] = value
        case _:
            pass


def _number(node: Any) -> int | None:
    """The value of an integer constant."""
    constant = cast("dict[str, dict[str, Any]]", node or {}).get("A_Const", {})
    return int(constant["ival"].get("ival", 0)) if "ival" in constant else None
