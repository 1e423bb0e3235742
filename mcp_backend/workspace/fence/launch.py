"""Runs one command in the fence: `python -I -S launch.py PARENT SPEC STATUS COMMAND…`.

`SPEC` and `STATUS` are inherited descriptors: what to arrange, marshalled (both ends are one interpreter), and a socket
on which this process says that the fence holds, or why it does not. Nothing of the command runs before it holds. Run
by its path and without site-packages, which would cost half of the start.
"""

import _socket
import marshal
import os
import signal
import struct
import sys
from os.path import abspath, dirname

sys.path.append(dirname(dirname(dirname(dirname(abspath(__file__))))))

from mcp_backend.workspace import supervise
from mcp_backend.workspace.fence import kernel, landlock, mounts, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

INSIDE = "--inside"
FAILED = 125
DEVICE_FILES = tuple(f"/dev/{name}" for name in (*mounts.DEVICES, "ptmx"))


def main(arguments: list[str]) -> int:
    """The exit code of the command, as supervise.py gives it; 125 when the fence could not be made."""
    if arguments[0] == INSIDE:
        spec, status = _spec(int(arguments[1])), int(arguments[2])
        _enter(spec, status, arguments[3:])
    parent, place, status = map(int, arguments[:3])
    spec = _spec(place)
    os.set_inheritable(status, False)

    def begin() -> int:
        match spec["tier"]:
            case "namespaces":
                child = _in_namespaces(spec, status, arguments[3:])
            case "bubblewrap":
                child = _in_bubblewrap(spec, place, status, arguments[3:])
            case _:
                child = _alone(spec, status, arguments[3:])
        os.close(status)
        return child

    return supervise.supervise(parent, begin)


def _spec(descriptor: int) -> "dict[str, Any]":
    return marshal.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0))


def _say(status: int, message: str, descriptors: "Sequence[int]" = ()) -> None:
    sending = _socket.socket(fileno=os.dup(status))
    rights = (
        [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))]
        if descriptors
        else []
    )
    sending.sendmsg([message.encode("utf-8", "surrogateescape")], rights)


def _failed(status: int, error: OSError) -> None:
    _say(status, f"failed {error.strerror or error}"[:500])
    os._exit(FAILED)


def _in_namespaces(spec: "dict[str, Any]", status: int, command: list[str]) -> int:
    """Starts the command as a child of the first process of a new process namespace; its number out here."""
    try:
        if spec["user_namespace"]:
            kernel.own_user()
        network = kernel.CLONE_NEWNET if spec["network"] else 0
        kernel.unshare(kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | network)
    except OSError as error:
        _failed(status, error)
    # A change of credentials may have cleared it.
    supervise.end_with_parent()
    child = os.fork()
    if child:
        return child
    supervise.prepare_child()
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        if spec["network"]:
            kernel.loopback_up()
        mounts.arrange(spec)
        os.chdir(spec["cwd"])
    except OSError as error:
        _failed(status, error)
    kernel.hide_from_siblings()
    command_process = os.fork()
    if not command_process:
        _enter(spec, status, command)
    os.close(status)
    kernel.no_new_privileges()
    kernel.drop_capabilities()
    # Whatever else still runs ends with this process: it is the first of its namespace. pid_namespaces(7)
    os._exit(supervise.wait(command_process))


def _in_bubblewrap(spec: "dict[str, Any]", place: int, status: int, command: list[str]) -> int:
    child = os.fork()
    if child:
        return child
    supervise.prepare_child()
    for descriptor in (place, status):
        os.set_inheritable(descriptor, True)
    inner = [sys.executable, "-I", "-S", abspath(__file__), INSIDE, str(place), str(status), *command]
    arguments = [*mounts.bubblewrap(spec, spec["program"]), *inner]
    try:
        os.execv(spec["program"], arguments)
    except OSError as error:
        _failed(status, error)
        raise


def _alone(spec: "dict[str, Any]", status: int, command: list[str]) -> int:
    child = os.fork()
    if not child:
        supervise.prepare_child()
        _enter(spec, status, command)
    return child


def _enter(spec: "dict[str, Any]", status: int, command: list[str]) -> None:
    """Puts the last layers round this process and becomes the command."""
    try:
        os.set_inheritable(status, False)
        os.closerange(3, status)
        os.closerange(status + 1, 1024)
        listening = _listen(spec["ports"])
        kernel.limit(spec["memory"], spec["processes"])
        kernel.no_new_privileges()
        _restrict(spec)
        kernel.drop_capabilities(1 << kernel.CAP_DAC_OVERRIDE if spec["keep_dac"] else 0)
        seccomp.apply(unix=spec["unix"], datagrams=spec["datagrams"])
    except OSError as error:
        _failed(status, error)
        return
    _say(status, " ".join(("ready", *(str(port) for port, _ in listening))), [number for _, number in listening])
    for _, number in listening:
        os.close(number)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    supervise.become(command)


def _restrict(spec: "dict[str, Any]") -> None:
    rules = spec["landlock"]
    if spec["tier"] == "landlock":
        landlock.restrict(rules["writable"], (*rules["files"], *DEVICE_FILES), rules["readable"], rules["ports"])
    elif rules is not None:
        landlock.restrict(mounts.writable(spec), DEVICE_FILES, None, None)


def _listen(ports: list[int]) -> list[tuple[int, int]]:
    """Sockets of this network on which the server outside takes connections for its own loopback."""
    found: list[tuple[int, int]] = []
    for port in ports:
        listening = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        listening.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(64)
        found.append((port, listening.detach()))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
