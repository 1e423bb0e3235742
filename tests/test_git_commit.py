"""git_commit: what is refused, what is allowed, and that nobody else's work is touched."""

import os
from pathlib import Path

import pytest

from mcp_backend.errors import Aborted
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import commits
from tests.conftest import ERAS, Connect, Era, git
from tests.service import (
    DISCOUNT,
    TOTALS,
    add_feature,
    ask,
    index,
    objects,
    refused,
    shell,
    write,
)

pytest_plugins = ("tests.service_fixtures",)
SETTINGS = {"config/settings.yaml": "debug: true\n"}
"""A change that needs no test."""


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.proves("tested-commits", "refused")
@pytest.mark.proves("tested-commits", "allowed")
async def test_an_untested_change_waits_for_the_tests_and_then_the_same_call_passes(
    service: Path, connect: Connect, era: Era
) -> None:
    add_feature(service)
    async with connect(service, mode=era) as client:
        before = objects(service)
        error = await refused(client, "git_commit", message="Add discounts")
        assert (error["code"], error["retry"], error["constraint"]) == (
            "failed_precondition", "unchanged", "tested-commits",
        )  # fmt: skip
        assert error["details"]["step"] == "run_tests"
        assert objects(service) == before, "a refused commit leaves nothing in the repository"
        receipt = (await ask(client, "run_tests"))["receipt"]
        done = await ask(client, "git_commit", message="Add discounts")
    assert done["receipt"] == receipt
    assert done["files"] == ["orders/totals.py", "tests/test_totals.py"]
    assert done["commit"] == git(service, "rev-parse", "main")
    assert done["tree"] == git(service, "rev-parse", "main^{tree}")
    assert git(service, "log", "-1", "--format=%an <%ae>|%s") == "Back End <backend@example.org>|Add discounts"
    assert git(service, "status", "--porcelain") == ""
    assert git(service, "fsck", "--strict") == ""


async def test_an_edit_after_the_tests_is_refused_and_undoing_it_is_enough(service: Path, connect: Connect) -> None:
    add_feature(service)
    async with connect(service) as client:
        await ask(client, "run_tests")
        tested = (service / "orders/totals.py").read_text()
        (service / "orders/totals.py").write_text(tested + "\n\nBROKEN = 1 / 2\n")
        error = await refused(client, "git_commit", message="Add discounts")
        assert error["code"] == "failed_precondition"
        assert "other content of orders/totals.py" in error["reason"]
        (service / "orders/totals.py").write_text(tested)
        assert (await ask(client, "git_commit", message="Add discounts"))["receipt"]


@pytest.mark.proves("write-tests", "refused")
async def test_backend_code_without_a_test_is_refused_whatever_passed(service: Path, connect: Connect) -> None:
    write(service, {"orders/totals.py": DISCOUNT})
    async with connect(service) as client:
        await ask(client, "run_tests")
        error = await refused(client, "git_commit", message="Add discounts")
        assert (error["code"], error["constraint"]) == ("permission_denied", "write-tests")
        assert "orders/totals.py" in error["reason"]
        write(service, {"tests/test_discount.py": "# a test file without a test\n"})
        await ask(client, "run_tests")
        error = await refused(client, "git_commit", message="Add discounts")
        assert error["constraint"] == "write-tests"


@pytest.mark.parametrize(
    "files",
    [
        {"README.md": "# Orders, explained\n", "docs/how.md": "Like this.\n"},
        {"orders/totals.py": TOTALS.replace('"""Totals."""', '"""Totals of orders."""') + "\n# a remark\n"},
        {"orders/new/__init__.py": '"""A package."""\n'},
        SETTINGS,
        {"db/migrations/20260101000000_orders.sql": "-- migrate:up\ncreate table o (id int);\n-- migrate:down\n"},
        {"orders/orders_pb2.py": "x = 1\n"},
    ],
    ids=["documentation", "comments", "empty package", "settings", "migration", "generated"],
)
@pytest.mark.proves("write-tests", "allowed")
async def test_what_changes_no_behaviour_needs_no_test(service: Path, connect: Connect, files: dict[str, str]) -> None:
    write(service, files)
    async with connect(service) as client:
        done = await ask(client, "git_commit", message="Say it better")
    assert done["files"] == sorted(files)
    assert done["receipt"] is None


