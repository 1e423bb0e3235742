"""`check --staged` and `check --diff`: the guards of a commit over a diff, for pre-commit hooks and CI."""

import json
import subprocess
from pathlib import Path

import pytest

from mcp_backend.cli import main
from tests.conftest import git

KEY = "AKIA" + "QYLPMN5HHHFPZAM2"


@pytest.fixture
def shop(repository: Path) -> Path:
    put(repository, "frontend/package.json", '{"dependencies": {"react": "18", "react-dom": "18"}}')
    put(repository, "frontend/src/main.ts", "export {};\n")
    put(repository, "orders/api.py", "x = 1\n")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "shop")
    git(repository, "checkout", "--quiet", "-b", "work")
    return repository


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def commit(root: Path, path: str, text: str) -> None:
    put(root, path, text)
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", path)


def staged(root: Path, *more: str) -> int:
    return main(["check", "--staged", "--workspace", str(root), *more])


def branch(root: Path, *more: str) -> int:
    return main(["check", "--diff", "main", "--workspace", str(root), *more])


def test_a_staged_frontend_file_is_named_with_the_promise(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(shop, "frontend/src/main.ts", "export const a = 1;\n")
    git(shop, "add", ".")
    assert staged(shop) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("frontend/src/main.ts:1: no-frontend: belongs to the frontend engineer")


def test_only_what_is_staged_counts(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(shop, "frontend/src/main.ts", "export const a = 1;\n")
    put(shop, "orders/api.py", "x = 2\n")
    put(shop, "tests/test_api.py", "def test_x(): assert True\n")
    git(shop, "add", "orders", "tests")
    assert staged(shop) == 0
    assert capsys.readouterr().out == ""


def test_without_a_word_what_is_not_committed_counts(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--workspace", str(shop)]) == 0
    put(shop, "frontend/src/main.ts", "export const a = 1;\n")
    assert main(["check", "--workspace", str(shop)]) == 1
    assert capsys.readouterr().out.startswith("frontend/src/main.ts:1: no-frontend:")


def test_backend_code_without_a_test_is_a_violation(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(shop, "orders/api.py", "x = 2\n")
    git(shop, "add", ".")
    assert staged(shop) == 1
    assert "orders/api.py:1: write-tests: backend code changes without a test" in capsys.readouterr().out


def test_a_credential_is_found_on_its_line(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(shop, "notes.txt", f"one\n{KEY}\n")
    git(shop, "add", ".")
    assert staged(shop) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("notes.txt:2: no-secrets:")
    assert KEY not in printed


def test_a_credential_that_a_later_commit_removes_is_still_found(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(shop, "notes.txt", f"{KEY}\n")
    commit(shop, "notes.txt", "clean\n")
    assert branch(shop) == 1
    assert "in commit" in capsys.readouterr().out


def test_a_branch_is_judged_from_where_it_left_its_base(shop: Path) -> None:
    commit(shop, "orders/new.md", "words\n")
    git(shop, "checkout", "--quiet", "main")
    commit(shop, "frontend/src/theirs.ts", "export {};\n")
    git(shop, "checkout", "--quiet", "work")
    assert branch(shop) == 0


def test_a_branch_cannot_give_itself_a_folder(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(shop, "rm", "--quiet", "frontend/package.json")
    git(shop, "commit", "--quiet", "-m", "no manifest")
    commit(shop, "frontend/src/main.ts", "export const mine = 1;\n")
    assert branch(shop) == 1
    assert "frontend/src/main.ts:1: no-frontend" in capsys.readouterr().out


def test_a_changed_policy_and_a_link_are_violations(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(shop, "mcp-backend.toml", "")
    (shop / "orders/link").symlink_to("/etc")
    git(shop, "add", ".")
    assert staged(shop) == 1
    printed, beside = capsys.readouterr()
    assert "commit them yourself" in beside
    assert "mcp-backend.toml:1: guarded-settings" in printed
    assert "orders/link:1: guarded-settings: symbolic links" in printed


def test_a_warning_is_printed_and_is_no_violation(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(shop, "orders/templates/page.html", "<p>hello</p>\n")
    git(shop, "add", ".")
    assert staged(shop) == 0
    assert "orders/templates/page.html:1: no-frontend (warning)" in capsys.readouterr().out


def test_sarif_names_rules_places_and_levels(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(shop, "frontend/src/a b.ts", "export {};\n")
    git(shop, "add", ".")
    assert staged(shop, "--format", "sarif") == 1
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == ("no-frontend", "error")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "frontend/src/a%20b.ts"
    assert place["region"]["startLine"] == 1
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["no-frontend"]


def test_json_has_every_finding(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(shop, "frontend/src/a.ts", "export {};\n")
    git(shop, "add", ".")
    assert staged(shop, "--format", "json") == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["path"] == "frontend/src/a.ts"
    assert finding["level"] == "error"


def test_an_unknown_base_is_named(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--diff", "nowhere", "--workspace", str(shop)]) == 1
    assert "--diff: no commit is named 'nowhere'" in capsys.readouterr().err


def test_it_stops_a_commit_as_a_hook_of_git(shop: Path) -> None:
    import sys

    hook = shop / ".git/hooks/pre-commit"
    hook.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mcp_backend check --staged\n')
    hook.chmod(0o755)
    put(shop, "frontend/src/main.ts", "export const a = 1;\n")
    with pytest.raises(subprocess.CalledProcessError) as stopped:
        git(shop, "commit", "--quiet", "-am", "mine")
    assert "no-frontend" in stopped.value.stderr + stopped.value.stdout


def test_the_first_commit_of_a_repository_is_judged(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    put(tmp_path, "ui/Page.tsx", "x\n")
    git(tmp_path, "add", ".")
    assert staged(tmp_path) == 1
