"""git_push: to real remotes, over the file system and through a stand-in for ssh; what is refused, and what is sent."""

import os
import shlex
from pathlib import Path

import pytest

from mcp_backend import escalations
from mcp_backend.app import open_app
from tests.conftest import ERAS, Connect, Era, git
from tests.service import ask, refused, shell, write

pytest_plugins = ("tests.service_fixtures",)


def begin(root: Path, branch: str = "feature/orders") -> None:
    """A branch of the agent's own with one commit."""
    git(root, "checkout", "--quiet", "-b", branch)
    write(root, {"config/settings.yaml": "debug: true\n"})
    git(root, "commit", "--quiet", "-am", "Debug")


@pytest.fixture
def origin(service: Path, tmp_path: Path) -> Path:
    """A bare repository that has main, as `origin` of the service."""
    bare = tmp_path / "origin.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git(service, "remote", "add", "origin", f"file://{bare}")
    git(service, "push", "--quiet", "origin", "main")
    return bare


async def approve(root: Path, escalation: str) -> str:
    """What a person does at a terminal: looks at the question and says yes."""
    async with open_app(root) as app:
        asked = await escalations.get(app.store, escalation)
        await escalations.decide(
            app.store, escalation, status="approved", answer="", by="ana", channel="terminal", now=app.now(),
            constraint=app.policy.constraint("protected-branches"),
        )  # fmt: skip
        return str(asked["details"])


def there(bare: Path) -> dict[str, str]:
    """The branches of a remote."""
    lines = git(bare, "for-each-ref", "--format=%(refname:short) %(objectname)").splitlines()
    return dict(line.split(" ") for line in lines)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.proves("protected-branches", "allowed")
async def test_a_branch_of_ones_own_arrives_with_its_commits(
    service: Path, origin: Path, connect: Connect, era: Era
) -> None:
    begin(service)
    head = git(service, "rev-parse", "HEAD")
    async with connect(service, mode=era) as client:
        done = await ask(client, "git_push")
        assert (done["before"], done["after"], done["commits"], done["forced"]) == (None, head, [head], False)
        assert there(origin)["feature/orders"] == head
        assert git(service, "rev-parse", "origin/feature/orders") == head
        again = await ask(client, "git_push")
    assert again["commits"] == []
    assert "has it already" in again["note"]


@pytest.mark.parametrize("branch", ["main", "master", "Main", "trunk"])
@pytest.mark.proves("protected-branches", "refused")
async def test_a_protected_branch_and_the_head_of_the_remote_are_refused(
    service: Path, origin: Path, connect: Connect, branch: str
) -> None:
    if branch == "trunk":
        git(origin, "symbolic-ref", "HEAD", "refs/heads/trunk")
        git(service, "push", "--quiet", "origin", "main:trunk")
    if branch != "main":
        git(service, "checkout", "--quiet", "-b", branch)
    write(service, {"config/settings.yaml": "debug: true\n"})
    git(service, "commit", "--quiet", "-am", "Debug")
    before = there(origin)
    async with connect(service) as client:
        for force in (False, True):
            error = await refused(client, "git_push", force_with_lease=force)
            assert (error["code"], error["constraint"]) == ("permission_denied", "protected-branches")
            assert "ask for a review" in error["details"]["instead"]
    assert there(origin) == before


@pytest.mark.parametrize(
    ("files", "constraint"),
    [
        ({"frontend/src/App.tsx": "changed\n"}, "no-frontend"),
        ({"orders/Widget.vue": "<template/>\n"}, "no-frontend"),
        ({"api/openapi.yaml": "openapi: 3.1.1\n"}, "follow-api-spec"),
        ({".github/workflows/ci.yml": "on: push\n"}, "guarded-settings"),
        ({"mcp-backend.toml": "[commands]\ntest = 'true'\n"}, "guarded-settings"),
        ({"config/prod.yaml": "key: AKIAQ7ZP3WXN5TBLR2MD\n"}, "no-secrets"),
    ],
)
@pytest.mark.parametrize("taken_back", [False, True])
async def test_every_commit_is_judged_also_what_a_later_one_takes_away(
    service: Path, origin: Path, connect: Connect, files: dict[str, str], constraint: str, taken_back: bool
) -> None:
    git(service, "checkout", "--quiet", "-b", "mine")
    write(service, files)
    git(service, "add", ".")
    git(service, "commit", "--quiet", "-m", "slip")
    if taken_back:
        git(service, "revert", "--no-edit", "HEAD")
    async with connect(service) as client:
        error = await refused(client, "git_push")
    assert (error["code"], error["constraint"]) == ("permission_denied", constraint)
    assert next(iter(files)) in error["reason"]
    assert "mine" not in there(origin)


