"""Which folders of a repository belong to the frontend, to a server written in JavaScript, to documentation.

The evidence, strongest first: manifests (`package.json`, `pubspec.yaml`, Xcode, Android and Tauri projects),
configuration of bundlers, then names of folders together with what lies in them. A manifest at the root of the
repository marks nothing by itself: each folder below it is voted on. Test data and examples are no evidence.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from mcp_backend.expressions import Expression
from mcp_backend.records import dataclass, field
from mcp_backend.workspace.canonical import canonical, parents, words
from mcp_backend.workspace.kinds import MAILISH, documentation, evidence, kind

if TYPE_CHECKING:
    from mcp_backend.policy import Policy, TemplateOwner

Read: TypeAlias = Callable[[str], str | None]
Sort: TypeAlias = Literal["frontend", "voted", "node", "library", "docs", "mail", "terminal", "backend"]
"""`voted`: a frontend by its name and content, not by a manifest. `backend`: a manifest of a backend language."""

_BACKEND = words(
    "pyproject.toml setup.py setup.cfg go.mod manage.py requirements.txt pipfile poetry.lock cargo.toml pom.xml "
    "build.gradle build.gradle.kts gemfile mix.exs composer.json"
)
_BUNDLER = Expression(
    r"((vite|next|nuxt|svelte|astro|vue|rsbuild|quasar|remix|react-router)\.config|gatsby-config|ember-cli-build)"
    r"\.(js|ts|mjs|cjs|mts)|angular\.json"
)
_TERMINAL = Expression(r"(?m)^\s*[\"']?textual\b")
_STRONG_NAME = Expression(
    r"front-?ends?|web-?app|web[-_]?ui|web_app|.+[-_](frontend|webapp|webui)|storefront|spa|web-?client"
)
_WEAK_NAME = Expression(r"ui|web|clients?|www|site|dashboard|app|public|static|assets|.+[-_]ui")
_NOT_VOTED = words(
    "templates template jinja2 server servers backend api worker workers functions migrations prisma db scripts test "
    "tests __tests__ __mocks__ e2e cypress playwright shared common"
)
"""Folders that a manifest above them says nothing about: they hold both sides' files, or the server's."""

_HOLDERS = words("apps packages libs projects services")
"""Folders of a monorepo that hold programs, each of one side."""
_SERVERS = words("server servers backend api worker workers functions")
_NOT_PAGES = _SERVERS | words("shared common")
"""Those of `_NOT_VOTED` that say whose a program or library of a monorepo is not: the frontend's."""


@dataclass(frozen=True, slots=True)
class Root:
    """One folder with a role, as spelt in the repository; "" is the root. `why` is for people."""

    folder: str
    sort: Sort
    why: str


@dataclass(frozen=True, slots=True)
class Roots:
    """What is known about the folders of one repository, and what its policy says about paths.

    Keys are canonical. `packages` maps every folder with a `package.json` to what makes it hold server code too (a
    framework or a dependency), or "". `generated` are specifications that a program writes from the code. `hooks` is
    the folder git runs hooks from, where it lies in the workspace.
    """

    by_folder: Mapping[str, Root] = field(default_factory=lambda: MappingProxyType({}))
    packages: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    generated: frozenset[str] = frozenset()
    hooks: str | None = None
    frontend: tuple[str, ...] = ()
    backend: tuple[str, ...] = ()
    spec: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    templates: "TemplateOwner" = "ask"

    def nearest(self, path: str) -> Root | None:
        """The innermost root that a canonical path lies in."""
        return next((self.by_folder[f] for f in parents(path) if f in self.by_folder), None)

    def package(self, path: str) -> tuple[str, str]:
        """The folder of the nearest `package.json` and what makes it serve; ("", "") where there is none."""
        return next(((f, self.packages[f]) for f in parents(path) if f in self.packages), ("", ""))

    def of(self, *sorts: Sort) -> tuple[Root, ...]:
        """All roots of these sorts, by folder."""
        return tuple(self.by_folder[f] for f in sorted(self.by_folder) if self.by_folder[f].sort in sorts)


@dataclass(slots=True)
class _Counts:
    """Files below a folder, by kind, and the folders directly in it."""

    back: int = 0
    ui: int = 0
    js: int = 0
    template: int = 0
    folders: list[str] = field(default_factory=list[str])

    def add(self, other: "_Counts") -> None:
        self.back += other.back
        self.ui += other.ui
        self.js += other.js
        self.template += other.template

    @property
    def browser(self) -> int:
        return self.ui + self.js


