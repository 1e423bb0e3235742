"""Who owns a path: the backend, the frontend engineer, the architect, or nobody who may be asked here.

The rules, first hit wins; a person reads the rule that decided (`mcp-backend check --why PATH`):

R0  `.git` and files that decide what an agent may do (protected.py), then the globs of the policy: `protected`, and of
    `frontend`, `spec`, `backend` the most specific. Outside the workspace is nobody's.
R1  installed JavaScript packages, documentation sites, packages of e-mail templates
R2  below a frontend root (roots.py): frontend, except server code of a full-stack framework, SQL and data models;
    Python and Go there are glue (`go:embed`) that either side may own. A backend manifest inside wins its folder back.
R3  below a folder that is a frontend by name and content: frontend, except backend source
R4  API specifications: by name, or by folder; not what a program made, not copies, not test data
R5  backend source, wherever it lies
R6  UI source, wherever it lies
R7  templates: of messages, documents, configuration: backend; of pages: `paths.templates` of the policy decides
R8  JavaScript and TypeScript: by the package it is in    R9  pictures and fonts    R10  documentation
R11 manifests of JavaScript packages at the root          R12 settings of a forge    R13 everything else: backend

Standard library only.
"""

import posixpath
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mcp_backend.expressions import Expression
from mcp_backend.facts import Owner, Ownership
from mcp_backend.settings import Workspace
from mcp_backend.workspace import kinds
from mcp_backend.workspace.canonical import canonical, inside, words
from mcp_backend.workspace.fullstack import in_server, server_code
from mcp_backend.workspace.globs import longest, specificity
from mcp_backend.workspace.protected import git_internal, protected
from mcp_backend.workspace.roots import Root, Roots

if TYPE_CHECKING:
    from mcp_backend.policy import Policy

_SPEC_NAME = Expression(
    r"(.+[._-])?(openapi|swagger|asyncapi)([._-].*)?\.(ya?ml|json)|.+\.(proto|raml|wsdl|smithy|avsc|avdl|thrift|graphqls|tsp)"
    r"|schema\.(graphql|gql)"
)
_SPEC_FOLDERS = words("specs spec api-spec api-specs apispec contracts api-contracts")
_NOT_DESIGNED_HERE = words("gen generated autogen vendor third_party third-party")
"""Folders of what a program made, or of copies of other projects: no architect of this one designed it."""
_SPEC_SUFFIXES = words(".yaml .yml .json .proto .graphql .gql .avsc")
_SERVED = ("public/", "static/", "wwwroot/", "assets/js/")
"""Folders of a Node server whose scripts browsers load."""
_JS_MANIFESTS = words(
    "package.json package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml pnpm-workspace.yaml bun.lock "
    "bun.lockb tsconfig.json jsconfig.json turbo.json nx.json lerna.json .npmrc .yarnrc .yarnrc.yml .nvmrc "
    ".babelrc .eslintrc .eslintrc.json .prettierrc .stylelintrc biome.json deno.json components.json "
    "tslint.json nest-cli.json project.json ng-package.json jest.config.json babel.config.json typedoc.json"
)


def classify(path: str, roots: Roots) -> Ownership:
    """The owner of a path relative to the workspace. Only the text counts: the file need not exist."""
    spelt = canonical(path)
    name = posixpath.normpath(spelt)
    if spelt.startswith("/") or name == ".." or name.startswith("../"):
        return Ownership("policy", "R0: outside the workspace")
    if name == ".":
        return Ownership("shared", "R0: the workspace itself")
    return _by_policy(name, roots) or _by_root(name, roots) or _by_name(name, roots)


def owners(paths: Iterable[str], workspace: Workspace, policy: "Policy") -> dict[str, Ownership]:
    """The owner of each path, keyed as given. Paths are relative to the workspace, or absolute inside it.

    A path belongs to whoever owned it at the last commit or owns it now, whichever is stricter: a manifest that was
    just added, changed or deleted can't give a folder away.
    """
    from mcp_backend.workspace.current import roots_before, roots_of

    return decided(paths, workspace, roots_of(workspace, policy), roots_before(workspace, policy))


