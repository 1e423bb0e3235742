"""Hooks of the repository run in the fence: their refusal is told, their changes are seen, they reach nothing else."""

from pathlib import Path

import pytest

from tests.conftest import Connect, git
from tests.service import ask, refused, write

pytest_plugins = ("tests.service_fixtures",)
SETTINGS = {"config/settings.yaml": "debug: true\n"}


def hook(root: Path, name: str, script: str) -> Path:
    """A hook of the repository."""
    path = root / ".git/hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


async def test_a_pre_commit_hook_that_refuses_stops_the_commit_in_its_own_words(
    service: Path, connect: Connect
) -> None:
    hook(service, "pre-commit", "echo 'settings need a comment'; exit 3")
    write(service, SETTINGS)
    head = git(service, "rev-parse", "HEAD")
    async with connect(service) as client:
        error = await refused(client, "git_commit", message="Debug")
        assert error["code"] == "failed_precondition"
        assert "settings need a comment" in error["reason"]
        assert error["details"]["hook"] == "pre-commit"
        assert git(service, "rev-parse", "HEAD") == head
        hook(service, "pre-commit", "exit 0")
        done = await ask(client, "git_commit", message="Debug")
    assert done["commit"] == git(service, "rev-parse", "HEAD")


async def test_a_pre_commit_hook_sees_exactly_the_commit_and_nobody_elses_work(service: Path, connect: Connect) -> None:
    seen = service / "seen.txt"
    hook(service, "pre-commit", f"git diff --cached --name-only > '{seen}'; git diff --name-only >> '{seen}'")
    write(service, {**SETTINGS, "README.md": "# mine\n", "frontend/src/App.tsx": "half done\n"})
    git(service, "add", "frontend")
    before = git(service, "ls-files", "--stage", "frontend")
    async with connect(service) as client:
        done = await ask(client, "git_commit", message="Debug", paths=["config"])
    assert seen.read_text() == "config/settings.yaml\n"
    assert any("pre-commit changed seen.txt" in note for note in done["notes"])
    assert git(service, "ls-files", "--stage", "frontend") == before
    assert (service / "frontend/src/App.tsx").read_text() == "half done\n"
    assert git(service, "fsck", "--strict") == ""


@pytest.mark.parametrize(
    "script",
    ["echo '# formatted' >> config/settings.yaml", "echo x >> config/settings.yaml; git add config/settings.yaml",
     "git update-index --cacheinfo 100644,$(echo z | git hash-object -w --stdin),config/settings.yaml"],
    ids=["work tree", "staged", "index alone"],
)  # fmt: skip
async def test_a_hook_that_would_change_the_commit_stops_it(service: Path, connect: Connect, script: str) -> None:
    hook(service, "pre-commit", script)
    write(service, SETTINGS)
    head = git(service, "rev-parse", "HEAD")
    async with connect(service) as client:
        error = await refused(client, "git_commit", message="Debug")
    assert error["code"] == "failed_precondition"
    assert "pre-commit" in error["reason"]
    assert git(service, "rev-parse", "HEAD") == head


async def test_a_message_that_hooks_change_is_used_and_told(service: Path, connect: Connect) -> None:
    hook(service, "prepare-commit-msg", 'echo "Prepared: $2" >> "$1"')
    hook(service, "commit-msg", 'grep -q Prepared "$1" || exit 1; echo "Change-Id: I1" >> "$1"')
    write(service, SETTINGS)
    async with connect(service) as client:
        done = await ask(client, "git_commit", message="Debug")
    assert git(service, "log", "-1", "--format=%B").split() == ["Debug", "Prepared:", "message", "Change-Id:", "I1"]
    assert any("changed the message" in note for note in done["notes"])


async def test_a_hook_reaches_nothing_that_is_not_the_backends(service: Path, tmp_path: Path, connect: Connect) -> None:
    outside = tmp_path / "outside"
    app = service / "frontend/src/App.tsx"
    kept, config = app.read_text(), (service / ".git/config").read_bytes()
    hook(
        service, "pre-commit",
        f"touch '{outside}'; echo x > frontend/src/App.tsx; git config a.b c; git branch stray; "
        "echo x > api/openapi.yaml; exit 0",
    )  # fmt: skip
    write(service, SETTINGS)
    async with connect(service) as client:
        await ask(client, "git_commit", message="Debug")
    assert not outside.exists()
    assert (app.read_text(), (service / ".git/config").read_bytes()) == (kept, config)
    assert git(service, "branch", "--format=%(refname:short)") == "main"


async def test_what_a_hook_creates_in_the_frontend_is_taken_back_and_refuses(service: Path, connect: Connect) -> None:
    hook(service, "pre-commit", "echo x > orders/Widget.vue")
    write(service, SETTINGS)
    async with connect(service) as client:
        error = await refused(client, "git_commit", message="Debug")
    assert "orders/Widget.vue (frontend)" in error["reason"]
    assert not (service / "orders/Widget.vue").exists()


async def test_hooks_of_a_configured_folder_run_too(service: Path, person: Path, connect: Connect) -> None:
    write(service, {".husky/commit-msg": "#!/bin/sh\necho 'no ticket' >&2\nexit 1\n", **SETTINGS})
    (service / ".husky/commit-msg").chmod(0o755)
    person.write_text(person.read_text() + "[core]\n\thooksPath = .husky\n")
    async with connect(service) as client:
        error = await refused(client, "git_commit", message="Debug", paths=["config"])
    assert "no ticket" in error["reason"]