async def test_a_commit_of_tests_alone_needs_a_passing_run(service: Path, connect: Connect) -> None:
    write(service, {"tests/test_more.py": "def test_more():\n    assert 1 + 1 == 2\n"})
    async with connect(service) as client:
        error = await refused(client, "git_commit", message="Test more")
        assert error["details"]["step"] == "run_tests"
        await ask(client, "run_tests")
        await ask(client, "git_commit", message="Test more")


@pytest.mark.parametrize(
    ("files", "constraint"),
    [
        ({"frontend/src/App.tsx": "changed\n"}, "no-frontend"),
        ({"frontend/src/New.tsx": "new\n"}, "no-frontend"),
        ({"orders/widget.vue": "<template/>\n"}, "no-frontend"),
        ({"api/openapi.yaml": "openapi: 3.1.0\n"}, "follow-api-spec"),
        ({"mcp-backend.toml": "[commands]\ntest = 'true'\n"}, "guarded-settings"),
        ({".github/workflows/ci.yml": "on: push\n"}, "guarded-settings"),
        ({".gitattributes": "* filter=x\n"}, "guarded-settings"),
        ({"config/prod.yaml": "key: AKIAQ7ZP3WXN5TBLR2MD\n"}, "no-secrets"),
    ],
)
@pytest.mark.proves("no-frontend", "refused")
@pytest.mark.proves("no-frontend", "allowed")
async def test_what_is_not_the_backends_is_refused_by_name_and_the_rest_commits(
    service: Path, connect: Connect, files: dict[str, str], constraint: str
) -> None:
    write(service, files)
    write(service, SETTINGS)
    head = git(service, "rev-parse", "HEAD")
    async with connect(service) as client:
        path = next(iter(files))
        error = await refused(client, "git_commit", message="Change", paths=[path, "config/settings.yaml"])
        assert (error["code"], error["constraint"]) == ("permission_denied", constraint)
        assert path in error["reason"]
        assert error["details"]["instead"]
        assert git(service, "rev-parse", "HEAD") == head
        done = await ask(client, "git_commit", message="Change", paths=["config/settings.yaml"])
        assert done["files"] == ["config/settings.yaml"]


@pytest.mark.proves("no-secrets", "allowed")
async def test_only_lines_that_a_commit_adds_are_searched_for_credentials(service: Path, connect: Connect) -> None:
    write(service, {"config/prod.yaml": "key: AKIAQ7ZP3WXN5TBLR2MD\nregion: a\n"})
    git(service, "add", "config")
    git(service, "commit", "-qm", "somebody did this long ago")
    write(service, {"config/prod.yaml": "key: AKIAQ7ZP3WXN5TBLR2MD\nregion: b\n"})
    async with connect(service) as client:
        await ask(client, "git_commit", message="Move region")


async def test_links_and_nested_repositories_are_refused(service: Path, connect: Connect) -> None:
    (service / "orders/link.py").symlink_to("../frontend/src/App.tsx")
    git(service, "init", "-q", "vendor")
    git(service / "vendor", "commit", "-q", "--allow-empty", "-m", "x")
    async with connect(service) as client:
        for path in ("orders/link.py", "vendor"):
            error = await refused(client, "git_commit", message="Add", paths=[path])
            assert (error["code"], error["constraint"]) == ("permission_denied", "guarded-settings")
            assert path in error["reason"]
        status = await ask(client, "git_status")
        assert status["nested_repositories"] == ["vendor/"]