def decided(paths: Iterable[str], workspace: Workspace, now: Roots, before: Roots | None) -> dict[str, Ownership]:
    """As `owners`, for somebody who knows the roots already."""
    found: dict[str, Ownership] = {}
    for path in paths:
        relative = inside(path, workspace.root)
        if relative is None:
            found[path] = Ownership("policy", "R0: outside the workspace")
            continue
        found[path] = classify(relative, now)
        earlier = classify(relative, before) if before else found[path]
        if _strictness(earlier) > _strictness(found[path]):
            found[path] = Ownership(earlier.owner, f"{earlier.rule}, at the last commit")
    return found


def _strictness(found: Ownership) -> int:
    return 2 if _MEANS[found.owner].startswith("refused") else 1 if found.owner.startswith("grey") else 0


def why(paths: Iterable[str], workspace: Workspace, policy: "Policy") -> list[str]:
    """One line per path: whose it is, what the guards do about it, and the rule that says so."""
    return [
        f"{path}: {found.owner} ({_MEANS[found.owner]}). {found.rule}"
        for path, found in owners(paths, workspace, policy).items()
    ]


_MEANS: dict[Owner, str] = {
    "backend": "yours to write",
    "shared": "anybody's to write",
    "frontend": "refused: the frontend engineer's",
    "spec": "refused: the architect's",
    "policy": "refused: a person's",
    "git": "refused: git's own",
    "grey_template": "allowed with a warning: may be the frontend engineer's",
    "grey_js": "allowed with a warning: may be the frontend engineer's",
    "grey_asset": "allowed with a warning: may be the frontend engineer's",
    "grey_embed": "allowed with a warning: may be the frontend engineer's",
}


def _by_policy(path: str, roots: Roots) -> Ownership | None:
    parts = path.split("/")
    if git_internal(parts):
        return Ownership("git", "R0: inside .git")
    if what := protected(parts):
        return Ownership("policy", f"R0: {what}")
    if roots.hooks is not None and (path + "/").startswith(roots.hooks + "/"):
        return Ownership("policy", "R0: git runs hooks from here (core.hooksPath)")
    if glob := longest(roots.protected, path):
        return Ownership("policy", f'R0: the policy protects "{glob}"')
    given: list[tuple[Owner, tuple[str, ...]]] = [
        ("frontend", roots.frontend),
        ("spec", roots.spec),
        ("backend", roots.backend),
    ]
    found: list[tuple[Owner, str]] = [(owner, glob) for owner, globs in given if (glob := longest(globs, path))]
    if not found:
        return None
    owner, glob = max(found, key=lambda one: specificity(one[1]))
    return Ownership(owner, f'R0: the policy says that "{glob}" is {owner}')


def _by_root(path: str, roots: Roots) -> Ownership | None:
    root = roots.nearest(path)
    kind, suffix = kinds.kind(path), kinds.suffix(path)
    if "node_modules" in path.split("/")[:-1]:
        return Ownership("grey_js" if root and root.sort in ("node", "library", "terminal") else "frontend",
                         "R1: an installed JavaScript package")  # fmt: skip
    if root is None:
        return None
    below = f"below {_named(root)} ({root.why})"
    match root.sort:
        case "docs" if kind != "ui" or suffix in (".css", ".scss", ".less"):
            return Ownership("shared", f"R1: {below}, a documentation site")
        case "mail":
            return Ownership("grey_template", f"R1: {below}, e-mail templates")
        case "frontend":
            if served := server_code(path, roots, f"R2: {below}"):
                return served
            if kinds.written_up(path, root.folder):
                return Ownership("shared", f"R2: text {below}, a site of documentation")
            if suffix in (".py", ".go"):
                return Ownership("grey_embed", f"R2: backend source {below}")
            return Ownership("frontend", f"R2: below the frontend root {_named(root)} ({root.why})")
        case "voted" if kind != "back" and not _spec(path, roots) and "testdata" not in path.split("/"):
            return server_code(path, roots, f"R3: {below}") or Ownership("frontend", f"R3: {below}")
        case "voted" if kind == "back":
            return Ownership("backend", f"R3: backend source {below}")
        case _:
            return None


def _named(root: Root) -> str:
    return f"{root.folder}/" if root.folder else "the repository"


