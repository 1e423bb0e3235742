"""An opponent at the engineer's seat: what programs, tools, hooks and pages are asked to do so that its own call runs.

Each is refused, or has no effect: afterwards the question is still open and the call still waits. What works for
another program of the same user outside the fence is named in SECURITY.md; `test_self_approval.py` holds it to that.
"""

import asyncio
import http.client
import json
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from mcp_backend import escalations
from mcp_backend.app import App, open_app
from mcp_backend.call import call
from mcp_backend.errors import BackendError, FailedPrecondition
from mcp_backend.tools.edit_file import EditFile
from mcp_backend.tools.read_file import ReadFile
from mcp_backend.tools.run_command import RunCommand
from mcp_backend.tools.write_file import WriteFile
from tests.conftest import long_proof
from tests.migrating import Migrate, executed
from tests.test_hook import run
from tests.test_inbox_site import Browser, served

ANSWER = f"{shlex.quote(sys.executable)} -m mcp_backend inbox answer @ID --approve"
PROGRAMS = {
    "a terminal by script(1)": f"script -qec '{ANSWER}' /dev/null <<< @TAIL",
    "a terminal by pty": f"python3 -c \"import pty; pty.spawn({ANSWER.split()!r})\" <<< @TAIL",
    "a terminal by tmux": f"tmux new-session -d '{ANSWER}'; sleep 0.2; tmux send-keys @TAIL Enter",
    "a terminal by expect": f"expect -c 'spawn {ANSWER}; expect :; send @TAIL\\r; expect eof'",
    "a daemon without ancestors": f"setsid nohup {ANSWER} <<< @TAIL >/dev/null 2>&1 &",
    "an empty environment": f"env -i PATH=\"$PATH\" HOME=\"$HOME\" {ANSWER} <<< @TAIL",
    "the store named outright": f"MCP_BACKEND_STATE=@STATES {ANSWER} <<< @TAIL",
    "the store's file": "sqlite3 @STATE/store.db \"update escalation set status='approved'\" || "
                        "python3 -c \"import sqlite3; sqlite3.connect('@STATE/store.db').execute('drop table audit')\"",
    "an older store put back": "cp @STATE/store.db /tmp/old && cp /tmp/old @STATE/store.db; : > @STATE/store.db-wal",
    "the key of receipts": "cat @STATE/receipt.key; printf x > @STATE/receipt.key",
    "secrets of other processes": "cat /proc/[0-9]*/environ | tr '\\0' '\\n'",
    "memory of other processes": "for m in /proc/[0-9]*/mem; do dd if=$m of=/dev/null count=1; printf x > $m; done",
    "a library before all others": "echo 'export LD_PRELOAD=/tmp/x.so' >> ~/.bashrc; echo x > ~/.profile",
    "a module before all others": "p=$(python3 -c 'import site; print(site.getsitepackages()[0])'); "
                                  "printf 'import os' > $p/sitecustomize.py",
    "the clock": "date -s 2001-01-01; python3 -c 'import time; time.clock_settime(0, 0)'",
    "git's own verification": "git config gpg.program /bin/true; git config gpg.ssh.allowedSignersFile /tmp/me",
    "a commit that it signs itself": "ssh-keygen -qt ed25519 -N '' -f /tmp/k; git -c gpg.format=ssh -c "
                                     "user.signingkey=/tmp/k commit -S --allow-empty -m 'approve @ID @TAIL'",
    "the inbox over HTTP": "curl -s -m 2 -X POST http://@HOST/escalations/@ID -d way=approved -d tail=@TAIL",
    "the inbox's key": "grep -rhoE 'key=[A-Za-z0-9_-]{32}' /tmp /proc/[0-9]*/cmdline",
    "the policy": "echo 'disabled_because = \"x\"' >> mcp-backend.toml",
}  # fmt: skip
HOOKED = (
    "mcp-backend inbox answer ID --approve", "python -m mcp_backend inbox answer ID --approve",
    "uvx mcp-backend inbox answer ID --approve", "script -qec 'mcp-backend inbox answer ID --approve' /dev/null",
    "tmux new -d 'mcp-backend inbox answer ID --approve'", "env -i mcp-backend inbox serve",
    "nohup setsid mcp-backend inbox answer ID --approve &", "sh -c 'mcp-backend inbox answer ID --approve'",
)  # fmt: skip


async def waiting(app: App) -> str:
    """The call that nobody approved."""
    with pytest.raises(FailedPrecondition) as refused:
        await call(app, Migrate, {})
    assert refused.value.escalation is not None
    return refused.value.escalation


async def held(app: App, identifier: str) -> None:
    row = await escalations.get(app.store, identifier)
    assert row["status"] == "open"
    assert await waiting(app) == identifier
    assert executed(app) == []


