# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""How Go writes routes: paths with parameters, and those of gorilla/mux that are built in steps,
`r.Methods("GET").Path("/a").Handler(h)`.

https://pkg.go.dev/github.com/gorilla/mux#Route
"""

import re
from dataclasses import dataclass

from mcp_backend.contracts.service.go_source import GoNode, Module, children, text

_STEPS = frozenset(("Methods", "Path", "Name", "Queries", "Headers", "Schemes", "Host", "NewRoute", "MatcherFunc"))


@dataclass(frozen=True, slots=True)
class Built:
    """A route: the router it was begun on, its methods (`*` for any) and path, each `None` where it is computed."""

    router: GoNode
    methods: tuple[str, ...] | None
    path: str | None


def plain(path: str) -> str:
    """A path with its parameters as OpenAPI writes them."""
    path = path.replace("{$}", "")
    path = re.sub(r"\{(\w+)(\.\.\.|:(?:[^{}]|\{[^{}]*\})*)\}", r"{\1}", path)
    path = re.sub(r"/[:*](\w+)", r"/{\1}", path)
    return path.rstrip("/") or "/"


def built(module: Module, call: GoNode) -> Built | None:
    """The route whose last step is a call of `Handler` or `HandlerFunc`; `None` where no step gives it a path."""
    methods: tuple[str, ...] | None = ("*",)
    path: str | None = None
    placed = False
    node = _operand(call)
    while node is not None and node.type == "call_expression" and (step := _step(node)) in _STEPS:
        given = [module.string(argument) for argument in children(node.child_by_field_name("arguments"))]
        if step == "Methods":
            known = tuple(method.upper() for method in given if method)
            methods = known if known and len(known) == len(given) else None
        elif step == "Path":
            placed, path = True, next(iter(given), None)
        node = _operand(node)
    return Built(node, methods, path) if placed and node is not None else None


def chained(module: Module, node: GoNode) -> str:
    """The methods that follow a path: `HandleFunc(…).Methods("GET", "POST")`."""
    step = node.parent.parent if node.parent is not None else None
    if step is None or step.type != "call_expression" or _step(step) != "Methods" or _operand(step) != node:
        return ""
    values = [module.string(a) for a in children(step.child_by_field_name("arguments"))]
    return ",".join(v for v in values if v)


def _operand(call: GoNode) -> GoNode | None:
    """What a method is called of."""
    function = call.child_by_field_name("function")
    if function is None or function.type != "selector_expression":
        return None
    return function.child_by_field_name("operand")


def _step(call: GoNode) -> str:
    return text(call.child_by_field_name("function")).rpartition(".")[2]
