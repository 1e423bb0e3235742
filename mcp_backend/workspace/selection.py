"""Which tests a caller means: paths in the workspace, one test in a file, Go packages, or words of test names."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mcp_backend.errors import InvalidArgument
from mcp_backend.workspace import runners
from mcp_backend.workspace.evidence import is_test
from mcp_backend.workspace.runners import Command, Kind

_NAMES = re.compile(r"(?!.*\.(py|go)$)[\w.\[\] -]{1,200}")


def select(items: Sequence[str], commands: Sequence[Command], root: Path) -> tuple[Command, ...]:
    """The commands for these tests only. A path chooses its runner: below a `go.mod` it is Go's.

    Raises `InvalidArgument` naming the item that is neither a path in the workspace nor words of a test name.
    """
    arguments: dict[Command, list[str]] = {}
    for item in items:
        path, _, test = item.strip().partition("::")
        place = _place(path, root, item)
        if place is not None:
            command = _runner(place, commands, root)
            if command.kind == "other":
                continue
            arguments.setdefault(command, []).extend(_argument(command, place, test, path.endswith("/...")))
        elif _NAMES.fullmatch(item.strip()) and "::" not in item:
            for command in commands:
                option = {"pytest": "-k", "go": "-run"}.get(command.kind)
                if option:
                    arguments.setdefault(command, []).extend((option, item.strip()))
        else:
            raise InvalidArgument(
                f"selection: {item[:120]!r} is no path in the workspace: give a path, PATH::test, or words of a name"
            )
    if not arguments:
        raise InvalidArgument(
            f"selection: `{commands[0].written}` takes no selection; leave it out, or a person sets commands.test to "
            "pytest or go test"
        )
    return tuple(runners.narrowed(command, chosen) for command, chosen in arguments.items())


def affected(changed: Iterable[str], known: Iterable[str], root: Path) -> list[str]:
    """Tests that changed, and tests named after modules that changed (`orders.py`: `test_orders.py`, `orders_test.py`);
    of Go, the packages that changed. By name only: what calls the changed code from elsewhere is not found."""
    files = list(known)
    tested = {f.rpartition("/")[0] for f in files if f.endswith("_test.go")}
    found: dict[str, None] = {}
    for path in changed:
        folder, _, name = path.rpartition("/")
        if path.endswith(".go"):
            if folder in tested and (root / folder).is_dir():
                found[folder or "."] = None
        elif is_test(path):
            if (root / path).is_file():
                found[path] = None
        elif name.endswith(".py"):
            stem = name.removesuffix(".py")
            wanted = re.compile(rf"(.*/)?(test_{re.escape(stem)}(_\w+)?|{re.escape(stem)}_test)\.py")
            found.update(dict.fromkeys(f for f in files if wanted.fullmatch(f) and (root / f).is_file()))
    return list(found)


def _place(path: str, root: Path, item: str) -> Path | None:
    """The place a path stands for, or `None` when nothing is there."""
    if not path or path.startswith("-") or not item.isprintable():
        raise InvalidArgument(f"selection: {item[:120]!r}: expected a path or words of test names, not an option")
    text = path.removesuffix("/...") or "."
    place = Path(os.path.normpath(root / text))
    if not place.is_relative_to(root) or not place.exists():
        if place.is_relative_to(root):
            return None
        raise InvalidArgument(f"selection: {item[:120]!r} is outside the workspace")
    if not place.resolve().is_relative_to(root):
        raise InvalidArgument(f"selection: {item[:120]!r} leads outside the workspace")
    return place


def _runner(place: Path, commands: Sequence[Command], root: Path) -> Command:
    kind, folder = _kind(place, commands, root)
    fitting = [c for c in commands if c.kind == kind and place.is_relative_to(c.cwd)]
    if kind == "go":
        fitting = [c for c in fitting if _module(c.cwd, root) == folder]
    if fitting:
        return max(fitting, key=lambda c: len(c.cwd.parts))
    if kind == "other":
        return commands[0]
    if kind == "go":
        return Command("go", ("go", "test", "./..."), folder or root, (), "go test ./...")
    return runners.commands("pytest", root)[0]


def _kind(place: Path, commands: Sequence[Command], root: Path) -> tuple[Kind, Path | None]:
    if place.suffix == ".py":
        return "pytest", None
    module = _module(place if place.is_dir() else place.parent, root)
    if place.suffix == ".go":
        return "go", module
    kinds = {command.kind for command in commands}
    if module is not None and (module != root or kinds <= {"go"}):
        return "go", module
    return ("pytest", None) if "pytest" in kinds else (commands[0].kind, module)


def _module(folder: Path, root: Path) -> Path | None:
    """The nearest folder with a `go.mod`, up to the root."""
    for candidate in (folder, *folder.parents):
        if (candidate / "go.mod").is_file():
            return candidate
        if candidate == root:
            return None
    return None


def _argument(command: Command, place: Path, test: str, below: bool) -> list[str]:
    relative = os.path.relpath(place, command.cwd)
    if command.kind == "pytest":
        return [f"{relative}::{test}" if test else relative]
    folder = relative if place.is_dir() else os.path.dirname(relative) or "."
    package = os.path.join(".", folder) if folder != "." else "."
    if below or (place.is_dir() and not test):
        package += "/..."
    return [*(("-run", f"^{re.escape(test.split('/')[0])}$") if test else ()), package]
