"""A real nats-server of a test's own, which it can stop, freeze, kill and start again."""

import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from pathlib import Path


def program() -> str:
    """The server: `NATS_SERVER` names another one than the wheel's, to run the same tests on another release."""
    wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    return os.environ.get("NATS_SERVER") or (
        str(wheel) if wheel.exists() else shutil.which("nats-server") or str(wheel)
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Natsd:
    """One server on the loopback interface. Its data outlives `kill`; `extra` is added to its configuration."""

    def __init__(self, folder: Path, extra: str = "", *, jetstream: bool = True, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, port or free_port()
        store = f'jetstream {{ store_dir: "{folder}/data" }}\n' if jetstream else ""
        self.configuration = folder / "nats.conf"
        self.configuration.write_text(f"listen: 127.0.0.1:{self.port}\n{store}{extra}\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> "Natsd":
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program(), "-c", str(self.configuration)], stdout=log, stderr=log)
        give_up = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                probe.settimeout(1)
                # The greeting is what a client waits for; the port alone is open a moment earlier.
                if probe.connect_ex(("127.0.0.1", self.port)) == 0 and probe.recv(5).startswith(b"INFO"):
                    return self
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.01)

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

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)
