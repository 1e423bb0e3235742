"""Expressions of Python in words: names, texts, constants, types."""

import ast
from typing import Any, TypeAlias

Json: TypeAlias = Any


def annotation(node: ast.expr) -> list[Json]:
    """A type as it is written: `["name", "Book"]`, `["of", "list", […]]`, `["or", […]]`, `["literal", […]]`."""
    match node:
        case ast.Constant(value=None):
            return ["none"]
        case ast.Constant(value=str() as text):
            try:
                return annotation(ast.parse(text, mode="eval").body)
            except (SyntaxError, ValueError):
                return ["any"]
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return ["or", [annotation(left), annotation(right)]]
        case ast.Subscript(value=owner, slice=inside):
            parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            name = dotted(owner).rpartition(".")[2]
            if name == "Optional":
                return ["or", [annotation(parts[0]), ["none"]]]
            if name == "Union":
                return ["or", [annotation(part) for part in parts]]
            if name == "Literal":
                return ["literal", [v for part in parts for v in literals(part)]]
            if name == "Annotated":
                return ["annotated", annotation(parts[0]), [marker(p) for p in parts[1:] if isinstance(p, ast.Call)]]
            return ["of", name, [annotation(part) for part in parts]]
        case ast.Name() | ast.Attribute():
            return ["name", dotted(node)]
        case _:
            return ["any"]


def marker(call: ast.Call) -> dict[str, Json]:
    """`Query(…)`, `Depends(…)`, `Field(…)`: what it says besides the type."""
    name = dotted(call.func).rpartition(".")[2]
    alias = keyword(call, "serialization_alias", "alias")
    found: dict[str, Json] = {"in": name, "limits": {}}
    if name in ("Depends", "Security"):
        found["depends"] = dotted(call.args[0]) if call.args else "*"
        return found
    if alias is not None:
        found["alias"] = written(alias)
    first = call.args[0] if call.args else keyword(call, "default", "default_factory")
    found["given"] = first is not None and not (isinstance(first, ast.Constant) and first.value is ...)
    for given in call.keywords:
        if given.arg in LIMITS:
            value = literals(given.value)
            # What is computed counts as there: it cannot be compared.
            found["limits"][LIMITS[given.arg]] = value[0] if len(value) == 1 else None
    return found


LIMITS = {
    "min_length": "minLength", "max_length": "maxLength", "ge": "minimum", "gt": "minimum", "le": "maximum",
    "lt": "maximum", "min_items": "minLength", "max_items": "maxLength", "pattern": "pattern", "regex": "pattern",
}  # fmt: skip
"""What pydantic calls the limits of JSON Schema: https://docs.pydantic.dev/latest/concepts/fields/"""


def dotted(node: ast.AST) -> str:
    """`a.b.c` of names and attributes, empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def written(node: ast.AST) -> Json | None:
    """A text: itself, or parts of which some are names; `None` where it cannot be known."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.Name() | ast.Attribute():
            name = dotted(node)
            return [{"name": name}] if name else None
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return _together([written(left), written(right)])
        case ast.JoinedStr(values=values):
            return _together([written(v.value if isinstance(v, ast.FormattedValue) else v) for v in values])
        case _:
            return None


def _together(parts: list[Json | None]) -> Json | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if all(isinstance(part, str) for part in known):
        return "".join(known)
    return [piece for part in known for piece in ([part] if isinstance(part, str) else part)]


def literals(node: ast.AST | None) -> list[Json]:
    """The constants of an expression: one, or those of a list."""
    match node:
        case ast.Constant(value=value) if isinstance(value, (str, int, float, bool)) or value is None:
            return [value]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return [-value]
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return [value for item in items for value in literals(item)]
        case _:
            return []


def code(node: ast.AST) -> int:
    """An HTTP status: a number, `status.HTTP_201_CREATED`, `HTTPStatus.CREATED`; 0 where it cannot be known."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value if 100 <= node.value <= 599 else 0
    name = dotted(node).removesuffix(".value").rpartition(".")
    if name[2].startswith("HTTP_") and name[2][5:8].isdigit():
        return int(name[2][5:8])
    if name[0].endswith("HTTPStatus"):
        from http import HTTPStatus

        return int(HTTPStatus.__members__.get(name[2], 0))
    return 0


def keyword(call: ast.Call, *names: str) -> ast.expr | None:
    """The argument of the first of these names."""
    return next((k.value for name in names for k in call.keywords if k.arg == name), None)
