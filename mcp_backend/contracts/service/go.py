# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Checks a Go service by its source: routes, structs of the bodies, statuses and query parameters of the handlers."""

import re
from collections.abc import Iterator

from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Api, Operation
from mcp_backend.contracts.service.checking import Checked
from mcp_backend.contracts.service.go_routes import GoRoute, Routes
from mcp_backend.contracts.service.go_source import (
    Function,
    GoNode,
    Module,
    children,
    handed,
    read,
    returned_literals,
    text,
    walk,
)
from mcp_backend.contracts.service.go_statuses import statuses, writes
from mcp_backend.contracts.service.go_structs import Structs, element
from mcp_backend.contracts.service.go_unread import unread
from mcp_backend.contracts.service.routing import Route, compare, plain
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.contracts.tree import Node
from mcp_backend.contracts.words import Unverified
from mcp_backend.errors import NotFound

_HELP = 2
"""How deep functions that a handler calls are looked into."""
_LOOKS_UP = re.compile(r"(?i)get|query|param|form|value|int|str|bool|parse|read|lookup|has|time|page|limit|opt|filter")
_BINDS = re.compile(r"\.(ShouldBindQuery|BindQuery|QueryParser|ShouldBind|Bind)\(|RawQuery|range \w+\.URL\.Query\(\)")
_QUERIES = re.compile(r"\.(URL\.Query|QueryParams|Queries)\(\)$")
_REQUESTS = frozenset({"r", "req", "request", "c.Request", "ctx.Request", "c.Request()", "ctx.Request()"})
_BROKE = re.compile(
    r"5\d\d|\w+\.Status(InternalServerError|NotImplemented|BadGateway|ServiceUnavailable|GatewayTimeout)"
)
_TAG = re.compile(r'(\w+):"([^"]*)"')


def check(source: Source, spec: Spec, below: str) -> Checked:
    """Checks the module at `below`. Raises `Broken`, `NotFound`, `Unavailable`."""
    folder = "" if below in (".", "./...", "auto") else below.removeprefix("./").rstrip("/")
    module = read(source, folder)
    if not module.files:
        raise NotFound(f"implementation: there is no Go source in {below}")
    api = Api(source.documents(), spec.path)
    found = Routes(module)
    checked = Checked(folder or ".", sources=["static"])
    routes = [Route(r.method, r.path, f"{r.file}:{r.line}") for r in found.routes]
    routed = compare(api, routes, "static")
    deviations = list(routed.deviations)
    unverified = [
        *routed.unverified,
        *(Unverified(u, "this route cannot be read from the source") for u in found.unresolved),
    ]
    if why := unread(source, found):  # a route that looks missing may be one of those
        unverified += [Unverified(d.where, why) for d in deviations if d.id == "route-missing"]
        deviations = [d for d in deviations if d.id != "route-missing"]
    by_key = {(r.method, plain(r.path)): r for r in found.routes}
    handlers = Handlers(api, module)
    for operation in routed.found:
        path = plain(routed.base + operation.path)
        route = by_key.get((operation.method.upper(), path)) or by_key.get(("*", path))
        if route is not None:
            handlers.look(operation, route)
    checked.add(
        [*deviations, *handlers.structs.found.values()],
        [*unverified, *handlers.unverified, *handlers.structs.unverified],
    )
    checked.unverified.append(Unverified("*", "limits, credentials and headers are not read from the source: give url"))
    return checked