async def test_a_folder_takes_everything_below_it_also_what_is_refused(service: Path, connect: Connect) -> None:
    write(service, {**SETTINGS, "frontend/src/App.tsx": "x\n"})
    async with connect(service) as client:
        assert (await refused(client, "git_commit", message="All", paths=["."]))["constraint"] == "no-frontend"
        assert (await ask(client, "git_commit", message="Settings", paths=["config"]))["files"] == [
            "config/settings.yaml"
        ]


async def test_other_peoples_staged_and_unstaged_work_survives_to_the_byte(service: Path, connect: Connect) -> None:
    write(service, {"frontend/src/App.tsx": "staged\n", "frontend/src/Staged.tsx": "new and staged\n",
                    "api/openapi.yaml": "openapi: 3.1.0 # staged\n"})  # fmt: skip
    git(service, "add", "frontend", "api")
    write(service, {"frontend/src/App.tsx": "staged, then changed again\n", "frontend/src/Loose.tsx": "untracked\n"})
    (service / "frontend/package.json").unlink()
    write(service, SETTINGS)
    tree = {p: p.read_bytes() for p in service.rglob("*") if p.is_file() and ".git" not in p.parts}
    staged = git(service, "diff", "--cached", "--", "frontend", "api")
    entries = [entry for entry in index(service).split("\0") if "config/" not in entry]
    async with connect(service) as client:
        done = await ask(client, "git_commit", message="Debug")
    assert done["files"] == ["config/settings.yaml"]
    assert {(entry["path"], entry["owner"]) for entry in done["left_out"]} == {
        ("api/openapi.yaml", "spec"), ("frontend/package.json", "frontend"), ("frontend/src/App.tsx", "frontend"),
        ("frontend/src/Loose.tsx", "frontend"), ("frontend/src/Staged.tsx", "frontend"),
    }  # fmt: skip
    assert {p: p.read_bytes() for p in service.rglob("*") if p.is_file() and ".git" not in p.parts} == tree
    assert git(service, "diff", "--cached", "--", "frontend", "api") == staged
    assert [entry for entry in index(service).split("\0") if "config/" not in entry] == entries
    assert git(service, "diff-tree", "-r", "--name-only", "HEAD~1", "HEAD") == "config/settings.yaml"


async def test_additions_deletions_renames_and_modes_are_committed_as_they_are(service: Path, connect: Connect) -> None:
    write(service, {"config/a.yaml": "a\n", "config/b.yaml": "bbbb\n", "config/run.yaml": "r\n", "config/d": "file\n"})
    git(service, "add", ".")
    git(service, "commit", "-qm", "more")
    (service / "config/a.yaml").unlink()
    (service / "config/b.yaml").rename(service / "config/c.yaml")
    (service / "config/run.yaml").chmod(0o755)
    (service / "config/d").unlink()
    write(service, {"config/d/e.yaml": "now a folder\n"})
    async with connect(service) as client:
        done = await ask(client, "git_commit", message="Tidy")
    assert done["files"] == [
        "config/a.yaml",
        "config/b.yaml",
        "config/c.yaml",
        "config/d",
        "config/d/e.yaml",
        "config/run.yaml",
    ]
    assert git(service, "status", "--porcelain") == ""
    assert "100755" in git(service, "ls-tree", "HEAD", "config/run.yaml")
    assert git(service, "diff-tree", "-r", "-M", "--name-status", "HEAD~1", "HEAD").count("R100") == 1


NAMES = [b"with space.yaml", b"-dash.yaml", b":(glob)x.yaml", b"star*.yaml", b'quo"te.yaml', b"new\nline.yaml",
         b"back\\slash.yaml", "ünï.yaml".encode(), b"caf\xe9.yaml", b"\xff\xfe.yaml", b"tab\t.yaml"]  # fmt: skip


