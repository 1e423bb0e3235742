"""Files that decide which Python tests run, and whether a test run shows all of them.

Leaving tests out is everyday work (`-m "not slow"`), so it is no reason for doubt by itself. It is one when the files
that leave them out changed since the last commit: then the change that the tests should check may be what hides them.
"""

import configparser
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from mcp_backend.actions import listed
from mcp_backend.workspace.runners import Outcome
from mcp_backend.workspace.trees import Trees

HOOKS = ("conftest.py", "sitecustomize.py", "usercustomize.py")
SETTINGS = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml")
"""https://docs.pytest.org/en/stable/reference/customize.html"""
LARGEST = 1_000_000
NAMED = 3


def changed(trees: Trees, head: str | None, tree: str) -> tuple[list[str], list[str]]:
    """Files with hooks, and files whose settings of pytest differ, between the last commit and a tree."""
    hooks: list[str] = []
    settings: list[str] = []
    for difference in trees.between(head, tree):
        name = difference.path.rpartition("/")[2]
        if name in HOOKS or name.endswith(".pth"):
            hooks.append(difference.path)
        elif name in SETTINGS:
            contents = trees.contents({o for o in (difference.old, difference.new) if o.strip("0")}, LARGEST)
            before, after = contents.get(difference.old, b""), contents.get(difference.new, b"")
            if _section(name, before) != _section(name, after):
                settings.append(difference.path)
    return hooks, settings


def doubts(
    outcome: Outcome, earlier: Mapping[str, int], hooks: list[str], settings: list[str], root: Path
) -> Iterator[str]:
    """Reasons not to believe that a green run shows every test. `earlier` are the files of the last full run."""
    since = "changed since the last commit"
    if outcome.hidden and hooks:
        yield f"hooks took out {outcome.hidden} tests, and {listed(hooks, NAMED)} {since}"
    if outcome.by_option and settings:
        yield f"options took out {outcome.by_option} tests, and the settings in {listed(settings, NAMED)} {since}"
    if hooks or settings:
        gone = sorted(path for path in earlier if path not in outcome.files and (root / path).is_file())
        if gone:
            yield f"{listed(gone, NAMED)} ran before and not now, and {listed([*hooks, *settings], NAMED)} {since}"


def _section(name: str, content: bytes) -> object:
    text = content.decode("utf-8", "replace")
    try:
        if name.endswith(".toml"):
            data = tomllib.loads(text)
            return data.get("tool", {}).get("pytest") if name == "pyproject.toml" else data
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read_string(text)
        return {s: dict(parser[s]) for s in ("pytest", "tool:pytest") if s in parser}
    except (tomllib.TOMLDecodeError, configparser.Error):
        return text
