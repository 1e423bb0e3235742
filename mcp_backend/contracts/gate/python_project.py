"""The Python files of a tree as one program: which name means what in which file, and the routes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from mcp_backend.contracts.gate.python_file import MAKERS

Json: TypeAlias = Any
_DEPTH = 8


@dataclass(frozen=True, slots=True)
class PyRoute:
    """One route: its full path with `{parameters}`, and what its file says of it. `routers` are those it lies in."""

    method: str
    path: str
    file: str
    framework: str
    said: Mapping[str, Json]
    app: str

    @property
    def line(self) -> int:
        """Where its decorator stands."""
        return int(self.said["line"])


class Project:
    """Files by path with the facts of each."""

    def __init__(self, files: Mapping[str, Json]) -> None:
        self.files: dict[str, Json] = dict(files)
        self._by_end: dict[str, list[str]] = {}
        for path in files:
            self._by_end.setdefault(
                path.removesuffix("/__init__.py").removesuffix(".py").rpartition("/")[2], []
            ).append(path)
        self.lost: list[str] = []
        """Places where routes are made in a way that cannot be read."""
        for path, said in files.items():
            made = {
                name: {**one, "kind": kind}
                for name, one in said["made"].items()
                if (kind := self._kind(path, one["class"], 0))
            }
            if made:
                self.files[path] = {**said, "routers": {**said["routers"], **made}}

    def _kind(self, file: str, name: str, depth: int) -> str:
        """The framework of a class that is derived from a router or an application."""
        found = self.model(file, name) if depth < _DEPTH else None
        for base in found[1]["bases"] if found else ():
            if kind := MAKERS.get(base.rpartition(".")[2]) or self._kind(found[0] if found else file, base, depth + 1):
                return kind
        return ""

    def module(self, name: str, importer: str) -> str | None:
        """The file of a module as one file imports it: relative by dots, or the nearest of that name."""
        dots = len(name) - len(name.lstrip("."))
        inner = name[dots:].replace(".", "/")
        if dots:
            folders = importer.split("/")[:-dots] if dots <= importer.count("/") + 1 else []
            base = "/".join(folders)
            stem = f"{base}/{inner}".strip("/")
            return next((p for p in (f"{stem}.py", f"{stem}/__init__.py".lstrip("/")) if p in self.files), None)
        fitting = [
            p for p in self._by_end.get(inner.rpartition("/")[2], ())
            if f"/{p.removesuffix('/__init__.py').removesuffix('.py')}".endswith(f"/{inner}")
        ]  # fmt: skip
        return max(fitting, key=lambda p: (_shared(p, importer), -len(p)), default=None)

    def find(self, file: str, name: str, depth: int = 0) -> tuple[str, str] | None:
        """Where what `file` calls `name` is defined: a file and the name there (empty: the module itself)."""
        said = self.files.get(file)
        if said is None or depth > _DEPTH:
            return None
        if not name:
            return file, ""
        head, _, rest = name.partition(".")
        if any(head in said[kind] for kind in ("routers", "functions", "classes", "aliases", "texts")):
            return file, name
        imported = said["imports"].get(head)
        if imported is None:
            inner = self.module(f".{head}", file) if file.endswith("__init__.py") else None
            return self.find(inner, rest, depth + 1) if inner else None
        module, colon, attribute = str(imported).partition(":")
        if not colon:
            # `import a.b` and then `a.b.c`: the longest part that is a module.
            parts = name.split(".") if head == module else [module, *name.split(".")[1:]]
            for end in range(len(parts), 0, -1):
                if (inner := self.module(".".join(parts[:end]), file)) is not None:
                    return self.find(inner, ".".join(parts[end:]), depth + 1)
            return None
        separator = "" if module.endswith(".") else "."
        if (inner := self.module(f"{module}{separator}{attribute}", file)) is not None:
            return self.find(inner, rest, depth + 1)
        if (inner := self.module(module, file)) is not None and inner != file:
            return self.find(inner, f"{attribute}.{rest}" if rest else attribute, depth + 1)
        return None

    def module_of(self, file: str, name: str) -> tuple[str, str] | None:
        """The file that makes what `file` calls `name`, whatever it is, and its name there."""
        imported = self.files.get(file, {}).get("imports", {}).get(name.partition(".")[0])
        if imported is None:
            return file, name
        module, colon, attribute = str(imported).partition(":")
        rest = name.partition(".")[2]
        inner = self.module(module, file) if colon else self.module(name.rpartition(".")[0], file)
        if colon and rest:  # `from shop import api` and then `api.router`
            separator = "" if module.endswith(".") else "."
            return (found, rest) if (found := self.module(f"{module}{separator}{attribute}", file)) else None
        return (inner, attribute if colon else name.rpartition(".")[2]) if inner else None

    def text(self, file: str, value: Json) -> str | None:
        """A text that a file wrote in parts: constants of other files, attributes of a class of settings."""
        if value is None or isinstance(value, str):
            return value
        found = ""
        for part in cast("list[Json]", value):
            one = part if isinstance(part, str) else self._constant(file, part["name"], 0)
            if one is None:
                return None
            found += one
        return found

    def _constant(self, file: str, name: str, depth: int) -> str | None:
        head, _, attribute = name.rpartition(".")
        where = self.find(file, name)
        if where and where[1] in self.files[where[0]]["texts"]:
            return self.text(where[0], self.files[where[0]]["texts"][where[1]])
        owner = self.find(file, head) if head else None
        said = self.files.get(owner[0]) if owner else None
        value = said["texts"].get(f".{attribute}") if said else None
        return self.text(owner[0], value) if owner and value is not None and depth < _DEPTH else None

    def routes(self) -> list[PyRoute]:
        """All routes of all applications, each under every prefix that its router is included with."""
        prefixes = self._prefixes()
        found: list[PyRoute] = []
        for file, said in self.files.items():
            for line, _ in said["lost"]:
                self.lost.append(f"{file}:{line}")
            for route in self._all(file, said):
                where = self.find(file, route["owner"])
                router = self.files[where[0]]["routers"].get(where[1]) if where else None
                if where is None or router is None:
                    continue
                path = self.text(file, route["path"])
                places = prefixes.get(where, [])
                if path is None or not route["methods"] or any(prefix is None for prefix, _ in places):
                    self.lost.append(f"{file}:{route['line']}")
                if path is None:
                    continue
                for prefix, app in places:
                    if prefix is not None:
                        full = _plain(f"{prefix.rstrip('/')}/{path.lstrip('/')}" if path else prefix or "/")
                        told = {**route, "given": _given(router, route)}
                        place = route.get("file", file)
                        found += [PyRoute(str(m), full, place, router["kind"], told, app) for m in route["methods"]]
        return found

    def _all(self, file: str, said: Json) -> Iterator[Json]:
        """The routes of a file, those of functions and classes that it names among them."""
        yield from said["routes"]
        for route in said["targets"]:
            where = self.find(file, route["target"])
            there: Json = self.files[where[0]] if where else {}
            if where and (handler := there["functions"].get(where[1])) is not None:
                own: dict[str, Json] = {"file": where[0], "handler": handler, "name": where[1], "line": handler["line"]}
                own |= {key: handler[key] for key in ("others", "answers")}
                yield {**route, **own, "methods": ["GET"] if route["any"] else route["methods"]}
            elif where and where[1] in there["classes"]:
                for verb, (place, one, opened) in self._verbs(where[0], where[1], 0).items():
                    if route["any"] or verb.upper() in route["methods"]:
                        more = ["?"] if opened else []  # decorators that a class puts on all of its methods
                        own = {**one, "others": [*one["others"], *more], "methods": [verb.upper()], "file": place}
                        yield {**route, **own, "name": f"{where[1]}.{verb}", "line": one["handler"]["line"]}
            else:
                self.lost.append(f"{file}:{route['line']}")

    def _verbs(self, file: str, name: str, depth: int) -> dict[str, tuple[str, Json, bool]]:
        """The methods of a class of views by verb, those of its bases among them, each with its file."""
        found = self.model(file, name) if depth < _DEPTH else None
        if found is None:
            return {}
        place, said = found
        verbs: dict[str, tuple[str, Json, bool]] = {}
        for base in reversed(said["bases"]):
            verbs |= self._verbs(place, base, depth + 1)
        return verbs | {verb: (place, one, said["open"]) for verb, one in said["verbs"].items()}

    def _prefixes(self) -> dict[tuple[str, str], list[tuple[str | None, str]]]:
        """Every router with the prefixes it is reached under, and by which application; `None` where one is unknown."""
        inside: dict[tuple[str, str], list[tuple[tuple[str, str], Json, str]]] = {}
        for file, said in self.files.items():
            for include in said["includes"]:
                target, owner = self.find(file, include["target"]), self.find(file, include["owner"])
                if target is None or target[1] not in self.files[target[0]]["routers"]:
                    if include["kind"] != "mount":
                        self.lost.append(f"{file}:{include['line']}")
                    continue
                if owner is not None and owner[1] in self.files[owner[0]]["routers"]:
                    inside.setdefault(target, []).append((owner, include, file))
                elif include["kind"] != "mount":  # an application that is handed in, as to `init_app(app)`
                    inside.setdefault(target, []).append(((file, f"?{include['owner']}"), include, file))
        reached: dict[tuple[str, str], list[tuple[str | None, str]]] = {}

        def places(key: tuple[str, str], depth: int) -> Iterator[tuple[str | None, str]]:
            if key[1].startswith("?"):
                yield "", key[0]
                return
            router = self.files[key[0]]["routers"][key[1]]
            own = self.text(key[0], router["prefix"])
            if key not in inside or depth > _DEPTH:
                if self._application(key):
                    yield own, f"{key[0]}:{key[1]}"
                return
            for owner, include, file in inside[key]:
                given = include["prefix"]
                more = "" if given is None else self.text(file, given["is"])
                for outer, app in places(owner, depth + 1):
                    # Flask: the prefix given on registering replaces the blueprint's own.
                    mine = more if router["kind"] == "flask" and given is not None else _added(more, own)
                    yield (None if outer is None or mine is None else _added(outer, mine)), app

        for file, said in self.files.items():
            for name in said["routers"]:
                reached[file, name] = list(dict.fromkeys(places((file, name), 0)))
        return reached

    def _application(self, key: tuple[str, str]) -> bool:
        said = self.files[key[0]]
        return said["routers"][key[1]].get("app", False)

    def model(self, file: str, name: str) -> "tuple[str, Mapping[str, Json]] | None":
        """The class a file calls `name`, with the file it is in."""
        where = self.find(file, name)
        if where is None or where[1] not in self.files[where[0]]["classes"]:
            return None
        return where[0], self.files[where[0]]["classes"][where[1]]


def _given(router: Json, route: Json) -> int:
    """The status that a decorator sets, where the package is one whose decorators do; 0 where none does."""
    given = [number for owner, number in route["answers"] if owner == route["owner"] or router["app"]]
    return int(given[-1]) if router.get("sets") and given else 0


def _added(one: str | None, two: str | None) -> str | None:
    if one is None or two is None:
        return None
    return f"{one.rstrip('/')}/{two.lstrip('/')}" if two else one


def _plain(path: str) -> str:
    """A path as OpenAPI writes it: `<int:id>` and `{id:path}` are `{id}`."""
    import re

    path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", path)
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", path).rstrip("/") or "/"


def _shared(one: str, two: str) -> int:
    """How many folders two paths have in common."""
    pairs: Sequence[tuple[str, str]] = list(zip(one.split("/")[:-1], two.split("/")[:-1], strict=False))
    return next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
