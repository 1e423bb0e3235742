# ruff: noqa: E501 - conditions and notes of one rule stand together
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""The routes of a Go program by its source: net/http 1.22 patterns, chi, gin, echo, fiber, gorilla/mux.

Routers are followed through variables, groups, mounts and functions they are handed to. What cannot be followed is
kept in `unresolved`, never dropped.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mcp_backend.contracts.service.go_mux import Built, built, chained, plain
from mcp_backend.contracts.service.go_source import Function, GoNode, Module, children, text, walk

VERBS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
_NEW = re.compile(
    r"^(chi\.NewRouter|chi\.NewMux|http\.NewServeMux|gin\.(New|Default)|echo\.New|mux\.NewRouter|fiber\.New|httprouter\.New)$"
)
_ROUTER = re.compile(
    r"(chi\.(Router|Mux)|http\.ServeMux|gin\.(Engine|RouterGroup|IRouter|IRoutes)|echo\.(Echo|Group)|mux\.Router|fiber\.(App|Router)|httprouter\.Router)$"
)
_MAKES = re.compile(
    rb"\b(chi|http|gin|echo|mux|fiber|httprouter)\.(New|Default|Handle)|\.\(\*(http|gin|echo|mux|fiber)\."
)
"""What a function has to say to begin with routes of its own, unless it is handed a router."""
_TABLE = re.compile(rb'\.handlers\["[A-Z]+"\]\["/')
"""How servers that go-swagger generates keep their routes."""
_MOUNTS = re.compile(rb"\b(Mount|Handle|StripPrefix|Route)\(")
_PATTERN = re.compile(r"^(?:([A-Z]+)\s+)?(?:[\w.-]+)?(/.*)$")
_DEPTH = 12


@dataclass(frozen=True, slots=True)
class GoRoute:
    """A route with its handler expression."""

    method: str
    path: str
    handler: GoNode
    file: str
    line: int