async def test_any_name_and_any_content_can_be_committed(service: Path, connect: Connect) -> None:
    for name in NAMES:
        with open(os.path.join(os.fsencode(service), b"config", name), "wb") as file:
            file.write(b"\xff\x00\xfe not text \r\n")
    async with connect(service) as client:
        status = await ask(client, "git_status")
        shown = [entry["path"] for entry in status["untracked"]]
        assert len(shown) == len(NAMES)
        assert '"config/caf\\351.yaml"' in shown
        one = await ask(client, "git_commit", message="One", paths=['"config/caf\\351.yaml"'])
        assert one["files"] == ['"config/caf\\351.yaml"']
        some = [path for path in shown if path not in one["files"]]
        assert sorted((await ask(client, "git_commit", message="All", paths=some))["files"]) == sorted(some)
    assert git(service, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("paths", "code", "words"),
    [
        (["nowhere.py"], "not_found", "nowhere.py"),
        (["../outside.py"], "invalid_argument", "inside the work tree"),
        (["/etc/passwd"], "invalid_argument", "inside the work tree"),
        ([".git/config"], "invalid_argument", "inside .git"),
        (["orders/.GIT/config"], "invalid_argument", "inside .git"),
        (["README.md"], "failed_precondition", "no changes"),
        (["ignored.log"], "invalid_argument", "ignored"),
        (['"bad\\9"'], "invalid_argument", "quoted"),
        ([], "invalid_argument", "paths"),
        (["config/settings.yaml\0"], "invalid_argument", "NUL"),
    ],
)
async def test_a_path_that_cannot_be_committed_is_named(
    service: Path, connect: Connect, paths: list[str], code: str, words: str
) -> None:
    write(service, {**SETTINGS, ".git/info/exclude": "*.log\n", "ignored.log": "x\n"})
    async with connect(service) as client:
        error = await refused(client, "git_commit", message="Try", paths=paths)
    assert error["code"] == code
    assert words in error["reason"]


async def test_nothing_to_commit_is_said(service: Path, connect: Connect) -> None:
    async with connect(service) as client:
        assert "nothing to commit" in (await refused(client, "git_commit", message="Try"))["reason"]
        write(service, {"frontend/src/App.tsx": "x\n"})
        error = await refused(client, "git_commit", message="Try")
        assert "frontend/src/App.tsx (frontend)" in error["reason"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"message": "multi\n\nline body with 'quotes' and $(sub)"}, "multi\n\nline body with 'quotes' and $(sub)"),
        ({"message": "subject\nbody right below"}, "subject\n\nbody right below"),
        ({"message": "  subject  ", "body": "why\n\n# not a comment\n\n"}, "subject\n\nwhy\n\n# not a comment"),
        ({"message": "--amend"}, "--amend"),
        ({"message": "fix: frontend login ünï"}, "fix: frontend login ünï"),
    ],
)
async def test_a_message_is_kept_as_written(
    service: Path, connect: Connect, arguments: dict[str, str], expected: str
) -> None:
    write(service, SETTINGS)
    async with connect(service) as client:
        await ask(client, "git_commit", **arguments)
    assert git(service, "log", "-1", "--format=%B") == expected
    assert git(service, "rev-list", "--count", "HEAD") == "2"


@pytest.mark.parametrize("message", ["", "   ", "\n", "x" * 201, "bell\a"])
async def test_a_message_without_a_proper_subject_is_refused(service: Path, connect: Connect, message: str) -> None:
    write(service, SETTINGS)
    async with connect(service) as client:
        error = await refused(client, "git_commit", message=message)
    assert error["code"] == "invalid_argument"
    assert "message" in error["reason"]


async def test_the_first_commit_of_a_repository(tmp_path: Path, person: Path, connect: Connect) -> None:
    root = tmp_path / "new one"
    write(root, {"README.md": "# New\n", "config/a.yaml": "a: 1\n"})
    git(root, "init", "-q", "-b", "trunk")
    async with connect(root) as client:
        status = await ask(client, "git_status", diff=True)
        assert (status["branch"], status["head"], status["log"]) == ("trunk", None, [])
        assert (await refused(client, "git_commit", message="x", amend=True))["code"] == "failed_precondition"
        done = await ask(client, "git_commit", message="Begin")
    assert (done["branch"], done["files"]) == ("trunk", ["README.md", "config/a.yaml"])
    assert git(root, "log", "--format=%P|%s", "trunk") == "|Begin"
    assert git(root, "status", "--porcelain") == ""


