"""git_branch: branches are made, switched and deleted without losing anybody's work."""

from pathlib import Path

import pytest

from tests.conftest import ERAS, Connect, Era, git
from tests.service import ask, index, refused, shell, write

pytest_plugins = ("tests.service_fixtures",)


@pytest.mark.parametrize("era", ERAS)
async def test_a_branch_is_made_switched_to_and_deleted(service: Path, connect: Connect, era: Era) -> None:
    async with connect(service, mode=era) as client:
        head = git(service, "rev-parse", "HEAD")
        made = await ask(client, "git_branch", name="feature/orders")
        assert (made["before"], made["after"]) == (None, head)
        assert made["current"] == "main"
        assert "action switch goes to feature/orders" in made["note"]
        assert git(service, "branch", "--show-current") == "main", "making a branch does not switch to it"
        switched = await ask(client, "git_branch", name="feature/orders", action="switch")
        assert (switched["before"], switched["after"]) == ("main", "feature/orders")
        assert git(service, "branch", "--show-current") == "feature/orders"
        error = await refused(client, "git_branch", name="feature/orders", action="delete")
        assert "checked out" in error["reason"]
        await ask(client, "git_branch", name="main", action="switch")
        assert (await ask(client, "git_branch", name="feature/orders", action="delete"))["before"] == head
        assert git(service, "branch", "--format=%(refname:short)") == "main"


@pytest.mark.parametrize(
    "name",
    [
        "../../hooks/x",
        "-f",
        "--force",
        "a..b",
        "refs/heads/x",
        "HEAD",
        "a b",
        "a~1",
        "x.lock",
        "@{-1}",
        "a\\b",
        ".hidden",
        "x/",
    ],
)
async def test_what_is_no_branch_name_is_refused(service: Path, connect: Connect, name: str) -> None:
    refs = git(service, "for-each-ref")
    async with connect(service) as client:
        for action in ("create", "switch", "delete"):
            error = await refused(client, "git_branch", name=name, action=action)
            assert error["code"] == "invalid_argument"
            assert error["reason"].startswith("name: ")
    assert git(service, "for-each-ref") == refs
    assert not (service / ".git/hooks/x").exists()


async def test_a_branch_begins_where_it_is_told(service: Path, connect: Connect) -> None:
    first = git(service, "rev-parse", "HEAD")
    git(service, "commit", "--quiet", "--allow-empty", "-m", "second")
    async with connect(service) as client:
        assert (await ask(client, "git_branch", name="old", base="main~1"))["after"] == first
        assert "exists" in (await refused(client, "git_branch", name="old"))["reason"]
        assert (await refused(client, "git_branch", name="new", base="nowhere"))["code"] == "not_found"
        assert (await refused(client, "git_branch", name="nowhere", action="switch"))["code"] == "not_found"


async def test_switching_keeps_uncommitted_work_or_does_nothing(service: Path, connect: Connect) -> None:
    git(service, "branch", "other")
    write(service, {"README.md": "# changed\n"})
    git(service, "commit", "--quiet", "-am", "change")
    write(service, {"config/settings.yaml": "staged: 1\n"})
    git(service, "add", ".")
    write(service, {"config/settings.yaml": "unstaged: 1\n", "notes.txt": "untracked\n"})
    async with connect(service) as client:
        staged = git(service, "ls-files", "--stage", "config")
        await ask(client, "git_branch", name="other", action="switch")
        assert git(service, "ls-files", "--stage", "config") == staged
        assert (service / "config/settings.yaml").read_text() == "unstaged: 1\n"
        assert (service / "notes.txt").read_text() == "untracked\n"
        write(service, {"README.md": "# mine, not committed\n"})
        before = index(service)
        error = await refused(client, "git_branch", name="main", action="switch")
    assert error["code"] == "failed_precondition"
    assert "README.md" in error["reason"]
    assert (service / "README.md").read_text() == "# mine, not committed\n"
    assert (index(service), git(service, "branch", "--show-current")) == (before, "other")


