"""Where the tests of a repository are and how they are started: pytest, Django's own runner, `go test`, and the
script `test` of a server in JavaScript."""

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcp_backend.workspace import listing
from mcp_backend.workspace.kinds import evidence
from mcp_backend.workspace.manifests import FULL_STACK, SERVER, dependencies
from mcp_backend.workspace.uses import DEPENDENCIES, HEAD, MOST_FILES

MOST_SUITES = 4
SMALLEST = 0.1
"""A project with fewer tests than this share of the largest one is left to people to name: it often needs an
environment of its own, and the command must be one that can pass."""
_PYTEST = re.compile(r"(?<![\w.-])pytest(?!_cache)")
"""A dependency or a setting, not `.pytest_cache` among what a tool passes over."""
_LOCKS = {
    "pnpm-lock.yaml": "pnpm test",
    "yarn.lock": "yarn test",
    "bun.lock": "bun run test",
    "bun.lockb": "bun run test",
}
_NO_SCRIPT = re.compile(r"no test specified|--watch(?!All=false)|^react-scripts test\b")
_DJANGO_SETTINGS = re.compile(r"\bDJANGO_SETTINGS_MODULE\s*[:=]\s*[\"']?([A-Za-z_][\w.]*)")
_PYTHON_TEST = re.compile(r"test_\w+\.py|\w+_test\.py|tests\.py")


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests of one project: the folder ("" is the root), how they are started there, and what shows it."""

    folder: str
    command: str
    because: str


def suites(root: Path, files: Sequence[str]) -> tuple[Suite, ...]:
    """The test suites: pytest (or Django's own runner) per Python project, `go test ./...` per Go module; where there
    is neither, what a server in JavaScript calls its test.

    A pytest configuration at the root stands for the whole repository.
    """
    names = frozenset(files)
    python = (f for f in files if f.endswith(".py") and _PYTHON_TEST.fullmatch(f.rpartition("/")[2]) and evidence(f))
    go = [f for f in files if f.endswith("_test.go") and evidence(f)]
    found = [*_python(root, names, python), *_go(names, go)] or list(_node(root, files))
    return tuple(sorted(found, key=lambda suite: suite.folder.count("/") + bool(suite.folder))[:MOST_SUITES])


def command(found: Iterable[Suite]) -> str:
    """One command line that runs all suites from the root; empty when there is none."""
    parts: list[str] = []
    at = ""
    for suite in found:
        if suite.folder != at:
            parts.append(f"cd {posixpath.relpath(suite.folder or '.', at or '.')}")
            at = suite.folder
        parts.append(suite.command)
    return " && ".join(parts)


def _python(root: Path, names: frozenset[str], tests: Iterator[str]) -> Iterator[Suite]:
    if configured := _configured(root, "", names):
        if next(tests, None) is not None:
            yield Suite("", "pytest", configured)
        return
    projects: dict[str, int] = {}
    for path in tests:
        folder = _above(path, names, ("pyproject.toml", "pytest.ini", "setup.py", "setup.cfg", "tox.ini", "manage.py"))
        projects[folder] = projects.get(folder, 0) + 1
    for folder, count in _large(projects):
        prefix = f"{folder}/" if folder else ""
        if (
            not _configured(root, folder, names)
            and f"{prefix}manage.py" in names
            and not _mentions(root, names, prefix)
        ):
            settings = _settings_of_pipeline(root)
            yield Suite(folder, f"{settings}python3 manage.py test", f"{prefix}manage.py, and no word of pytest")
        else:
            yield Suite(folder, "pytest", _configured(root, folder, names) or f"{count} test modules")


def _settings_of_pipeline(root: Path) -> str:
    """The settings that CI tests with, as the command sets them; empty where it names none, or several."""
    flows = (path.relative_to(root).as_posix() for path in root.glob(".github/workflows/*.y*ml"))
    pipelines = sorted((*flows, ".gitlab-ci.yml"))[:MOST_FILES]
    found = {name for path in pipelines for name in _DJANGO_SETTINGS.findall(listing.text(root, path, HEAD) or "")}
    return f"DJANGO_SETTINGS_MODULE={found.pop()} " if len(found) == 1 else ""


def _go(names: frozenset[str], tests: Sequence[str]) -> Iterator[Suite]:
    modules: dict[str, int] = {}
    for path in tests:
        folder = _above(path, names, ("go.mod",))
        if f"{folder}/go.mod".lstrip("/") in names:
            modules[folder] = modules.get(folder, 0) + 1
    for folder, count in _large(modules):
        yield Suite(folder, "go test ./...", f"{f'{folder}/go.mod'.lstrip('/')} and {count} test files")


def _node(root: Path, files: Sequence[str]) -> Iterator[Suite]:
    """`test` of the root's package.json, where something below serves, otherwise of the packages that serve."""
    manifests = [f for f in files if f.rpartition("/")[2] == "package.json" and evidence(f)]
    near = sorted(manifests, key=lambda path: (path.count("/"), path))[:MOST_FILES]
    texts = {path.rpartition("/")[0]: listing.text(root, path, HEAD) or "" for path in near}
    serving = [folder for folder, text in texts.items() if (dependencies(text) or frozenset()) & (SERVER | FULL_STACK)]
    for folder in ([""] if serving and _script(texts.get("", "")) else serving)[:MOST_SUITES]:
        if script := _script(texts[folder]):
            prefix = f"{folder}/" if folder else ""
            locked = next(
                (runs for at in (prefix, "") for lock, runs in _LOCKS.items() if at + lock in files), "npm test"
            )
            yield Suite(folder, locked, f"{prefix}package.json: test is `{script}`")


def _script(text: str) -> str:
    """The test of a package; empty for none, npm's own placeholder, and one that waits for changes."""
    try:
        scripts = json.loads(text)["scripts"]
        said = scripts["test"] if isinstance(scripts["test"], str) else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return "" if _NO_SCRIPT.search(said) else said.strip()


def _large(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    most = max(counts.values(), default=0)
    return sorted(((f, n) for f, n in counts.items() if n >= SMALLEST * most), key=lambda item: (-item[1], item[0]))


def _configured(root: Path, folder: str, names: frozenset[str]) -> str:
    """What configures pytest in a folder, or nothing."""
    prefix = f"{folder}/" if folder else ""
    if f"{prefix}pytest.ini" in names or f"{prefix}.pytest.ini" in names:
        return f"{prefix}pytest.ini"
    for name, section in (("pyproject.toml", "[tool.pytest"), ("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]")):
        if prefix + name in names and section in (listing.text(root, prefix + name, HEAD) or ""):
            return f"{prefix}{name} {section.rstrip(']')}]"
    return f"{prefix}conftest.py" if f"{prefix}conftest.py" in names else ""


def _mentions(root: Path, names: frozenset[str], prefix: str) -> bool:
    of_project = [n for n in names if n.startswith(prefix) and n.count("/") <= prefix.count("/") + 1]
    return any(
        _PYTEST.search(listing.text(root, path, HEAD) or "")
        for path in of_project
        if DEPENDENCIES.fullmatch(path.rpartition("/")[2].lower()) or path.endswith("tox.ini")
    )


def _above(path: str, names: frozenset[str], manifests: Sequence[str]) -> str:
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        prefix = f"{folder}/" if folder else ""
        if any(prefix + manifest in names for manifest in manifests):
            return folder
    return ""
