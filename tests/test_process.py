"""Programs of the repository: their ends, their limits, and that nothing of them outlives the call."""

import asyncio
import os
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mcp_backend.errors import FailedPrecondition
from mcp_backend.workspace import process
from mcp_backend.workspace.process import Finished

DAEMON = "(setsid sh -c 'echo $$ > {pids}; exec sleep 600' &) ; while ! [ -s {pids} ]; do sleep 0.01; done; "


async def run(line: str, folder: Path, seconds: float = 30, lines: Callable[[bytes], None] | None = None) -> Finished:
    return await process.run(
        ["sh", "-c", line], cwd=folder, environment=os.environ, seconds=seconds, log=folder / "log", lines=lines
    )


def alive(pids: Path) -> list[str]:
    """The processes that still run; one that has ended may be there until its parent takes note of it."""
    found: list[str] = []
    for pid in pids.read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):
            if Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
    return found


@pytest.mark.parametrize(("line", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
async def test_the_exit_code_is_the_programs(tmp_path: Path, line: str, code: int) -> None:
    finished = await run(line, tmp_path)
    assert (finished.exit_code, finished.timed_out) == (code, False)


async def test_a_daemon_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    await run(DAEMON.format(pids=pids) + "exit 0", tmp_path)
    assert pids.read_text().strip()
    assert alive(pids) == []


async def test_a_program_that_does_not_listen_is_stopped(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    finished = await run("trap '' TERM; " + DAEMON.format(pids=pids) + "sleep 600", tmp_path, seconds=0.5)
    assert finished.timed_out
    assert alive(pids) == []


async def test_cancelling_ends_everything(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    os.mkfifo(tmp_path / "ready")
    line = DAEMON.format(pids=pids) + f"echo > '{tmp_path}/ready'; sleep 600"
    task = asyncio.create_task(run(line, tmp_path))
    await asyncio.to_thread((tmp_path / "ready").read_text)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert alive(pids) == []


async def test_nothing_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    os.mkfifo(tmp_path / "ready")
    line = DAEMON.format(pids=pids) + f"echo > '{tmp_path}/ready'; sleep 600"
    program = (
        "import asyncio, os, sys\nfrom pathlib import Path\nfrom mcp_backend.workspace import process\n"
        "asyncio.run(process.run(['sh', '-c', sys.argv[1]], cwd=Path.cwd(), environment=os.environ, seconds=600, "
        "log=Path('log')))"
    )
    server = subprocess.Popen([sys.executable, "-c", program, line], cwd=tmp_path)
    await asyncio.to_thread((tmp_path / "ready").read_text)
    daemon = os.pidfd_open(int(pids.read_text()))
    server.kill()
    server.wait()
    # A process descriptor can be read once the process has ended: pidfd_open(2).
    ended, _, _ = await asyncio.to_thread(select.select, [daemon], [], [], 10)
    os.close(daemon)
    assert ended


async def test_output_is_kept_within_bounds_and_given_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LOG_BYTES", 10_000)
    lines: list[bytes] = []
    finished = await run("seq 1 50000; printf 'no newline'", tmp_path, lines=lines.append)
    assert finished.truncated
    assert lines[-1] == b"50000"
    assert len(lines) == 50_000
    assert finished.tail.endswith("50000\nno newline")
    log = (tmp_path / "log").read_bytes()
    assert log.startswith(b"1\n2\n3\n")
    assert log.endswith(b"[the rest was not kept]\n")
    assert len(log) < 10_100


async def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="no-such-program is not installed"):
        await process.run(["no-such-program"], cwd=tmp_path, environment={}, seconds=1, log=tmp_path / "log")
    assert not (tmp_path / "log").exists()
