# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Compares the routes and handlers of a Go module with an OpenAPI document, from the source."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mcp_backend.contracts.gate.found import Placed
from mcp_backend.contracts.openapi.model import Api, Operation
from mcp_backend.contracts.service.go import Handlers
from mcp_backend.contracts.service.go_routes import GoRoute, Routes
from mcp_backend.contracts.service.go_source import Module, parsed
from mcp_backend.contracts.service.routing import plain
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.words import Deviation

_PLACE = re.compile(r"([^\s(]+\.go):(\d+)")


_ROUTER = re.compile(
    rb'"(github\.com/(go-chi/chi|gin-gonic/gin|labstack/echo|gorilla/mux|gofiber/fiber|julienschmidt/httprouter)|net/http")'
)
_SERVES = re.compile(
    rb"\b(HandleFunc|ServeMux|Handle|GET|POST|PUT|PATCH|DELETE|Get|Post|Put|Patch|Delete|Group|Route|Mount)\b"
)
_PATH = re.compile(rb'(?m)^\s*(const\s+|var\s+)?\w+(\s+string)?\s*=\s*"/')


def routing(source: bytes) -> bool:
    """Whether a file may make routes, or name their paths."""
    found = _ROUTER.search(source)
    return (found is not None and _SERVES.search(source) is not None) or _PATH.search(source) is not None


@dataclass(frozen=True, slots=True)
class GoApp:
    """A module and its routes. `lost` are places whose routes cannot be read."""

    module: Module
    routes: tuple[GoRoute, ...]
    lost: tuple[str, ...]


def app(source: Source, paths: Sequence[str]) -> GoApp:
    """The module that some files make up. Raises `Unavailable`."""
    module = parsed(source.texts(paths))
    found = Routes(module)
    return GoApp(module, tuple(found.routes), tuple(found.unresolved))


def modules(files: Iterable[str]) -> list[str]:
    """The folders of the Go modules: those with a `go.mod`, or the root."""
    known = [f for f in files if f.endswith(".go") and not f.endswith("_test.go")]
    folders = sorted(f.rpartition("/")[0] for f in files if f.rpartition("/")[2] == "go.mod")
    return folders or ([""] if known else [])


def found(api: Api, of: GoApp, base: str) -> list[Placed]:
    """What the handlers of all operations deviate in."""
    by_key = {(r.method, plain(r.path)): r for r in of.routes}
    handlers, placed = Handlers(api, of.module), list[Placed]()
    known: set[tuple[str, str]] = set()
    for operation in api.operations:
        path = plain(base + operation.path)
        route = by_key.get((operation.method.upper(), path)) or by_key.get(("*", path))
        if route is None:
            continue
        handlers.look(operation, route)
        sure = not _shared(of.module, route)
        for key, deviation in handlers.structs.found.items():
            if key not in known:
                known.add(key)
                certain = sure and _certain(handlers, operation, deviation)
                placed.append(_placed(of.module, deviation, operation.name, route, sure=certain))
    return placed


def _certain(handlers: Handlers, operation: Operation, deviation: Deviation) -> bool:
    """A pointer need not be nil; a status counts when the handler itself sends it, an error only where the document
    describes errors."""
    if deviation.id != "status-undocumented":
        return deviation.id != "null-not-allowed"
    error = deviation.where[-3:] >= "400"
    careful = any(status[0] == "4" for status in operation.responses)
    return deviation.where not in handlers.helped and (careful or not error)


def _shared(module: Module, route: GoRoute) -> bool:
    """Whether several functions have the handler's name, so that another one may have been looked at."""
    names = (
        re.findall(r"\w+", route.handler.text.decode("utf-8", "replace"))
        if route.handler.type != "func_literal"
        else []
    )
    return bool(names) and any(len(module.functions.get(name, ())) > 1 for name in names)


def _placed(module: Module, deviation: Deviation, operation: str, route: GoRoute, *, sure: bool) -> Placed:
    if hit := _PLACE.search(deviation.actual):
        return Placed(deviation, operation, hit[1], int(hit[2]), sure)
    words = (deviation.actual.partition(" ")[0], deviation.where.partition(".")[0])
    kind = next((w for w in words if w in module.types), "")
    if not kind:
        return Placed(deviation, operation, route.file, route.line, sure)
    node, path = module.types[kind]
    return Placed(deviation, operation, path, int(node.start_point[0]) + 1, sure and kind not in module.twice)
