"""How a test command of the policy is taken apart, and how a selection changes it."""

import os
from pathlib import Path

import pytest

from mcp_backend.errors import FailedPrecondition, InvalidArgument
from mcp_backend.workspace.runners import Command, commands, interpreter
from mcp_backend.workspace.selection import affected, select
from tests.service import write


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path, {"tests/test_a.py": "", "sub/test_s.py": "", "go/mod/go.mod": "module x\n", "go/mod/a_test.go": "",
                     "go/mod/in/b_test.go": "", "bin/pytest": "#!/bin/sh\n", "bin/uv": "#!/bin/sh\n"})  # fmt: skip
    for name in ("pytest", "uv"):
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path


def short(found: tuple[Command, ...], root: Path) -> list[tuple[str, str, str]]:
    return [(c.kind, " ".join(c.argv), c.cwd.relative_to(root).as_posix()) for c in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pytest -q", [("pytest", "pytest -q", ".")]),
        ("python3 -m pytest tests", [("pytest", "python3 -m pytest tests", ".")]),
        ("uv run pytest", [("pytest", "uv run pytest", ".")]),
        ("uv run --extra dev -m pytest -x", [("pytest", "uv run --extra dev -m pytest -x", ".")]),
        ("go test ./...", [("go", "go test ./...", ".")]),
        ("pytest && cd go/mod && go test ./... && cd ../../sub && pytest",
         [("pytest", "pytest", "."), ("go", "go test ./...", "go/mod"), ("pytest", "pytest", "sub")]),
        ("make test", [("other", "make test", ".")]),
        ("python3 manage.py test", [("django", "python3 manage.py test", ".")]),
        ("pytest | tee out", [("other", "sh -c pytest | tee out", ".")]),
        ("pytest; true", [("other", "sh -c pytest; true", ".")]),
        ("pytest $ARGS", [("other", "sh -c pytest $ARGS", ".")]),
        ("pytest -k 'a and (b or c)'", [("pytest", "pytest -k a and (b or c)", ".")]),
        ("go vet ./...", [("other", "go vet ./...", ".")]),
    ],
)  # fmt: skip
def test_a_line_is_taken_apart(root: Path, line: str, expected: list[tuple[str, str, str]]) -> None:
    assert short(commands(line, root), root) == expected


def test_variables_before_a_program_are_its_environment(root: Path) -> None:
    [found] = commands("A=1 B='two words' pytest", root)
    assert (found.environment, found.argv) == ((("A", "1"), ("B", "two words")), ("pytest",))


@pytest.mark.parametrize("line", ["", "   ", "pytest 'open", "cd .. && pytest", "cd nowhere && pytest", "A=1"])
def test_a_line_that_cannot_be_run_is_refused(root: Path, line: str) -> None:
    with pytest.raises(FailedPrecondition):
        commands(line, root)


def test_the_environment_beside_the_tests_comes_before_the_one_at_the_root(root: Path) -> None:
    assert interpreter(root / "sub", root) is None
    for folder in (".venv", "sub/venv"):
        write(root, {f"{folder}/bin/python": "", f"{folder}/lib/python3.12/site-packages/pytest/__init__.py": ""})
    assert interpreter(root, root) == root / ".venv/bin/python"
    assert interpreter(root / "sub", root) == root / "sub/venv/bin/python"
    assert commands("uv run pytest -q", root)[0].argv == (str(root / ".venv/bin/python"), "-m", "pytest", "-q")
    assert commands("/opt/bin/pytest -q", root)[0].argv == ("/opt/bin/pytest", "-q")
    assert commands("cd sub && python manage.py test", root)[0].argv[0] == str(root / "sub/venv/bin/python")


def test_the_environment_of_the_nearest_project_is_found_wherever_the_tests_lie(root: Path) -> None:
    environment = {".venv/bin/python": "", ".venv/lib/python3.12/site-packages/pytest/__init__.py": ""}
    write(root, {"backend/pyproject.toml": "", **{f"backend/{path}": text for path, text in environment.items()}})
    assert interpreter(root / "backend/app/tests", root) == root / "backend/.venv/bin/python", "above the tests"
    assert interpreter(root, root) == root / "backend/.venv/bin/python", "the only one below"
    write(root, {"worker/pyproject.toml": "", **{f"worker/{path}": text for path, text in environment.items()}})
    assert interpreter(root, root) is None, "two below: neither is guessed"
    assert interpreter(root / "worker", root) == root / "worker/.venv/bin/python"


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["tests/test_a.py::test_x"], [("pytest", "pytest -q tests/test_a.py::test_x", ".")]),
        (["tests", "sub/test_s.py"], [("pytest", "pytest -q tests sub/test_s.py", ".")]),
        (["go/mod/a_test.go::TestA"], [("go", "go test -run ^TestA$ .", "go/mod")]),
        (["go/mod/in"], [("go", "go test ./in/...", "go/mod")]),
        (["go/mod/..."], [("go", "go test ./...", "go/mod")]),
        (["some name"], [("pytest", "pytest -q -k some name", ".")]),
    ],
)
def test_a_selection_replaces_the_tests_of_the_command(
    root: Path, items: list[str], expected: list[tuple[str, str, str]]
) -> None:
    assert short(select(items, commands("pytest -q tests", root), root).commands, root) == expected