async def test_switching_writes_over_no_ignored_file(service: Path, connect: Connect) -> None:
    git(service, "checkout", "--quiet", "-b", "other")
    write(service, {"local.env": "theirs\n"})
    git(service, "add", "--force", ".")
    git(service, "commit", "--quiet", "-m", "env")
    git(service, "checkout", "--quiet", "main")
    shell(service, "echo local.env >> .git/info/exclude; echo mine > local.env")
    async with connect(service) as client:
        assert "local.env" in (await refused(client, "git_branch", name="other", action="switch"))["reason"]
    assert (service / "local.env").read_text() == "mine\n"


async def test_commits_that_no_other_branch_has_are_not_deleted(service: Path, connect: Connect) -> None:
    git(service, "checkout", "--quiet", "-b", "mine")
    git(service, "commit", "--quiet", "--allow-empty", "-m", "only here")
    git(service, "checkout", "--quiet", "main")
    async with connect(service) as client:
        assert "no other branch has" in (await refused(client, "git_branch", name="mine", action="delete"))["reason"]
        git(service, "branch", "also", "mine")
        await ask(client, "git_branch", name="mine", action="delete")


@pytest.mark.parametrize("name", ["main", "release/1"])
async def test_a_protected_branch_is_not_deleted(service: Path, connect: Connect, name: str) -> None:
    with (service / "mcp-backend.toml").open("a") as policy:
        policy.write('[constraints.protected-branches]\nparameters = { branches = ["main", "master", "release/*"] }\n')
    git(service, "branch", "release/1")
    git(service, "checkout", "--quiet", "-b", "mine")
    async with connect(service) as client:
        error = await refused(client, "git_branch", name=name, action="delete")
    assert (error["code"], error["constraint"]) == ("permission_denied", "protected-branches")


async def test_another_work_trees_branch_is_left_alone(service: Path, tmp_path: Path, connect: Connect) -> None:
    git(service, "worktree", "add", "--quiet", "-b", "linked", str(tmp_path / "linked"))
    async with connect(service) as client:
        assert "checked out in" in (await refused(client, "git_branch", name="linked", action="delete"))["reason"]
        assert "linked" in (await refused(client, "git_branch", name="linked", action="switch"))["reason"]
    async with connect(tmp_path / "linked") as client:
        await ask(client, "git_branch", name="here")
        await ask(client, "git_branch", name="here", action="switch")
    assert git(tmp_path / "linked", "branch", "--show-current") == "here"
    assert git(service, "branch", "--show-current") == "main"


async def test_the_first_branch_is_named_before_the_first_commit(
    tmp_path: Path, person: Path, connect: Connect
) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    async with connect(root) as client:
        assert "no commit yet" in (await refused(client, "git_branch", name="x"))["reason"]
        await ask(client, "git_branch", name="orders", action="switch")
        assert git(root, "symbolic-ref", "HEAD") == "refs/heads/orders"
        assert (await refused(client, "git_push"))["code"] == "not_found"
        assert "no commit yet" in (await refused(client, "git_rebase", onto="main"))["reason"]


async def test_switching_runs_no_program_of_the_repository(service: Path, tmp_path: Path, connect: Connect) -> None:
    mark = tmp_path / "mark"
    git(service, "branch", "other")
    write(service, {"README.md": "# changed\n", ".gitattributes": "*.md filter=x\n"})
    shell(service, f"git config filter.x.smudge 'touch {mark}; cat'; git config filter.x.clean cat")
    git(service, "add", ".")
    git(service, "commit", "--quiet", "-m", "filtered")
    shell(
        service,
        f"printf '#!/bin/sh\\ntouch {mark}' | tee .git/hooks/post-checkout; chmod +x .git/hooks/*; rm -f {mark}",
    )
    async with connect(service) as client:
        await ask(client, "git_branch", name="other", action="switch")
        error = await refused(client, "git_branch", name="main", action="switch")
    assert "stored through a filter" in error["reason"]
    assert not mark.exists()