class Handlers:
    """What the handlers do, as far as their source tells."""

    def __init__(self, api: Api, module: Module) -> None:
        self._f = Flattener(api)
        self._module = module
        self.structs = Structs(self._f, module)
        self.unverified: list[Unverified] = []
        self.helped: set[str] = set()
        """Statuses that a function sends which a handler calls, perhaps for others."""
        # What helpers send and read is asked for once, not for each handler that calls them.
        self._sent_in: dict[int, frozenset[int]] = {}
        self._read_in: dict[int, frozenset[str]] = {}
        self._known: dict[tuple[str, tuple[str, ...]], set[str]] = {}

    def look(self, operation: Operation, route: GoRoute) -> None:
        body = self._body(route.handler)
        if body is None or not body.named_children or not any(n.type == "call_expression" for n in walk(body)):
            place = f"{route.file}:{route.line}"
            self.unverified.append(Unverified(operation.name, f"its handler cannot be read ({place})"))
            return
        bodies = [*self._reached(body, 0)]
        place = f"{self._file(route)}:{int(body.start_point[0]) + 1}"
        self._statuses(operation, body, bodies, place)
        self._query(operation, bodies, place)
        for status, response in operation.responses.items():
            schema = next((s for m, s in response.content.items() if "json" in m and s is not None), None)
            if status[0] == "2" and schema is not None:
                self._response(operation, status, schema, body)

    def _file(self, route: GoRoute) -> str:
        """The file of a handler: another one than that of its route where it is a function of its own."""
        if route.handler.type not in ("identifier", "selector_expression"):
            return route.file
        function = self._module.function(text(route.handler).rpartition(".")[2])
        return function.path if function else route.file

    def _body(self, handler: GoNode) -> GoNode:
        """The block of a handler: a literal, a function, a method, or what a wrapper wraps."""
        if handler.type == "func_literal":
            return handler.child_by_field_name("body")
        if handler.type == "call_expression":
            arguments = children(handler.child_by_field_name("arguments"))
            inner = self._body(arguments[-1]) if arguments else None
            if inner is not None:
                return inner
            made = self._module.function(text(handler.child_by_field_name("function")).rpartition(".")[2])
            return next(returned_literals(made.node), None) if made else None
        named = handler.type in ("identifier", "selector_expression")
        function = self._module.function(text(handler).rpartition(".")[2]) if named else None
        return function.node.child_by_field_name("body") if function else None

    def _reached(self, body: GoNode, depth: int) -> Iterator[GoNode]:
        """A block, and those of functions of the module that it calls."""
        yield body
        if depth >= _HELP:
            return
        for node in walk(body):
            if node.type == "call_expression":
                function = self._module.function(text(node.child_by_field_name("function")).rpartition(".")[2])
                inner = function.node.child_by_field_name("body") if function else None
                if function and inner is not None and inner.id != body.id and handed(node, function):
                    yield from self._reached(inner, depth + 1)

    def _statuses(self, operation: Operation, body: GoNode, bodies: list[GoNode], place: str) -> None:
        sent = self._codes(body)
        inner = {code for one in bodies[1:] for code in self._codes(one) if code >= 400}
        self.helped |= {f"{operation.name} {code}" for code in inner - sent}
        success = {code for code in sent if code < 300}
        documented = set(operation.responses)
        if not success and not sent & set(range(300, 400)) and writes(body, bodies):
            success = {200}
        for code in sorted(success | {c for c in sent | inner if c >= 400}):
            if str(code) in documented or f"{str(code)[0]}XX" in documented or "default" in documented:
                continue
            said, where = ", ".join(operation.responses), f"{operation.name} {code}"
            self.structs.add("status-undocumented", "different", where, said, f"{code} ({place})")

    def _codes(self, block: GoNode) -> frozenset[int]:
        if block.id not in self._sent_in:
            self._sent_in[block.id] = frozenset(statuses(block))
        return self._sent_in[block.id]

    def _names(self, block: GoNode) -> frozenset[str]:
        if block.id not in self._read_in:
            self._read_in[block.id] = frozenset(self._read_names(block))
        return self._read_in[block.id]

    def _query(self, operation: Operation, bodies: list[GoNode], place: str) -> None:
        texts = {name for one in bodies for name in self._names(one)}
        if all(p.where != "query" or p.name in texts for p in operation.parameters):
            return
        whole = "\n".join(text(b) for b in bodies)
        words = set(re.findall(r"\w+", whole))
        bound = {
            name
            for kind in self._module.types
            for name in self._tags(kind, ("form", "query", "schema", "url", "param"))
            if kind in words
        }
        for parameter in operation.parameters:
            if parameter.where != "query" or parameter.name in texts or parameter.name in bound:
                continue
            where = f"{operation.name} {parameter.name}"
            if (not self._bound_to_known(bodies) and _BINDS.search(whole)) or self._handed_on(bodies):
                self.unverified.append(Unverified(where, f"the query is bound in a way that cannot be read ({place})"))
            else:
                self.structs.add("query-param-missing", "missing", where, "it is read", f"not read in {place}")

    def _bound_to_known(self, bodies: list[GoNode]) -> bool:
        """Whether every query is bound to a struct of this module that has no embedded part: then its tags say all."""
        calls = [
            (node, body) for body in bodies for node in walk(body)
            if node.type == "call_expression" and _BINDS.search(text(node.child_by_field_name("function")) + "(")
        ]  # fmt: skip
        given = [(children(node.child_by_field_name("arguments")), body) for node, body in calls]
        kinds = [self._type_of(arguments[-1], body, False) for arguments, body in given if arguments]
        return bool(kinds) and len(kinds) == len(calls) and all(map(self._plain_struct, kinds))

    def _handed_on(self, bodies: list[GoNode]) -> bool:
        """Whether the whole request goes to code that is not here, which may read anything of it."""
        for node in (n for body in bodies for n in walk(body) if n.type == "call_expression"):
            called = text(node.child_by_field_name("function"))
            given = {text(a) for a in children(node.child_by_field_name("arguments"))}
            known = called.rpartition(".")[2] in self._module.functions
            handed = given & _REQUESTS or any(_QUERIES.search(one) for one in given)
            if handed and not known and not called.startswith(("http.", "json.", "chi.", "mux.")):
                return True
        return False

    def _plain_struct(self, kind: str) -> bool:
        known = self._module.types.get(kind)
        return known is not None and not any(
            n.type == "field_declaration" and n.child_by_field_name("name") is None for n in walk(known[0])
        )

    def _read_names(self, body: GoNode) -> Iterator[str]:
        """The texts that something is looked up by: `q.Get("limit")`, `intOf(r, "limit")`, `r.URL.Query()["limit"]`."""
        for node in walk(body):
            if node.type == "index_expression":
                inside = children(node)[1:]
            elif node.type == "call_expression" and _LOOKS_UP.search(
                text(node.child_by_field_name("function")).rpartition(".")[2]
            ):
                inside = children(node.child_by_field_name("arguments"))
            else:
                continue
            yield from (found for n in inside if (found := self._module.string(n)) is not None)

    def _tags(self, kind: str, keys: tuple[str, ...]) -> set[str]:
        if (kind, keys) not in self._known:
            self._known[kind, keys] = self._tagged(kind, keys)
        return self._known[kind, keys]

    def _tagged(self, kind: str, keys: tuple[str, ...]) -> set[str]:
        node, _ = self._module.types[kind]
        found = dict[str, str]()
        for part in walk(node) if node is not None else ():
            if part.type == "raw_string_literal":
                found |= {value.partition(",")[0]: key for key, value in _TAG.findall(text(part)) if key in keys}
        return set(found)

    def _response(self, operation: Operation, status: str, schema: Node, body: GoNode) -> None:
        flat = self._f.flat(schema)
        inner = flat.items if flat.items is not None and not flat.properties else schema
        name = self._f.name(inner)
        kind = self._sent(body, flat.items is not None) or (name if name in self._module.types else "")
        if not kind or kind not in self._module.types or kind in self._module.twice:
            self.unverified.append(
                Unverified(f"{operation.name} {status}", "the type of its body cannot be read from the source")
            )
            return
        self.structs.struct(self._f.flat(inner), kind, name or f"{operation.name} {status}", 0)

    def _sent(self, body: GoNode, array: bool) -> str:
        """The struct that a handler writes: of a literal beside a status or in an encoder."""
        for node in walk(body):
            if node.type != "call_expression":
                continue
            called = text(node.child_by_field_name("function")).rpartition(".")[2]
            arguments = children(node.child_by_field_name("arguments"))
            if not re.search(r"(?i)json|encode|respond|render|write|reply|ok$", called) or not arguments:
                continue
            if re.search(r"(?i)bind|decode|unmarshal|parse|read|valid", called):  # it takes a body
                continue
            if any(code >= 300 for code in statuses(node)) or any(_BROKE.fullmatch(text(a)) for a in arguments):
                continue
            if kind := self._type_of(arguments[-1], body, array):
                return kind
        return ""

    def _type_of(self, node: GoNode, body: GoNode, array: bool) -> str:
        if node.type == "unary_expression" and node.named_children:
            return self._type_of(node.named_children[-1], body, array)
        if node.type == "composite_literal":
            return element(text(node.child_by_field_name("type")), array)
        if node.type == "identifier":
            name = text(node)
            for other in walk(body):
                if other.type == "short_var_declaration":
                    left, right = (
                        children(other.child_by_field_name("left")),
                        children(other.child_by_field_name("right")),
                    )
                    for one, value in zip(left, right, strict=False):
                        if text(one) == name and value.type in ("composite_literal", "unary_expression"):
                            return self._type_of(value, body, array)
                        if text(one) == name and value.type == "call_expression":
                            return self._returned(value, array)
                elif other.type == "var_spec" and name in [text(n) for n in other.children_by_field_name("name")]:
                    return element(text(other.child_by_field_name("type")), array)
        return self._returned(node, array) if node.type == "call_expression" else ""

    def _returned(self, call: GoNode, array: bool) -> str:
        called = text(call.child_by_field_name("function"))
        if called == "make":
            arguments = children(call.child_by_field_name("arguments"))
            return element(text(arguments[0]), array) if arguments else ""
        function: Function | None = self._module.function(called.rpartition(".")[2])
        result = function.node.child_by_field_name("result") if function else None
        written = text(result).strip("()").partition(",")[0].strip().rpartition(" ")[2] if result is not None else ""
        return element(written, array)