async def test_a_detached_head_is_committed_to_and_said(service: Path, connect: Connect) -> None:
    git(service, "checkout", "-q", "--detach")
    write(service, SETTINGS)
    async with connect(service) as client:
        assert (await ask(client, "git_status"))["branch"] is None
        done = await ask(client, "git_commit", message="Off the branch")
    assert done["branch"] is None
    assert any("detached" in note for note in done["notes"])
    assert git(service, "rev-parse", "HEAD") == done["commit"] != git(service, "rev-parse", "main")


@pytest.mark.parametrize("tool", ["git_status", "git_commit"])
async def test_a_folder_without_a_work_tree_is_told_apart(tmp_path: Path, connect: Connect, tool: str) -> None:
    (tmp_path / "plain").mkdir()
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    for name, words in (("plain", "git init"), ("bare.git", "bare repository")):
        async with connect(tmp_path / name) as client:
            error = await refused(client, tool, **({"message": "x"} if tool == "git_commit" else {}))
        assert error["code"] == "failed_precondition"
        assert words in error["reason"]


async def test_without_an_identity_it_says_what_to_set(service: Path, person: Path, connect: Connect) -> None:
    person.write_text("")
    write(service, SETTINGS)
    async with connect(service) as client:
        error = await refused(client, "git_commit", message="Who")
        assert error["code"] == "failed_precondition"
        assert "user.name" in error["reason"]
        assert "user.email" in error["reason"]
        git(service, "config", "user.name", "Local")
        git(service, "config", "user.email", "local@example.org")
        await ask(client, "git_commit", message="Who")
    assert git(service, "log", "-1", "--format=%an|%ce") == "Local|local@example.org"


@pytest.mark.parametrize("operation", ["merge", "rebase", "cherry-pick"])
async def test_an_unfinished_operation_comes_first(service: Path, connect: Connect, operation: str) -> None:
    git(service, "checkout", "-qb", "other")
    write(service, {"config/settings.yaml": "debug: other\n"})
    git(service, "commit", "-qam", "other")
    git(service, "checkout", "-q", "main")
    write(service, {"config/settings.yaml": "debug: main\n"})
    git(service, "commit", "-qam", "main")
    with pytest.raises(Exception, match="returned non-zero"):
        git(service, operation, "other")
    async with connect(service) as client:
        status = await ask(client, "git_status")
        assert status["in_progress"] == operation
        assert [entry["path"] for entry in status["conflicts"]] == ["config/settings.yaml"]
        error = await refused(client, "git_commit", message="Anyway")
    assert error["code"] == "failed_precondition"
    assert operation in error["reason"]


async def test_amend_replaces_the_last_commit_and_keeps_its_author(service: Path, connect: Connect) -> None:
    first = git(service, "rev-parse", "HEAD")
    write(service, {"config/a.yaml": "a\n"})
    git(service, "add", "config/a.yaml")
    git(service, "commit", "-qm", "typpo", "--author=Someone <someone@example.org>", "--date=2020-01-02T03:04:05Z")
    write(service, SETTINGS)
    async with connect(service) as client:
        done = await ask(client, "git_commit", message="Typo", amend=True)
        assert git(service, "rev-list", "HEAD") == f"{done['commit']}\n{first}"
        assert git(service, "log", "-1", "--format=%an|%at|%cn|%s") == "Someone|1577934245|Back End|Typo"
        assert git(service, "diff-tree", "-r", "--name-only", first, "HEAD") == "config/a.yaml\nconfig/settings.yaml"
        again = await ask(client, "git_commit", message="Typo again", amend=True)
        assert (again["files"], again["tree"]) == ([], done["tree"])