@long_proof
async def test_no_program_that_the_engineer_runs_approves_its_call(repository: Path) -> None:
    (repository / "mcp-backend.toml").write_text("[people]\ndata_owner = ['ana']\n")
    async with open_app(repository) as app:
        identifier = await waiting(app)
        row = await escalations.get(app.store, identifier)
        state = app.workspace.state
        key = await app.store.key()
        with served(repository) as site:
            text = ""
            for name, line in PROGRAMS.items():
                for word, value in (("@STATES", str(state.parent)), ("@STATE", str(state)), ("@ID", identifier),
                                    ("@TAIL", row["digest"][-4:]), ("@HOST", site.host)):  # fmt: skip
                    line = line.replace(word, value)
                text += f"echo {shlex.quote(f'# {name}')}; timeout 20 bash -c {shlex.quote(line)} 2>&1 | head -c 2000\n"
            done = await call(app, RunCommand, {"command": f"{text}echo '# the end'", "timeout_seconds": 120})
        told = json.dumps(done)
        assert "# the end" in told, "every one was tried"
        for leaked in (key.hex(), site.keys[-1], site.keys[0]):
            assert leaked not in told, leaked
        assert (repository / "mcp-backend.toml").read_text() == "[people]\ndata_owner = ['ana']\n"
        assert "gpg" not in (repository / ".git/config").read_text()
        assert await app.store.key() == (state / "receipt.key").read_bytes() == key
        await held(app, identifier)


async def test_no_tool_that_writes_or_reads_files_reaches_what_approves(repository: Path) -> None:
    async with open_app(repository) as app:
        identifier = await waiting(app)
        state = app.workspace.state
        (repository / "into").symlink_to(state)
        for path in (f"{state}/store.db", "into/store.db", "into/receipt.key", "../" * 12 + f"{state}/receipt.key",
                     "/proc/self/environ", "/proc/self/mem", ".git/config"):  # fmt: skip
            for tool, more in ((WriteFile, {"content": "x"}), (EditFile, {"edits": [{"old": "a", "new": "b"}]})):
                with pytest.raises(BackendError):
                    await call(app, tool, {"path": path, **more})
        for path in ("into/receipt.key", "/proc/self/environ", f"{state}/store.db"):
            with pytest.raises(BackendError):
                await call(app, ReadFile, {"path": path})
        await held(app, identifier)


async def test_no_page_takes_what_it_did_not_ask_for(repository: Path) -> None:
    """Another origin, none, a rebound name, another method, no token, a token of another session, a key used twice."""
    async with open_app(repository) as app:
        identifier = await waiting(app)
        tail = (await escalations.get(app.store, identifier))["digest"][-4:]
        place = f"/escalations/{identifier}"

        def attack() -> list[int]:
            with served(repository) as site:
                other = Browser(site.host, site.keys)
                first = site.keys[-1]
                site.enter()
                other.enter()
                site.read(place)
                other.read(place)
                own = {"Origin": f"http://{site.host}", "Host": site.host}
                form = {"token": site.token, "way": "approved", "tail": tail}
                tries: list[tuple[str, str, dict[str, str], dict[str, str]]] = [
                    ("POST", place, form, {**own, "Origin": "null"}),
                    ("POST", place, form, {**own, "Origin": "http://evil.example"}),
                    ("POST", place, form, {"Host": site.host}),
                    ("POST", place, form, {**own, "Host": "evil.example"}),
                    ("POST", place, form, {"Host": site.host, "Origin": "http://evil.example",
                                           "X-Forwarded-Host": site.host}),
                    ("POST", place, {**form, "token": other.token}, own),
                    ("POST", place, {**form, "token": ""}, own),
                    ("POST", place, {**form, "tail": ""}, own),
                    ("POST", place, {**form, "way": "answered", "answer": "approved"}, own),
                    ("GET", f"{place}?{urlencode(form)}", {}, {**own, "X-HTTP-Method-Override": "POST"}),
                    ("PUT", place, form, own),
                    ("GET", f"/enter?key={first}", {}, {"Host": site.host}),
                ]  # fmt: skip
                return [_sent(site, *each) for each in tries]

        statuses = await asyncio.to_thread(attack)
        assert statuses == [400, 400, 400, 421, 400, 400, 400, 400, 400, 200, 405, 403]
        await held(app, identifier)


def _sent(site: Browser, method: str, path: str, form: dict[str, str], headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(site.host, timeout=60)
    body = urlencode(form).encode()
    connection.putrequest(method, path, skip_host=True)
    about: dict[str, Any] = {"Cookie": site.cookie, "Content-Type": "application/x-www-form-urlencoded",
                             "Content-Length": len(body), **headers}  # fmt: skip
    for name, value in about.items():
        connection.putheader(name, str(value))
    connection.endheaders(body)
    status = connection.getresponse().status
    connection.close()
    return status


async def test_no_shell_of_the_host_is_let_through_to_the_inbox(repository: Path) -> None:
    async with open_app(repository) as app:
        identifier = await waiting(app)
        for line in HOOKED:
            event = {"tool_name": "Bash", "tool_input": {"command": line.replace("ID", identifier)},
                     "cwd": str(repository), "hook_event_name": "PreToolUse"}  # fmt: skip
            done = await asyncio.to_thread(run, "claude-code", event)
            with suppress(ValueError):
                assert json.loads(done.stdout)["hookSpecificOutput"]["permissionDecision"] == "deny", line
                continue
            assert done.returncode == 2, line
        await held(app, identifier)