async def test_what_the_remote_has_already_is_not_judged_again(service: Path, origin: Path, connect: Connect) -> None:
    git(service, "checkout", "--quiet", "-b", "designers")
    write(service, {"frontend/src/App.tsx": "theirs\n"})
    git(service, "commit", "--quiet", "-am", "by a designer")
    git(service, "push", "--quiet", "origin", "designers:main")
    git(service, "checkout", "--quiet", "main")
    begin(service)
    git(service, "merge", "--quiet", "--no-edit", "designers")
    async with connect(service) as client:
        done = await ask(client, "git_push")
    assert len(done["commits"]) == 2


async def test_a_merge_that_hides_a_change_is_judged(service: Path, origin: Path, connect: Connect) -> None:
    begin(service)
    git(service, "checkout", "--quiet", "-b", "side", "main")
    git(service, "commit", "--quiet", "--allow-empty", "-m", "side")
    git(service, "merge", "--quiet", "--no-commit", "feature/orders")
    write(service, {"frontend/src/App.tsx": "evil\n"})
    git(service, "add", ".")
    git(service, "commit", "--quiet", "-m", "merge")
    async with connect(service) as client:
        assert (await refused(client, "git_push"))["constraint"] == "no-frontend"


async def test_a_link_in_the_range_is_refused(service: Path, origin: Path, connect: Connect) -> None:
    git(service, "checkout", "--quiet", "-b", "mine")
    (service / "config/link").symlink_to("../frontend")
    git(service, "add", ".")
    git(service, "commit", "--quiet", "-m", "link")
    async with connect(service) as client:
        assert "symbolic links" in (await refused(client, "git_push"))["reason"]


async def test_what_others_pushed_is_not_replaced_unless_a_person_says_so(
    service: Path, origin: Path, tmp_path: Path, connect: Connect
) -> None:
    begin(service)
    git(service, "push", "--quiet", "origin", "feature/orders")
    git(service, "commit", "--quiet", "--amend", "-m", "Debug, said better")
    old, new = there(origin)["feature/orders"], git(service, "rev-parse", "HEAD")
    async with connect(service) as client:
        error = await refused(client, "git_push")
        assert "has commits that this branch lacks" in error["reason"]
        assert there(origin)["feature/orders"] == old
        asked = await refused(client, "git_push", force_with_lease=True)
        assert (asked["code"], asked["constraint"]) == ("failed_precondition", "protected-branches")
        assert there(origin)["feature/orders"] == old
        shown = await approve(service, asked["escalation"])
        assert old in shown
        assert "Debug, said better" in shown
        done = await ask(client, "git_push", force_with_lease=True)
        assert (done["forced"], there(origin)["feature/orders"]) == (True, new)
        # Spent: the same again needs a new approval, also where somebody pushed meanwhile.
        git(service, "commit", "--quiet", "--amend", "-m", "once more")
        asked = await refused(client, "git_push", force_with_lease=True)
        await approve(service, asked["escalation"])
        other = tmp_path / "other"
        git(tmp_path, "clone", "--quiet", "--branch", "feature/orders", str(origin), str(other))
        git(other, "commit", "--quiet", "--allow-empty", "-m", "by somebody else")
        git(other, "push", "--quiet")
        kept = there(origin)["feature/orders"]
        assert (await refused(client, "git_push", force_with_lease=True))["code"] == "aborted"
    assert there(origin)["feature/orders"] == kept


