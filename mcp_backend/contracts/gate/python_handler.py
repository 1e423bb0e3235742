"""What a handler or a dependency takes, sends and refuses, as far as its own block says."""

import ast
from collections.abc import Iterator
from typing import cast

from mcp_backend.contracts.gate.python_words import Json, annotation, code, dotted, keyword, literals, marker, written


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
        "uses": 0, "calls": [], "plain_for": [], **decorated(node.decorator_list, None),
    }  # fmt: skip
    for part, only in _within(node.body, None):
        _looked(part, said, only)
    return said


def decorated(decorators: list[ast.expr], but: ast.expr | None) -> dict[str, Json]:
    """The decorators of a function by name, `but` one, and the statuses that some of them name."""
    others: list[Json] = []
    answers: list[Json] = []
    for decorator in decorators:
        call = decorator if isinstance(decorator, ast.Call) else None
        name = dotted(call.func if call else decorator)
        if decorator is not but:
            others.append(name)
        if call and name.rpartition(".")[2] in ("response", "output"):
            given = keyword(call, "status_code", "code") or (call.args[0] if call.args else None)
            answers.append([name.rpartition(".")[0], (code(given) if given is not None else 0) or 200])
    return {"others": others, "answers": answers}


def _looked(node: ast.AST, said: dict[str, Json], only: list[str] | None) -> None:
    """Adds what one expression or statement says; `only` are the methods that it is reached with, `None`: all."""
    if isinstance(node, ast.Call) and (name := dotted(node.func)) and name not in said["calls"]:
        said["calls"].append(name)
    match node:
        case ast.Return(value=value):
            _returned(value, said, only)
        case ast.Raise(exc=ast.Call(func=function) as call) if dotted(function).endswith("HTTPException"):
            given = keyword(call, "status_code") or (call.args[0] if call.args else None)
            if given is not None and (number := code(given)):
                said["raised"].append([number, call.lineno, only])
        case ast.Call(func=function, args=[first, *_]) if dotted(function).rpartition(".")[2] == "abort":
            if number := code(first):
                said["raised"].append([number, node.lineno, only])
        case ast.Assign(targets=[ast.Attribute(attr="status_code")], value=value):
            number = code(value)
            said["sent"].append([number, value.lineno, only]) if number else said.update(unclear=True)
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


def _returned(value: ast.expr | None, said: dict[str, Json], only: list[str] | None) -> None:
    """What a `return` sends: statuses that it names, a plain body, or something else."""
    plain = {"plain": True} if only is None else {"plain_for": [*said["plain_for"], *only]}
    match value:
        case ast.Tuple(elts=[_, second, *_]):
            number = code(second)
            said.update(unclear=True) if not number else said["sent"].append([number, value.lineno, only])
        case ast.Call(func=function) if dotted(function).endswith("Response"):
            given = keyword(value, "status_code", "status")
            number = 200 if given is None else code(given)
            if dotted(function).endswith("RedirectResponse") and given is None:
                number = 307
            said["sent"].append([number, value.lineno, only]) if number else said.update(unclear=True)
        case ast.Call(func=function) if dotted(function).rpartition(".")[2] in ("jsonify", "dict", "list", "str"):
            said |= plain
        case ast.Dict() | ast.List() | ast.ListComp() | ast.DictComp() | ast.JoinedStr() | ast.Constant() | None:
            said |= plain
        case _:
            said["other"] = True


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def _within(body: list[ast.stmt], only: list[str] | None) -> Iterator[tuple[ast.AST, list[str] | None]]:
    """Everything in a block but the functions inside it, with the methods that it is reached with."""
    for statement in body:
        if isinstance(statement, ast.If) and (asked := _asked(statement.test)) is not None:
            yes = [m for m in only or METHODS if m in asked]
            no = [m for m in only or METHODS if m not in asked]
            yield from _within([ast.Expr(statement.test)], only)
            yield from _within(statement.body, yes)
            yield from _within(statement.orelse, no)
            if isinstance(statement.body[-1], (ast.Return, ast.Raise)):
                only = no
            continue
        stack: list[ast.AST] = [statement]
        while stack:
            node = stack.pop()
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
                continue
            yield node, only
            blocks = [value for _, value in ast.iter_fields(node) if _block(value)]
            for block in blocks:
                yield from _within(block, only)
            inside = {id(one) for block in blocks for one in block}
            stack.extend(child for child in reversed(list(ast.iter_child_nodes(node))) if id(child) not in inside)


def _block(value: Json) -> bool:
    return isinstance(value, list) and any(isinstance(one, ast.stmt) for one in cast("list[Json]", value))


def _asked(test: ast.expr) -> list[str] | None:
    """The methods that a condition asks for: `request.method == "POST"`, `request.method in ("PUT", "PATCH")`."""
    match test:
        case ast.Compare(left=left, ops=[ast.Eq() | ast.In()], comparators=[given]) if dotted(left).endswith(
            "request.method"
        ):
            return [str(m).upper() for m in literals(given)] or None
        case ast.Compare(left=left, ops=[ast.NotEq() | ast.NotIn()], comparators=[given]) if dotted(left).endswith(
            "request.method"
        ):
            asked = [str(m).upper() for m in literals(given)]
            return [m for m in METHODS if m not in asked] if asked else None
        case _:
            return None


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
