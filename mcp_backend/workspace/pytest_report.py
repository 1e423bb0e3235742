"""A pytest plugin that says what happens, one JSON object a line. It is copied out and runs in the project's own
interpreter (Python >= 3.8, pytest >= 6), so it imports nothing of this package.

`MCP_BACKEND_REPORT` is `FOLDER:CANARY`. Every process writes a file of its own into the folder: workers of
pytest-xdist and forked tests too. Besides the reports it looks for runs that only seem to pass. What a test raised is
written down where it is raised, before any hook can change the report. In each folder one more test, which must fail,
goes through the same hooks as the tests beside it (the canary); it is never reported to pytest, so nothing counts it.
And tests that were collected but taken away are counted, by whom.
"""

from __future__ import annotations

import json
import os
import sys
import unittest
from typing import Any

import pytest

LIMIT = 6000
WORKER = "mcp_backend_report"


class CanaryError(Exception):
    """Raised by the canary; whoever hides it hides other failures too."""


class Canary(pytest.Function):
    """A test that fails."""


def _line(event: str, **about: Any) -> bytes:
    return json.dumps({"event": event, **about}).encode() + b"\n"


def _append(folder: str, lines: bytes) -> None:
    # Opened every time: tests fork, and close descriptors that are not theirs.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(os.path.join(folder, f"{os.getpid()}.jsonl"), flags, 0o600)
    try:
        os.write(descriptor, lines)
    finally:
        os.close(descriptor)


def _sing() -> None:
    raise CanaryError("this test must fail")


def pytest_addoption(parser: Any, pluginmanager: Any) -> None:
    # The command names a folder for the cache; without the cache nobody knows that setting, and strict projects fail.
    if pluginmanager.is_blocked("cacheprovider"):
        parser.addini("cache_dir", "where the cache would lie")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: Any) -> None:
    # Taken out of the environment: a test that runs pytest itself, or Python, must not see any of this.
    given = os.environ.pop("MCP_BACKEND_REPORT", "")
    own = os.path.dirname(os.path.abspath(__file__))
    others = [part for part in os.environ.pop("PYTHONPATH", "").split(os.pathsep) if part and part != own]
    if others:
        os.environ["PYTHONPATH"] = os.pathsep.join(others)
    worker: Any = getattr(config, "workerinput", None)
    folder, _, name = given.rpartition(":")
    place: Any = worker[WORKER] if worker and WORKER in worker else (folder, name)
    if place[0] and getattr(config.option, "xmlpath", None):
        config.option.xmlpath = os.path.join(place[0], "junit.xml")  # settings of the project may name any file
    if place[0]:
        config.pluginmanager.register(Report(place[0], place[1], worker is not None), "mcp_backend_report_hooks")


