"""The layout as Landlock can say it: lists of what may be written. There is no "no" inside a "yes", so a folder with
something protected in it is not granted itself, only what lies in it."""

import os
from collections.abc import Iterable
from pathlib import Path

from mcp_backend.workspace.fence.layout import Layout


def writable(root: Path, layout: Layout, soft: Iterable[str]) -> tuple[list[str], list[str]]:
    """Folders granted as a whole, and single files. `soft` are protected files that are given up to be restored."""
    given = set(soft)
    access = {path: kind for path, kind in layout.places if path not in given}
    kept = {path for path, kind in access.items() if kind == "ro"}
    mixed = _above(kept)
    crossed = _above(access)
    folders: list[str] = []
    files: list[str] = []

    def visit(folder: str, open_: bool) -> None:
        if open_ and folder not in mixed:
            folders.append(os.path.join(root, folder) if folder else str(root))
            return
        if not open_ and folder not in crossed:
            return
        for name, kind in layout.entries.folders.get(folder, {}).items():
            path = f"{folder}/{name}" if folder else name
            here = access[path] != "ro" if path in access else open_
            if kind == "folder" and path in layout.entries.folders:
                visit(path, here)
            elif kind == "folder" and here:
                folders.append(os.path.join(root, path))
            elif kind == "file" and here:
                files.append(os.path.join(root, path))

    visit("", True)
    return folders, files


def _above(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        while path:
            path = path.rpartition("/")[0]
            found.add(path)
    return found


def readable(hidden: Iterable[str]) -> list[str]:
    """Everything but the hidden places, as the fewest places that cover it."""
    away = {path.rstrip("/") for path in hidden}
    above = {"/" + path for path in _above(path.strip("/") for path in away)}
    found: list[str] = []
    todo = ["/"]
    while todo:
        folder = todo.pop()
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            path = os.path.join(folder, name)
            if path in above:
                todo.append(path)
            elif path not in away:
                found.append(path)
    return found
