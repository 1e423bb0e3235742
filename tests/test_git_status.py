"""git_status: what changed, whose it is, and nothing else happens."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.workspace import listing
from mcp_backend.workspace.childenv import clean_path
from tests.conftest import ERAS, Connect, Era, git
from tests.service import add_feature, ask, index, objects, refused, write

pytest_plugins = ("tests.service_fixtures",)


@pytest.mark.parametrize("era", ERAS)
async def test_it_shows_staged_unstaged_and_untracked_with_their_owners(
    service: Path, connect: Connect, era: Era
) -> None:
    git(service, "mv", "config/settings.yaml", "config/service.yaml")
    write(service, {"frontend/src/App.tsx": "changed\n", "orders/new.py": "x = 1\n", "api/openapi.yaml": "x\n"})
    git(service, "add", "frontend")
    before = (index(service), objects(service))
    async with connect(service, mode=era) as client:
        status = await ask(client, "git_status")
    assert (status["branch"], status["upstream"], status["ahead"]) == ("main", None, None)
    assert status["staged"] == [
        {"path": "config/service.yaml", "change": "renamed", "from": "config/settings.yaml"},
        {"path": "frontend/src/App.tsx", "owner": "frontend", "change": "modified"},
    ]
    assert status["unstaged"] == [{"path": "api/openapi.yaml", "owner": "spec", "change": "modified"}]
    assert status["untracked"] == [{"path": "orders/new.py"}]
    assert (status["conflicts"], status["receipt"], status["truncated"]) == ([], None, False)
    [commit] = status["log"]
    assert (commit["subject"], commit["author"]) == ("first", "A Person")
    assert git(service, "rev-parse", "HEAD").startswith(commit["commit"])
    assert (index(service), objects(service)) == before, "looking changes nothing"


async def test_a_diff_is_against_the_base_and_for_the_paths_only(service: Path, connect: Connect) -> None:
    write(service, {"README.md": "# Second\n"})
    git(service, "commit", "-qam", "second")
    write(service, {"README.md": "# Third\n", "config/settings.yaml": "debug: 3\n"})
    async with connect(service) as client:
        status = await ask(client, "git_status", diff=True, paths=["README.md"], log=1)
        assert "-# Second\n+# Third" in status["diff"]
        assert "settings" not in status["diff"]
        assert [entry["path"] for entry in status["unstaged"]] == ["README.md"]
        assert [commit["subject"] for commit in status["log"]] == ["second"]
        status = await ask(client, "git_status", diff=True, base="HEAD~1", log=0)
        assert "-# Orders\n+# Third" in status["diff"]
        assert (status["commits_since_base"], status["log"]) == (1, [])


async def test_long_answers_are_cut_and_say_so(service: Path, connect: Connect) -> None:
    write(service, {f"config/many/{number:03}.yaml": "x\n" for number in range(120)})
    write(service, {"README.md": "long line\n" * 10_000})
    async with connect(service) as client:
        status = await ask(client, "git_status", diff=True)
    assert len(status["untracked"]) == 100
    assert (status["truncated"], status["counts"]) == (True, {"untracked": 120})
    assert status["diff_truncated"] is True
    assert len(status["diff"]) <= 24_000


async def test_bytes_that_are_not_text_do_not_break_the_answer(service: Path, connect: Connect) -> None:
    (service / "README.md").write_bytes(b"caf\xe9 \x00\xff\n")
    (service / "message").write_bytes(b"subject \xff\xfe\n")
    git(service, "-c", "i18n.commitEncoding=ISO-8859-1", "commit", "-q", "--allow-empty", "-F", "message",
        "--author", "Zoë <zoe@example.org>")  # fmt: skip
    async with connect(service) as client:
        status = await ask(client, "git_status", diff=True)
    assert status["log"][0]["subject"].startswith("subject ")
    assert status["log"][0]["author"].startswith("Zo")


@pytest.mark.parametrize(
    "base", ["nowhere", "--output=README.md", "HEAD..main", ":(top)", "HEAD:README.md", "a b", "-f"]
)
async def test_a_base_that_is_no_commit_is_said_and_nothing_is_written(
    service: Path, connect: Connect, base: str
) -> None:
    async with connect(service) as client:
        error = await refused(client, "git_status", base=base, diff=True)
    assert error["code"] == "not_found"
    assert error["reason"].startswith("base: ")
    assert git(service, "status", "--porcelain") == ""


async def test_a_path_outside_is_refused(service: Path, connect: Connect) -> None:
    async with connect(service) as client:
        assert (await refused(client, "git_status", paths=["../x"]))["code"] == "invalid_argument"


async def test_the_receipt_is_for_this_tree_until_something_that_is_tested_changes(
    service: Path, connect: Connect
) -> None:
    add_feature(service)
    async with connect(service) as client:
        receipt = (await ask(client, "run_tests"))["receipt"]
        shown = (await ask(client, "git_status"))["receipt"]
        assert (shown["id"], shown["passed"], shown["for_this_tree"]) == (receipt, True, True)
        write(service, {"frontend/src/App.tsx": "somebody else's work\n", "README.md": "# Explained\n"})
        assert (await ask(client, "git_status"))["receipt"]["for_this_tree"] is True
        write(service, {"orders/totals.py": "def total(prices):\n    return 0\n"})
        shown = (await ask(client, "git_status"))["receipt"]
        assert (shown["id"], shown["for_this_tree"], shown["changed_since"]) == (receipt, False, ["orders/totals.py"])


async def test_a_submodule_is_compared_by_its_commit_only(service: Path, tmp_path: Path, connect: Connect) -> None:
    other = tmp_path / "other"
    write(other, {"a": "1\n"})
    git(other, "init", "-q")
    git(other, "add", ".")
    git(other, "commit", "-qm", "a")
    git(service, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "lib")
    git(service, "commit", "-qm", "lib")
    write(service, {"lib/a": "dirty\n"})
    async with connect(service) as client:
        assert (await ask(client, "git_status"))["unstaged"] == []
        git(service / "lib", "commit", "-qam", "b")
        assert [entry["path"] for entry in (await ask(client, "git_status"))["unstaged"]] == ["lib"]
    async with connect(service / "lib") as client:
        assert (await ask(client, "git_status"))["log"][0]["subject"] == "b"


async def test_a_repository_with_sha256_names_is_read_and_written(
    tmp_path: Path, person: Path, connect: Connect
) -> None:
    root = tmp_path / "new"
    git(tmp_path, "init", "-q", "--object-format=sha256", str(root))
    write(root, {"config/a.yaml": "a\n"})
    async with connect(root) as client:
        done = await ask(client, "git_commit", message="Begin")
        assert len(done["commit"]) == 64
        [commit] = (await ask(client, "git_status"))["log"]
    assert (commit["subject"], commit["author"]) == ("Begin", "Back End")


@pytest.mark.parametrize("kind", ["partial", "shallow", "reference", "sparse", "split index", "separate"])
async def test_every_kind_of_clone_commits(service: Path, tmp_path: Path, connect: Connect, kind: str) -> None:
    options = {
        "partial": ["--filter=blob:none"], "shallow": ["--depth=1"], "reference": ["--reference", str(service)],
        "sparse": ["--sparse"], "separate": ["--separate-git-dir", str(tmp_path / "git")], "split index": [],
    }[kind]  # fmt: skip
    git(service, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", *options, f"file://{service}", "copy")
    copy = tmp_path / "copy"
    if kind == "split index":
        git(copy, "update-index", "--split-index", "--untracked-cache", "--index-version=4")
    write(copy, {"README.md": "# Changed\n", "new.yaml": "a: 1\n"})
    async with connect(copy) as client:
        assert (await ask(client, "git_commit", message="Change"))["files"] == ["README.md", "new.yaml"]
    assert git(copy, "status", "--porcelain") == ""
    assert git(copy, "fsck") == ""


async def test_asking_again_starts_three_programs_and_two_for_the_log(
    service: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    class Counted(subprocess.Popen[bytes]):
        def __init__(self, words: Any, *more: Any, **options: Any) -> None:
            started.append(" ".join(map(str, words)))
            super().__init__(words, *more, **options)

    write(service, {"orders/new.py": "x = 1\n"})
    async with connect(service) as client:
        await ask(client, "git_status")
        monkeypatch.setattr(subprocess, "Popen", Counted)
        assert [c["subject"] for c in (await ask(client, "git_status"))["log"]] == ["first"]
        assert len(started) == 3, started  # GitPython starts its two by another name
        git(service, "config", "include.path", "../evil")
        assert "include.path" in (await refused(client, "git_status"))["reason"], "another configuration is read anew"


@pytest.mark.parametrize("state", ["branch", "packed", "detached", "linked", "unborn", "tag", "deleted"])
def test_the_commit_that_two_files_name_is_the_one_that_git_names(service: Path, tmp_path: Path, state: str) -> None:
    root = service
    if state == "packed":
        git(service, "pack-refs", "--all")
    elif state == "detached":
        git(service, "checkout", "-q", "--detach")
    elif state == "linked":
        root = tmp_path / "linked"
        git(service, "worktree", "add", "-q", str(root))
    elif state == "unborn":
        git(service, "checkout", "-q", "--orphan", "other")
    elif state == "tag":
        git(service, "tag", "-a", "-m", "one", "v1")
        git(service, "symbolic-ref", "HEAD", "refs/tags/v1")
    elif state == "deleted":
        git(service, "branch", "other")
        git(service, "pack-refs", "--all")
        git(service, "symbolic-ref", "HEAD", "refs/heads/other")
        git(service, "update-ref", "-d", "refs/heads/other")
    told = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "HEAD^{commit}"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    assert listing.committed(root) == (told or None)


def test_no_program_is_looked_for_in_the_workspace(tmp_path: Path) -> None:
    inside, outside = tmp_path / "work" / "bin", tmp_path / "tools"
    inside.mkdir(parents=True)
    outside.mkdir()
    (tmp_path / "link").symlink_to(inside)
    (tmp_path / "workshop").mkdir()
    entries = [f"{inside}", f"{outside}", f"{tmp_path}/link", "bin", "", f"{outside}/../work/bin/", f"{tmp_path}/work",
               f"{tmp_path}/workshop"]  # fmt: skip
    kept = clean_path(os.pathsep.join(entries), tmp_path / "work").split(os.pathsep)
    assert kept == [f"{outside}", f"{tmp_path}/workshop"]
    assert clean_path("bin", tmp_path / "work") == os.defpath
