"""run_tests with pytest: results as they are, receipts only for what really passed, nothing left behind."""

import asyncio
import os
import shlex
import sys
import venv
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.conftest import ALL, ERAS, Connect, Era, git
from tests.service import FILES, PYTEST, add_feature, ask, refused, write

pytest_plugins = ("tests.service_fixtures",)


def command(root: Path, line: str) -> None:
    """Sets and commits the test command of the policy."""
    write(root, {"mcp-backend.toml": f"[commands]\ntest = '''{line}'''\n"})
    git(root, "commit", "-qam", "test command")


@pytest.mark.parametrize("era", ERAS)
async def test_a_passing_run_gives_a_receipt_for_the_tree_and_leaves_no_litter(
    service: Path, connect: Connect, era: Era
) -> None:
    write(service, {".gitignore": ""})
    git(service, "commit", "-qam", "ignore nothing")
    told: list[tuple[float, float | None, str | None]] = []

    async def progress_callback(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    write(service, {"tests/test_slow.py": "import time\n\ndef test_slow():\n    time.sleep(0.6)\n"})
    async with connect(service, mode=era) as client:
        answer = await client.call_tool("run_tests", {}, progress_callback=progress_callback)
        result: dict[str, Any] = answer.structured_content or {}
    assert (result["outcome"], result["passed"], result["failed"], result["errors"]) == ("passed", 2, 0, 0)
    assert result["receipt"].startswith("r_")
    assert result["sandbox"].startswith(("namespaces", "bubblewrap", "landlock"))
    assert result["runner"].startswith("pytest ")
    assert Path(result["log"]).read_text().count("passed") == 1
    assert git(service, "status", "--porcelain", "--ignored") == "?? tests/test_slow.py"
    git(service, "add", ".")
    assert result["tree"] == git(service, "write-tree")
    assert str(told[0][2]).startswith("running ")
    # A slow start is told before, without a total.
    assert any(total == 2 and "of 2 tests done" in str(words) for _, total, words in told), told


BAD = """
import unittest

import pytest


def test_bad():
    answer = 41
    assert answer == 42, 'close'


@pytest.fixture
def broken():
    raise OSError('no database')


def test_error(broken):
    pass


@pytest.mark.skip
def test_skipped():
    pass


@pytest.mark.xfail
def test_expected():
    assert 0


class TestOld(unittest.TestCase):
    def test_old(self):
        self.assertEqual(1, 2)
"""
HANG = """
import os, subprocess, time


def test_hang():
    child = subprocess.Popen(['sleep', '600'], start_new_session=True)
    open(os.environ['PIDS'], 'w').write(f'{os.getpid()} {child.pid}')
    time.sleep(600)
"""


async def test_a_failing_run_is_a_result_that_says_where_and_hides_secrets(service: Path, connect: Connect) -> None:
    secret = "def test_secret():\n    raise OSError('postgresql://me:hunter2@db/x')\n"
    write(service, {"tests/test_bad.py": BAD, "tests/test_secret.py": secret})
    async with connect(service) as client:
        result = await ask(client, "run_tests")
    assert result["outcome"] == "failed"
    assert (result["passed"], result["failed"], result["errors"], result["skipped"]) == (1, 3, 1, 2)
    assert "hunter2" not in str(result)
    found = {failure["test"]: failure for failure in result["failures"]}
    bad = found["tests/test_bad.py::test_bad"]
    assert (bad["file"], bad["line"]) == ("tests/test_bad.py", 9)
    assert bad["message"].startswith("AssertionError: close")
    assert "answer == 42" in bad["excerpt"]
    assert found["tests/test_bad.py::test_error"]["message"] == "OSError: no database"
    assert found["tests/test_bad.py::TestOld::test_old"]["line"] == 33
    assert (result["receipt"], result["no_receipt"]) == (None, "tests failed")


async def test_a_file_that_cannot_be_imported_is_an_error_not_a_pass(service: Path, connect: Connect) -> None:
    write(service, {"tests/test_bad.py": "import nowhere_to_be_found\n\ndef test_x():\n    pass\n"})
    async with connect(service) as client:
        result = await ask(client, "run_tests")
    assert (result["outcome"], result["errors"]) == ("failed", 1)
    assert "nowhere_to_be_found" in result["failures"][0]["message"]
    assert result["failures"][0]["file"] == "tests/test_bad.py"


async def test_no_tests_are_no_pass(service: Path, connect: Connect) -> None:
    (service / "tests/test_totals.py").unlink()
    async with connect(service) as client:
        result = await ask(client, "run_tests")
        assert (result["outcome"], result["passed"], result["receipt"]) == ("no_tests", 0, None)
        assert "no test ran" in result["no_receipt"]
        write(service, {"tests/test_totals.py": "import pytest\n\n@pytest.mark.skip\ndef test_x():\n    pass\n"})
        result = await ask(client, "run_tests")
        assert (result["outcome"], result["skipped"], result["receipt"]) == ("no_tests", 1, None)


FALSE_GREEN = {
    "os._exit while collecting": {"tests/conftest.py": "import os\nos._exit(0)\n"},
    "os._exit at the end": {"tests/conftest.py": "import os\ndef pytest_sessionfinish():\n    os._exit(0)\n"},
    "exit status set to 0": {"tests/conftest.py": "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n"},
    "failing tests taken out": {
        "tests/conftest.py": "def pytest_collection_modifyitems(items):\n"
        "    items[:] = [i for i in items if 'evil' not in i.nodeid]\n"
    },
    "failing tests taken out and reported": {
        "tests/conftest.py": "def pytest_collection_modifyitems(config, items):\n"
        "    gone = [i for i in items if 'evil' in i.nodeid]\n    config.hook.pytest_deselected(items=gone)\n"
        "    items[:] = [i for i in items if i not in gone]\n"
    },
    "deselected by new settings": {"pytest.ini": "[pytest]\naddopts = -k 'not evil'\n"},
    "only collected": {"pytest.ini": "[pytest]\naddopts = --collect-only\n"},
    "bodies not called": {"tests/conftest.py": "def pytest_pyfunc_call(pyfuncitem):\n    return True\n"},
    "failures swallowed": {
        "tests/conftest.py": "import pytest\n@pytest.hookimpl(hookwrapper=True)\n"
        "def pytest_runtest_call(item):\n    o = yield\n    o.force_result(None)\n"
    },
    "reports made green": {
        "tests/conftest.py": "import pytest\n@pytest.hookimpl(hookwrapper=True, tryfirst=True)\n"
        "def pytest_runtest_makereport(item, call):\n    o = yield\n    o.get_result().outcome = 'passed'\n"
    },
    "one report made green": {
        "tests/conftest.py": "import pytest\n@pytest.hookimpl(hookwrapper=True, tryfirst=True)\n"
        "def pytest_runtest_makereport(item, call):\n    o = yield\n"
        "    if item.name == 'test_evil':\n        o.get_result().outcome = 'passed'\n"
    },
    "reports made up": {
        "tests/conftest.py": "from _pytest.reports import TestReport\nimport pytest\n"
        "@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_protocol(item):\n"
        "    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)\n"
        "    for when in ('setup', 'call', 'teardown'):\n"
        "        r = TestReport(item.nodeid, item.location, {}, 'passed', None, when)\n"
        "        item.ihook.pytest_runtest_logreport(report=r)\n    return True\n"
    },
    "file ignored": {"tests/conftest.py": "collect_ignore = ['test_evil.py']\n"},
}
"""The first six kinds are those of the study; the others are variations."""


TWINS = ("failing tests taken out and reported", "bodies not called", "reports made green")
"""Kinds that another one is a harder form of: they run with the long proofs."""
TRICKS = [trick for trick in FALSE_GREEN if ALL or trick not in TWINS]


@pytest.mark.parametrize("tricks", [TRICKS[::2], TRICKS[1::2]], ids=["one half", "the other"])
async def test_a_run_that_only_looks_green_gives_no_receipt(service: Path, connect: Connect, tricks: list[str]) -> None:
    write(service, {"tests/test_evil.py": "def test_evil():\n    assert True\n"})
    git(service, "add", ".")
    git(service, "commit", "-qm", "evil still passes")
    async with connect(service) as client:
        # Last, because it shows by the tests that passed before: no other trick may be found by that alone.
        for trick in sorted(tricks, key=lambda trick: trick == "file ignored"):
            if trick == "file ignored":
                assert (await ask(client, "run_tests"))["receipt"]
            write(service, {**FALSE_GREEN[trick], "tests/test_evil.py": "def test_evil():\n    assert 0\n"})
            result = await ask(client, "run_tests")
            assert result["receipt"] is None, (trick, result)
            assert result["no_receipt"], trick
            error = await refused(client, "git_commit", message="All green", paths=["tests"])
            assert error["details"]["step"] == "run_tests", trick
            git(service, "checkout", "-q", ".")
            git(service, "clean", "-qfd")


CHANGES_EVERYTHING = """
import pytest

@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield

@pytest.fixture(scope='session', autouse=True)
def once():
    yield

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    o = yield
    setattr(item, 'rep_' + o.get_result().when, o.get_result())
"""
MANY = """
import pytest
pytestmark = pytest.mark.filterwarnings('error')

@pytest.mark.parametrize('x', [1, 2, pytest.param(3, marks=pytest.mark.xfail)])
def test_x(x):
    assert x < 3

def test_skip():
    pytest.skip('not here')
"""
INNER = """
import os, subprocess, sys

def test_inner(tmp_path):
    (tmp_path / 'test_in.py').write_text('def test_in(): assert 0')
    done = subprocess.run([sys.executable, '-m', 'pytest', str(tmp_path)], capture_output=True)
    assert done.returncode == 1
    assert not {'MCP_BACKEND_REPORT', 'PYTHONPATH'} & set(os.environ)
"""
HONEST = {
    "marked slow": {
        "pytest.ini": "[pytest]\naddopts = -m 'not slow'\nmarkers = slow\n",
        "tests/test_slow.py": "import pytest\n\n@pytest.mark.slow\ndef test_slow():\n    assert 0\n",
    },
    "taken out by a hook": {
        "tests/conftest.py": "def pytest_collection_modifyitems(items):\n"
        "    items[:] = [i for i in items if 'slow' not in i.nodeid]\n",
        "tests/test_slow.py": "def test_slow():\n    assert 0\n",
    },
    "fixtures, hooks, skips, parameters, doctests, strict settings, pytest inside a test": {
        "tests/conftest.py": CHANGES_EVERYTHING,
        "tests/test_many.py": MANY,
        "tests/win/test_win.py": "import pytest\npytest.skip('not here', allow_module_level=True)\n",
        "tests/later/test_later.py": "import pytest\npytestmark = pytest.mark.skip\n\ndef test_x():\n    assert 0\n",
        "orders/doc.py": '"""\n>>> 1 + 1\n2\n"""\n',
        "mcp-backend.toml": f"[commands]\ntest = '''{PYTEST} -p no:cacheprovider'''\n",
        "pytest.ini": "[pytest]\naddopts = --doctest-modules --strict-markers --strict-config -x\n"
        "filterwarnings = error\n",
        "tests/test_inner.py": INNER,
    },
}


@pytest.mark.parametrize("kind", HONEST)
async def test_an_honest_suite_gets_its_receipt(service: Path, connect: Connect, kind: str) -> None:
    write(service, HONEST[kind])
    git(service, "add", ".")
    git(service, "commit", "-qm", kind)
    async with connect(service) as client:
        result = await ask(client, "run_tests")
    assert result["receipt"], result


async def test_tests_that_change_the_tree_are_named(service: Path, connect: Connect) -> None:
    write(service, {"tests/test_writes.py": "def test_writes():\n    open('orders/made.py', 'w').write('x = 1')\n"})
    async with connect(service) as client:
        result = await ask(client, "run_tests")
    assert (result["outcome"], result["receipt"], result["changed"]) == ("passed", None, ["orders/made.py"])
    assert "orders/made.py" in result["no_receipt"]


async def test_settings_of_the_project_cannot_point_pytest_at_a_folder_of_the_work_tree(
    service: Path, connect: Connect
) -> None:
    write(service, {
        "pytest.ini": "[pytest]\naddopts = --basetemp=frontend -o cache_dir=frontend/cache --junitxml=frontend/x.xml\n",
        "tests/test_tmp.py": "def test_tmp(tmp_path):\n    (tmp_path / 'x').write_text('x')\n",
    })  # fmt: skip
    async with connect(service) as client:
        assert (await ask(client, "run_tests"))["passed"] == 2
    assert git(service, "status", "--porcelain", "frontend") == ""


async def test_a_selection_runs_only_that_and_gives_no_receipt(service: Path, connect: Connect) -> None:
    add_feature(service)
    write(service, {"tests/more/test_more.py": "def test_more():\n    pass\n"})
    command(service, f"{PYTEST} -q tests/test_totals.py tests/more")
    selections: tuple[tuple[object, int], ...] = (
        ("tests/test_totals.py::test_total", 1),
        (["tests/test_totals.py", "tests/more"], 3),
        ("total and not discounted", 1),
    )
    async with connect(service) as client:
        for selection, passed in selections:
            result = await ask(client, "run_tests", selection=selection)
            assert (result["passed"], result["receipt"]) == (passed, None), selection
            assert "whole suite" in result["no_receipt"]


async def test_a_selection_that_is_none_is_refused(service: Path, connect: Connect) -> None:
    (service / "out").symlink_to("/tmp")
    selections: tuple[tuple[object, str], ...] = (
        ("--collect-only", "not an option"),
        ("-c evil.ini", "not an option"),
        ("../elsewhere", "outside"),
        ("/etc", "outside"),
        ("tests/test_nowhere.py", "no path"),
        ("tests/test_totals.py::test_nowhere", "does not accept"),
        ("tests/test_totals.py\n--co", "not an option"),
        ("out", "outside the workspace"),
        ([""], "selection"),
    )
    async with connect(service) as client:
        for selection, words in selections:
            error = await refused(client, "run_tests", selection=selection)
            assert error["code"] == "invalid_argument", selection
            assert "selection" in error["reason"], selection
            assert words in error["reason"], selection


async def test_affected_runs_what_changed_and_what_is_named_after_it(service: Path, connect: Connect) -> None:
    write(service, {"tests/test_other.py": "def test_other():\n    assert 0\n"})
    git(service, "add", ".")
    git(service, "commit", "-qm", "other")
    async with connect(service) as client:
        nothing = await ask(client, "run_tests", mode="affected")
        assert (nothing["outcome"], nothing["receipt"]) == ("no_tests", None)
        write(service, {"orders/totals.py": FILES["orders/totals.py"] + "\n\nX = 1\n"})
        result = await ask(client, "run_tests", mode="affected")
        assert (result["passed"], result["failed"], result["receipt"]) == (1, 0, None)
        error = await refused(client, "run_tests", mode="affected", selection="tests")
        assert error["code"] == "invalid_argument"


def alive(mark: Path) -> list[str]:
    """The processes that were started with the mark in their environment: numbers inside the fence say nothing here."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if bytes(mark) in (process / "environ").read_bytes():
                found.append(process.name)
    return found


async def test_a_run_that_takes_too_long_is_stopped_with_everything_it_started(service: Path, connect: Connect) -> None:
    write(service, {"tests/test_hang.py": HANG})
    pids = service / "pids"
    command(service, f"PIDS={shlex.quote(str(pids))} {PYTEST}")
    async with connect(service) as client:
        for seconds in (4, 15, 60):  # on a loaded machine the first may be over before the test begins
            error = await refused(client, "run_tests", timeout_seconds=seconds)
            if "running" in error["details"]:
                break
    assert error["code"] == "deadline_exceeded"
    assert error["details"]["running"] == "tests/test_hang.py::test_hang"
    assert len(pids.read_text().split()) == 2
    assert alive(pids) == []


async def test_a_cancelled_run_ends_with_everything_it_started(service: Path, connect: Connect) -> None:
    write(service, {"tests/test_hang.py": HANG})
    pids = service / "pids"
    os.mkfifo(pids)
    command(service, f"PIDS={shlex.quote(str(pids))} {PYTEST}")
    async with connect(service) as client:
        started: list[str] = []
        async with anyio.create_task_group() as group:
            group.start_soon(ask, client, "run_tests")
            started += (await asyncio.to_thread(pids.read_text)).split()
            group.cancel_scope.cancel()
        # The next call waits for nothing: when it is answered, the server has handled the cancellation.
        await ask(client, "git_status")
        with anyio.fail_after(60):
            while alive(pids):
                await anyio.sleep(0.02)
    assert len(started) == 2


async def test_a_crash_in_the_middle_is_an_error_that_names_the_test(service: Path, connect: Connect) -> None:
    write(
        service,
        {"tests/test_crash.py": "import os, signal\n\ndef test_crash():\n    os.kill(os.getpid(), signal.SIGSEGV)\n"},
    )
    async with connect(service) as client:
        result = await ask(client, "run_tests")
    assert (result["outcome"], result["receipt"]) == ("failed", None)
    assert result["failures"][-1]["test"] == "tests/test_crash.py::test_crash"


async def test_the_environment_of_the_server_does_not_steer_the_tests(
    service: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    touch = f"open({str(mark)!r}, 'w')\n"
    write(tmp_path / "evil", {"evilplug.py": touch, "sitecustomize.py": touch})
    steering = {"PYTEST_ADDOPTS": "-p evilplug", "PYTEST_PLUGINS": "evilplug", "PYTHONPATH": str(tmp_path / "evil"),
                "GIT_DIR": "/nowhere", "GOFLAGS": "-x", "LD_AUDIT": "", "BASH_ENV": "/nowhere"}  # fmt: skip
    for name, value in {**steering, "KEPT": "yes"}.items():
        monkeypatch.setenv(name, value)
    test = f"def test_env():\n    assert os.environ['KEPT']\n    assert not {set(steering)} & set(os.environ)\n"
    write(service, {"tests/test_env.py": f"import os\n\n{test}"})
    async with connect(service) as client:
        assert (await ask(client, "run_tests"))["receipt"]
    assert not mark.exists()


async def test_the_projects_own_environment_comes_first_and_the_servers_never(
    service: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    command(service, "pytest -p no:cacheprovider")
    write(service, {".gitignore": "__pycache__/\n.venv/\n"})
    async with connect(service) as client:
        answer = await client.call_tool("run_tests", {})
        text = str(answer.structured_content)
        assert str(Path(sys.prefix)) not in text
        venv.create(service / ".venv", symlinks=True)
        site = next((service / ".venv/lib").glob("python3*")) / "site-packages"
        source = Path(pytest.__file__).parents[1]
        for name in (
            "pytest",
            "_pytest",
            "pluggy",
            "pluggy-*.dist-info",
            "iniconfig",
            "packaging",
            "pygments",
            "py.py",
        ):
            found = next(source.glob(name))
            (site / found.name).symlink_to(found)
        result = await ask(client, "run_tests")
    assert result["passed"] == 1
    assert result["command"].startswith("pytest")


async def test_a_runner_that_is_missing_is_told_from_a_failing_test(service: Path, connect: Connect) -> None:
    for line, words in (
        ("no-such-runner --all", "no-such-runner is not installed"),
        ("/usr/bin/env -i /bin/false -m pytest", "exit code"),
        (f"{shlex.quote(sys.executable)} -S -m pytest", "pytest is not installed in that Python"),
        ("pytest 'unbalanced", "commands.test"),
        ("cd nowhere && pytest", "nowhere is not a folder"),
    ):
        command(service, line)
        async with connect(service) as client:
            answer = await client.call_tool("run_tests", {})
        content: dict[str, Any] = answer.structured_content or {}
        if "false" in line:
            assert content["failed"] == 1
            assert words in content["failures"][0]["message"]
        else:
            assert content["error"]["code"] == "failed_precondition"
            assert words in content["error"]["reason"]


async def test_what_the_environment_of_the_tests_lacks_is_named_and_is_not_the_fault_of_a_selection(
    service: Path, connect: Connect
) -> None:
    async with connect(service) as client:
        for files, words in (
            ({"tests/conftest.py": "import nowhere\n"},
             ("an import of the test run fails", "tests/conftest.py", "No module named 'nowhere'", sys.executable)),
            ({"tests/conftest.py": "def x():\n    return named\nx()\n"},
             ("tests/conftest.py cannot be loaded: NameError: name 'named' is", "correct that, or a person")),
            ({"tests/conftest.py": "", "pytest.ini": "[pytest]\naddopts = --cov=orders -n 2\n"},
             ("pytest's settings ask for", "lacks pytest-cov, pytest-xdist")),
            *([({"pytest.ini": "[pytest]\naddopts = -p nowhere.plugin\n"}, ("an import", "nowhere"))] if ALL else []),
        ):  # fmt: skip
            write(service, files)
            error = await refused(client, "run_tests", selection="tests/test_totals.py")
            assert error["code"] == "failed_precondition", error
            for word in words:
                assert word in error["reason"]


async def test_what_ended_pytest_before_its_first_test_is_named(service: Path, connect: Connect) -> None:
    write(service, {"tests/conftest.py": "def pytest_configure():\n    raise RuntimeError('no settings')\n"})
    async with connect(service) as client:
        found = await ask(client, "run_tests")
        assert found["failures"][0]["message"].endswith("RuntimeError: no settings")
        with (service / "tests/conftest.py").open("a") as conftest:
            conftest.write("def pytest_internalerror():\n    raise ValueError('and no plugin')\n")
        found = await ask(client, "run_tests")
    ends = "before its first test (exit code 1): ValueError: and no plugin"
    assert any(failure["message"].endswith(ends) for failure in found["failures"])


async def test_a_command_line_is_taken_apart_or_run_as_written(service: Path, connect: Connect) -> None:
    write(service, {"sub/test_sub.py": "def test_sub():\n    pass\n", "ok.sh": "#!/bin/sh\nexit 0\n",
                    "many.sh": f"#!/bin/sh\n{PYTEST} tests && {PYTEST} sub\n"})  # fmt: skip
    for name in ("ok.sh", "many.sh"):
        (service / name).chmod(0o755)
    git(service, "add", ".")
    twins = ((f"cd sub && {PYTEST} -k 'sub or (none)'", 1, "pytest"), (f"{PYTEST} sub | cat", 1, "pytest"))
    for line, passed, runner in (
        (f"{PYTEST} tests && cd sub && {PYTEST}", 2, "pytest"),
        ("./many.sh", 2, "pytest"),
        ("./ok.sh", 1, "counted as one test"),
        *(twins if ALL else ()),
    ):
        command(service, line)
        async with connect(service) as client:
            result = await ask(client, "run_tests")
        assert (result["passed"], bool(result["receipt"])) == (passed, True), (line, result)
        assert runner in result["runner"]
    command(service, "./no.sh")
    write(service, {"no.sh": "#!/bin/sh\necho broken; exit 3\n"})
    (service / "no.sh").chmod(0o755)
    async with connect(service) as client:
        result = await ask(client, "run_tests")
        assert (result["failed"], result["receipt"]) == (1, None)
        assert "broken" in result["failures"][0]["message"]
        assert "takes no selection" in (await refused(client, "run_tests", selection="tests"))["reason"]


async def test_outside_a_repository_tests_run_without_a_receipt(tmp_path: Path, connect: Connect) -> None:
    write(tmp_path / "plain", {k: v for k, v in FILES.items() if not k.startswith("frontend")})
    async with connect(tmp_path / "plain") as client:
        result = await ask(client, "run_tests")
        assert (result["passed"], result["receipt"], result["tree"]) == (1, None, None)
        assert "git init" in result["no_receipt"]
        assert (await refused(client, "run_tests", mode="affected"))["code"] == "failed_precondition"


async def test_coverage_says_what_it_needs(service: Path, connect: Connect) -> None:
    async with connect(service) as client:
        error = await refused(client, "run_tests", coverage=True)
    assert error["code"] == "failed_precondition"
    assert "pytest-cov" in error["reason"]


async def test_a_timeout_that_makes_no_sense_is_refused(service: Path, connect: Connect) -> None:
    async with connect(service) as client:
        for seconds in (0, -1, 1e9, "soon"):
            error = await refused(client, "run_tests", timeout_seconds=seconds)
            assert error["code"] == "invalid_argument", seconds
            assert "timeout_seconds" in error["reason"], seconds


async def test_the_first_test_of_a_repository_is_found_without_a_restart(
    tmp_path: Path, person: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "new"
    write(root, {"orders/__init__.py": "", "bin/pytest": f'#!/bin/sh\n{PYTEST} "$@"\n'})
    (root / "bin/pytest").chmod(0o755)
    monkeypatch.setenv("PATH", f"{root}/bin:{os.environ['PATH']}")
    git(root, "init", "-q")
    async with connect(root) as client:
        error = await refused(client, "run_tests")
        assert error["code"] == "failed_precondition"
        assert "write the first test" in error["reason"]
        write(root, {"tests/test_first.py": "def test_first():\n    pass\n"})
        receipt = (await ask(client, "run_tests"))["receipt"]
        assert receipt
        assert (await ask(client, "git_commit", message="Begin"))["receipt"] == receipt
