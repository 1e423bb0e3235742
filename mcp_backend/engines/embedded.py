"""`embedded:KIND`: a local engine of the workspace, shared by every process that holds a lease on it.

A keeper process (`mcp_backend.keeper`) runs the engine. A lease is an open connection to it: closing it, or dying,
gives it back; after the last one the engine stops. Data stay in `<state>/engines/<kind>/data`.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp_backend.engines import binaries
from mcp_backend.errors import Unavailable
from mcp_backend.keeper.peer import gone
from mcp_backend.settings import Workspace, hide_credentials, private
from mcp_backend.telling import tell
from mcp_backend.threads import patiently

KINDS = tuple(binaries.PROGRAMS)
"""The kinds of engine that can run locally. A new one: an entry in `binaries.PROGRAMS` and in the keeper's `KINDS`."""
ANSWER_SECONDS = 150.0
"""How long a keeper may take to answer: an engine may have a crash to recover from."""
START_SECONDS = 60.0
"""How long a keeper may take to begin: it waits until a former keeper has ended its engine."""
QUEUE_SECONDS = 0.05
KEEPER = Path(__file__).parent.parent / "keeper" / "__main__.py"


@dataclass(frozen=True, slots=True)
class Lease:
    """The use of a local engine until `close`, or until this process ends.

    `url` is usable by any client and holds a password. `superuser_url` (PostgreSQL) is for setting up databases and
    roles, never for a statement of an agent. The engine keeps its port over a restart where it can; `lost` tells
    whether this lease is worth nothing any more, and a new one has to be taken.
    """

    kind: str
    url: str = field(repr=False)
    version: str
    pid: int
    superuser_url: str | None = field(repr=False)
    _connection: socket.socket = field(repr=False)

    @property
    def lost(self) -> bool:
        """Whether the lease was closed, or the keeper is gone (killed, or stopped by `engines stop --force`)."""
        return gone(self._connection)

    def close(self) -> None:
        """Gives the lease back; the engine stops shortly after if it was the last one. Harmless a second time."""
        self._connection.close()


async def lease(kind: str, workspace: Workspace) -> Lease:
    """A lease on the workspace's engine of that kind, which is started first if it does not run.

    Raises `Unavailable` with what to install, or with what the engine's own log says.
    """
    folder = engine_folder(kind, workspace)
    connection, answer = await _ask(kind, folder, {"do": "lease"}, start=True)
    superuser = answer.get("superuser_url")
    return Lease(kind, str(answer["url"]), str(answer["version"]), int(answer["pid"]), superuser, connection)


async def pin(kind: str, workspace: Workspace) -> dict[str, Any]:
    """Starts the engine and lets it run without leases until `stop`; its status with `url`."""
    connection, answer = await _ask(kind, engine_folder(kind, workspace), {"do": "pin"}, start=True)
    connection.close()
    return answer


async def status(kind: str, workspace: Workspace) -> dict[str, Any] | None:
    """What the keeper of the engine says, `None` when there is none: the engine does not run."""
    folder = workspace.state / "engines" / kind
    try:
        connection, answer = await _ask(kind, folder, {"do": "status"}, start=False)
    except FileNotFoundError:
        return None
    connection.close()
    return answer


async def stop(kind: str, workspace: Workspace, *, force: bool = False) -> dict[str, Any] | None:
    """Takes back the pin and stops the engine, unless leases are held and `force` is not given.

    Returns once the engine has ended. The answer's `stopping` is false when leases keep it; `None` when it did not
    run.
    """
    folder = workspace.state / "engines" / kind
    try:
        connection, answer = await _ask(kind, folder, {"do": "stop", "force": force}, start=False)
    except FileNotFoundError:
        return None
    with connection:
        if answer["stopping"]:
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.get_running_loop().sock_recv(connection, 1)
    return answer


