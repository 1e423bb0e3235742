"""A small process beside a server over stdio that has read the judges of hooks already, and judges for them.

A hook that starts Python, reads the judges and asks them takes three times as long as Python alone. The process here is
forked off the server before that has a thread, so it is never busy with a call. It reads the judges when the first hook
comes, forks for each hook, takes on the hook's environment and folder there, and does exactly what the hook would have
done (hosts/answering.py): nothing is kept from one judgement to the next, and nothing depends on whose server it is, so
any server of this user answers for any of the user's workspaces. It ends with its server.

Only this user comes to its socket, and only who can read the key beside it: a program behind the fence sees neither.
A hook that gets no answer, or one it does not understand, judges by itself. Standard library only, little of it here:
the hook imports this file.
"""

import os
import sys
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` and `socket` take longer to import than all of this.
    from _socket import socket as Socket

SECONDS = 2.0
"""How long a hook waits before it judges by itself."""
MOST = 24_000_000
"""Bytes of an event with its environment."""
SERVERS = 4
"""Servers that a hook tries: those of other sessions judge the same way, and some may have ended."""
CHILDREN = 16
KEY = 32
SILENT, SAID, YOURS, OTHER = b"silent", b"said", b"yours", b"other"
"""No objection; what to print; judge by yourself; ask the next, for this is another program."""


def asked(host: str, event: bytes) -> str | None:
    """What the hook of `host` has to print, or `None` when it must judge by itself."""
    try:
        folder = place()
        names = [name for name in os.listdir(folder) if name.isdecimal()] if owned(folder) else []
        if not names:
            return None
        environment = b"\0".join(b"%b=%b" % pair for pair in os.environb.items())
        question = packed(program(), os.fsencode(host), os.fsencode(os.getcwd()), environment, event)
        for name in sorted(names)[-SERVERS:]:
            parts = _ask(f"{folder}/{name}", question)
            if parts == [SILENT]:
                return ""
            if parts != [OTHER]:
                return parts[1].decode() if len(parts) == 2 and parts[0] == SAID else None
    except (OSError, ValueError):
        return None
    return None


def _ask(name: str, question: bytes) -> list[bytes]:
    """The answer of one server, `OTHER` where none listens any more. Raises `OSError` or `ValueError` for no answer."""
    import _socket

    with open(name, "rb") as file:
        key = file.read()
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        until = monotonic() + SECONDS
        connection.settimeout(SECONDS)
        try:
            connection.connect(f"{name}.sock")
        except (ConnectionRefusedError, FileNotFoundError):
            return [OTHER]
        if not same_user(connection):
            return [OTHER]
        connection.sendall(key + question)
        return received(connection, until)
    finally:
        connection.close()


def place() -> str:
    """The folder of the sockets and their keys."""
    return os.path.join(state(), "hook")


def state() -> str:
    """This user's folder for the state of every workspace, as `settings.state_folder` has it."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.environ.get("MCP_BACKEND_STATE") or os.path.join(home, "mcp-backend")


def owned(folder: str) -> bool:
    """Whether a folder is this user's, and nobody else can look into it."""
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        return False
    return found.st_mode & 0o170077 == 0o040000 and found.st_uid == os.geteuid()


def program() -> bytes:
    """What must be the same for two processes to judge the same: this code, the interpreter, and the files they see."""
    found = os.stat(__file__)
    parts = [__file__, found.st_mtime_ns, found.st_size, sys.version, sys.prefix, sys.getfilesystemencoding()]
    for name in ("mnt", "user"):
        try:
            parts.append(os.readlink(f"/proc/self/ns/{name}"))
        except OSError:  # No Linux.
            parts.append("")
    return os.fsencode("\n".join(map(str, parts)))


def same_user(connection: "Socket") -> bool:
    """Whether the process at the other end runs as this user; where the system does not say, the folder does."""
    import _socket

    option = getattr(_socket, "SO_PEERCRED", None)
    if option is None:
        return True
    # struct ucred, unix(7): pid, uid, gid.
    credentials = connection.getsockopt(_socket.SOL_SOCKET, option, 12)
    return int.from_bytes(credentials[4:8], sys.byteorder) == os.geteuid()


def packed(*parts: bytes) -> bytes:
    """Parts as one message: its length, then each with its own."""
    body = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return len(body).to_bytes(4, "big") + body


def received(connection: "Socket", until: float) -> list[bytes]:
    """The parts of one message. Raises `ValueError` for what is none, `OSError` when the time is over."""
    length = int.from_bytes(exactly(connection, 4, until), "big")
    if length > MOST:
        raise ValueError("too long")
    body = exactly(connection, length, until)
    parts: list[bytes] = []
    at = 0
    while at < length:
        size = int.from_bytes(body[at : at + 4], "big")
        parts.append(body[at + 4 : at + 4 + size])
        at += 4 + size
    if at != length:
        raise ValueError("not of this form")
    return parts


def exactly(connection: "Socket", count: int, until: float) -> bytes:
    """So many bytes. Raises `ValueError` at an early end, `OSError` when the time is over."""
    pieces: list[bytes] = []
    while count:
        connection.settimeout(max(until - monotonic(), 0.001))
        piece = connection.recv(min(count, 1 << 20))
        if not piece:
            raise ValueError("ended early")
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def start() -> None:
    """Starts the process, which ends with this one. Nothing happens where it cannot be: hooks then judge themselves."""
    if not hasattr(os, "fork"):
        return
    ended, alive = os.pipe()  # `alive` stays open as long as this process lives.
    child = os.fork()
    if child:
        os.close(ended)
        os.waitpid(child, 0)
        return
    try:
        os.close(alive)
        if not os.fork():  # A child of nobody's: the server waits for none but its own.
            from mcp_backend.hosts import residing

            residing.reside(ended)
    finally:
        os._exit(0)
