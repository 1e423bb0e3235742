"""`go test -json`: its events, and the tests that should have run. https://pkg.go.dev/cmd/test2json"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mcp_backend.actions import listed
from mcp_backend.workspace import go_source
from mcp_backend.workspace.process import Finished
from mcp_backend.workspace.runners import Command, Failure, Outcome, last_lines, relative

LIST_SECONDS = 60
EXCERPT = 6000
FAILURES = 200
_NARROWS = re.compile(r"--?(test\.)?(run|skip|list|short|c|o|exec)(=.*)?")
_MARK = re.compile(r"\s*(===|---|FAIL|PASS)")
_PLACE = re.compile(r"^\s+([^\s:]+\.go):(\d+): (.*)")
_WANTED = re.compile(r"^go: downloading (\S+)", re.MULTILINE)
NAMED = 3


@dataclass(slots=True)
class Events:
    """What the run printed so far: the state of each test by package and name, and their output."""

    states: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    packages: dict[str, str] = field(default_factory=dict[str, str])
    output: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    builds: dict[str, str] = field(default_factory=dict[str, str])
    other: str = ""
    done: int = 0
    failed: int = 0
    running: str = ""

    def take(self, line: bytes) -> None:
        """Takes in one line of output; what is no event is the compiler's."""
        try:
            event = cast("dict[str, Any]", json.loads(line)) if line.startswith(b"{") else None
        except ValueError:
            event = None
        if event is None or "Action" not in event:
            self.other = (self.other + line.decode("utf-8", "replace") + "\n")[-EXCERPT:]
            return
        action, package, test = str(event["Action"]), str(event.get("Package", "")), str(event.get("Test", ""))
        if action == "output":
            key = (package, test)
            self.output[key] = (self.output.get(key, "") + str(event.get("Output", "")))[-EXCERPT:]
        elif action == "build-output":
            path = str(event.get("ImportPath", ""))
            self.builds[path] = (self.builds.get(path, "") + str(event.get("Output", "")))[-EXCERPT:]
        elif action == "run":
            self.running = test
        elif action in ("pass", "fail", "skip"):
            if test:
                self.states[package, test] = action
                self.done += 1
                self.failed += action == "fail"
            else:
                self.packages[package] = action


def arguments(command: Command, private: Path, *, coverage: bool) -> tuple[str, ...]:
    """The command with its events as JSON."""
    added = ["-json"] if "-json" not in command.argv else []
    if coverage:
        added.append(f"-coverprofile={private / 'coverage.out'}")
    return (*command.argv[:2], *added, *command.argv[2:])


def outcome(
    events: Events, finished: Finished, command: Command, listing: bytes, root: Path, *, complete: bool
) -> Outcome:
    """What the events say. `listing` is what `list_command` printed. `complete` when nothing was selected: then every
    test function must have run."""
    parents = {(p, t.rpartition("/")[0]) for p, t in events.states if "/" in t}
    leaves = {key: state for key, state in events.states.items() if key not in parents}
    counts = {state: sum(1 for s in leaves.values() if s == state) for state in ("pass", "fail", "skip")}
    broken = [p for p, state in events.packages.items() if state == "fail" and not _failing(events, p)]
    packages = _listed(listing)
    folders = {str(package.get("ImportPath")): Path(str(package.get("Dir"))) for package in packages}
    failures = [_test_failure(key, events, folders, root) for key, state in leaves.items() if state == "fail"]
    failures += [_package_failure(package, events, command.cwd, root) for package in broken]
    problem = ""
    if not events.packages and finished.exit_code:
        problem = f"go test did not run (exit code {finished.exit_code}): {last_lines(events.other or finished.tail)}"
    passing = sorted(package for package, state in events.packages.items() if state == "pass")
    doubts: list[str] = []
    files: dict[str, int] = {}
    if passing and not problem:
        whole = complete and not any(_NARROWS.fullmatch(word) for word in command.argv[2:])
        doubts = list(_not_run(passing, packages, events)) if whole else []
        files = _files(passing, packages, events, root)
    if finished.exit_code and not failures and not problem:
        doubts.append(f"no test failed, but the exit code is {finished.exit_code}")
    return Outcome(
        passed=counts["pass"],
        failed=counts["fail"],
        errors=len(broken),
        skipped=counts["skip"],
        failures=tuple(failures[:FAILURES]),
        exit_code=finished.exit_code,
        runner="go test",
        doubts=tuple(doubts),
        files=files,
        trouble="not started" if problem else "",
        problem=problem,
        running=events.running if finished.timed_out else "",
    )


