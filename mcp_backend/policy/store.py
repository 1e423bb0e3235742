"""What the policy says about the store: `store`. Standard library only.

store = "env:BACKEND_STORE"                                    # at the top of the file, or
store = {url = "env:BACKEND_STORE", workspace = "orders"}
"""

import re
from pathlib import Path
from typing import cast

from mcp_backend.errors import InvalidArgument
from mcp_backend.records import dataclass
from mcp_backend.settings import sha256

KEYS = ("url", "workspace")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class Shared:
    """The store that several servers share. `url`: the reference of a PostgreSQL URL, `env:NAME` or `file:PATH`; empty
    where the store is a file of this workspace. `workspace`: whose rows these are, of all that share the database."""

    url: str = ""
    workspace: str = ""


LOCAL = Shared()


def read_store(path: Path, value: object) -> Shared:
    """The key of the policy file at `path`. Raises `InvalidArgument` naming it and what was expected, never a URL."""
    table = {"url": value} if isinstance(value, str) else value
    if not isinstance(table, dict):
        raise InvalidArgument(f'{path.name}: store: expected "env:NAME", "file:PATH" or a table of {", ".join(KEYS)}')
    given = cast("dict[str, object]", table)
    for key in given:
        if key not in KEYS:
            raise InvalidArgument(f"{path.name}: unknown key store.{key}; known: {', '.join(KEYS)}")
    url, workspace = given.get("url"), given.get("workspace", _default(path.resolve().parent.name))
    if not isinstance(url, str) or not re.fullmatch(r"(env|file):.+", url):
        raise InvalidArgument(f"{path.name}: store.url: expected env:NAME or file:PATH, never the URL itself")
    if not isinstance(workspace, str) or not _NAME.fullmatch(workspace):
        raise InvalidArgument(
            f"{path.name}: store.workspace: expected a name of lower-case letters, digits and _ (40 at most)"
        )
    return Shared(url, workspace)


def _default(folder: str) -> str:
    """The name of the folder; a few characters tell apart what would be spelt the same."""
    name = re.sub(r"[^a-z0-9]+", "_", folder.lower()).strip("_")[:30]
    if name == folder and _NAME.fullmatch(name):
        return name
    return f"w_{name}_{sha256(folder.encode())[:6]}"
