"""The project's own Python: the virtual environment of a folder, however the repository is laid out."""

import os
from collections.abc import Iterator
from pathlib import Path

NAMES = (".venv", "venv", "env")
MANIFESTS = ("pyproject.toml", "requirements.txt", "setup.py", "setup.cfg", "Pipfile", "manage.py")
DEEPEST = 2
"""Folders below the root in which a project of its own is looked for."""
MOST_FOLDERS = 200


def near(folder: Path, root: Path) -> Iterator[Path]:
    """The environments of a folder: in it, then in the folders above it up to the root; where none of these has one,
    the one beside a manifest of Python below the root, if it is the only one (`backend/.venv` of a uv project)."""
    above = [folder, *(up for up in folder.parents if up.is_relative_to(root))]
    found = [place for up in dict.fromkeys((*above, root)) if (place := beside(up))]
    if found:
        yield from found
    elif len(below := list(_below(root))) == 1:
        yield below[0]


def python(folder: Path, root: Path) -> Path | None:
    """The interpreter of the nearest environment, whatever it holds."""
    return next((place / "bin/python" for place in near(folder, root)), None)


def beside(folder: Path) -> Path | None:
    """The environment that lies in a folder itself."""
    return next((folder / name for name in NAMES if (folder / name / "bin/python").exists()), None)


def project(folder: Path, root: Path) -> Path | None:
    """The nearest folder with a manifest of Python, from a folder up to the root."""
    above = (folder, *(up for up in folder.parents if up.is_relative_to(root)))
    return next((up for up in above if any((up / name).is_file() for name in MANIFESTS)), None)


def _below(root: Path) -> Iterator[Path]:
    waiting, looked = [(root, 0)], 0
    while waiting and looked < MOST_FOLDERS:
        folder, depth = waiting.pop(0)
        looked += 1
        try:
            inner = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
        except OSError:
            continue
        for place in map(Path, inner):
            if place.name.startswith(".") or place.name in (*NAMES, "node_modules"):
                continue
            if any((place / name).is_file() for name in MANIFESTS) and (found := beside(place)):
                yield found
            elif depth + 1 < DEEPEST:
                waiting.append((place, depth + 1))