async def test_a_published_commit_is_not_amended(service: Path, tmp_path: Path, connect: Connect) -> None:
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(service, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(service, "push", "-qu", "origin", "main")
    write(service, SETTINGS)
    async with connect(service) as client:
        error = await refused(client, "git_commit", message="Rewrite", amend=True)
        assert (error["code"], "origin/main" in error["reason"]) == ("failed_precondition", True)
        await ask(client, "git_commit", message="Go on")
        assert (await ask(client, "git_status"))["ahead"] == 1
        await ask(client, "git_commit", message="Go on, better", amend=True)


def planned(place: Workspace) -> commits.Prepared:
    """A commit of the settings, planned and not yet made."""
    write(place.root, SETTINGS)
    return commits.prepare(place, Policy(), "Debug\n", ["config/settings.yaml"], amend=False)


def test_a_branch_that_moved_meanwhile_stops_the_commit(place: Workspace) -> None:
    prepared = planned(place)
    git(place.root, "commit", "-q", "--allow-empty", "-m", "faster")
    with pytest.raises(Aborted):
        commits.make(prepared)
    assert git(place.root, "log", "-1", "--format=%s") == "faster"


def test_a_switch_to_another_branch_meanwhile_stops_the_commit(place: Workspace) -> None:
    prepared = planned(place)
    git(place.root, "checkout", "-qb", "elsewhere")
    with pytest.raises(Aborted):
        commits.make(prepared)
    assert git(place.root, "rev-parse", "elsewhere") == git(place.root, "rev-parse", "main")


def test_a_branch_that_moves_in_the_last_moment_stops_the_commit(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = planned(place)
    publish = prepared.trees.publish

    def slow(old: str | None, tree: str) -> None:
        publish(old, tree)
        git(place.root, "commit", "-q", "--allow-empty", "-m", "faster")

    monkeypatch.setattr(prepared.trees, "publish", slow)
    with pytest.raises(Aborted):
        commits.make(prepared)
    assert git(place.root, "log", "-1", "--format=%s") == "faster"


def test_what_changes_after_the_plan_is_not_committed(place: Workspace) -> None:
    prepared = planned(place)
    write(place.root, {"config/settings.yaml": "swapped: after\n"})
    commits.make(prepared)
    commits.refresh_index(prepared)
    assert git(place.root, "show", "HEAD:config/settings.yaml") == "debug: true"
    assert git(place.root, "status", "--porcelain") == "M config/settings.yaml"


def test_an_index_that_somebody_holds_does_not_undo_the_commit(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "LOCK_SECONDS", 0.1)
    prepared = planned(place)
    lock = place.root / ".git/index.lock"
    lock.touch()
    commit = commits.make(prepared)
    reason = commits.refresh_index(prepared)
    assert reason is not None
    assert "index is locked" in reason
    lock.unlink()
    assert commits.refresh_index(prepared) is None
    assert git(place.root, "rev-parse", "HEAD") == commit
    assert git(place.root, "status", "--porcelain") == ""


HOSTILE = {
    "fsmonitor": "git config core.fsmonitor 'touch {MARK}; false'",
    "hooksPath": "mkdir hooks; printf '#!/bin/sh\\ntouch {MARK}' | tee hooks/pre-commit hooks/post-index-change "
    "hooks/reference-transaction hooks/post-commit; chmod +x hooks/*; git config core.hooksPath hooks",
    "hooks": "printf '#!/bin/sh\\ntouch {MARK}' | tee .git/hooks/pre-commit .git/hooks/reference-transaction; "
    "chmod +x .git/hooks/*",
    "gpg": "git config commit.gpgsign true; git config gpg.program 'touch {MARK}'",
    "show signature": "git config log.showSignature true; git config gpg.program 'touch {MARK}'",
    "external diff": "git config diff.external 'touch {MARK}'; printf '*.yaml diff=x\\n' > .git/info/attributes; "
    "git config diff.x.command 'touch {MARK}'; git config diff.x.textconv 'touch {MARK}'",
    "editor and pager": "git config core.editor 'touch {MARK}'; git config core.pager 'touch {MARK}'; "
    "git config pager.log 'touch {MARK}'; git config alias.status '!touch {MARK}'",
    "nested repository": "git init -q vendor; git -C vendor config core.fsmonitor 'touch {MARK}; false'",
    "submodule": "git init -q sub; git -C sub -c user.name=x -c user.email=x@y commit -q --allow-empty -m x; "
    "git add sub 2>/dev/null; git -c user.name=x -c user.email=x@y commit -qm sub; "
    "git -C sub config core.fsmonitor 'touch {MARK}; false'; echo x > sub/x",
    "program in the work tree": "printf '#!/bin/sh\\ntouch {MARK}' > git; chmod +x git",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_program_of_the_repository_runs_outside_the_fence(
    service: Path, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setenv("PATH", f"{service}:{os.environ['PATH']}")
    shell(service, HOSTILE[name].format(MARK=mark))
    mark.unlink(missing_ok=True)
    write(service, SETTINGS)
    async with connect(service) as client:
        await ask(client, "git_status", diff=True, base="HEAD")
        done = await ask(client, "git_commit", message="Debug", paths=["config"])
        await ask(client, "git_status")
    assert not mark.exists()
    if name == "gpg":
        assert any("does not sign" in note for note in done["notes"])


async def test_included_configuration_is_refused_by_its_key(service: Path, tmp_path: Path, connect: Connect) -> None:
    mark = tmp_path / "mark"
    write(service, {**SETTINGS, "evil": f"[core]\n\tfsmonitor = touch {mark}; false\n"})
    git(service, "config", "include.path", "../evil")
    async with connect(service) as client:
        for tool, arguments in (("git_status", {}), ("git_commit", {"message": "x"})):
            error = await refused(client, tool, **arguments)
            assert error["code"] == "failed_precondition"
            assert "include.path" in error["reason"]
    assert not mark.exists()


async def test_a_filter_of_the_repository_neither_runs_nor_is_passed_over(
    service: Path, tmp_path: Path, connect: Connect
) -> None:
    mark = tmp_path / "mark"
    git(service, "config", "filter.crypt.clean", f"touch {mark}; cat")
    git(service, "config", "filter.crypt.required", "true")
    write(service, {**SETTINGS, ".git/info/attributes": "*.sealed filter=crypt\n", "config/key.sealed": "plain\n"})
    async with connect(service) as client:
        error = await refused(client, "git_commit", message="Seal", paths=["config/key.sealed"])
        assert error["code"] == "failed_precondition"
        assert "filter 'crypt'" in error["reason"]
        await ask(client, "git_commit", message="Debug", paths=["config/settings.yaml"])
    assert not mark.exists()


async def test_a_linked_worktree_commits_to_its_own_branch(service: Path, tmp_path: Path, connect: Connect) -> None:
    git(service, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side tree"))
    write(tmp_path / "side tree", SETTINGS)
    async with connect(tmp_path / "side tree") as client:
        done = await ask(client, "git_commit", message="Aside")
    assert done["branch"] == "side"
    assert git(service, "rev-parse", "side") == done["commit"] != git(service, "rev-parse", "main")
    assert git(tmp_path / "side tree", "status", "--porcelain") == git(service, "status", "--porcelain") == ""


async def test_a_file_too_large_for_git_is_refused(
    service: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_backend.workspace.trees.LARGEST", 1000)
    write(service, {"config/dump.yaml": "x" * 2000})
    async with connect(service) as client:
        error = await refused(client, "git_commit", message="Dump", paths=["config/dump.yaml"])
    assert error["code"] == "failed_precondition"
    assert "config/dump.yaml" in error["reason"]
