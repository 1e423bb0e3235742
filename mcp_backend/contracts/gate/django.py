"""The routes of a Django project by its source: URL configurations, views, and the routers of REST framework.

https://docs.djangoproject.com/en/5.2/topics/http/urls/ · https://www.django-rest-framework.org/api-guide/routers/
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast

from mcp_backend.contracts.gate.python_project import Project
from mcp_backend.contracts.service.routing import Route

Json: TypeAlias = Any
ACTIONS = {
    "list": ("GET", False), "create": ("POST", False), "retrieve": ("GET", True), "update": ("PUT", True),
    "partial_update": ("PATCH", True), "destroy": ("DELETE", True),
}  # fmt: skip
"""What a router asks of a view set: its method, and whether of one thing."""
_MIXINS = {
    "ModelViewSet": tuple(ACTIONS), "ReadOnlyModelViewSet": ("list", "retrieve"), "GenericViewSet": (), "ViewSet": (),
    "ListModelMixin": ("list",), "CreateModelMixin": ("create",), "RetrieveModelMixin": ("retrieve",),
    "UpdateModelMixin": ("update", "partial_update"), "DestroyModelMixin": ("destroy",), "object": (),
}  # fmt: skip
_VIEWS = {
    "View": "", "APIView": "", "GenericAPIView": "", "object": "", "TemplateView": "get", "ListAPIView": "get",
    "CreateAPIView": "post", "RetrieveAPIView": "get", "DestroyAPIView": "delete", "UpdateAPIView": "put patch",
    "ListCreateAPIView": "get post", "RetrieveUpdateAPIView": "get put patch", "RetrieveDestroyAPIView": "get delete",
    "RetrieveUpdateDestroyAPIView": "get put patch delete", "ListModelMixin": "", "CreateModelMixin": "",
    "RetrieveModelMixin": "", "UpdateModelMixin": "", "DestroyModelMixin": "", "LoginRequiredMixin": "",
}  # fmt: skip
VERBS = ("get", "post", "put", "patch", "delete")
_DEPTH = 8


class Urls:
    """Follows the URL configurations of a project. `lost` are places that cannot be read."""

    def __init__(self, project: Project, facts: Mapping[str, Json]) -> None:
        self._project, self._facts = project, facts
        self.lost: list[str] = []

    def routes(self) -> dict[str, list[Route]]:
        """The routes of each configuration that no other one includes."""
        own = {file for file, said in self._facts.items() if said["urls"]}
        included = {
            target for file in own for entry in _all(self._facts[file]["urls"], *self._facts[file]["lists"].values())
            if (target := self._included(file, entry)) is not None
        }  # fmt: skip
        roots = {
            found for file, said in self._facts.items() if said["root"]
            if (found := self._project.module(said["root"], file)) in own
        } or own - included  # fmt: skip
        return {root: list(dict.fromkeys(self._within(root, "", 0))) for root in sorted(filter(None, roots))}

    def _included(self, file: str, entry: Json) -> str | None:
        return self._project.module(entry["include"], file) if entry["include"] else None

    def _within(self, file: str, prefix: str, depth: int) -> Iterator[Route]:
        if depth > _DEPTH:
            return
        yield from self._entries(file, self._facts[file]["urls"], prefix, depth)

    def _entries(self, file: str, entries: list[Json], prefix: str, depth: int) -> Iterator[Route]:
        for entry in entries:
            place = f"{file}:{entry['line']}"
            path = None if entry["path"] is None else f"{prefix}/{_plain(entry['path'], entry['regex'])}"
            inner = self._included(file, entry)
            listed = self._listed(file, entry["inner"])
            if path is not None and listed is not None and depth <= _DEPTH:
                yield from self._entries(*listed, path, depth + 1)
            elif path is None or (entry["include"] and inner not in self._facts and not entry["foreign"]):
                self.lost.append(place)
            elif inner is not None and inner in self._facts:
                yield from self._within(inner, path, depth + 1)
            elif entry["router"]:
                yield from self._router(file, entry["router"], path, place)
            elif entry["view"]:
                yield from self._view(file, entry["view"], entry["actions"], path, place)
            elif not entry["include"]:
                self.lost.append(place)

    def _listed(self, file: str, said: Json) -> tuple[str, list[Json]] | None:
        """The patterns of a list, written in place or by its name."""
        if isinstance(said, list):
            return file, cast("list[Json]", said)
        where = self._project.module_of(file, said) if said else None
        found = self._facts.get(where[0], {}).get("lists", {}).get(where[1]) if where else None
        return (where[0], found) if where and found is not None else None

    def _before(self, file: str, name: str, depth: int) -> str | None:
        """What a nested router has before its paths: the path of its parent's things, and one of those."""
        parent = self._facts.get(file, {}).get("nested", {}).get(name)
        if parent is None:
            return ""
        where = self._project.module_of(file, parent[0])
        before = self._before(*where, depth + 1) if where and depth < _DEPTH else None
        return None if before is None or parent[1] is None else f"{before}/{parent[1]}/{{id}}"

    def _router(self, file: str, name: str, prefix: str, place: str) -> Iterator[Route]:
        where = self._project.module_of(file, name)
        registered = (
            [r for r in self._facts.get(where[0], {}).get("registers", ()) if r[0] == where[1]] if where else []
        )
        before = self._before(*where, 0) if where else None
        if where is None or not registered or before is None:
            self.lost.append(place)
            return
        prefix += before
        for _, path, view, line in registered:
            place = f"{where[0]}:{line}"
            kind = self._class(where[0], view)
            if path is None or kind is None:
                self.lost.append(place)
                continue
            actions, whole = self._actions(*kind, 0)
            if not whole:
                self.lost.append(place)
            base = f"{prefix}/{path}"
            for method, one, more in actions:
                yield Route(method, _slashes(base + ("/{id}" if one else "") + (f"/{more}" if more else "")), place)

    def _view(self, file: str, view: str, actions: list[str], path: str, place: str) -> Iterator[Route]:
        name = view.removesuffix(".as_view")
        kind = self._class(file, name)
        if name == view or kind is None:
            where = self._project.find(file, name)
            allowed = self._facts.get(where[0], {}).get("functions", {}).get(where[1]) if where else None
            yield from (Route(m, _slashes(path), place, unclear=m == "*") for m in allowed or ["*"])
            return
        found, whole = ([a.upper() for a in actions], True) if actions else self._methods(*kind, 0)
        if not whole:
            self.lost.append(place)
            found = ["*"]
        yield from (Route(m, _slashes(path), place, unclear=m == "*") for m in dict.fromkeys(found))

    def _class(self, file: str, name: str) -> tuple[str, Json] | None:
        where = self._project.find(file, name)
        found = self._facts.get(where[0], {}).get("classes", {}).get(where[1]) if where else None
        return (where[0], found) if where and found is not None else None

    def _actions(self, file: str, kind: Json, depth: int) -> tuple[list[tuple[str, bool, str]], bool]:
        """The actions of a view set as method, whether of one thing, and path; and whether those are all."""
        names, whole = [m for m in kind["methods"] if m in ACTIONS], True
        found = [(m, bool(one), _plain(str(path), True)) for one, methods, path, _ in kind["actions"] for m in methods]
        for base in kind["bases"]:
            last = base.rpartition(".")[2]
            inner = self._class(file, base) if depth < _DEPTH else None
            if inner is not None:
                more, all_ = self._actions(*inner, depth + 1)
                found, whole = found + more, whole and all_
            elif last in _MIXINS:
                names += _MIXINS[last]
            else:
                whole = False
        allowed = kind["allowed"]
        found += [(*ACTIONS[name], "") for name in names]
        return [f for f in dict.fromkeys(found) if allowed is None or f[0].lower() in allowed], whole

    def _methods(self, file: str, kind: Json, depth: int) -> tuple[list[str], bool]:
        found, whole = [m.upper() for m in VERBS if m in kind["methods"]], True
        for base in kind["bases"]:
            inner = self._class(file, base) if depth < _DEPTH else None
            if inner is not None:
                more, all_ = self._methods(*inner, depth + 1)
                found, whole = found + more, whole and all_
            elif (known := _VIEWS.get(base.rpartition(".")[2])) is not None:
                found += known.upper().split()
            else:
                whole = False
        allowed = kind["allowed"]
        return [m for m in found if allowed is None or m.lower() in allowed], whole


def _all(*lists: list[Json]) -> Iterator[Json]:
    for entry in (one for entries in lists for one in entries):
        yield entry
        yield from _all(entry["inner"] if isinstance(entry["inner"], list) else [])


def _plain(path: str, regex: bool) -> str:
    if regex:
        path = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"{\1}", path).strip("^").removesuffix("$")
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", path)


def _slashes(path: str) -> str:
    return "/" + re.sub(r"/+", "/", path).strip("/")
