"""A real server of a test's own, which it can stop, freeze, kill and start again."""

import signal
import socket
import subprocess
import time
from pathlib import Path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


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