def build(files: Iterable[str], read: Read, policy: "Policy", hooks: str | None = None) -> Roots:
    """The roots of a repository. `read` gives the text of a file, or `None`; only manifests are read."""
    from mcp_backend.workspace import generated

    listed = [f for f in files if "node_modules/" not in f and "bower_components/" not in f]
    counts = _survey(listed)
    roots: dict[str, Root] = {}
    packages: dict[str, str] = {}
    told = [path for path in listed if _tells(path.rpartition("/")[2].lower()) and evidence(path)]
    for path in told:
        _by_manifest(path, read, counts, roots, packages)
    for path in told:
        folder, _, name = path.rpartition("/")
        undecided = folder not in packages and (folder not in roots or roots[folder].sort == "backend")
        if folder and undecided and _BUNDLER.fullmatch(name.lower()) and counts[folder].back <= counts[folder].browser:
            roots[folder] = Root(folder, "frontend", f"has {name}")
    _by_name(counts, roots)
    return Roots(
        by_folder=MappingProxyType(
            {canonical(folder): root for folder, root in roots.items() if not _part_of_another(root, roots)}
        ),
        packages=MappingProxyType({canonical(folder): serves for folder, serves in packages.items()}),
        generated=generated.specifications(listed, read),
        hooks=hooks,
        frontend=policy.frontend,
        backend=policy.backend,
        spec=policy.spec,
        protected=policy.protected,
        templates=policy.templates,
    )


def _part_of_another(root: Root, roots: Mapping[str, Root]) -> bool:
    """Whether a root says nothing of its own: a library of a frontend, or browser code of a documentation site."""
    above = [roots[folder] for folder in parents(root.folder) if folder in roots]
    match root.sort:
        case "library" | "voted":
            return any(
                up.sort == "frontend" or (up.sort == "voted" and _STRONG_NAME.fullmatch(_name(up.folder)))
                for up in above
            )
        case "frontend":
            return any(up.sort == "docs" for up in above)
        case _:
            return False


def _name(folder: str) -> str:
    return folder.rpartition("/")[2].lower()


def _tells(name: str) -> bool:
    return (
        name in _BACKEND
        or name in ("package.json", "pubspec.yaml", "tauri.conf.json", "androidmanifest.xml", "project.pbxproj")
        or _BUNDLER.fullmatch(name) is not None
    )


def _survey(files: Iterable[str]) -> dict[str, _Counts]:
    counts: dict[str, _Counts] = {"": _Counts()}
    for path in files:
        folder = path.rpartition("/")[0]
        here = counts.get(folder)
        if here is None:
            here = counts[folder] = _Counts()
        match kind(path):
            case "back":
                here.back += 1
            case "ui":
                here.ui += 1
            case "js":
                here.js += 1
            case "template":
                here.template += 1
            case _:
                pass
    for folder in list(counts):
        for up in parents(folder):
            counts.setdefault(up, _Counts())
    for folder in sorted(counts, key=lambda f: f.count("/"), reverse=True):
        if folder:
            above = counts[folder.rpartition("/")[0]]
            above.add(counts[folder])
            above.folders.append(folder)
    return counts


def _by_manifest(
    path: str, read: Read, counts: Mapping[str, _Counts], roots: dict[str, Root], packages: dict[str, str]
) -> None:
    folder, _, name = path.rpartition("/")
    match name.lower():
        case "package.json":
            _by_package(folder, read(path), counts, roots, packages)
        case "tauri.conf.json":
            roots[folder] = Root(folder, "frontend", "the shell of a Tauri application")
        case "pubspec.yaml" if "flutter" in (read(path) or ""):
            roots[folder] = Root(folder, "frontend", "pubspec.yaml depends on flutter")
        case "androidmanifest.xml" if folder.endswith("/src/main"):
            module = folder.removesuffix("/src/main")
            roots[module] = Root(module, "frontend", "an Android application")
        case "project.pbxproj" if "/" in folder:
            project = folder.rpartition("/")[0]
            roots[project] = Root(project, "frontend", "an Xcode project")
        case "pyproject.toml" if not counts[folder].js and _TERMINAL.search(read(path) or ""):
            roots[folder] = Root(folder, "terminal", "pyproject.toml depends on textual: it draws in a terminal")
        case manifest if manifest in _BACKEND:
            roots.setdefault(folder, Root(folder, "backend", f"has {name}"))
        case _:
            pass


