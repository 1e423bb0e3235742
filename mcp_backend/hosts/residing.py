"""The process that `resident` starts: it listens, and forks a child for each hook that asks."""

import os
import signal
import sys
from contextlib import suppress
from time import monotonic

from mcp_backend.hosts import resident
from mcp_backend.hosts.resident import CHILDREN, KEY, OTHER, SAID, SECONDS, SILENT, YOURS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket as Socket

READ_BEFORE = (
    "policy", "persona", "hosts.answering", "hosts.judging", "hosts.effects", "hosts.programs", "hosts.git_line",
    "hosts.git_ranges", "hosts.file_programs", "hosts.finding", "hosts.line_programs", "workspace.current",
    "workspace.generated", "workspace.git_environment", "workspace.listing", "workspace.manifests",
    "workspace.secrets_scan", "workspace.shell_line", "workspace.writes",
)  # fmt: skip
"""What judges import when they are first asked, beside the programs of `late_programs`."""
LONGEST = 30
"""Seconds of one judgement. The hook has judged by itself long before."""


def reside(ended: int) -> None:
    """Listens until `ended` says that the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The terminal's; the server decides when it ends.
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    folder, program = os.path.abspath(resident.place()), resident.program()
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if not resident.owned(folder):
        return
    os.chdir(folder)  # Names of sockets are short: a path may be too long for one.
    name = str(os.getpid())
    _tidy()
    try:
        number, key = _lay(name)
        if _wait(number, ended):
            _listen(number, ended, program, key)
    finally:
        for left in (name, f"{name}.sock"):
            with suppress(OSError):
                os.unlink(f"{folder}/{left}")


def _tidy() -> None:
    """Removes what processes left that were killed."""
    for entry in os.listdir():
        number = entry.partition(".")[0]
        if number.isdecimal():
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                with suppress(OSError):
                    os.unlink(entry)
            except (OSError, OverflowError):
                continue


def _lay(name: str) -> tuple[int, bytes]:
    """The descriptor of the socket, and the key, which is laid beside it once it listens."""
    import _socket

    with suppress(FileNotFoundError):
        os.unlink(f"{name}.sock")
    listening = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listening.bind(f"{name}.sock")
    listening.listen(CHILDREN)
    key = os.urandom(KEY)
    with open(os.open(f"{name}.key", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key)
    os.replace(f"{name}.key", name)
    return listening.detach(), key


def _wait(listening: int, ended: int, milliseconds: int | None = None) -> bool:
    """Whether a hook waits; `False` at the end of the server. Raises `TimeoutError`."""
    import select

    waiting = select.poll()
    waiting.register(ended, select.POLLIN)
    waiting.register(listening, select.POLLIN)
    ready = {number for number, _ in waiting.poll(milliseconds)}
    if not ready:
        raise TimeoutError
    return ended not in ready


def _listen(number: int, ended: int, program: bytes, key: bytes) -> None:
    import socket

    children: set[int] = set()
    with socket.socket(fileno=number) as listening:
        listening.accept()[0].close()  # The first hook judges by itself meanwhile.
        read = _read()
        while True:
            with suppress(TimeoutError):
                if not _wait(number, ended, 1000 if children else None):
                    return
                connection, _ = listening.accept()
                with connection:
                    if any(_stamp(path) != stamp for path, stamp in read.items()):
                        return  # Other code lies there now.
                    if len(children) < CHILDREN:
                        if child := os.fork():
                            children.add(child)
                        else:
                            _judge(connection, program, key)
            children -= {child for child in children if os.waitpid(child, os.WNOHANG)[0]}


def _read() -> dict[str, tuple[int, int]]:
    """Imports the judges; the files that were read. Nothing is judged here: what judges keep would be old one day."""
    import gc

    from mcp_backend.expressions import Expression
    from mcp_backend.hosts import HOOKED, host, late_programs

    gc.disable()
    for name in HOOKED:
        host(name)
    for name in (*READ_BEFORE, *(f"hosts.{place}" for place in late_programs.NAMES)):
        __import__(f"mcp_backend.{name}")
    found: dict[str, tuple[int, int]] = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "mcp_backend" and (path := getattr(module, "__file__", None)):
            found[path] = _stamp(path)
            for value in list(vars(module).values()):
                if isinstance(value, Expression):
                    _ = value.compiled
    gc.freeze()
    return found


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _judge(connection: "Socket", program: bytes, key: bytes) -> None:
    """One judgement, in a process of its own."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.alarm(LONGEST)
        until = monotonic() + SECONDS
        if resident.same_user(connection) and resident.exactly(connection, KEY, until) == key:
            answer = _answer(resident.received(connection, until), program)
            connection.settimeout(SECONDS)
            connection.sendall(answer)
    finally:
        os._exit(0)


def _answer(question: list[bytes], program: bytes) -> bytes:
    theirs, host, folder, environment, event = question
    if theirs != program:
        return resident.packed(OTHER)
    os.environb.clear()
    for pair in environment.split(b"\0"):
        variable, _, value = pair.partition(b"=")
        os.environb[variable] = value
    os.chdir(folder)
    from mcp_backend.hosts import answering

    said = answering.answer(os.fsdecode(host), event, answering.left)
    if said is None:
        return resident.packed(YOURS)
    return resident.packed(SAID, said.encode()) if said else resident.packed(SILENT)
