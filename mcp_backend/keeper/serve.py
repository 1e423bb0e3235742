"""Who keeps an engine, who holds a lease on it, and when it ends.

The first keeper to lock `FOLDER/lock` listens on `FOLDER/keeper.sock` and returns to its caller; later ones see that it
answers, and leave. Every process of the engine inherits the lock, so it is free only when nothing is left of a former
keeper and its engine. A client sends one line of JSON, `{"do": "lease" | "pin" | "status" | "stop"}`, and gets one line
back. A lease lasts as long as its connection, so the kernel itself reports the end of a process that was killed.
"""

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time

from mcp_backend.keeper.clickhouse import Clickhouse
from mcp_backend.keeper.engine import Engine, Failure
from mcp_backend.keeper.kafka import Kafka
from mcp_backend.keeper.nats import Nats
from mcp_backend.keeper.peer import gone
from mcp_backend.keeper.postgresql import Postgresql
from mcp_backend.keeper.valkey import Valkey

KINDS: dict[str, type[Engine]] = {
    "postgresql": Postgresql, "nats": Nats, "clickhouse": Clickhouse, "redis": Valkey, "kafka": Kafka,
}  # fmt: skip
SOCKET = "keeper.sock"
GRACE_SECONDS = 2.0
"""How long an engine outlives its last lease, so that restarting a server costs nothing."""
ORPHAN_SECONDS = 3.0
"""How long the engine of a killed keeper may take to end before it is killed too."""
LOG_BYTES = 4_000_000


def main(kind: str, folder: str, program: str) -> None:
    """Becomes the keeper of `folder` in the background, or finds that there is one. Returns once it answers."""
    os.umask(0o077)
    os.chdir(folder)
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _elected(lock):
        return
    engine = KINDS[kind](program, lock)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(SOCKET)
    listener.listen(128)
    if os.fork():
        os._exit(0)
    os.setsid()
    os.pwrite(lock, b"%-10d" % os.getpid(), 0)
    if os.path.exists("log") and os.path.getsize("log") > LOG_BYTES:
        os.replace("log", "log.old")
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: sys.exit(0))
    try:
        Keeper(engine, listener).serve()
    finally:
        # Whoever comes now is refused, and begins a keeper that waits for the lock.
        with contextlib.suppress(OSError):
            os.unlink(SOCKET)
        listener.close()
        engine.stop()


def _elected(lock: int) -> bool:
    """Waits until the lock is ours (true) or its owner answers (false)."""
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            pass
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            probe.connect(SOCKET)
            return False
        if time.monotonic() > began + ORPHAN_SECONDS:
            _end_orphans(lock)
        time.sleep(0.02)


def _end_orphans(lock: int) -> None:
    """Kills what is left of an engine whose keeper is gone; a keeper that is still ending its engine is left alone."""
    keeper = os.pread(lock, 10, 0).decode().strip()
    holders = [name for name in os.listdir("/proc") if name.isdigit() and _holds(name, os.fstat(lock))]
    if keeper not in holders:
        for name in holders:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(name), signal.SIGKILL)


def _holds(process: str, file: os.stat_result) -> bool:
    """Whether the process has the locked file open as it was locked (`proc(5)`, fdinfo), not just the same path."""
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{process}/fd"):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(f"/proc/{process}/fd/{number}"), file):
                    with open(f"/proc/{process}/fdinfo/{number}", encoding="ascii") as text:
                        if "FLOCK" in text.read():
                            return True
    return False


