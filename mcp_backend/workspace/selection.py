"""Which tests a caller means: paths in the workspace, one test in a file, Go packages, or words of test names."""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcp_backend.actions import listed
from mcp_backend.errors import InvalidArgument
from mcp_backend.workspace import runners
from mcp_backend.workspace.evidence import is_test
from mcp_backend.workspace.runners import Command, Kind

_NAMES = re.compile(r"(?!.*\.(py|go)$)[\w.\[\] -]{1,200}")
_FILE = re.compile(r"[^/].*\.(py|go)")
LOOKED_AT = 5_000
_NAMED = 5
"""Files that an answer names."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The commands for a selection, and `notes` on items that could be read in two ways."""

    commands: tuple[Command, ...]
    notes: tuple[str, ...] = ()


def select(
    items: Sequence[str], commands: Sequence[Command], root: Path, known: Callable[[], Iterable[str]] = tuple
) -> Selected:
    """The commands for these tests only. A path is relative to the workspace, or to the folder that a command of it
    runs in, and chooses its runner: below a `go.mod` it is Go's. The end of a path is enough where only one file of
    the repository, which are `known`, ends like that.

    Raises `InvalidArgument` naming the item that is neither a path nor words of a test name.
    """
    arguments: dict[Command, list[str]] = {}
    notes: list[str] = []
    for item in items:
        path, _, test = item.strip().partition("::")
        place, note = _place(path, commands, root, item)
        if place is None and _FILE.fullmatch(path):
            place, note = _ending(path, known(), root, item)
        notes += [note] if note else []
        if place is not None:
            command = _runner(place, commands, root)
            if chosen := _argument(command, place, test, path.endswith("/...")):
                arguments.setdefault(command, []).extend(chosen)
        elif _NAMES.fullmatch(item.strip()) and "::" not in item:
            for command in commands:
                option = {"pytest": "-k", "go": "-run", "django": "-k"}.get(command.kind)
                if option:
                    arguments.setdefault(command, []).extend((option, item.strip()))
        else:
            folders = ", ".join(dict.fromkeys(runners.relative(c.cwd, root) for c in commands if c.cwd != root))
            raise InvalidArgument(
                f"selection: {item[:120]!r} is no path in the workspace{f' or in {folders}' if folders else ''}: give "
                "a path, PATH::test, or words of a name"
            )
    if not arguments:
        raise InvalidArgument(
            f"selection: `{commands[0].written}` takes no selection; leave it out, or a person sets commands.test to "
            "pytest or go test"
        )
    chosen = tuple(runners.narrowed(command, words) for command, words in arguments.items())
    return Selected(chosen, tuple(notes))


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


def _place(path: str, commands: Sequence[Command], root: Path, item: str) -> tuple[Path | None, str]:
    """The place a path stands for, or `None` when nothing is there; and which one was taken where it is not plain."""
    if not path or path.startswith("-") or not item.isprintable():
        raise InvalidArgument(f"selection: {item[:120]!r}: expected a path or words of test names, not an option")
    text = path.removesuffix("/...") or "."
    folders = list(dict.fromkeys((root, *(command.cwd for command in commands))))
    places = [Path(os.path.normpath(folder / text)) for folder in folders]
    if not any(place.is_relative_to(root) for place in places):
        raise InvalidArgument(f"selection: {item[:120]!r} is outside the workspace")
    there = list(dict.fromkeys(place for place in places if place.is_relative_to(root) and place.exists()))
    if not there:
        return None, ""
    run = [place for place in there if any(place.is_relative_to(command.cwd) for command in commands)]
    place = (run or there)[0]
    if not place.resolve().is_relative_to(root):
        raise InvalidArgument(f"selection: {item[:120]!r} leads outside the workspace")
    taken = runners.relative(place, root)
    if place != places[0]:
        return place, f"selection {path}: taken from the folder of the test command, {taken}"
    others = [runners.relative(other, root) for other in run if other != place]
    return place, f"selection {path}: taken from the workspace, not {', '.join(others)}" if others else ""


def _ending(path: str, known: Iterable[str], root: Path, item: str) -> tuple[Path | None, str]:
    """The only file whose path ends like this, and that it was taken. Raises `InvalidArgument` naming several."""
    found = [file for file in known if f"/{file}".endswith(f"/{path}") and (root / file).is_file()]
    if len(found) > 1:
        raise InvalidArgument(f"selection: {item[:120]!r} may be {listed(found, _NAMED)}: name the one")
    if not found or not (root / found[0]).resolve().is_relative_to(root):
        return None, ""
    return root / found[0], f"selection {path}: taken for {found[0]}"


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
        return _python(place, commands), None
    module = _module(place if place.is_dir() else place.parent, root)
    if place.suffix == ".go":
        return "go", module
    kinds = {command.kind for command in commands}
    if module is not None and (module != root or kinds <= {"go"} or ("go" in kinds and _only_go(place))):
        return "go", module
    own = _python(place, commands)
    return (own, None) if own in kinds else (commands[0].kind, module)


def _only_go(place: Path) -> bool:
    """Whether the tests in a folder are Go's, by the first files below it, and none of them Python's."""
    names = (name for _, _, files in os.walk(place) for name in files)
    found = [name for name in itertools.islice(names, LOOKED_AT) if is_test(name)]
    return any(name.endswith("_test.go") for name in found) and not any(name.endswith(".py") for name in found)


def _python(place: Path, commands: Sequence[Command]) -> Kind:
    """Which runner takes tests in Python there: Django's own where it is a command and pytest is none."""
    fitting = {command.kind for command in commands if place.is_relative_to(command.cwd)}
    return "django" if "django" in fitting and "pytest" not in fitting else "pytest"


def _module(folder: Path, root: Path) -> Path | None:
    """The nearest folder with a `go.mod`, up to the root."""
    for candidate in (folder, *folder.parents):
        if (candidate / "go.mod").is_file():
            return candidate
        if candidate == root:
            return None
    return None


def _argument(command: Command, place: Path, test: str, below: bool) -> list[str]:
    """What selects a place for a runner; nothing where the command takes no selection."""
    relative = os.path.relpath(place, command.cwd)
    if command.kind == "other":
        return []
    if command.kind == "pytest":
        return [f"{relative}::{test}" if test else relative]
    if command.kind == "django":
        # https://docs.djangoproject.com/en/stable/topics/testing/overview/#running-tests
        if place.is_dir() and not (place / "__init__.py").is_file():
            return [relative]
        module = ".".join(Path(relative).with_suffix("").parts)
        return [f"{module}.{test.replace('::', '.')}" if test else module or "."]
    folder = relative if place.is_dir() else os.path.dirname(relative) or "."
    package = os.path.join(".", folder) if folder != "." else "."
    if below or (place.is_dir() and not test):
        package += "/..."
    return [*(("-run", f"^{re.escape(test.split('/')[0])}$") if test else ()), package]