def engine_folder(kind: str, workspace: Workspace) -> Path:
    """The engine's private folder, made where it was missing. Raises `Unavailable` when it cannot be ours."""
    if kind not in KINDS:
        raise Unavailable(f"{kind}: no local engine of this kind exists; set engines.{kind}.url to a running server")
    if sys.platform != "linux":
        raise Unavailable(f"{kind}: local engines need Linux; set engines.{kind}.url to a running server")
    folder = workspace.state / "engines" / kind
    try:
        private(private(private(workspace.state) / "engines") / kind)
        owner = folder.stat().st_uid
    except OSError as error:
        raise Unavailable(
            f"{kind}: its data folder {folder} cannot be made: {error.strerror}. Set MCP_BACKEND_STATE to a folder "
            "that this user may write"
        ) from error
    if owner != os.geteuid() or not os.access(folder, os.W_OK | os.X_OK):
        raise Unavailable(
            f"{kind}: its data folder {folder} belongs to another user or is read-only. Set MCP_BACKEND_STATE to a "
            "folder that this user may write"
        )
    return folder


async def _ask(
    kind: str, folder: Path, request: dict[str, Any], *, start: bool
) -> tuple[socket.socket, dict[str, Any]]:
    """What `_talk` gives, unless the keeper says that the engine did not start: then `Unavailable`."""
    connection, answer = await _talk(kind, folder, request, start=start)
    if "error" in answer:
        connection.close()
        raise Unavailable(f"{kind}: the local engine is not available: {hide_credentials(str(answer['error']))}")
    return connection, answer


async def _talk(
    kind: str, folder: Path, request: dict[str, Any], *, start: bool
) -> tuple[socket.socket, dict[str, Any]]:
    """The keeper's answer and the connection it came by. Raises `FileNotFoundError` if none runs and `start` is off."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            for _ in range(20):
                connection = await _connect(folder)
                if connection is None and not start:
                    raise FileNotFoundError(folder)
                if connection is None:
                    await tell(f"starting a local {kind} for this workspace")
                    await patiently(_start_keeper, kind, folder, binaries.find(kind))
                    continue
                try:
                    answer = await _exchange(loop, connection, json.dumps(request).encode() + b"\n")
                except BaseException:
                    connection.close()
                    raise
                if answer is not None:
                    return connection, answer
                # The keeper was about to end when we came: the next one takes over.
                connection.close()
    except TimeoutError as error:
        raise Unavailable(f"{kind}: its keeper does not answer for {ANSWER_SECONDS:.0f} s; see {folder}/log") from error
    raise Unavailable(f"{kind}: its keeper ends without an answer; see {folder}/log")


async def _connect(folder: Path) -> socket.socket | None:
    """A connection to the keeper that listens there, if one does. The short name is for the limit of `unix(7)`."""
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    try:
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            while True:
                try:
                    connection.connect(f"/proc/self/fd/{descriptor}/keeper.sock")
                    return connection
                except BlockingIOError:  # As many wait for the keeper as the system lets wait.
                    await asyncio.sleep(QUEUE_SECONDS)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise


async def _exchange(
    loop: asyncio.AbstractEventLoop, connection: socket.socket, request: bytes
) -> dict[str, Any] | None:
    """One line for one line; `None` when the other side went away instead of answering."""
    received = b""
    try:
        await loop.sock_sendall(connection, request)
        while not received.endswith(b"\n"):
            part = await loop.sock_recv(connection, 65536)
            if not part:
                return None
            received += part
    except ConnectionError:
        return None
    answer: dict[str, Any] = json.loads(received)
    return answer


def _start_keeper(kind: str, folder: Path, program: Path) -> None:
    """Starts a keeper, and returns when one answers. It gets none of this process's environment: no secret of it."""
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    if libraries := os.environ.get("LD_LIBRARY_PATH"):
        environment["LD_LIBRARY_PATH"] = libraries
    command = [sys.executable, "-I", "-S", str(KEEPER), kind, str(folder), str(program)]
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            timeout=START_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{kind}: the keeper of the local engine did not start: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unavailable(f"{kind}: the keeper of the local engine did not start: {said[-1] if said else 'no word'}")
