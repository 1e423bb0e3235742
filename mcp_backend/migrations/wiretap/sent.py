"""What one statement is to whoever listens: a read, a setting, a part of a transaction's control, or an effect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from mcp_backend.engines.pg import analysis
from mcp_backend.engines.pg.analysis import Ask
from mcp_backend.engines.pg.parsing import raw_statements
from mcp_backend.engines.pg.statement import shape, shape_of
from mcp_backend.errors import InvalidArgument

Kind: TypeAlias = Literal["read", "setting", "begin", "commit", "rollback", "savepoint", "effect"]

HARMLESS = frozenset(
    {
        "application_name", "bytea_output", "client_min_messages", "datestyle", "extra_float_digits", "intervalstyle",
        "session characteristics", "timezone", "transaction",
    }
)  # fmt: skip
"""Settings that a driver makes when it connects, or not, as the server's own are."""
_READ_BY = {"standard_conforming_strings": ("on", "true"), "client_encoding": ("utf8", "utf-8", "unicode")}
"""Those that all judging rests on, and the values they may be set to."""
_CONTROL: Mapping[str, Kind] = {
    "TRANS_STMT_BEGIN": "begin", "TRANS_STMT_START": "begin", "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback", "TRANS_STMT_SAVEPOINT": "savepoint", "TRANS_STMT_RELEASE": "savepoint",
    "TRANS_STMT_ROLLBACK_TO": "savepoint",
}  # fmt: skip
_CURSORS = ("FetchStmt", "ClosePortalStmt")


@dataclass(slots=True)
class Sent:
    """One statement that a program sent, its values inlined. `inside` tells whether a transaction was open, `node` the
    type of its tree's root. `failed` is what the server said against it, with its SQLSTATE."""

    sql: str
    kind: Kind
    inside: bool
    session: int = 0
    node: str = ""
    tree: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    failed: str = ""
    sqlstate: str = ""
    transaction: int = 0
    ended: float = 0
    """When the server had answered, in seconds of the monotonic clock."""


class Sorting:
    """Tells what a statement is. What is not known to read only is an effect; the catalog of the target is asked about
    everything that a statement reaches, once."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[str, tuple[Kind, str, Mapping[str, Any]]] = {}

    async def sort(self, sql: str) -> tuple[Kind, str, Mapping[str, Any]]:
        """The kind of the one statement in `sql`, the type of its root and its fields.

        Raises `InvalidArgument` when it is not SQL of PostgreSQL.
        """
        if sql not in self._known:
            if len(self._known) > 5000:
                self._known.clear()
            self._known[sql] = await self._sorted(sql)
        return self._known[sql]

    async def _sorted(self, sql: str) -> tuple[Kind, str, Mapping[str, Any]]:
        found = raw_statements(sql)
        if not found:
            return "read", "", {}
        statement = cast("dict[str, Any]", found[0]["stmt"])
        node = next(iter(statement), "")
        tree = cast("dict[str, Any]", statement.get(node) or {})
        return await self._kind(sql, node, tree, several=len(found) > 1), node, tree

    async def _kind(self, sql: str, node: str, tree: Mapping[str, Any], *, several: bool) -> Kind:
        if several:
            return "effect"
        if node == "TransactionStmt":
            return _CONTROL.get(str(tree.get("kind")), "effect")
        if node in _CURSORS:
            return "read"
        if node == "VariableSetStmt":
            given = [str(_constant(argument)) for argument in tree.get("args", ())]
            return "setting" if _harmless(str(tree.get("name", "")), given) else "effect"
        if node == "SelectStmt" and _harmless(*_sets(tree)):
            return "setting"
        try:
            if node == "DeclareCursorStmt":
                inner = shape_of(cast("dict[str, Any]", tree.get("query") or {}))
            else:
                inner = shape(sql)
        except InvalidArgument:
            return "effect"
        return "effect" if inner.why or await analysis.effect(inner, self._ask) else "read"


def _harmless(name: str, values: Sequence[str]) -> bool:
    allowed = _READ_BY.get(name.lower())
    if allowed is None:
        return name.lower() in HARMLESS
    return bool(values) and values[0].lower() in allowed


def _sets(tree: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The setting that `SELECT set_config(name, value, …)` sets, and nothing else; with its value."""
    if set(tree) - {"targetList", "limitOption", "op"} or len(tree.get("targetList", ())) != 1:
        return "", []
    call = tree["targetList"][0].get("ResTarget", {}).get("val", {}).get("FuncCall", {})
    name = [part.get("String", {}).get("sval", "") for part in call.get("funcname", ())]
    given = call.get("args", ())
    if name[-1:] != ["set_config"] or name[:-1] not in ([], ["pg_catalog"]) or len(given) != 3:
        return "", []
    plain = [_constant(argument) for argument in given]
    if any(text is None for text in plain):
        return "", []
    return str(plain[0]), [str(plain[1])]


def _constant(node: Mapping[str, Any]) -> str | None:
    if "TypeCast" in node:
        return _constant(node["TypeCast"].get("arg", {}))
    constant = node.get("A_Const")
    return None if constant is None else str(constant.get("sval", {}).get("sval", ""))


def constants(node: Any) -> list[str]:
    """The texts among the constants of a tree, in order."""
    found: list[str] = []
    if isinstance(node, dict):
        fields = cast("dict[str, Any]", node)
        if "A_Const" in fields and "sval" in fields["A_Const"]:
            found.append(str(fields["A_Const"]["sval"].get("sval", "")))
        for value in fields.values():
            found += constants(value)
    elif isinstance(node, list):
        for item in cast("list[Any]", node):
            found += constants(item)
    return found


def relation(tree: Mapping[str, Any]) -> str:
    """The table that INSERT, UPDATE, DELETE or CREATE TABLE is about, without its schema."""
    about = cast("Mapping[str, Any]", tree.get("relation") or {})
    return str(about.get("relname", ""))
