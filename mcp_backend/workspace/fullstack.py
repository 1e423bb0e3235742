"""Server code that lies in the same package as the pages it serves: Next.js `pages/api`, `app/**/route.ts`, `server/`.

Frameworks: https://nextjs.org/docs/app/api-reference/file-conventions/route, https://nuxt.com/docs/guide/directory-structure/server,
https://svelte.dev/docs/kit/routing#server, https://docs.astro.build/en/guides/endpoints.
"""

import re

from mcp_backend.expressions import Expression
from mcp_backend.facts import Ownership
from mcp_backend.workspace import kinds
from mcp_backend.workspace.canonical import words
from mcp_backend.workspace.roots import Roots

_DATA_FOLDERS = words("server db database queries repositories prisma drizzle migrations jobs workers cron trpc")
_DATA_FILES = words("db database prisma drizzle postgres clickhouse redis kafka mongodb queue")
"""Modules of `lib/` that hold a server's connection, by their names: the pages have no use for them."""
_PAGE_FOLDERS = words("app pages components hooks ui views store stores styles layouts")
_NOT_DRAWN = kinds.SCRIPT | {".json", ".graphql", ".yaml", ".yml", ".toml"}
_EITHER_SERVES = Expression(r".+\.server\.\w+|(middleware|instrumentation|actions)\.\w+|\+(page|layout)\.server\.\w+")


def server_code(path: str, roots: Roots, below: str) -> Ownership | None:
    """The owner of server code and data models among the pages of a full-stack framework; `None` for all other files.

    `path` is canonical, `below` says which root it lies in.
    """
    suffix = kinds.suffix(path)
    if suffix in (".sql", ".prisma"):
        return Ownership("backend", f"{below}, but it is {'SQL' if suffix == '.sql' else 'a data model'}")
    serves = roots.package(path)[1]
    if kinds.kind(path) == "asset" and in_server(path, roots):
        return Ownership("grey_asset", f"{below}, but server code of {serves} uses it")
    if not serves or suffix not in _NOT_DRAWN:
        return None
    inner, name = _inner(path, roots), path.rpartition("/")[2]
    of = f"server code of {serves}"
    if in_server(path, roots):
        return Ownership("backend", f"{below}, but it is {of}")
    if suffix in kinds.SCRIPT:
        if name.startswith("+server.") or (inner[:1] == ["app"] and re.fullmatch(r"route\.\w+", name)):
            return Ownership("backend", f"{below}, but it is {of}")
        if inner[:1] in (["features"], ["modules"]) and inner[2:3] == ["server"]:
            return Ownership("backend", f"{below}, but it is {of}")
        data = not _DATA_FOLDERS.isdisjoint(inner) and _PAGE_FOLDERS.isdisjoint(inner)
        data = data or (inner == ["lib"] and name.partition(".")[0] in _DATA_FILES)
        if data or inner[:1] == ["api"] or inner[:2] == ["lib", "api"] or _EITHER_SERVES.fullmatch(name):
            return Ownership("grey_js", f"{below}, but it may be {of}")
    return None


def in_server(path: str, roots: Roots) -> bool:
    """Whether a path lies in a folder of server code, by the conventions of full-stack packages."""
    if not roots.package(path)[1]:
        return False
    inner = _inner(path, roots)
    return inner[:1] == ["server"] or inner[:2] in (["lib", "server"], ["pages", "api"], ["app", "api"])


def _inner(path: str, roots: Roots) -> list[str]:
    """The folders of a path inside its package, without a leading `src`."""
    folders = path.removeprefix(roots.package(path)[0]).strip("/").split("/")[:-1]
    return folders[1:] if folders[:1] == ["src"] else folders
