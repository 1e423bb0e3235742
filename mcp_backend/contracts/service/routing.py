"""Compares the routes of an application with the operations of its OpenAPI document."""

import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from mcp_backend.contracts.openapi.model import Api, Operation
from mcp_backend.contracts.words import Deviation, Unverified

OWN = re.compile(
    r"^/(openapi(\.\w+)?|docs(/.*)?|redoc|swagger(-ui)?(/.*)?|api-docs(/.*)?|static/.*|favicon\.ico|metrics|"
    r"index\.html|manifest\.json|robots\.txt|asset-manifest\.json|service-worker\.js|assets/.*|"
    r"(-/)?(health|healthz|live|livez|ready|readyz|ping)(/.*)?|__debug__.*|debug/pprof.*|admin/.*)$"
)
"""What frameworks and platforms add by themselves and no specification describes."""
_VERSION = re.compile(r"(?<=/)v\d+(\.\d+)*(?=/|$)")


@dataclass(frozen=True, slots=True)
class Route:
    """One route of an application. `method` is `*` where it takes any."""

    method: str
    path: str
    place: str = ""
    hidden: bool = False
    unclear: bool = False


@dataclass(frozen=True, slots=True)
class Routed:
    """How routes and operations fit together. `base` is what the application puts before every path of the document,
    or leaves out; `found` are the operations that have a route."""

    deviations: tuple[Deviation, ...]
    unverified: tuple[Unverified, ...]
    found: tuple[Operation, ...]
    base: str


def compare(api: Api, routes: Sequence[Route], source: str) -> Routed:
    """The operations without a route and the routes without an operation."""
    bases = sorted({"", *api.base_paths}, key=lambda b: -_fitting(api, routes, b))
    base = bases[0]
    prefix = _prefix(api, routes, _fitting(api, routes, base))
    base = base if prefix is None else prefix
    known = {(route.method, plain(route.path)) for route in routes}
    places = {path for _, path in known}
    anything = {plain(route.path) for route in routes if route.method == "*"}
    deviations: list[Deviation] = []
    found: list[Operation] = []
    used: set[str] = set()
    for operation in api.operations:
        path = _placed(base + operation.path, places)
        used.add(path)
        if (
            (operation.method.upper(), path) in known
            or path in anything
            or _mounted(routes, path)
            or (operation.method == "head" and ("GET", path) in known)
        ):
            found.append(operation)
        else:
            deviations.append(
                Deviation("route-missing", "missing", operation.name, "a route", _others(known, path), source)
            )
    expected = {(o.method.upper(), _placed(base + o.path, places)) for o in api.operations}
    gets = {path for method, path in expected if method == "GET"}
    unverified: list[Unverified] = []
    if prefix is not None:
        unverified.append(Unverified("*", f"all of it is served below {prefix}, which no server of the document says"))
    for route in routes:
        key = (route.method, plain(route.path))
        if route.hidden or key in expected or (route.method == "HEAD" and key[1] in gets) or route.method == "OPTIONS":
            continue
        if route.method == "HEAD" and ("GET", key[1]) in known:
            continue
        if route.unclear:
            unverified.append(
                Unverified(f"{route.method} {route.path}", "the path is a pattern that cannot be compared")
            )
        elif route.method in ("*", "GET") and key[1] == "/" and "/" not in used:
            unverified.append(Unverified("/", "a page at the root, or of every path without a route: not compared"))
        elif route.method == "*" and key[1] in used:
            unverified.append(
                Unverified(route.path, "the handler takes every method; which it answers is not declared")
            )
        elif not OWN.match(route.path):
            where = f"{route.method} {_shown(route.path, base)}"
            deviations.append(
                Deviation("route-extra", "extra", where, "no such operation", route.place or "a route", source)
            )
    return Routed(tuple(dict.fromkeys(deviations)), tuple(unverified), tuple(found), base)


def plain(path: str) -> str:
    """A path whose parameters have no names, without a slash at its end."""
    return re.sub(r"\{[^}]*\}", "{}", path.rstrip("/")) or "/"


def _shown(path: str, base: str) -> str:
    text = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", path)
    return (text.removeprefix(base) if base else text).rstrip("/") or "/"


def _prefix(api: Api, routes: Sequence[Route], fitting: int) -> str | None:
    """What stands before nearly every path where no server of the document has a path: many leave out where they are
    served. Of a few operations it is told from a wrong path by nothing."""
    if any(base.strip("/") for base in api.base_paths):
        return None
    paths = {plain(o.path) for o in api.operations}
    counts: Counter[str] = Counter()
    for path in {plain(route.path) for route in routes}:
        for match in re.finditer("/", path[1:]):
            if path[match.start() + 1 :] in paths:
                counts[path[: match.start() + 1]] += 1
    best, count = counts.most_common(1)[0] if counts else ("", 0)
    return best if count >= max(5, 0.8 * len(paths)) and count > fitting else None


def _fitting(api: Api, routes: Sequence[Route], base: str) -> int:
    paths = {plain(route.path) for route in routes}
    return sum(_placed(base + o.path, paths) in paths for o in api.operations)


def _placed(path: str, places: Container[str]) -> str:
    """A path of a document as the application has it: `/v1` may be what it takes for `/v{version}`, or `/{version}`."""
    path = plain(path)
    forms = (_VERSION.sub(form, path) for form in ("v{}", "{}"))
    return path if path in places else next((form for form in forms if form in places), path)


def _mounted(routes: Iterable[Route], path: str) -> bool:
    return any(
        r.method == "*"
        and r.path.endswith("/{rest}")
        and path.startswith(r.path.removesuffix("{rest}"))
        and len(r.path) > 7
        for r in routes
    )


def _others(known: set[tuple[str, str]], path: str) -> str:
    methods = sorted(method for method, other in known if other == path and method not in ("HEAD", "OPTIONS"))
    return f"only {', '.join(methods)}" if methods else "no route with this path"