async def test_a_remote_that_is_not_configured_is_named(
    service: Path, origin: Path, tmp_path: Path, connect: Connect
) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "exfil.git")
    begin(service)
    async with connect(service) as client:
        for name in (str(tmp_path / "exfil.git"), "--exec=touch x", "ext::sh -c true", "nowhere"):
            error = await refused(client, "git_push", remote=name)
            assert (error["code"], "origin" in error["reason"]) == ("not_found", True)
        for branch in ("--exec=touch x", ":main", "HEAD:main", "+feature/orders", "nowhere"):
            assert (await refused(client, "git_push", branch=branch))["code"] in ("invalid_argument", "not_found")
    assert there(tmp_path / "exfil.git") == {}


HOSTILE = {
    "pushInsteadOf": ("git config url.{B}/exfil.git.pushInsteadOf file://{B}/origin.git", "insteadof"),
    "insteadOf": ("git config url.{B}/exfil.git.insteadOf file://", "insteadof"),
    "ext": ("git config remote.origin.url 'ext::sh -c touch% {B}/mark'", "expected https"),
    "helper": ("git config remote.origin.url 'x::y'; ", "expected https"),
    "vcs": ("git config remote.origin.vcs x", "a program of the repository"),
    "inside": (
        'git init -q --bare inside.git; git config remote.origin.url "file://$PWD/inside.git"',
        "inside the workspace",
    ),
    "include": ("git config include.path ../x", "include.path"),
    "option": ("sed -i s,url.=.file.*,url=--upload-pack=x, .git/config", "expected https"),
    "host": ("git config remote.origin.url ssh://-oProxyCommand=x/y", "expected https"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_configuration_leads_a_push_elsewhere(
    service: Path, origin: Path, tmp_path: Path, connect: Connect, name: str
) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "exfil.git")
    begin(service)
    line, words = HOSTILE[name]
    shell(service, line.format(B=tmp_path))
    async with connect(service) as client:
        error = await refused(client, "git_push")
    assert words in error["reason"]
    assert there(tmp_path / "exfil.git") == {}
    assert not (tmp_path / "mark").exists()


async def test_no_program_of_the_configuration_runs(
    service: Path, origin: Path, tmp_path: Path, connect: Connect
) -> None:
    mark = tmp_path / "mark"
    begin(service)
    for key in ("remote.origin.receivepack", "remote.origin.uploadpack", "core.sshCommand", "core.gitProxy",
                "credential.helper", "core.askPass", "push.gpgSign"):  # fmt: skip
        git(service, "config", key, f"touch {mark}; git-receive-pack" if key != "push.gpgSign" else "true")
    shell(service, f"printf '#!/bin/sh\\ntouch {mark}' | tee .git/hooks/reference-transaction; chmod +x .git/hooks/*")
    async with connect(service) as client:
        done = await ask(client, "git_push")
    assert there(origin)["feature/orders"] == done["after"]
    assert not mark.exists()


async def test_a_pre_push_hook_runs_in_the_fence_and_has_a_say(
    service: Path, origin: Path, tmp_path: Path, connect: Connect
) -> None:
    begin(service)
    path = service / ".git/hooks/pre-push"
    path.write_text(f"#!/bin/sh\ntouch '{tmp_path}/mark'\nread line; echo \"$1: $line\"; exit 1\n")
    path.chmod(0o755)
    async with connect(service) as client:
        error = await refused(client, "git_push")
        head = git(service, "rev-parse", "HEAD")
        assert f"origin: refs/heads/feature/orders {head} refs/heads/feature/orders {'0' * 40}" in error["reason"]
        assert "feature/orders" not in there(origin)
        path.write_text("#!/bin/sh\nexit 0\n")
        await ask(client, "git_push")
    assert not (tmp_path / "mark").exists()


async def test_a_remote_that_refuses_is_quoted(service: Path, origin: Path, connect: Connect) -> None:
    begin(service)
    hook = origin / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'not on a Friday' >&2\nexit 1\n")
    hook.chmod(0o755)
    async with connect(service) as client:
        error = await refused(client, "git_push")
        assert error["code"] == "failed_precondition"
        assert "refused the push" in error["reason"]
        hook.unlink()
        origin.rename(origin.with_name("gone.git"))
        error = await refused(client, "git_push")
    assert (error["code"], error["retry"]) == ("unavailable", "later")
    assert "origin" in error["reason"]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ssh` that runs what it is asked to on this machine, and notes each call."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ssh"
    # ssh [options] host command
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {shlex.quote(str(tmp_path / "ssh.log"))}\n'
        'while [ "${1#-}" != "$1" ]; do case "$1" in -o|-p) shift;; esac; shift; done\n'
        'shift; exec sh -c "$*"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "ssh.log"


@pytest.mark.parametrize("form", ["git@example.org:{path}", "ssh://git@example.org{path}"])
async def test_a_remote_over_ssh_takes_pushes_and_gives_its_branches(
    service: Path, origin: Path, ssh: Path, tmp_path: Path, connect: Connect, form: str
) -> None:
    git(service, "remote", "set-url", "origin", form.format(path=origin))
    begin(service)
    async with connect(service) as client:
        done = await ask(client, "git_push")
        assert there(origin)["feature/orders"] == done["after"]
        assert "git@example.org git-receive-pack" in ssh.read_text()
        other = tmp_path / "other"
        git(tmp_path, "clone", "--quiet", str(origin), str(other))
        git(other, "commit", "--quiet", "--allow-empty", "-m", "by somebody else")
        git(other, "push", "--quiet")
        await ask(client, "git_branch", name="origin/main", action="fetch")
    assert git(service, "rev-parse", "origin/main") == there(origin)["main"]


async def test_a_connection_that_dies_in_the_push_is_told_apart(
    service: Path, origin: Path, ssh: Path, tmp_path: Path, connect: Connect
) -> None:
    git(service, "remote", "set-url", "origin", f"git@example.org:{origin}")
    begin(service)
    program = tmp_path / "bin/ssh"
    working = program.read_text()
    # The first call lists the branches; from the second on nothing answers.
    program.write_text(
        working.replace("while [", f"if [ -e {tmp_path}/once ]; then exit 255; fi; touch {tmp_path}/once\nwhile [", 1)
    )
    async with connect(service) as client:
        error = await refused(client, "git_push")
        assert error["code"] == "unavailable"
        assert "not known" in error["reason"]
        program.write_text(working)
        done = await ask(client, "git_push")
    assert there(origin)["feature/orders"] == done["after"]


async def test_pointers_are_not_pushed_without_the_files_that_git_lfs_keeps(
    service: Path, origin: Path, connect: Connect
) -> None:
    begin(service)
    write(service, {"data/a.bin": f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 3\n"})
    git(service, "add", ".")
    git(service, "commit", "--quiet", "-m", "Data")
    async with connect(service) as client:
        error = await refused(client, "git_push")
    assert (error["code"], "data/a.bin" in error["reason"]) == ("failed_precondition", True)
    assert "feature/orders" not in there(origin)


async def test_a_commit_on_a_protected_branch_says_how_it_gets_out(
    service: Path, origin: Path, connect: Connect
) -> None:
    write(service, {"config/settings.yaml": "debug: true\n"})
    async with connect(service) as client:
        done = await ask(client, "git_commit", message="Debug")
        (note,) = done["notes"]
        assert note.startswith("main is protected, so git_push refuses it")
        assert "main is protected on origin" in (await refused(client, "git_push"))["reason"]
        await ask(client, "git_branch", name="debug")
        await ask(client, "git_branch", name="debug", action="switch")
        assert (await ask(client, "git_push"))["commits"] == [done["commit"]]
        write(service, {"config/settings.yaml": "debug: false\n"})
        assert "notes" not in await ask(client, "git_commit", message="No debug")
    assert there(origin)["debug"] == done["commit"]
