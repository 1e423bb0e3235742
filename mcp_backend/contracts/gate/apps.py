"""The applications of a tree by their source, and what they do otherwise than one OpenAPI document says."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from mcp_backend.contracts.gate import django_file, python_file
from mcp_backend.contracts.gate.found import Placed
from mcp_backend.contracts.gate.python_project import Project, PyRoute
from mcp_backend.contracts.gate.tree_files import TreeFiles
from mcp_backend.contracts.openapi.model import Api
from mcp_backend.contracts.service.routing import OWN, Route, Routed, compare
from mcp_backend.contracts.words import Deviation
from mcp_backend.errors import Unavailable
from mcp_backend.workspace import evidence, kinds

Json: TypeAlias = Any
FORM = "12"
"""Changes whenever the answers do."""
_TESTING = re.compile(r"(?i)(^|/)(\w+[_-])?tests?(/|$)|(^|/)(conftest|tests?)\.py$|(^|/)(mocks?|fakes?)/|(^|/)vendor/")
_LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class App:
    """One application, by a name that it keeps while its file does. `lost` counts places whose routes cannot be read;
    `details` looks at the handlers of the operations of a document, given what stands before its paths."""

    name: str
    routes: tuple[Route, ...] = ()
    lost: int = 0
    digest: str = ""
    details: Callable[[Api, str], list[Placed]] = field(default=lambda api, base: [])


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found: `routed` operations have a route, `extras` counts routes that no document describes."""

    placed: tuple[Placed, ...] = ()
    routed: frozenset[str] = frozenset()
    lost: int = 0
    extras: int = 0

    def as_json(self) -> Json:
        """As it is kept."""
        rows = [
            [d.id, d.kind, d.where, d.expected, d.actual, d.source, p.operation, p.path, p.line, p.sure]
            for p in self.placed for d in (p.deviation,)
        ]  # fmt: skip
        return [rows, sorted(self.routed), self.lost, self.extras]

    @classmethod
    def from_json(cls, said: Json) -> "Looked":
        """What `as_json` made."""
        rows, routed, lost, extras = said
        return cls(tuple(Placed(Deviation(*row[:6]), *row[6:]) for row in rows), frozenset(routed), lost, extras)


def part_of_program(path: str) -> bool:
    """Whether a source may belong to a service: tests, examples and other people's code do not."""
    return not evidence.is_test(path) and not _TESTING.search(path) and kinds.evidence(path)


def read(tree: TreeFiles) -> list[App]:
    """The applications of a tree. Raises `Unavailable`."""
    own = [path for path in tree.oids if part_of_program(path)]
    return [
        *_python(tree, [p for p in own if p.endswith(".py")]),
        *_go(tree, [p for p in own if p.endswith((".go", "go.mod"))]),
    ]


def _python(tree: TreeFiles, paths: Iterable[str]) -> list[App]:
    facts = tree.about(paths, f"python:{python_file.FORM}", python_file.read)
    unread = sum(said is None for said in facts.values())
    facts = {path: said for path, said in facts.items() if said is not None}
    project = Project(facts)
    others = _django(tree, project, facts)
    if not any(said["routes"] or said["targets"] for said in facts.values()):
        return others
    grouped: dict[str, list[PyRoute]] = {}
    for route in project.routes():
        grouped.setdefault(route.app, []).append(route)
    digest = _digest(tree, facts)
    lost = len(set(project.lost)) + unread
    return others + [
        App(f"python:{name}", tuple(map(_route, routes)), lost, f"{digest}:{name}", _details(project, routes))
        for name, routes in grouped.items()
    ]


def _django(tree: TreeFiles, project: Project, facts: Mapping[str, Json]) -> list[App]:
    """The projects of Django: their routes alone, what views answer is not read."""
    about = tree.about(facts, f"django:{django_file.FORM}", django_file.read)
    about = {path: said for path, said in about.items() if said is not None}
    if not any(said["urls"] for said in about.values()):
        return []
    from mcp_backend.contracts.gate.django import Urls

    urls = Urls(project, about)
    found = urls.routes()
    lost, digest = len(set(urls.lost)), _digest(tree, about)
    return [App(f"django:{root}", tuple(routes), lost, f"{digest}:{root}") for root, routes in found.items()]


