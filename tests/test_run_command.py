"""run_command: results as they are, nothing left running, only the environment that is meant, and good words."""

import os
import secrets
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_backend.settings import workspace
from mcp_backend.workspace import shell_words
from tests.conftest import ERAS, Connect, Era
from tests.fencing import terminal

pytest_plugins = ("tests.fence_fixtures",)


def unlike() -> str:
    """A number of seconds to sleep that nobody else sleeps, also no other run of these tests."""
    return str(secrets.randbelow(10**9) + 10**9)


def alive(mark: str) -> list[str]:
    """The processes with the mark on their command line."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(process.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("era", ERAS)
async def test_a_command_gives_what_it_printed_its_exit_code_and_what_it_changed(
    guarded: Path, connect: Connect, era: Era
) -> None:
    line = (
        "cat; printf err >&2; echo 'x = 2' >> backend/app/svc.py; rm apps/worker/main.py; echo n > backend/n.py; exit 3"
    )
    async with connect(guarded, mode=era) as client:
        answer = await client.call_tool("run_command", {"command": line, "input": "given"})
    result: dict[str, Any] = answer.structured_content or {}
    assert not answer.is_error
    assert (result["exit_code"], result["stdout"], result["stderr"]) == (3, "given", "err")
    assert result["truncated"] is False
    assert result["sandbox"].startswith(("namespaces", "bubblewrap", "landlock"))
    assert result["changed"] == ["apps/worker/main.py", "backend/app/svc.py", "backend/n.py"]


async def test_standard_input_is_empty_by_default_and_bash_is_the_shell(guarded: Path) -> None:
    async with terminal(guarded) as say:
        result = await say("cat; a=(1 2); echo ${#a[@]}; tty || true")
    assert result["stdout"] == "2\nnot a tty\n"


@pytest.mark.parametrize(
    ("cwd", "words"),
    [
        ("..", "without `..`"),
        ("/etc", "in the workspace"),
        ("backend/none", "there is no folder"),
        ("README.md", "not a folder"),
        ("link", "symbolic link"),
        ("link/app", "symbolic link"),
    ],
)
async def test_a_folder_outside_or_through_a_link_is_refused(guarded: Path, cwd: str, words: str) -> None:
    (guarded / "link").symlink_to("backend")
    async with terminal(guarded) as say:
        error = (await say("true", cwd=cwd))["error"]
    assert error["code"] == "invalid_argument"
    assert error["reason"].startswith("cwd: ")
    assert words in error["reason"]


async def test_a_folder_of_the_workspace_is_taken_relative_or_whole(guarded: Path) -> None:
    async with terminal(guarded) as say:
        assert (await say("pwd", cwd="backend/app"))["stdout"].strip() == str(guarded / "backend/app")
        assert (await say("pwd", cwd=str(guarded / "api")))["stdout"].strip() == str(guarded / "api")


async def test_what_a_plain_line_would_write_is_refused_before_anything_ran(guarded: Path) -> None:
    async with terminal(guarded) as say:
        error = (await say("touch backend/ran && echo x > frontend/src/App.tsx"))["error"]
        spec = (await say("echo x > openapi.yaml", cwd="api"))["error"]
    assert (error["code"], error["constraint"]) == ("permission_denied", "no-frontend")
    assert spec["code"] == "permission_denied"
    assert not (guarded / "backend/ran").exists()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("echo x > a/b", ["a/b"]),
        ("echo x >> a 2>&1 | tee c", ["a"]),
        ("echo 'x > frontend/y'", []),
        ("grep '>' frontend/src/App.tsx", []),
        ("cat > a <<'EOF'\n> frontend/x\nEOF", ["a"]),
        ("cd frontend && echo x > y", []),
        ("make 2> /dev/null", []),
        ("echo $(date) > a", ["a"]),
        ("echo 'unclosed > a", []),
        ("(cd web; echo x > a)", []),
        ("echo x > $F; echo x > *.py", []),
    ],
)
def test_only_plain_redirections_are_read(line: str, found: list[str]) -> None:
    assert shell_words.written(line, ".") == found


async def test_a_read_only_file_explains_itself(guarded: Path) -> None:
    async with terminal(guarded) as say:
        result = await say("python3 -c \"open('frontend/src/App.tsx', 'w')\"")
    assert result["exit_code"] == 1
    assert "read-only in the fence" in result["notes"][0]


async def test_secrets_of_the_server_are_not_passed_unless_the_policy_names_them(
    guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "LD_PRELOAD_X", "PYTHONPATH", "BASH_ENV", "GIT_DIR"):
        monkeypatch.setenv(name, "/nowhere")
    async with terminal(guarded) as say:
        names = {line.partition("=")[0] for line in (await say("env"))["stdout"].splitlines()}
    assert {"PATH", "HOME", "TMPDIR"} <= names
    assert not names & {"AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "PYTHONPATH", "BASH_ENV", "GIT_DIR"}
    (guarded / "mcp-backend.toml").write_text('[sandbox]\nenvironment = ["DATABASE_URL"]\n')
    async with terminal(guarded) as say:
        assert (await say("echo $DATABASE_URL"))["stdout"] == "/nowhere\n"


async def test_output_is_bounded_and_the_whole_is_in_a_log(guarded: Path) -> None:
    async with terminal(guarded) as say:
        result = await say("seq 1 20000; echo last >&2")
        short = await say("echo hello")
    assert result["truncated"] is True
    assert len(result["stdout"]) < 26_000
    assert result["stdout"].startswith("1\n2\n")
    assert result["stdout"].endswith("19999\n20000\n")
    assert "bytes left out" in result["stdout"]
    assert result["stderr"] == "last\n"
    assert Path(result["log"]).read_text().count("\n") == 20001
    assert "log" not in short
    assert len(list((workspace(guarded).state / "logs").iterdir())) == 1


async def test_a_password_in_a_url_is_not_repeated_and_source_code_is_left_alone(guarded: Path) -> None:
    async with terminal(guarded) as say:
        result = await say("echo 'postgres://u:hunter2@h/d'; echo 'token = get_token()'")
    assert result["stdout"] == "postgres://u:***@h/d\ntoken = get_token()\n"


async def test_what_still_runs_ends_with_the_call(guarded: Path) -> None:
    mark = unlike()
    async with terminal(guarded) as say:
        result = await say(f"setsid nohup sleep {mark} > /dev/null 2>&1 & echo started")
    assert (result["exit_code"], result["stdout"]) == (0, "started\n")
    assert alive(mark) == []


async def test_a_command_that_takes_too_long_is_stopped_and_says_what_it_did(guarded: Path) -> None:
    mark = unlike()
    error: dict[str, Any] = {}
    async with terminal(guarded) as say:
        for seconds in (2, 8, 32):  # on a loaded machine the fence alone may take the first of them
            error = (await say(f"trap '' TERM; echo before; echo x > backend/n.py; sleep {mark} & sleep {mark}",
                               timeout_seconds=seconds))["error"]  # fmt: skip
            if error["details"]["changed"]:
                break
    assert error["code"] == "deadline_exceeded"
    assert error["details"]["stdout"] == "before\n"
    assert error["details"]["changed"] == ["backend/n.py"]
    assert alive(mark) == []


async def test_cancelling_ends_the_command_and_takes_back_what_it_must(guarded: Path, connect: Connect) -> None:
    os.mkfifo(guarded / "ready")
    mark = unlike()
    line = f"echo x > $z./backend/new.tsx; echo > ready; sleep {mark}"
    async with connect(guarded) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "run_command", {"command": line})
            await anyio.to_thread.run_sync((guarded / "ready").read_text)
            group.cancel_scope.cancel()
        # The next call waits for nothing: when it is answered, the server has handled the cancellation.
        await client.call_tool("check_escalation", {})
        with anyio.fail_after(60):
            while alive(mark) or (guarded / "backend/new.tsx").exists():
                await anyio.sleep(0.02)


async def test_progress_tells_the_last_line(guarded: Path, connect: Connect) -> None:
    told: list[str | None] = []

    async def progress_callback(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with connect(guarded) as client:
        await client.call_tool(
            "run_command", {"command": "echo compiling; sleep 2.5"}, progress_callback=progress_callback
        )
    assert "compiling" in told


async def test_a_fence_that_cannot_be_made_runs_nothing(guarded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with terminal(guarded) as say:
        assert (await say("true"))["exit_code"] == 0
        monkeypatch.setattr("mcp_backend.workspace.fence.spec._private", lambda root, state: ([], ["/etc/passwd", "/"]))  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
        error = (await say("touch backend/ran"))["error"]
    assert error["code"] == "unavailable"
    assert "Nothing was run" in error["reason"]
    assert not (guarded / "backend/ran").exists()
