"""What is inside a function written in SQL or PL/pgSQL: the shapes of the statements it can run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from mcp_backend.engines.pg import declarations
from mcp_backend.engines.pg.declarations import Word
from mcp_backend.engines.pg.parsing import parse
from mcp_backend.engines.pg.statement import Shape, placed, shape_of, shape_of_expression
from mcp_backend.errors import InvalidArgument

LONGEST = 100_000
_HARMLESS = frozenset(
    [
        "assert", "assign", "block", "case", "close", "execsql", "exit", "fetch", "foreach_a", "forc", "fori", "fors",
        "getdiag", "if", "loop", "open", "perform", "raise", "return", "return_next", "return_query", "while",
    ]
)  # fmt: skip
_DYNAMIC = frozenset({"dynquery", "PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"})
_STATEMENT, _EXPRESSION, _ASSIGNMENTS = 0, 2, (3, 4, 5)
"""Parse modes of PL/pgSQL's expressions: RawParseMode in src/include/parser/parser.h."""


class Opaque(Exception):
    """The body cannot be judged; the text says why, as the end of a sentence about the function."""


def shapes(definition: str) -> list[Shape]:
    """The shapes of all statements and default values of a function, given its `CREATE FUNCTION`.

    Raises `Opaque` when they cannot be known.
    """
    if len(definition) > LONGEST:
        raise Opaque("is too long to be read")
    try:
        create = cast("dict[str, Any]", parse(definition)[0]["CreateFunctionStmt"])
        found = [shape_of_expression(tree) for tree in _defaults(create)]
        if "sql_body" in create:
            return found + [_bodied(tree) for tree in _trees(create["sql_body"])]
        options = [(o["DefElem"]["defname"], o["DefElem"].get("arg", {})) for o in create.get("options", [])]
        language = dict(options)["language"]["String"]["sval"]
        path = _path([arg["VariableSetStmt"] for name, arg in options if name == "set"])
        (source,) = dict(options)["as"]["List"]["items"]
        body = str(source["String"]["sval"])
        texts = list(_plpgsql(definition, body)) if language == "plpgsql" else [body]
        inside = [shape_of(tree) for text in texts for tree in parse(text)]
        return found + (inside if path is None else [placed(shape, path) for shape in inside])
    except (InvalidArgument, KeyError, IndexError, TypeError, ValueError):
        raise Opaque("cannot be read") from None


def _defaults(create: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for parameter in create.get("parameters", []):
        if "defexpr" in parameter["FunctionParameter"]:
            yield parameter["FunctionParameter"]["defexpr"]


def _trees(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The statements of BEGIN ATOMIC … END, which come as lists of lists, or the one of RETURN …."""
    if "List" in node:
        for item in node["List"].get("items", []):
            yield from _trees(item)
    else:
        yield node


def _bodied(tree: dict[str, Any]) -> Shape:
    if "ReturnStmt" in tree:
        return shape_of_expression(tree["ReturnStmt"]["returnval"])
    return shape_of(tree)


def _path(settings: Sequence[Mapping[str, Any]]) -> "list[str] | None":
    """The search path that the function sets while it runs, if it sets one. Raises `Opaque` for other settings."""
    path: list[str] | None = None
    for setting in settings:
        name = str(setting["name"]).lower()
        if name == "search_path" and "args" in setting:
            path = [
                name for arg in setting["args"] if (name := str(arg["A_Const"].get("sval", _EMPTY).get("sval", "")))
            ]
            if "$user" in path:
                raise Opaque("has the schema of whoever calls it in its search_path")
        elif not _SETTINGS.fullmatch(name):
            raise Opaque(f"changes the setting {name} while it runs")
    return path


_EMPTY: Mapping[str, str] = {}
_SETTINGS = re.compile(
    "timezone|datestyle|intervalstyle|extra_float_digits|work_mem|statement_timeout|jit|plan_cache_mode|enable_.*"
)
"""Settings that a function may have of its own: how it runs, never what it may do."""


def _plpgsql(definition: str, body: str) -> Iterator[str]:
    from postgast import PgQueryError, parse_plpgsql

    head, _, tail = definition.rpartition(body)
    quote = tail[: tail.index("$", 1) + 1]
    try:
        tokens = declarations.words(body)
        known_head, known_body = declarations.readable(head.removesuffix(quote), body)
        stack: list[Any] = [parse_plpgsql(known_head + quote + known_body + tail)]
    except (PgQueryError, RecursionError):
        raise Opaque("cannot be read") from None
    records = {found.name.strip('"').lower() for found in declarations.declarations(tokens) if found.initialised}
    yield from _types(tokens)
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(cast("list[Any]", node))
        elif isinstance(node, dict):
            for name, value in cast("dict[str, Any]", node).items():
                if name in _DYNAMIC:
                    raise Opaque("runs text as SQL (EXECUTE), which cannot be read beforehand")
                kind = name.removeprefix("PLpgSQL_stmt_")
                if kind != name and kind not in _HARMLESS:
                    raise Opaque(f"contains {kind.upper()}")
                if name == "PLpgSQL_rec" and f"{value.get('refname', '')}".lower() in records:
                    raise Opaque("gives a record its first value where it is declared, which cannot be read")
                if name == "PLpgSQL_expr":
                    if declarations.MARK in str(value.get("query", "")):
                        raise Opaque("cannot be read")
                    yield _evaluation(value)
                else:
                    stack.append(value)


def _types(body: Sequence[Word]) -> Iterator[str]:
    """Statements that name the types of the variables: a value given to one is converted."""
    for found in declarations.declarations(body):
        texts = [word.text for word in found.type]
        if "%" in texts:
            names = "".join(texts[: texts.index("%")]).split(".")
            texts = [".".join(names[:-1] if len(names) > 1 and texts[-1] == "type" else names[:2])]
        if texts and texts != ["record"]:
            yield f"SELECT NULL::{' '.join(texts)}"


def _evaluation(node: Mapping[str, Any]) -> str:
    """The statement that evaluates a PL/pgSQL expression."""
    text, mode = str(node.get("query", "")), int(node.get("parseMode", _STATEMENT))
    if mode == _STATEMENT:
        return text
    if mode == _EXPRESSION:
        return f"SELECT {text}"
    target = re.match(r"\s*[\w$.\"]+\s*(\[|:?=)", text)
    if mode in _ASSIGNMENTS and target and target[1] != "[":
        return f"SELECT {text[target.end() :]}"
    if mode in _ASSIGNMENTS and target:
        # An element of an array: its subscripts are expressions as well.
        return f"SELECT {_subscripted(text)}"
    raise Opaque("contains an expression that cannot be read")


def _subscripted(text: str) -> str:
    """`a[i][f(j)] := e` as expressions: the subscripts of `a`, then `e`."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if depth == 0 and character == "=":
            return f"({text[:at].rstrip().removesuffix(':')}), {text[at + 1 :]}"
    raise Opaque("contains an assignment that cannot be read")