class Keeper:
    """The engine, the connections of those who asked for something, and whether the engine is pinned."""

    def __init__(self, engine: Engine, listener: socket.socket) -> None:
        self.engine, self.listener = engine, listener
        self.pinned = self.stopping = False
        self.leases: set[socket.socket] = set()
        self.waiting: list[tuple[socket.socket, str]] = []
        self.received: dict[socket.socket, bytes] = {}
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ, self._accept)
        # A child that ends wakes the selector through this pair (`signal.set_wakeup_fd`).
        self.ended, self.waking = socket.socketpair()
        self.waking.setblocking(False)
        signal.set_wakeup_fd(self.waking.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self.selector.register(self.ended, selectors.EVENT_READ, self._child_ended)
        self.started = 0.0

    def serve(self) -> None:
        """Answers until asked to stop, or until nobody has held a lease for the grace period."""
        unused_since = time.monotonic()
        while not self.stopping:
            used = bool(self.leases or self.pinned)
            patience = unused_since + GRACE_SECONDS - time.monotonic()
            if not used and patience <= 0:
                return
            for key, _ in self.selector.select(None if used else patience):
                key.data()
            if self.waiting:
                self._answer_waiting()
            if used or self.leases or self.pinned:
                unused_since = time.monotonic()

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.setblocking(False)
        self.received[connection] = b""
        self.selector.register(connection, selectors.EVENT_READ, lambda: self._receive(connection))

    def _receive(self, connection: socket.socket) -> None:
        try:
            part = connection.recv(4096)
        except ConnectionError:
            part = b""
        self.received[connection] += part
        if not part or len(self.received[connection]) > 4096:
            self._drop(connection)
        elif self.received[connection].endswith(b"\n"):
            line, self.received[connection] = self.received[connection], b""
            self._request(connection, line)

    def _request(self, connection: socket.socket, line: bytes) -> None:
        try:
            request = json.loads(line)
            what, force = str(request["do"]), bool(request.get("force"))
        except (ValueError, KeyError, TypeError, AttributeError):
            self._drop(connection)
            return
        self.waiting.append((connection, "force" if what == "stop" and force else what))

    def _answer_waiting(self) -> None:
        """Starts the engine if somebody needs it, and answers everybody, after all leases that ended have been seen."""
        waiting, self.waiting = self.waiting, []
        needed = any(what in ("lease", "pin") for _, what in waiting)
        error = self._start() if needed and not self.engine.process else ""
        for connection, what in waiting:
            if what in ("lease", "pin"):
                self._give(connection, what, error)
            elif what in ("stop", "force"):
                self.pinned = False
                self.stopping = what == "force" or not self.leases
                self._reply(connection, {"stopping": self.stopping, **self._status()})
            else:
                self._reply(connection, self._status())

    def _give(self, connection: socket.socket, what: str, error: str) -> None:
        if error:
            self._reply(connection, {"error": error})
        elif connection in self.received:
            # Who gave up while the engine started wants none that stays.
            self.pinned = self.pinned or (what == "pin" and not gone(connection))
            if what == "lease":
                self.leases.add(connection)
            self._reply(connection, self._status())

    def _start(self) -> str:
        """Starts the engine; what went wrong, or nothing."""
        try:
            self.engine.start()
        except (Failure, OSError, subprocess.TimeoutExpired) as error:
            self.engine.stop()
            return f"{error}" if isinstance(error, Failure) else f"{error} (in {self.engine.folder})"
        self.started = time.monotonic()
        return ""

    def _child_ended(self) -> None:
        """If it was the engine, it is started again for those who hold a lease, unless it cannot live."""
        self.ended.recv(4096)
        if self.engine.process is None or self.engine.process.poll() is None:
            return
        self.engine.process = None
        port = self.engine.port
        lived = time.monotonic() - self.started
        if (self.leases or self.pinned) and lived > 1 and not self._start() and self.engine.port == port:
            return
        for connection in list(self.leases):
            self._drop(connection)

    def _status(self) -> dict[str, object]:
        process = self.engine.process
        return {
            "running": process is not None,
            "pid": process.pid if process else None,
            "version": self.engine.version,
            "port": self.engine.port,
            "leases": len(self.leases),
            "pinned": self.pinned,
            **(self.engine.urls() if process else {}),
        }

    def _reply(self, connection: socket.socket, answer: dict[str, object]) -> None:
        try:
            connection.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        if self.received.pop(connection, None) is not None:
            self.leases.discard(connection)
            self.selector.unregister(connection)
            connection.close()