def _by_package(
    folder: str, text: str | None, counts: Mapping[str, _Counts], roots: dict[str, Root], packages: dict[str, str]
) -> None:
    from mcp_backend.workspace import manifests

    here = counts[folder]
    mail_path = bool(folder) and MAILISH.search(canonical(folder) + "/") is not None
    package = manifests.judge(text or "", top=not folder, ui=here.ui, js=here.js, mail_path=mail_path)
    if package is None:
        return
    packages[folder] = package.serves
    because = f"package.json depends on {package.because}"
    if package.trade in ("frontend", "weak"):
        if not folder or here.back > here.browser:
            for server in _servers(folder, counts) if package.serves else ():
                roots.setdefault(
                    server, Root(server, "node", f"no page in it; {folder or '.'}/package.json has {package.serves}")
                )
            for voted in _vote(folder, counts, parts=bool(package.serves)):
                roots.setdefault(voted, Root(voted, "voted", f"mostly browser code, and {folder or '.'}/{because}"))
            for served in ("public", "static"):
                if not folder and served in counts and not counts[served].back:
                    roots.setdefault(served, Root(served, "voted", f"served as it is, and ./{because}"))
        else:
            roots[folder] = Root(folder, "frontend", because)
    elif package.trade == "node":
        roots[folder] = Root(folder, "node", because)
    elif folder and package.trade in ("docs", "mail", "terminal", "library"):
        words = {"docs": because, "mail": because, "terminal": f"{because}: it draws in a terminal", "library": ""}
        roots[folder] = Root(folder, package.trade, words[package.trade] or "a JavaScript package without browser code")


def _vote(base: str, counts: Mapping[str, _Counts], *, parts: bool) -> list[str]:
    """The folders below `base` that are more than 80 % browser code, going down into mixed ones. `parts`: the manifest
    is of both sides, so what holds a server's scripts beside browser code (`apps/api`, `apps/client`) is mixed."""
    won: list[str] = []
    for folder in counts[base].folders:
        name = folder.rpartition("/")[2].lower()
        if name in _NOT_VOTED or documentation(canonical(folder) + "/"):
            continue
        here = counts[folder]
        total = here.browser + here.back + here.template
        if parts and here.ui and name in _HOLDERS and any(_serves(inner, counts) for inner in here.folders):
            won.extend(_vote(folder, counts, parts=parts))
        elif here.ui and here.browser > 0.8 * total and evidence(folder + "/"):
            won.append(folder)
        elif here.ui and here.back and here.browser > 20:
            won.extend(_vote(folder, counts, parts=parts))
    return won


def _serves(folder: str, counts: Mapping[str, _Counts]) -> bool:
    return _name(folder) in _NOT_PAGES and counts[folder].js > 0 and not counts[folder].ui


def _servers(base: str, counts: Mapping[str, _Counts]) -> list[str]:
    """The programs of a monorepo that are servers by their names, without any page in them."""
    holders = [f for f in counts[base].folders if _name(f) in _HOLDERS and counts[f].ui]
    return [f for h in holders for f in counts[h].folders if _serves(f, counts) and _name(f) in _SERVERS]


def _by_name(counts: Mapping[str, _Counts], roots: dict[str, Root]) -> None:
    for folder in sorted(counts):
        name = folder.rpartition("/")[2].lower()
        strong = _STRONG_NAME.fullmatch(name) is not None
        if not folder or not (strong or _WEAK_NAME.fullmatch(name)):
            continue
        if folder in roots and roots[folder].sort != "backend":
            continue
        above = {roots[up].sort for up in parents(folder) if up in roots}
        if above & {"frontend", "voted", "docs", "mail", "library", "terminal"} or (not strong and "node" in above):
            continue
        here = counts[folder]
        enough = here.browser > here.back if strong else here.browser >= 3 and here.browser > 3 * here.back
        if enough and evidence(folder + "/") and not documentation(canonical(folder) + "/"):
            roots[folder] = Root(folder, "voted", f"named {name}, with {here.browser} browser files")
