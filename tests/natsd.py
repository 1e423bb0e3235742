"""A real nats-server of a test's own, and proxies before it."""

import asyncio
import os
import shutil
import socket
import subprocess
import sysconfig
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Self

from nats.aio.client import Client

from tests.daemon import SECONDS, Daemon


def program() -> str:
    """The server: `NATS_SERVER` names another one than the wheel's, to run the same tests on another release."""
    wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    return os.environ.get("NATS_SERVER") or (
        str(wheel) if wheel.exists() else shutil.which("nats-server") or str(wheel)
    )


@cache
def version() -> tuple[int, ...]:
    """The release of the server, as (2, 15)."""
    told = subprocess.run([program(), "-v"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in told.rpartition("v")[2].split(".")[:2])


class Natsd(Daemon):
    """One server; `extra` is added to its configuration."""

    def __init__(self, folder: Path, extra: str = "", *, jetstream: bool = True, port: int | None = None) -> None:
        super().__init__(folder, port)
        store = f'jetstream {{ store_dir: "{folder}/data" }}\n' if jetstream else ""
        self.configuration = folder / "nats.conf"
        self.configuration.write_text(f"listen: 127.0.0.1:{self.port}\n{store}{extra}\n")

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> "Natsd":
        process = self._launch(program(), "-c", str(self.configuration))
        give_up = time.monotonic() + SECONDS
        while True:
            with socket.socket() as probe:
                probe.settimeout(1)
                # The greeting is what a client waits for; the port alone is open a moment earlier.
                with suppress(TimeoutError, ConnectionError):  # a loaded machine answers later
                    if probe.connect_ex(("127.0.0.1", self.port)) == 0 and probe.recv(5).startswith(b"INFO"):
                        return self
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.01)


class Between:
    """A TCP proxy before a port of this machine; a subclass says what goes through."""

    def __init__(self, upstream: int) -> None:
        self._upstream, self.port = upstream, 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(self._answers(up_reader, writer), self._requests(reader, up_writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            up_writer.close()
            writer.close()

    async def _answers(self, up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What the server says, passed on until it ends."""
        while data := await up_reader.read(65536):
            writer.write(data)
        writer.close()

    async def _requests(self, reader: asyncio.StreamReader, up_writer: asyncio.StreamWriter) -> None:
        """What the client says, passed on until it ends."""
        while data := await reader.read(65536):
            up_writer.write(data)


class Proxy(Between):
    """A TCP proxy that can cut the answers: what the client sends still arrives, then its connection is reset."""

    def __init__(self, upstream: int) -> None:
        super().__init__(upstream)
        self.cuts = 0
        self.cutting = False

    async def _answers(self, up_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await up_reader.read(65536):
            if self.cutting and b"PONG" not in data:
                self.cuts += 1
                writer.transport.abort()
                return
            writer.write(data)
        writer.close()


def policy(root: Path, url: str, more: str = "") -> Path:
    """Writes a policy with one NATS engine into a workspace, and returns the workspace."""
    (root / "mcp-backend.toml").write_text(f'[engines.nats]\nurl = "{url}"\nenvironment = "development"\n{more}')
    return root


async def settled(client: Client) -> None:
    """Waits until the server knows everything that the client has sent: the PING of nats-py's first `flush` overtakes
    what still waits to be written, that of a second one cannot."""
    await client.flush()
    await client.flush()
