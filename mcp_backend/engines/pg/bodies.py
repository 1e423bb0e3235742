"""What is inside a function written in SQL or PL/pgSQL: the shapes of the statements it can run."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from mcp_backend.engines.pg.parsing import parse
from mcp_backend.engines.pg.statement import Shape, shape_of, shape_of_expression
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
        options = {o["DefElem"]["defname"]: o["DefElem"].get("arg", {}) for o in create.get("options", [])}
        language = options["language"]["String"]["sval"]
        if "set" in options:
            raise Opaque("changes settings while it runs")
        (source,) = options["as"]["List"]["items"]
        body = str(source["String"]["sval"])
        texts = list(_plpgsql(definition, body)) if language == "plpgsql" else [body]
        return found + [shape_of(tree) for text in texts for tree in parse(text)]
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


def _plpgsql(definition: str, body: str) -> Iterator[str]:
    from postgast import PgQueryError, parse_plpgsql

    try:
        stack: list[Any] = [parse_plpgsql(definition)]
        tokens = _tokens(body)
    except (PgQueryError, RecursionError):
        raise Opaque("cannot be read") from None
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
                if name == "PLpgSQL_rec" and _initialised(str(value.get("refname", "")), tokens):
                    raise Opaque("gives a record its first value where it is declared, which cannot be read")
                if name == "PLpgSQL_expr":
                    yield _evaluation(value)
                else:
                    stack.append(value)


def _tokens(body: str) -> list[str]:
    from postgast import scan

    raw = body.encode()
    texts = (raw[token.start : token.end].decode(errors="replace") for token in scan(body).tokens)
    return [text for text in texts if not text.startswith(("--", "/*"))]


def _initialised(name: str, tokens: list[str]) -> bool:
    """Whether the declaration of a record has a first value: the parser's output leaves that out.
    https://www.postgresql.org/docs/current/plpgsql-declarations.html"""
    for at, token in enumerate(tokens):
        begins = at == 0 or tokens[at - 1].lower() in (";", "declare", ">>")
        if not begins or token.strip('"').lower() != name.lower():
            continue
        for following in tokens[at + 1 :]:
            if following == ";":
                break
            if following in (":=", "=") or following.lower() == "default":
                if tokens[at + 1] != following:
                    return True
                break
    return False


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
