"""Compares the handlers of Python applications (FastAPI, Flask) with an OpenAPI document, from the source."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mcp_backend.contracts.gate.found import Placed
from mcp_backend.contracts.gate.python_models import Models
from mcp_backend.contracts.gate.python_project import Project, PyRoute
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Api, Operation, Parameter, json_schema
from mcp_backend.contracts.service.routing import plain

Json: TypeAlias = Any
_FRAMEWORK = frozenset({"Request", "WebSocket", "HTTPConnection"})
_GIVEN = frozenset({"Response", "BackgroundTasks", "SecurityScopes"})
_HARMLESS = frozenset(
    {"wraps", "staticmethod", "cache", "lru_cache", "login_required", "jwt_required", "limit", "cross_origin"}
)
_READS = re.compile(r"(?i)arg|param|quer|filter|pagina|request|pars")
"""Calls that may read the query, where what they do is not seen."""
_DEPTH = 6


@dataclass(frozen=True, slots=True)
class _Taken:
    """The names a handler takes from a query. `open`: it may take others, too."""

    names: Mapping[str, tuple[str, Json]]
    open: bool


class Handlers:
    """What handlers do otherwise than their operations say."""

    def __init__(self, api: Api, project: Project) -> None:
        self._project = project
        self.models = Models(project, Flattener(api))

    def look(self, operation: Operation, route: PyRoute) -> None:
        """Adds what the handler of an operation deviates in."""
        if route.framework not in ("fastapi", "flask"):
            return
        self._statuses(operation, route)
        taken = self._taken(route)
        for parameter in operation.parameters:
            if parameter.where not in ("query", "path"):
                continue
            self._parameter(operation, route, parameter, taken)
        if route.framework == "fastapi":
            self._bodies(operation, route)

    def _statuses(self, operation: Operation, route: PyRoute) -> None:
        said, handler = route.said, route.said["handler"]
        documented = set(operation.responses)
        sent, refused = (
            {int(number): int(line) for number, line, only in handler[kind] if only is None or route.method in only}
            for kind in ("sent", "raised")
        )
        plain = handler["plain"] or route.method in handler["plain_for"]
        refused |= {number: line for number, line in sent.items() if number >= 400}
        success = {number: line for number, line in sent.items() if number < 400}
        if route.framework == "fastapi":
            default = not handler["sent"] or plain or handler["other"]
            if default and said["status"] >= 0 and not handler["unclear"] and not self._a_response(handler["returns"]):
                success[said["status"] or 200] = route.line
        elif said["given"]:
            success |= {said["given"]: route.line} if plain or handler["other"] else {}
        elif plain and not handler["unclear"]:
            success.setdefault(200, route.line)
        careful = any(status[0] == "4" for status in documented)
        for number, line in (*success.items(), *(refused.items() if careful else ())):
            if number >= 500 or {str(number), f"{number // 100}XX", "default"} & documented:
                continue
            if number < 400 and not any(status[0] in "23" for status in documented):
                continue
            where = f"{operation.name} {number}"
            self.models.add("status-undocumented", "different", where, ", ".join(operation.responses), str(number),
                            operation.name, (route.file, line))  # fmt: skip

    def _a_response(self, returns: Json) -> bool:
        return returns is not None and returns[0] == "name" and str(returns[1]).endswith("Response")

    def _taken(self, route: PyRoute) -> _Taken:
        handler = route.said["handler"]
        unknown = [name for name in route.said["others"] if name.rpartition(".")[2] not in _HARMLESS | {"get", "post",
                   "put", "patch", "delete", "route", "api_route"}]  # fmt: skip
        if route.framework == "flask":
            # Counted twice: reading `request.args` and looking a name up in it.
            whole = handler["whole"] or handler["uses"] > len(handler["names"]) or bool(unknown)
            names: dict[str, tuple[str, Json]] = {str(n): (route.file, None) for n in handler["names"]}
            whole = self._helpers(route.file, handler, names, set()) or whole
            return _Taken(names, whole or (handler["other"] and not handler["names"] and handler["uses"] > 0))
        names = {}
        opened = self._signature(route.file, handler, names, 0)
        for dependency in route.said["depends"]:
            opened = self._depends(route.file, dependency, names, 0) or opened
        return _Taken(names, opened)

    def _helpers(
        self, file: str, handler: Mapping[str, Json], names: dict[str, tuple[str, Json]], seen: set[tuple[str, str]]
    ) -> bool:
        """Adds what functions that a handler calls read of the request, which Flask hands to none; whether one of them
        may read more."""
        opened = False
        for call in handler["calls"]:
            where = self._project.find(file, call)
            if where in seen:
                continue
            inner = self._project.files[where[0]]["functions"].get(where[1]) if where else None
            if where is None or inner is None:
                opened = opened or call.startswith("self.") or _READS.search(call.rpartition(".")[2]) is not None
                continue
            seen.add(where)
            names |= {str(n): (where[0], None) for n in inner["names"]}
            opened = opened or inner["whole"] or inner["uses"] > len(inner["names"])
            opened = self._helpers(where[0], inner, names, seen) or opened
        return opened

    def _signature(
        self, file: str, handler: Mapping[str, Json], names: dict[str, tuple[str, Json]], depth: int
    ) -> bool:
        """Adds the parameters of a handler or dependency; whether it may take others."""
        opened = bool(handler["open"])
        for parameter in handler["parameters"]:
            kind = self._resolved(file, parameter)
            if "depends" in kind:
                inner = kind["depends"] if kind["depends"] != "*" else _named(kind["type"])
                opened = self._depends(kind.get("file", file), inner, names, depth + 1) or opened
                continue
            last = _named(kind["type"]).rpartition(".")[2]
            if last in _FRAMEWORK:
                opened = True
            elif last not in _GIVEN:
                typed = self.models.typed(kind.get("file", file), kind["type"])
                if typed.model is not None and kind.get("in") == "Query":
                    for name, field in self.models.fields(typed.model).fields.items():
                        names.setdefault(name, field)
                opened = opened or (not typed.kinds and kind.get("in") not in ("Query", "Path", "Header", "Body"))
                alias = self._project.text(file, kind["alias"]) if "alias" in kind else kind["name"]
                opened = opened or alias is None
                names.setdefault(alias or kind["name"], (file, kind))
        return opened

    def _resolved(self, file: str, parameter: Mapping[str, Json]) -> Mapping[str, Json]:
        """A parameter whose type is a name for `Annotated[…]`, with what that says."""
        kind = parameter["type"]
        where = self._project.find(file, str(kind[1])) if kind[0] == "name" else None
        alias = self._project.files[where[0]]["aliases"].get(where[1]) if where else None
        if where is None or alias is None or alias[0] != "annotated":
            return parameter
        more = {key: value for marker in alias[2] for key, value in marker.items()}
        return {**more, **{k: v for k, v in parameter.items() if k != "type"}, "type": alias, "file": where[0]}

    def _depends(self, file: str, name: str, names: dict[str, tuple[str, Json]], depth: int) -> bool:
        where = self._project.find(file, name) if name and depth < _DEPTH else None
        function = self._project.files[where[0]]["functions"].get(where[1]) if where else None
        return True if where is None or function is None else self._signature(where[0], function, names, depth)

    def _parameter(self, operation: Operation, route: PyRoute, parameter: Parameter, taken: _Taken) -> None:
        where, place = f"{operation.name} {parameter.name}", (route.file, int(route.said["handler"]["line"]))
        said = taken.names.get(parameter.name)
        if said is None:
            if parameter.where == "query" and not taken.open:
                actual = f"{route.said['name']} does not read it"
                self.models.add("query-param-missing", "missing", where, "it is read", actual, operation.name, place)
            return
        file, kind = said
        if kind is None or parameter.schema is None or kind["type"] == ["any"]:
            return
        place = (file, int(kind["line"]))
        self.models.compare(parameter.schema, file, kind["type"], where, operation.name, "request", place[1])
        flat = self.models.flat(parameter.schema)
        self.models.limits(flat, kind, self.models.typed(file, kind["type"]), where, operation.name, place)

    def _bodies(self, operation: Operation, route: PyRoute) -> None:
        said, handler = route.said, route.said["handler"]
        model = said["model"] if said["model"] is not None else handler["returns"]
        if model is not None and model != ["none"] and not said["class"] and not self._a_response(model):
            for status, response in operation.responses.items():
                schema, meant = json_schema(response.content), str(said["status"]) in ("0", status)
                if status[0] == "2" and schema is not None and meant:
                    where = f"{operation.name} {status}"
                    self.models.compare(schema, route.file, model, where, operation.name, "response", route.line,
                                        loose=said["loose"])  # fmt: skip
        schema = json_schema(operation.body.content) if operation.body else None
        bodies = [
            p for p in handler["parameters"]
            if p.get("in") in (None, "Body") and "depends" not in p
            and self.models.typed(route.file, p["type"]).model is not None
        ]  # fmt: skip
        if schema is not None and len(bodies) == 1:
            kind, line = bodies[0]["type"], int(bodies[0]["line"])
            self.models.compare(schema, route.file, kind, f"{operation.name} body", operation.name, "request", line)


def operations(api: Api, routes: Sequence[PyRoute], base: str) -> Iterator[tuple[Operation, PyRoute]]:
    """The operations that have a route, with it."""
    known = {(route.method, plain(route.path)): route for route in routes}
    for operation in api.operations:
        if (route := known.get((operation.method.upper(), plain(base + operation.path)))) is not None:
            yield operation, route


def found(api: Api, project: Project, routes: Sequence[PyRoute], base: str) -> list[Placed]:
    """What the handlers of all operations deviate in."""
    handlers = Handlers(api, project)
    for operation, route in operations(api, routes, base):
        handlers.look(operation, route)
    return list(handlers.models.found.values())


def _named(kind: Json) -> str:
    while kind[0] == "annotated":
        kind = kind[1]
    return str(kind[1]) if kind[0] == "name" else ""
