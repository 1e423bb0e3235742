"""Where a repository has migrations that are programs: the folder of Alembic's env.py, or the one with manage.py."""

from collections.abc import Sequence
from pathlib import Path

from mcp_backend.errors import BackendError

MARKS = ("alembic.ini", "manage.py")
DEEPEST = 3
"""Folders below the root in which one of them is looked for."""


def folder(root: Path, files: Sequence[str]) -> str | None:
    """The only one, relative to the root; None for none or for several. `files` are the repository's."""
    from mcp_backend.migrations import alembic

    found: list[str] = []
    names = set(files)
    for path in files:
        place, _, name = path.rpartition("/")
        if name not in MARKS or place.count("/") >= DEEPEST:
            continue
        if name == "alembic.ini":
            try:
                script = alembic.place(root / place, root).script
            except BackendError:
                continue
            if script.is_relative_to(root):
                found.append(str(script.relative_to(root)))
        elif _django(root / path) and any(f"{f}/__init__.py" in names for f in _migrations(place, files)):
            found.append(place or ".")
    return found[0] if len(set(found)) == 1 else None


def _django(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"DJANGO_SETTINGS_MODULE" in file.read(4096)
    except OSError:
        return False


def _migrations(place: str, files: Sequence[str]) -> list[str]:
    """The folders of migrations below a folder that have a file in Django's form."""
    inside = f"{place}/" if place else ""
    found = (path.rpartition("/") for path in files if path.startswith(inside) and path.endswith(".py"))
    return [f for f, _, name in found if f.endswith("migrations") and name[:4].isdigit() and name[4:5] == "_"]