def _spec(path: str, roots: Roots) -> bool:
    folders, name = path.split("/")[:-1], path.rpartition("/")[2]
    if path in roots.generated or kinds.test_data(path) or not _NOT_DESIGNED_HERE.isdisjoint(folders):
        return False
    if _SPEC_NAME.fullmatch(name):
        return True
    if name in _JS_MANIFESTS or name.startswith((".", "tsconfig")):
        return False
    return kinds.suffix(name) in _SPEC_SUFFIXES and any(folder in _SPEC_FOLDERS for folder in folders)


def _by_name(path: str, roots: Roots) -> Ownership:
    name, kind = path.rpartition("/")[2], kinds.kind(path)
    documentation = kinds.documentation(path)
    if _spec(path, roots):
        return Ownership("spec", "R4: an API specification, by its name or folder")
    if kind == "back":
        return Ownership("backend", f"R5: backend source ({kinds.suffix(path)})")
    if kinds.test_data(path):
        return Ownership("backend", "R5: data that tests read")
    match kind:
        case "ui":
            return _ui(path, roots, documentation)
        case "template":
            return _template(path, roots, documentation)
        case "js":
            return _script(path, roots, documentation)
        case "asset":
            if documentation:
                return Ownership("shared", "R9: a picture of the documentation")
            return Ownership("grey_asset", "R9: a picture or font")
        case _:
            pass
    if documentation:
        return Ownership("shared", "R10: documentation")
    if name in _JS_MANIFESTS:
        root = roots.nearest(path)
        if root and root.sort == "node":
            return Ownership("backend", f"R11: manifest of {_named(root)}, a server ({root.why})")
        return Ownership("grey_js", "R11: manifest of a JavaScript package")
    if kinds.translated(path) and roots.package(path)[1]:
        return Ownership("grey_js", "R13: translations in a package with both sides")
    if path.startswith((".github/", ".forgejo/", ".gitea/")):
        return Ownership("shared", "R12: settings of the forge")
    return Ownership("backend", "R13: nothing says that it is anybody else's")


def _ui(path: str, roots: Roots, documentation: bool) -> Ownership:
    root, suffix = roots.nearest(path), kinds.suffix(path)
    if documentation:
        return Ownership("shared", "R6: part of the documentation")
    if root and root.sort == "terminal":
        return Ownership("grey_js", f"R6: below {_named(root)} ({root.why})")
    of_server = (root is not None and root.sort == "node") or in_server(path, roots)
    if kinds.MAILISH.search(path) and (suffix in (".css", ".scss", ".less") or of_server):
        return Ownership("grey_template", "R6: the look of a message or document")
    return Ownership("frontend", f"R6: UI source ({suffix})")


def _template(path: str, roots: Roots, documentation: bool) -> Ownership:
    if documentation and not kinds.page_folder(path):
        return Ownership("shared", "R7: part of the documentation")
    if kinds.not_a_page(path):
        return Ownership("backend", "R7: a template of a message, a document or configuration")
    page = "R7: a template of a page"
    match roots.templates:
        case "allow":
            return Ownership("backend", f'{page} (policy: templates = "allow")')
        case "deny":
            return Ownership("frontend", f'{page} (policy: templates = "deny")')
        case _:
            return Ownership("grey_template", page)


def _script(path: str, roots: Roots, documentation: bool) -> Ownership:
    root = roots.nearest(path)
    if root and root.sort == "node" and path.removeprefix(canonical(root.folder)).strip("/").startswith(_SERVED):
        return Ownership("frontend", f"R8: a script that {_named(root)} serves to browsers")
    if root and root.sort == "node":
        return Ownership("backend", f"R8: below {_named(root)}, a server ({root.why})")
    if root and root.sort in ("library", "terminal"):
        return Ownership("grey_js", f"R8: below {_named(root)} ({root.why})")
    if served := server_code(path, roots, "R8: in a package with both sides"):
        return served
    folders = path.split("/")[:-1]
    if documentation:
        return Ownership("shared", "R8: part of the documentation")
    if any(folder in kinds.STATIC for folder in folders):
        return Ownership("frontend", "R8: a script in a folder of static files")
    return Ownership("grey_js", "R8: a script outside every package")
