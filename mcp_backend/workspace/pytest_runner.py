"""pytest: how it is started so that it reports to us, and what its report says. Results come from the plugin's
records (pytest_report.py), never from text.
"""

import json
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mcp_backend.actions import listed
from mcp_backend.workspace.process import Finished
from mcp_backend.workspace.runners import Command, Failure, Outcome, Trouble, last_lines, relative

PLUGIN = "mcp_backend_report"
USAGE_ERROR = 4
NO_TESTS = 5
"""Exit codes. https://docs.pytest.org/en/stable/reference/exit-codes.html"""
_NO_PYTEST = re.compile(r"^(\S+): No module named pytest\b", re.MULTILINE)
_IMPORT = re.compile(
    r"(?:ModuleNotFoundError|ImportError): (?!Error importing plugin)[^\n]+"
    r"|Error importing plugin [^\n]+|[\w.]*ImproperlyConfigured: [^\n]+"
)
_CONFTEST = re.compile(r"while loading conftest '([^'\n]+)'")
_RAISED = re.compile(r"^E   ([A-Za-z_][^\n]*)", re.MULTILINE)
_ENDED = re.compile(r"^(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Warning)\b[^\n]*", re.MULTILINE)
"""What a traceback ends with."""
_UNKNOWN = re.compile(r"error: unrecognized arguments: ([^\n]+)")
_PLUGINS = {
    "-n": "pytest-xdist", "--dist": "pytest-xdist", "--numprocesses": "pytest-xdist", "--cov": "pytest-cov",
    "--cov-report": "pytest-cov", "--cov-config": "pytest-cov", "--no-cov-on-fail": "pytest-cov",
    "--cov-fail-under": "pytest-cov", "--timeout": "pytest-timeout", "--ds": "pytest-django",
    "--reuse-db": "pytest-django", "--nomigrations": "pytest-django", "--no-migrations": "pytest-django",
    "--asyncio-mode": "pytest-asyncio", "--reruns": "pytest-rerunfailures", "--benchmark-skip": "pytest-benchmark",
    "--durations-path": "pytest-split", "--randomly-seed": "pytest-randomly", "--mypy": "pytest-mypy",
}  # fmt: skip
"""Whose an option is that settings of many projects name."""
FILES = 5000
FAILURES = 200
NAMED = 3


@dataclass(slots=True)
class Records:
    """What one or more sessions of pytest wrote so far; `read` takes in what is new."""

    folder: Path
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    done: int = 0
    failed: int = 0
    total: int | None = None
    running: str = ""
    _read: dict[Path, int] = field(default_factory=dict[Path, int])

    def read(self) -> None:
        """Takes in the lines that were completed since the last time."""
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            for line in whole.splitlines():
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            event = cast("dict[str, Any]", json.loads(line))
        except ValueError:
            return
        self.events.append(event)
        match event.get("event"):
            case "collected":
                self.total = max(self.total or 0, int(event["selected"]))
            case "begin":
                self.running = str(event["test"])
            case "report" if event["when"] == "call" or event["state"] != "passed":
                self.done += event["when"] != "teardown"
                self.failed += event["state"] == "failed"
                self.running = "" if event["test"] == self.running else self.running
            case _:
                pass


def prepare(private: Path) -> tuple[dict[str, str], Records]:
    """The environment that lets the plugin be found and tells it where to write; `private` is a fresh folder."""
    plugin, folder = private / "plugin", private / "report"
    plugin.mkdir()
    folder.mkdir()
    shutil.copyfile(Path(__file__).with_name("pytest_report.py"), plugin / f"{PLUGIN}.py")
    return {
        "PYTHONPATH": str(plugin),
        "MCP_BACKEND_REPORT": f"{folder}:test_{secrets.token_hex(6)}",
        "COVERAGE_FILE": str(private / "coverage"),
    }, Records(folder)


