"""What a handler or a dependency takes, sends and refuses, as far as its own block says."""

import ast
from collections.abc import Iterator

from mcp_backend.contracts.gate.python_words import Json, annotation, code, dotted, keyword, marker, written


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, Json]:
    """The facts of a function."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = [*zip(positional, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    said: dict[str, Json] = {
        "line": node.lineno, "parameters": [_parameter(a, d) for a, d in pairs],
        "open": arguments.kwarg is not None or arguments.vararg is not None,
        "returns": None if node.returns is None else annotation(node.returns),
        "sent": [], "raised": [], "unclear": False, "plain": False, "other": False, "names": [], "whole": False,
        "uses": 0,
    }  # fmt: skip
    for part in _within(node.body):
        _looked(part, said)
    return said


def _looked(node: ast.AST, said: dict[str, Json]) -> None:
    match node:
        case ast.Return(value=value):
            _returned(value, said)
        case ast.Raise(exc=ast.Call(func=function) as call) if dotted(function).endswith("HTTPException"):
            given = keyword(call, "status_code") or (call.args[0] if call.args else None)
            if given is not None and (number := code(given)):
                said["raised"].append([number, call.lineno])
        case ast.Call(func=function, args=[first, *_]) if dotted(function).rpartition(".")[2] == "abort":
            if number := code(first):
                said["raised"].append([number, node.lineno])
        case ast.Assign(targets=[ast.Attribute(attr="status_code")], value=value):
            number = code(value)
            said["sent"].append([number, value.lineno]) if number else said.update(unclear=True)
        case ast.Call(func=ast.Attribute(attr="get" | "getlist" | "pop", value=owner), args=[first, *_]):
            if dotted(owner).endswith((".args", ".values", ".query_params", ".GET")) or dotted(owner) == "args":
                text = written(first)
                said["names"].append(text) if isinstance(text, str) else said.update(whole=True)
        case ast.Subscript(value=owner, slice=key) if dotted(owner).endswith((".args", ".values", ".query_params")):
            text = written(key)
            said["names"].append(text) if isinstance(text, str) else said.update(whole=True)
        case ast.Attribute(
            attr="args" | "values" | "query_params" | "query_string" | "url", value=ast.Name(id="request")
        ):
            said["uses"] += 1
        case ast.Call(args=given) if any(isinstance(a, ast.Name) and a.id == "request" for a in given):
            said["whole"] = True
        case _:
            pass


def _returned(value: ast.expr | None, said: dict[str, Json]) -> None:
    """What a `return` sends: statuses that it names, a plain body, or something else."""
    match value:
        case ast.Tuple(elts=[_, second, *_]):
            number = code(second)
            said.update(unclear=True) if not number else said["sent"].append([number, value.lineno])
        case ast.Call(func=function) if dotted(function).endswith("Response"):
            given = keyword(value, "status_code", "status")
            number = 200 if given is None else code(given)
            if dotted(function).endswith("RedirectResponse") and given is None:
                number = 307
            said["sent"].append([number, value.lineno]) if number else said.update(unclear=True)
        case ast.Call(func=function) if dotted(function).rpartition(".")[2] in ("jsonify", "dict", "list", "str"):
            said["plain"] = True
        case ast.Dict() | ast.List() | ast.ListComp() | ast.DictComp() | ast.JoinedStr() | ast.Constant() | None:
            said["plain"] = True
        case _:
            said["other"] = True


def _within(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Everything in a block but the functions inside it."""
    stack: list[ast.AST] = list(reversed(body))
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        yield node
        stack.extend(reversed(list(ast.iter_child_nodes(node))))


def _parameter(argument: ast.arg, default: ast.expr | None) -> dict[str, Json]:
    kind: list[Json] = annotation(argument.annotation) if argument.annotation is not None else ["any"]
    found: dict[str, Json] = {"name": argument.arg, "type": kind, "line": argument.lineno, "given": default is not None}
    if isinstance(default, ast.Call):
        found |= marker(default)
    if kind[0] == "annotated":
        for extra in kind[2]:
            found |= extra
    return found


def depends(node: ast.expr | None) -> Iterator[str]:
    """The functions in a list of `Depends(…)`."""
    for item in getattr(node, "elts", []):
        if isinstance(item, ast.Call) and item.args:
            yield dotted(item.args[0])