def _route(route: PyRoute) -> Route:
    return Route(route.method, route.path, f"{route.file}:{route.line}", hidden=bool(route.said["hidden"]))


def _details(project: Project, routes: Sequence[PyRoute]) -> Callable[[Api, str], list[Placed]]:
    def details(api: Api, base: str) -> list[Placed]:
        from mcp_backend.contracts.gate import python

        return python.found(api, project, routes, base)

    return details


def _go(tree: TreeFiles, paths: Sequence[str]) -> list[App]:
    if not any(path.endswith(".go") for path in paths):
        return []
    from mcp_backend.contracts.gate import go

    apps: list[App] = []
    folders = go.modules(paths)
    routing = tree.about([p for p in paths if p.endswith(".go")], "routing:1", go.routing)
    for folder in folders:
        inside = [p for p in routing if not folder or p.startswith(f"{folder}/")]
        inside = [p for p in inside if not any(len(o) > len(folder) and p.startswith(f"{o}/") for o in folders)]
        # Packages without a router have no part in the routes: a change there leaves them as they were.
        packages = {p.rpartition("/")[0] for p in inside if routing[p]}
        chosen = [p for p in inside if p.rpartition("/")[0] in packages]
        key = f"go:{FORM}:{_digest(tree, chosen)}"
        said: Json = tree.kept.get([key]).get(key)
        if said is None and chosen:
            try:
                app = go.app(tree.source(), chosen)
            except Unavailable:
                continue  # without the grammar of Go, nothing of it is verified
            said = [[[r.method, r.path, f"{r.file}:{r.line}"] for r in app.routes], len(app.lost)]
            tree.kept.put({key: said})
        if said and said[0]:
            routes = tuple(Route(*row) for row in said[0])
            apps.append(App(f"go:{folder}", routes, said[1], _digest(tree, inside), _go_details(tree, inside)))
    return apps


def _go_details(tree: TreeFiles, paths: Sequence[str]) -> Callable[[Api, str], list[Placed]]:
    def details(api: Api, base: str) -> list[Placed]:
        from mcp_backend.contracts.gate import go

        return go.found(api, go.app(tree.source(), paths), base)

    return details


def _digest(tree: TreeFiles, paths: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(f"{p} {tree.oids[p]}" for p in sorted(paths)).encode()).hexdigest()


def about(api: Api, apps: Sequence[App]) -> frozenset[str]:
    """The applications that a document is about: half of its operations, or of their routes, are the other's."""
    found: set[str] = set()
    for app in apps:
        fitting = len(compare(api, app.routes, "static").found)
        own = [r for r in app.routes if not OWN.match(r.path) and r.method not in ("HEAD", "OPTIONS")]
        if fitting and fitting * 2 >= min(len(api.operations), max(len(own), 1)):
            found.add(app.name)
    return frozenset(found)


def looked(api: Api, apps: Sequence[App], others: Sequence[tuple[Api, frozenset[str]]]) -> Looked:
    """What applications that a document is about do otherwise. `others` are further documents with the applications
    they are about: what those describe is no extra."""
    placed: dict[tuple[str, str], Placed] = {}
    routed: set[str] = set()
    missing: list[Placed] = []
    extras: dict[tuple[str, str], Placed] = {}
    lost = 0
    for app in apps:
        lost += app.lost
        own = compare(api, app.routes, "static")
        routed |= {operation.name for operation in own.found}
        missing += [Placed(d, d.where, "", 0) for d in own.deviations if d.id == "route-missing"]
        theirs = [_extras(compare(other, app.routes, "static")) for other, names in others if app.name in names]
        for key, deviation in _extras(own).items():
            if all(key in one for one in theirs):
                path, _, line = deviation.actual.rpartition(":")
                extras[key] = Placed(deviation, deviation.where, path, int(line or 0))
        for one in app.details(api, own.base):
            placed.setdefault(one.key, one)
    gone = {p.key: p for p in missing if p.operation not in routed}
    return Looked((*gone.values(), *extras.values(), *placed.values()), frozenset(routed), lost, len(extras))


def _extras(routed: Routed) -> dict[tuple[str, str], Deviation]:
    """The routes that a document does not have, by method and place."""
    return {(d.where.partition(" ")[0], d.actual): d for d in routed.deviations if d.id == "route-extra"}
