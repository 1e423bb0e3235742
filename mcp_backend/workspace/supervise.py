"""Runs one command and ends everything it started: `python -I -S supervise.py PARENT COMMAND…`.

A process of its own, because a server with threads must not run Python between fork and exec. Orphans become its
children (PR_SET_CHILD_SUBREAPER) and are killed when the command ends, so no daemon outlives the call; it ends itself
when the server dies (PR_SET_PDEATHSIG). SIGTERM asks it to stop the command: politely first, then not.
https://man7.org/linux/man-pages/man2/prctl.2.html
"""

import ctypes
import os
import signal
import sys
import time

TYPE_CHECKING = False
"""As in typing, which takes longer to import than the rest of this; type checkers know the name."""
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 1.0


class Stop(Exception):
    """The server wants the command to end, or is gone."""


def _stop(number: int, frame: "FrameType | None") -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stop


def _descendants() -> list[int]:
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    found: list[int] = []
    level = [os.getpid()]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found


def _kill_all() -> None:
    """Until none is left: what is killed leaves its children to us, and a fork may be faster than one look."""
    while children := _descendants():
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def start(command: list[str]) -> int:
    """Starts the command in a session of its own; the number of its process."""
    child = os.fork()
    if not child:
        prepare_child()
        become(command)
    return child


def prepare_child() -> None:
    """Right after the fork: a session of its own that ends with this process, signals as a program expects them."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def become(command: list[str]) -> "NoReturn":
    """Runs the command in place of this process."""
    try:
        os.execvpe(command[0], command, os.environ)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(126)


def wait(child: int) -> int:
    """The exit code of the command itself; orphans that end before are ours to take away."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _ask(child: int) -> None:
    """Asks the command to end, and gives it a moment to put things away."""
    try:
        os.killpg(child, signal.SIGTERM)
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.01)
    except (ChildProcessError, ProcessLookupError):
        return


def main() -> int:
    """The exit code of the command; 128 and the number of the signal that ended it; 126 when it could not start."""
    return supervise(int(sys.argv[1]), lambda: start(sys.argv[2:]))


def end_with_parent() -> None:
    """The kernel asks this process to stop when its parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def supervise(parent: int, begin: "Callable[[], int]") -> int:
    """Waits for the process that `begin` starts, and ends everything that is left of it or when asked to."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    end_with_parent()
    child = 0
    try:
        signal.signal(signal.SIGTERM, _stop)
        if os.getppid() != parent:
            return 143
        child = begin()
        code = wait(child)
    except Stop:
        code = 143
        if child:
            _ask(child)
    _kill_all()
    return code


if __name__ == "__main__":
    sys.exit(main())