def arguments(command: Command, private: Path, cache: Path, *, coverage: bool) -> tuple[str, ...]:
    """The command with what makes it report, and with its caches and temporary files outside the work tree: an
    `addopts` of the project must not name a folder of it, because pytest empties that folder."""
    added = ["-p", PLUGIN, "-o", f"cache_dir={cache}", f"--basetemp={private / 't'}"]
    if coverage:
        added += ["--cov", f"--cov-report=json:{private / 'coverage.json'}"]
    return (*command.argv, *added)


def outcome(records: Records, finished: Finished, root: Path, command: Command) -> Outcome:
    """What the records of a run say."""
    records.read()
    starts = _all(records, "start")
    if not starts:
        return _nothing(finished, command)
    ends = _all(records, "finish")
    raws = {str(event["test"]): event for event in _all(records, "raw")}
    states, failures = _results(records, raws, root)
    counts = {
        state: sum(1 for s in states.values() if s == state) for state in ("passed", "failed", "error", "skipped")
    }
    broken = [event for event in _all(records, "collect") if event["state"] == "failed"]
    failures = [_failure(event, (), root) for event in broken] + failures
    trouble, problem = "", ""
    if finished.exit_code == USAGE_ERROR and not states and not broken:
        trouble, problem = _refusal(finished, command)
    elif len(ends) < len(starts):
        where = f" during {records.running}" if records.running else ""
        trouble = "broke off"
        raised = [] if states or records.running else _ENDED.findall(finished.tail)
        how = raised[-1][:300] if raised else "os._exit, a signal or a crash"
        when = "first test" if raised else "end"
        problem = f"pytest ended before its {when}{where} (exit code {finished.exit_code}): {how}"
    files: dict[str, int] = {}
    for test, state in states.items():
        if state == "passed" and test in raws and len(files) < FILES:
            path = relative(Path(raws[test]["path"]), root)
            files[path] = files.get(path, 0) + 1
    collected = _all(records, "collected")
    return Outcome(
        passed=counts["passed"],
        failed=counts["failed"],
        errors=counts["error"] + len(broken),
        skipped=counts["skipped"] + sum(1 for event in _all(records, "collect") if event["state"] == "skipped"),
        failures=tuple(failures[:FAILURES]),
        exit_code=finished.exit_code,
        runner=f"pytest {starts[0]['pytest']}, Python {starts[0]['python']}",
        doubts=tuple(_doubts(records, states, raws, counts["failed"] + counts["error"] + len(broken), finished)),
        files=files,
        hidden=max((event["by_hook"] for event in collected), default=0),
        by_option=max((event["by_option"] for event in collected), default=0),
        trouble=trouble,
        problem=problem,
        running=records.running,
    )


def _nothing(finished: Finished, command: Command) -> Outcome:
    if finished.exit_code == 0:
        return Outcome(trouble="not started", problem="the program ended with exit code 0 and began no test session")
    trouble, problem = _refusal(finished, command)
    if trouble == "refused" and finished.exit_code != USAGE_ERROR:
        trouble = "not started"
        problem = f"pytest did not start (exit code {finished.exit_code}): {last_lines(finished.tail)}"
    return Outcome(trouble=trouble, exit_code=finished.exit_code, problem=problem)


def _refusal(finished: Finished, command: Command) -> tuple[Trouble, str]:
    """Why pytest did not run: an import of the tests' own failed, its settings ask for a plugin that is not there, or
    the words it was given are wrong. pytest ends with the same exit code for all of them."""
    ran = f"run by {command.argv[0]}"
    if missing := _NO_PYTEST.search(finished.tail):
        return "not started", f"pytest is not installed in that Python ({missing[1]})"
    if failed := _IMPORT.search(finished.tail):
        conftest = _CONFTEST.search(finished.tail)
        where = f" while {conftest[1]} was loaded" if conftest else ""
        return "not started", f"an import of the test run fails{where}: {failed[0].strip()} ({ran})"
    if (conftest := _CONFTEST.search(finished.tail)) and (raised := _RAISED.search(finished.tail, conftest.end())):
        return "not started", f"{conftest[1]} cannot be loaded: {raised[1].strip()[:300]} ({ran})"
    if unknown := _UNKNOWN.search(finished.tail):
        options = [word for word in unknown[1].split() if word.startswith("-")]
        if options and not any(option in command.argv for option in options):
            plugins = sorted({_PLUGINS[name] for o in options if (name := o.partition("=")[0]) in _PLUGINS})
            lacks = f"it lacks {', '.join(plugins)}" if plugins else "it lacks the plugin they belong to"
            return "not started", f"pytest's settings ask for {' '.join(options)}, and {lacks} ({ran})"
    return "refused", f"pytest does not accept its arguments: {last_lines(finished.tail)}"