@pytest.mark.parametrize(
    ("item", "expected", "note"),
    [
        ("in/b_test.go::TestB", "go test -run ^TestB$ ./in", "go/mod/in/b_test.go"),
        (
            "test_s.py::test_x",
            "pytest -q test_s.py::test_x",
            "taken from the folder of the test command, sub/test_s.py",
        ),
        ("sub/test_s.py", "pytest -q test_s.py", ""),
        ("both.py", "pytest -q both.py", "taken from the folder of the test command, sub/both.py"),
        ("sub", "pytest -q .", "taken from the workspace, not sub/sub"),
    ],
)
def test_a_selection_may_be_given_from_the_folder_that_the_command_runs_in(
    root: Path, item: str, expected: str, note: str
) -> None:
    write(root, {"both.py": "", "sub/both.py": "", "sub/sub/test_t.py": ""})
    found = select([item], commands("cd sub && pytest -q && cd ../go/mod && go test ./...", root), root)
    assert [" ".join(command.argv) for command in found.commands] == [expected]
    assert note in "; ".join(found.notes)
    assert bool(found.notes) == bool(note)


def test_a_folder_of_a_root_with_both_is_tested_by_what_its_tests_are(root: Path) -> None:
    write(root, {"go.mod": "module x", "pkg/a/a_test.go": "", "pkg/a/a.go": "", "mixed/a_test.go": "",
                 "mixed/test_a.py": "", "client/python/test_c.py": ""})  # fmt: skip
    declared = commands("pytest && go test ./...", root)
    for item, line in (
        ("pkg/a", "go test ./pkg/a/..."),
        ("pkg", "go test ./pkg/..."),
        ("client", "pytest client"),
        ("mixed", "pytest mixed"),
    ):
        assert [" ".join(one.argv) for one in select([item], declared, root).commands] == [line]


def test_the_end_of_a_path_is_enough_where_one_file_ends_like_that(root: Path) -> None:
    write(root, {"tests/unit/test_one.py": "", "tests/unit/test_two.py": "", "tests/e2e/test_two.py": ""})
    known = ["tests/e2e/test_two.py", "tests/test_gone.py", "tests/unit/test_one.py", "tests/unit/test_two.py"]

    def chosen(item: str) -> tuple[list[str], tuple[str, ...]]:
        found = select([item], commands("pytest", root), root, lambda: known)
        return [" ".join(command.argv) for command in found.commands], found.notes

    note = "selection test_one.py: taken for tests/unit/test_one.py"
    assert chosen("test_one.py") == (["pytest tests/unit/test_one.py"], (note,))
    assert chosen("e2e/test_two.py::test_x")[0] == ["pytest tests/e2e/test_two.py::test_x"]
    with pytest.raises(InvalidArgument, match=r"may be tests/e2e/test_two\.py, tests/unit/test_two\.py: name the one"):
        chosen("test_two.py")
    for none in ("two.py", "test_gone.py", "/test_one.py"):
        with pytest.raises(InvalidArgument, match=r"is no path|outside the workspace"):
            chosen(none)


def test_a_selection_for_django_is_its_labels(root: Path) -> None:
    write(root, {"api/manage.py": "", "api/shop/tests/__init__.py": "", "api/shop/tests/test_cart.py": ""})
    declared = commands("cd api && python3 manage.py test --parallel auto -v 2 shop", root)
    for item, label in (
        ("shop/tests/test_cart.py", "shop.tests.test_cart"),
        ("api/shop/tests/test_cart.py::Cart::test_x", "shop.tests.test_cart.Cart.test_x"),
        ("api/shop", "shop"),
        ("test_x", "-k test_x"),
    ):
        [command] = select([item], declared, root).commands
        assert " ".join(command.argv) == f"python3 manage.py test --parallel auto -v 2 {label}"


@pytest.mark.parametrize(
    "item",
    [
        "-x",
        "--co",
        "-c/tmp/x",
        "../x",
        "/etc/passwd",
        "tests/none.py",
        "none::test",
        "a;b",
        "$(x)",
        "tests\n--co",
        "a\0b",
    ],
)
def test_a_selection_is_never_an_option_or_a_way_out(root: Path, item: str) -> None:
    with pytest.raises(InvalidArgument, match="selection"):
        select([item], commands("pytest", root), root)


def test_options_of_the_command_survive_a_selection(root: Path) -> None:
    write(root, {"ci.ini": ""})
    [found] = select(["sub"], commands("pytest -c ci.ini -p no:cacheprovider -m 'not slow' tests", root), root).commands
    assert found.argv == ("pytest", "-c", "ci.ini", "-p", "no:cacheprovider", "-m", "not slow", "sub")


def test_affected_goes_by_names(root: Path) -> None:
    write(
        root, {"orders/totals.py": "", "tests/test_totals.py": "", "tests/test_totals_more.py": "", "go/mod/a.go": ""}
    )
    files = ["tests/test_a.py", "tests/test_totals.py", "tests/test_totals_more.py", "go/mod/a_test.go"]
    assert affected(["orders/totals.py"], files, root) == ["tests/test_totals.py", "tests/test_totals_more.py"]
    assert affected(["tests/test_a.py", "tests/test_gone.py"], files, root) == ["tests/test_a.py"]
    assert affected(["go/mod/a.go", "README.md"], files, root) == ["go/mod"]
