"""What every local engine has in common: its folder, its secrets, its port, its processes, the user it runs as."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time

from mcp_backend.keeper.identity import NOBODY, Identity, as_identity, choose_identity

START_SECONDS = 120.0
"""How long an engine may take to come up: it may have a crash to recover from."""
STOP_SECONDS = 20.0
"""How long an engine may take to end before the next, less polite signal."""


class Failure(Exception):
    """The engine did not start; the text says why, with the last lines of its log."""


class Engine:
    """One kind of engine, over the working directory: `data`, `secrets.json`, `port`, `log`.

    `lock` is inherited by every process of the engine. A kind says how its files are made, what to run, and how one
    sees that it is ready.
    """

    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGKILL)
    refuses_root = False

    def __init__(self, program: str, lock: int) -> None:
        self.folder, self.program, self.lock = os.getcwd(), program, lock
        self.identity: Identity = "self"
        self.process: subprocess.Popen[bytes] | None = None
        self.port, self.version, self.log_start = 0, "", 0
        self.secrets = read_secrets()

    def create(self) -> None:
        """Makes the engine's files where there are none."""

    def command(self) -> list[str]:
        """What to run, listening on `port` of the loopback interface."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether the running process accepts clients; sets `version`."""
        raise NotImplementedError

    def urls(self) -> dict[str, str]:
        """`url`, and `superuser_url` where the engine tells its users apart."""
        raise NotImplementedError

    def start(self) -> None:
        """Starts the engine, on its former port where that is free. Raises `Failure`."""
        os.makedirs("data", 0o700, exist_ok=True)
        if self.refuses_root and os.geteuid() == 0:
            try:
                self.identity = choose_identity(self.program)
            except PermissionError as error:
                raise Failure(str(error)) from error
        self.create()
        self.give("data")
        former = read("port")
        for _ in range(10):
            self.port, former = free_port(former), ""
            if self.comes_up():
                write("port", str(self.port))
                return
            # Somebody was quicker to take the port; or processes of an engine that was killed are still ending.
            if "already in use" not in self.log() and "still in use" not in self.log():
                break
            time.sleep(0.1)
        raise Failure(f"it did not start; its log ends: {self.said()}")

    def comes_up(self) -> bool:
        """Runs the engine on `port`; whether it became ready."""
        self.process = self.launch(self.command(), "data")
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.ready():
                return True
            time.sleep(0.005)
        self.stop()
        return False

    def launch(
        self, command: list[str], cwd: str, *, piped: bool = False, apart: bool = False
    ) -> "subprocess.Popen[bytes]":
        """Runs a program of the engine: as a user it accepts, logging to `log`.

        It holds the lock and is signalled when the keeper ends, unless it runs `apart`: then nobody waits for it.
        """
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "HOME": self.folder}
        if libraries := os.environ.get("LD_LIBRARY_PATH"):
            environment["LD_LIBRARY_PATH"] = libraries
        with open("log", "ab") as log:
            self.log_start = log.tell()
            return subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=() if apart else (self.lock,),
                preexec_fn=as_identity(self.identity, None if apart else self.stop_signals[0]),  # noqa: PLW1509 - one thread only
            )

    def step(self, command: list[str], cwd: str, text: str = "") -> None:
        """Runs a program of the engine to its end. Raises `Failure` unless that is a good one."""
        with self.launch(command, cwd, piped=True) as process:
            try:
                process.communicate(text.encode(), timeout=START_SECONDS)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise Failure(f"{os.path.basename(command[0])} failed; it says: {self.said()}")

    def stop(self) -> None:
        """Ends the engine, politely first."""
        if self.process is None:
            return
        for number in self.stop_signals:
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
                break
        self.process = None

    def give(self, path: str) -> None:
        """Makes the user that the engine runs as the owner of our own files in `path`, if it is not yet."""
        owner = NOBODY if self.identity == "nobody" else os.geteuid()
        if os.stat(path).st_uid == owner:
            return
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(os.path.join(folder, name), owner, owner, follow_symlinks=False)
        os.chown(path, owner, owner)

    def log(self) -> str:
        """What the program that was launched last wrote."""
        with open("log", "rb") as file:
            file.seek(self.log_start)
            return file.read().decode(errors="replace")

    def said(self) -> str:
        """The last lines of `log()`, in one line."""
        return " / ".join(line.strip() for line in self.log().splitlines()[-8:] if line.strip()) or "nothing"


def read(path: str) -> str:
    """The text of a file, empty when there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def write(path: str, text: str) -> None:
    """Replaces a file of ours, readable by nobody else, in one step."""
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


def read_secrets() -> dict[str, str]:
    """The engine's passwords, made up once."""
    text = read("secrets.json")
    if not text:
        text = json.dumps({name: os.urandom(18).hex() for name in ("backend", "superuser", "name")})
        write("secrets.json", text)
    secrets: dict[str, str] = json.loads(text)
    return secrets


def free_port(former: str) -> int:
    """The former port of the loopback interface if nothing listens there, else one that the kernel picks."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(former or 0)))
        except (OSError, ValueError, OverflowError):
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