def _results(
    records: Records, raws: Mapping[str, Mapping[str, Any]], root: Path
) -> tuple[dict[str, str], list[Failure]]:
    """The state of each test (a failing set-up or tear-down is an error, as pytest counts), and the failures."""
    states: dict[str, str] = {}
    failures: dict[str, Failure] = {}
    for event in _all(records, "report"):
        test, state = str(event["test"]), str(event["state"])
        if state == "rerun" or states.get(test) == "error":
            continue
        if state == "failed":
            states[test] = "failed" if event["when"] == "call" else "error"
            failures[test] = _failure(event, raws.get(test, {}).get("trace") or (), root)
        elif event["when"] == "call" or state == "skipped":
            states[test] = state
            failures.pop(test, None)
    return states, list(failures.values())


def _doubts(
    records: Records, states: Mapping[str, str], raws: Mapping[str, Mapping[str, Any]], bad: int, finished: Finished
) -> Iterable[str]:
    """Reasons not to believe a green run."""
    passed = [test for test, state in states.items() if state == "passed"]
    if hidden := [test for test in passed if test in raws and raws[test]["raised"]]:
        yield f"a hook hides failures: {listed(hidden, NAMED)} raised an exception and was reported as passed"
    if unseen := [test for test in passed if test not in raws]:
        yield f"{len(unseen)} results do not come from running a test: {listed(unseen, NAMED)}"
    canaries = {str(event["folder"]): str(event["state"]) for event in _all(records, "canary")}
    for folder, state in canaries.items():
        if state == "passed":
            yield f"a hook hides failures: a test that must fail passed in {folder}"
    expected = max((int(event["canaries"]) for event in _all(records, "collected")), default=0)
    if len(canaries) < expected and not bad and not _in_parts(records):
        yield "a hook took away the test that must fail, which shows that failures are seen"
    if not bad and states:
        if finished.exit_code not in (0, NO_TESTS):
            yield f"no test failed, but the exit code is {finished.exit_code}: {last_lines(finished.tail)}"
        elif any(event["failed"] for event in _all(records, "finish")):
            yield "pytest counted failures that it did not report"


def _in_parts(records: Records) -> bool:
    """Whether several sessions ran: then each has its own canaries, and they are not told apart."""
    return len(_all(records, "start")) > 1


def _all(records: Records, kind: str) -> list[dict[str, Any]]:
    return [event for event in records.events if event.get("event") == kind]


def _failure(event: Mapping[str, Any], trace: Iterable[tuple[str, int]], root: Path) -> Failure:
    """A failure at the last place in the project's own files that the exception passed."""
    excerpt = str(event.get("excerpt") or "")
    message = str(event.get("message") or excerpt.strip().rpartition("\n")[2])
    if printed := str(event.get("printed") or "").strip():
        excerpt += f"\n{printed}"
    places = [(str(event["file"]), int(event["line"]))] if event.get("file") else []
    own = [place for place in (*places, *trace) if place[0].startswith(f"{root}/") and "site-packages" not in place[0]]
    file, line = (own or places or [(str(event["test"]).partition("::")[0], 0)])[-1]
    return Failure(str(event["test"]), message, relative(Path(file), root), line or None, excerpt)