class Report:
    """The hooks of one session."""

    def __init__(self, folder: str, canary: str, worker: bool) -> None:
        self.folder = folder
        self.canary = canary
        self.worker = worker
        self.process = os.getpid()
        self.waiting: list[bytes] = []
        self.collected: set[str] = set()
        self.deselected: dict[str, bool] = {}

    def write(self, event: str, **about: Any) -> None:
        _append(self.folder, b"".join([*self.waiting, _line(event, **about)]))
        self.waiting.clear()

    def note(self, event: str, **about: Any) -> None:
        """Leaves with the next `write`, when a test begins: opening the file three times a test would be felt."""
        if self.worker or os.getpid() != self.process:
            _append(self.folder, _line(event, **about))
        else:
            self.waiting.append(_line(event, **about))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[WORKER] = (self.folder, self.canary)

    def pytest_itemcollected(self, item: Any) -> None:
        self.collected.add(item.nodeid)

    def pytest_deselected(self, items: Any) -> None:
        # Who asked: pytest itself for -k, -m and --deselect, or a hook of the project.
        frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        while frame.f_back and frame.f_globals.get("__name__", "").startswith("pluggy"):
            frame = frame.f_back
        by_option = frame.f_globals.get("__name__", "").startswith("_pytest.")
        self.deselected.update((item.nodeid, by_option) for item in items)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: Any) -> Any:
        yield
        kept = {item.nodeid for item in items}
        gone = self.collected - kept
        by_option = {test for test in gone if self.deselected.get(test)}
        items[:] = _with_canaries(items, self.canary)
        self.write("collected", selected=len(kept), canaries=len(items) - len(kept), by_option=len(by_option),
                   by_hook=len(gone - by_option), hidden=sorted(gone - by_option)[:20])  # fmt: skip

    def pytest_runtest_logstart(self, nodeid: Any) -> None:
        if not self.worker:
            self.write("begin", test=nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> Any:
        if not isinstance(item, Canary):
            return None
        from _pytest.runner import runtestprotocol

        reports = {report.when: report for report in runtestprotocol(item, log=False, nextitem=nextitem)}
        call = reports.get("call")
        state = "inconclusive" if call is None or call.skipped else "failed" if call.failed else "passed"
        self.write("canary", folder=os.path.dirname(_path(item)), state=state)
        return True

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        raised = _raised(call)
        yield
        raised = raised or _raised(call)  # failures of unittest arrive only now
        if not isinstance(item, Canary) and (call.when == "call" or raised):
            self.note("raw", test=item.nodeid, path=_path(item), raised=raised, trace=_trace(call))

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        if not self.worker and (report.when == "call" or report.outcome != "passed"):
            self.note("report", test=report.nodeid, when=report.when, state=report.outcome, **_why(report))

    def pytest_collectreport(self, report: Any) -> None:
        if not self.worker and report.outcome != "passed":
            self.write("collect", test=report.nodeid, state=report.outcome, **_why(report))

    def pytest_internalerror(self, excrepr: Any, excinfo: Any) -> None:
        said = _cut(f"INTERNALERROR {excinfo.exconly()}")
        self.write("collect", test="pytest", state="failed", message=said, excerpt=_cut(str(excrepr)))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: Any, exitstatus: Any) -> None:
        if not self.worker:
            self.write("finish", exit=int(exitstatus), failed=int(session.testsfailed))


def _path(item: Any) -> str:
    return str(getattr(item, "path", None) or item.fspath)


def _cut(text: str) -> str:
    return text if len(text) <= LIMIT else text[: LIMIT // 2] + "\n[…]\n" + text[-LIMIT // 2 :]


def _raised(call: Any) -> bool:
    skips = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)
    return call.excinfo is not None and not call.excinfo.errisinstance(skips)


def _trace(call: Any) -> list[tuple[str, int]]:
    """Where the exception passed, outermost first."""
    entries: Any = call.excinfo.traceback[-40:] if call.excinfo is not None else []
    return [(str(entry.path), entry.lineno + 1) for entry in entries]


def _why(report: Any) -> dict[str, Any]:
    if report.outcome != "failed":
        return {}
    crash = getattr(report.longrepr, "reprcrash", None)
    found = {"excerpt": _cut(report.longreprtext), "printed": _cut("\n".join(text for _, text in report.sections))}
    if crash is not None:
        found.update(file=crash.path, line=crash.lineno, message=_cut(crash.message))
    return found


def _with_canaries(items: Any, name: str) -> Any:
    """Each folder's last test is followed by a canary of the same module, while its fixtures are still there."""
    last = {os.path.dirname(_path(item)): item for item in items if isinstance(item, pytest.Function)}
    make: Any = Canary.from_parent  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    found: list[Any] = []
    for item in items:
        found.append(item)
        if last.get(os.path.dirname(_path(item))) is item:
            found.append(make(item.getparent(pytest.Module), name=name, callobj=_sing))
    return found


if os.environ.get("MCP_BACKEND_REPORT"):
    # At import, before any conftest: one that ends the process leaves a start without an end.
    _append(
        os.environ["MCP_BACKEND_REPORT"].rpartition(":")[0],
        _line("start", pytest=pytest.__version__, python=".".join(str(part) for part in sys.version_info[:3])),
    )