def _failing(events: Events, package: str) -> bool:
    return any(state == "fail" for (p, _), state in events.states.items() if p == package)


def _test_failure(key: tuple[str, str], events: Events, folders: Mapping[str, Path], root: Path) -> Failure:
    package, test = key
    text = events.output.get(key, "")
    place = next((m for line in text.splitlines() if (m := _PLACE.match(line))), None)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _MARK.match(line)]
    if place is None:
        return Failure(f"{package}.{test}", lines[0] if lines else "failed", excerpt=text)
    file = relative(folders[package] / place[1], root) if package in folders else place[1]
    return Failure(f"{package}.{test}", place[3], file, int(place[2]), text)


def _package_failure(package: str, events: Events, cwd: Path, root: Path) -> Failure:
    """A package that failed without a failing test: it does not compile, panicked, or its TestMain ended it."""
    build = next((text for path, text in events.builds.items() if path.split(" ")[0] == package), "")
    # What a dependency lacks is told under its own name, with the package that wanted it above.
    build = build or "".join(text for text in events.builds.values() if text.startswith(f"# {package}\n"))
    if "[setup failed]" in events.output.get((package, ""), "") and (missing := _WANTED.findall(events.other)):
        where = relative(cwd, root)
        named = ", ".join(missing[:NAMED])
        message = (
            f"modules are not in the module cache ({named}), and the fence has no way to fetch them: a person runs "
        )
        message += f"`go mod download` in {where}"
        return Failure(package, message, f"{where}/go.mod", None, build)
    text = build or events.output.get((package, ""), "") or events.other
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("#", "FAIL", "ok"))]
    place = re.match(r"([^\s:]+\.go):(\d+)", lines[0]) if lines else None
    message = lines[0] if lines else "the package failed"
    if place is None:
        return Failure(package, message, excerpt=text)
    return Failure(package, message, relative(Path(os.path.normpath(cwd / place[1])), root), int(place[2]), text)


def list_command(command: Command) -> tuple[str, ...]:
    """Lists the packages of a command with the test files that are compiled here and now (build tags, platform)."""
    packages = [word for word in command.argv[2:] if not word.startswith("-")] or ["."]
    fields = "-json=Dir,ImportPath,TestGoFiles,XTestGoFiles"
    quiet = ("sh", "-c", 'exec "$@" 2>/dev/null', "sh")
    return (*quiet, command.argv[0], "list", "-e", "-buildvcs=false", fields, "--", *packages)


def _listed(listing: bytes) -> list[dict[str, Any]]:
    text = listing.decode("utf-8", "replace")
    found: list[dict[str, Any]] = []
    position = 0
    decoder = json.JSONDecoder()
    while position < len(text):
        try:
            package, position = decoder.raw_decode(text, position)
        except ValueError:
            break
        found.append(package)
        position += len(text[position:]) - len(text[position:].lstrip())
    return found


def _declared(package: Mapping[str, Any]) -> Iterable[tuple[str, list[str]]]:
    """The test files of a package with the names of their test functions."""
    names = cast("list[str]", [*(package.get("TestGoFiles") or ()), *(package.get("XTestGoFiles") or ())])
    for name in names:
        path = os.path.join(str(package["Dir"]), name)
        try:
            source = Path(path).read_bytes()
        except OSError:
            continue
        yield path, go_source.tests(source)


def _not_run(passing: list[str], packages: list[dict[str, Any]], events: Events) -> Iterable[str]:
    """Packages that passed although a test function of theirs did not run: a TestMain that ends the program."""
    if not packages:
        yield "`go list` does not answer, so it is not known whether every test ran"
    for package in packages:
        name = str(package.get("ImportPath"))
        if name not in passing:
            continue
        missing = [test for _, tests in _declared(package) for test in tests if (name, test) not in events.states]
        if missing:
            yield f"{name} passed without running {listed(missing, 3)}: its TestMain or a flag kept them from running"


def _files(passing: list[str], packages: list[dict[str, Any]], events: Events, root: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for package in packages:
        name = str(package.get("ImportPath"))
        for path, tests in _declared(package) if name in passing else ():
            count = sum(1 for test in tests if events.states.get((name, test)) == "pass")
            if count and Path(path).is_relative_to(root):
                found[relative(Path(path), root)] = count
    return found