class Routes:
    """Collects the routes of a module."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self.routes: list[GoRoute] = []
        self.unresolved: list[str] = []
        self._seen: set[tuple[str, int, str]] = set()
        self._visited: set[tuple[str, int]] = set()
        handed = self._handed()
        begins = (f for some in module.functions.values() for f in some)
        every = [f for f in begins if self._routers(f) or any(p.search(f.node.text) for p in (_MAKES, _TABLE))]
        # Functions that make a router come first; those that only fill one are followed from there.
        for function in sorted(every, key=lambda f: (bool(self._routers(f)), f.name != "main")):
            if (function.path, function.line) in self._visited or (
                function.name in handed and not self._routers(function)
            ):
                continue
            self._function(function, dict.fromkeys(self._routers(function), ""), "", 0)

    def _routers(self, function: Function) -> list[str]:
        return [name for name, kind in function.parameters if _ROUTER.search(kind.lstrip("*"))]

    def _handed(self) -> set[str]:
        """Functions whose result is mounted somewhere."""
        found: set[str] = set()
        for functions in self._module.functions.values():
            for function in functions:
                for node in walk(function.node) if _MOUNTS.search(function.node.text) else ():
                    if node.type == "call_expression" and _name(node) in ("Mount", "Handle", "StripPrefix", "Route"):
                        for argument in _arguments(node):
                            found |= {_name(inner) for inner in walk(argument) if inner.type == "call_expression"}
                            if argument.type in ("identifier", "selector_expression"):
                                found.add(text(argument).rpartition(".")[2])
        return found & self._module.functions.keys()

    def _function(self, function: Function, routers: dict[str, str], base: str, depth: int) -> None:
        body = function.node.child_by_field_name("body")
        if body is None or depth > _DEPTH:
            return
        self._visited.add((function.path, function.line))
        self._block(body, dict(routers), base, function.path, depth)

    def _block(self, body: GoNode, routers: dict[str, str], base: str, path: str, depth: int) -> None:
        for node in self._calls(body):
            if node.type in ("short_var_declaration", "assignment_statement", "var_spec"):
                self._assigned(node, routers, base, path)
            elif node.type == "call_expression":
                self._call(node, routers, base, path, depth)

    def _calls(self, body: GoNode) -> Sequence[GoNode]:
        """Assignments and calls in the order of the source; function literals are entered only where they are called."""
        found: list[GoNode] = []
        stack = [body]
        while stack:
            node = stack.pop()
            if node.type in ("short_var_declaration", "assignment_statement", "var_spec", "call_expression"):
                found.append(node)
            if node.type != "func_literal" or node is body:
                stack.extend(reversed(node.named_children))
        return found

    def _assigned(self, node: GoNode, routers: dict[str, str], base: str, path: str) -> None:
        left = children(node.child_by_field_name("left")) or node.children_by_field_name("name")
        right = children(node.child_by_field_name("right") or node.child_by_field_name("value"))
        for name, value in zip(left, right, strict=False):
            prefix = self._prefix(value, routers, base)
            if prefix is not None:
                routers[text(name)] = prefix
            elif found := re.fullmatch(r'\w+\.handlers\["([A-Z]+)"\]\["(/[^"]*)"\]', text(name)):
                self._add(found.group(1), found.group(2), value, node, path)

    def _prefix(self, node: GoNode, routers: dict[str, str], base: str) -> str | None:
        """The prefix of a router expression; `None` for anything else."""
        if node is None:
            return None
        if node.type in ("unary_expression", "parenthesized_expression") and node.named_children:
            return self._prefix(node.named_children[-1], routers, base)
        if node.type in ("identifier", "selector_expression"):
            return routers.get(text(node))
        if node.type == "type_assertion_expression" and _ROUTER.search(text(node.child_by_field_name("type"))):
            return base
        if node.type != "call_expression":
            return None
        function = node.child_by_field_name("function")
        if _NEW.match(text(function)):
            return base
        if function is None or function.type != "selector_expression":
            return None
        owner = self._prefix(function.child_by_field_name("operand"), routers, base)
        if owner is None:
            return None
        name, arguments = text(function.child_by_field_name("field")), _arguments(node)
        if name in ("Group", "PathPrefix") and arguments and arguments[0].type != "func_literal":
            path = self._module.string(arguments[0])
            return None if path is None else _joined(owner, path)
        return (
            owner
            if name in ("With", "Subrouter", "Use", "Methods", "Name", "Group", "StrictSlash", "UseEncodedPath")
            else None
        )

    def _call(self, node: GoNode, routers: dict[str, str], base: str, path: str, depth: int) -> None:
        function, arguments = node.child_by_field_name("function"), _arguments(node)
        name = _name(node)
        if name in ("Handler", "HandlerFunc") and (steps := built(self._module, node)):
            self._built(steps, arguments, routers, base, node, path)
            return
        operand = (
            function.child_by_field_name("operand")
            if function is not None and function.type == "selector_expression"
            else None
        )
        bare = text(operand) == "http" and name in ("Handle", "HandleFunc")
        owner = "" if bare else self._prefix(operand, routers, base)
        if owner is None:
            self._helper(name, arguments, routers, base, depth)
            return
        verb = name.upper()
        if len(arguments) > 2 and arguments[-1].type == "variadic_argument":  # echo: middleware behind the handler
            arguments = arguments[:-1]
        if verb in VERBS and name in (verb, verb.title()) and arguments:
            self._route(verb, owner, arguments[0], arguments[-1], node, path)
        elif name in ("Method", "MethodFunc", "Add") or (name == "Handle" and len(arguments) == 3):
            method = self._module.string(arguments[0]) if len(arguments) >= 3 else None
            if method:
                self._route(method.upper(), owner, arguments[1], arguments[-1], node, path)
        elif name == "Match" and len(arguments) >= 3:  # gin and echo: the methods come as a list
            methods = [m for n in walk(arguments[0]) if (m := self._module.string(n)) is not None]
            for method in dict.fromkeys(methods):
                self._route(method.upper(), owner, arguments[1], arguments[-1], node, path)
            if not methods:
                self._lost(node, path)
        elif name in ("Any", "All", "Handle", "HandleFunc", "HandlerFunc") and len(arguments) >= 2:
            self._pattern(owner, arguments, node, routers, base, path, depth)
        elif name == "Route" and len(arguments) >= 2:
            inner = self._module.string(arguments[0])
            if inner is None:
                self._lost(node, path)
            else:
                self._into(arguments[1], _joined(owner, inner), routers, path, depth)
        elif name == "Group" and arguments and arguments[0].type == "func_literal":
            self._into(arguments[0], owner, routers, path, depth)
        elif name == "Mount" and len(arguments) >= 2:
            inner = self._module.string(arguments[0])
            if inner is None or not self._mounted(arguments[1], _joined(owner, inner), depth):
                self._lost(node, path)

    def _pattern(
        self, owner: str, arguments: list[GoNode], node: GoNode, routers: dict[str, str], base: str, path: str, depth: int
    ) -> None:  # fmt: skip
        written = self._module.string(arguments[0])
        found = _PATTERN.match(written or "/") if written is not None else None
        if found is None:
            self._lost(node, path)
            return
        method = found.group(1) or chained(self._module, node) or "*"
        inner = self._prefix(arguments[1], routers, base)
        if inner is not None or "StripPrefix" in text(arguments[1]):
            if not self._mounted(arguments[1], _joined(owner, found.group(2).rstrip("/")), depth):
                self._lost(node, path)
            return
        for one in method.split(","):
            self._add(one, _joined(owner, found.group(2)), arguments[1], node, path)

    def _built(
        self, steps: Built, arguments: list[GoNode], routers: dict[str, str], base: str, node: GoNode, path: str
    ) -> None:  # fmt: skip
        owner = self._prefix(steps.router, routers, base)
        if owner is not None and (steps.path is None or steps.methods is None):
            self._lost(node, path)
        elif owner is not None:
            for method in steps.methods or ():
                self._add(method, _joined(owner, steps.path or ""), arguments[0], node, path)

    def _helper(self, name: str, arguments: list[GoNode], routers: dict[str, str], base: str, depth: int) -> None:
        """A call of a function of the module that is handed a router."""
        handed = [self._prefix(a, routers, base) for a in arguments]
        if all(prefix is None for prefix in handed):
            return
        function = self._module.function(name)
        if function is None:
            return
        names = [parameter for parameter, _ in function.parameters]
        inner = {n: p for n, p in zip(names, handed, strict=False) if p is not None}
        self._function(function, inner, base, depth + 1)

    def _into(self, target: GoNode, prefix: str, routers: dict[str, str], path: str, depth: int) -> None:
        """The function, written here or named, that fills a router with a prefix."""
        if target.type == "func_literal":
            declared = children(target.child_by_field_name("parameters"), "parameter_declaration")
            names = [text(n) for d in declared for n in d.children_by_field_name("name")]
            body = target.child_by_field_name("body")
            self._block(body, {**routers, **dict.fromkeys(names[:1], prefix)}, prefix, path, depth + 1)
            return
        name = _name(target) if target.type == "call_expression" else text(target).rpartition(".")[2]
        function = self._module.function(name)
        if function is None:
            self.unresolved.append(f"{path}: {text(target)[:80]} fills {prefix or '/'}")
            return
        self._function(function, dict.fromkeys([n for n, _ in function.parameters][:1], prefix), prefix, depth + 1)

    def _mounted(self, target: GoNode, prefix: str, depth: int) -> bool:
        """Follows a router that is put below a prefix: the result of a function of the module."""
        if target.type == "call_expression" and _name(target) == "StripPrefix":
            target = _arguments(target)[-1]
        name = _name(target) if target.type == "call_expression" else ""
        function = self._module.function(name) if name else None
        if function is None:
            return False
        self._function(function, {}, prefix, depth + 1)
        return True

    def _route(self, method: str, owner: str, written: GoNode, handler: GoNode, node: GoNode, path: str) -> None:
        inner = self._module.string(written)
        if inner is None:
            if len(_arguments(node)) >= 2:
                self._lost(node, path)
            return
        # gin and echo put the slash that a path lacks.
        if len(_arguments(node)) >= 2 and (not inner or inner.startswith(("/", ":", "*")) or _name(node).isupper()):
            self._add(method, _joined(owner, inner), handler, node, path)

    def _add(self, method: str, full: str, handler: GoNode, node: GoNode, path: str) -> None:
        key = (method, node.start_byte, full)
        if key not in self._seen:
            self._seen.add(key)
            self.routes.append(GoRoute(method, plain(full), handler, path, int(node.start_point[0]) + 1))

    def _lost(self, node: GoNode, path: str) -> None:
        self.unresolved.append(f"{path}:{int(node.start_point[0]) + 1}: {text(node).splitlines()[0][:100]}")


def _name(call: GoNode) -> str:
    """The last name of what is called."""
    function = call.child_by_field_name("function") if call.type == "call_expression" else None
    return text(function).rpartition(".")[2] if function is not None else ""


def _arguments(call: GoNode) -> list[GoNode]:
    return (
        [c for c in children(call.child_by_field_name("arguments")) if c.type != "comment"] if call is not None else []
    )


def _joined(prefix: str, path: str) -> str:
    return f"{prefix.rstrip('/')}/{path.lstrip('/')}" if path else prefix
