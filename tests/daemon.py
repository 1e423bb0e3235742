"""A real server of a test's own, which it can stop, freeze, kill and start again."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

SECONDS = 60
"""How long a server may take to answer for the first time: what takes a moment takes longer on a loaded machine."""
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def _ports() -> Iterator[int]:
    """Ports of this worker alone, below those that the system gives to every connection (ip(7)): between the choice of
    one and its use nobody else takes it, nor does a connection to it become one to itself."""
    end = int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32_768
    own = range(10_000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 16, end, 16)
    begin = os.getpid() % len(own)
    return cycle([*own[begin:], *own[:begin]])


PORTS = _ports()


def free_port() -> int:
    """A port of the loopback interface that nothing listens at, another one each time."""
    return next(port for port in PORTS if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Daemon:
    """One process on the loopback interface, with its log. Its data outlives `kill`."""

    def __init__(self, folder: Path, port: int | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port = folder, port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process, 0 while there is none."""
        return self._process.pid if self._process else 0

    def _launch(self, *command: str) -> "subprocess.Popen[bytes]":
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        return self._process

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
            time.sleep(0.001)  # the signal stops one thread after the other

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)
