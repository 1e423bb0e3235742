"""Which user an engine runs as when we are root and it refuses root. Nothing of the machine is changed for it.

First choice: a user namespace in which our uid 0 looks like 65534 (`user_namespaces(7)`); files stay ours, and nothing
needs to be reachable for anybody else. Where the kernel refuses namespaces (containers): the user `nobody`, who then
owns the data folder and enters it as its working directory, because the folders above may be closed to him.
"""

import ctypes
import os
import signal
from collections.abc import Callable
from typing import Literal

Identity = Literal["self", "mapped", "nobody"]
NOBODY = 65534
PR_SET_PDEATHSIG, CLONE_NEWUSER = 1, 0x10000000

_libc = ctypes.CDLL(None, use_errno=True)


def choose_identity(program: str) -> Identity:
    """How root can run `program`. Raises `PermissionError` saying what to do when no way is open."""
    if _succeeds(_map):
        return "mapped"
    if _succeeds(lambda: _is_reachable(program)):
        return "nobody"
    raise PermissionError(
        f"this server runs as root, which the engine refuses; user namespaces are blocked here, and the user nobody "
        f"(uid {NOBODY}) cannot reach {program}. Run the server as an ordinary user, allow user namespaces, or install "
        "the engine where everybody can read it"
    )


def as_identity(identity: Identity, at_death: signal.Signals | None) -> Callable[[], None]:
    """What a child does between fork and exec. The kernel sends it `at_death` when its parent ends (`prctl(2)`)."""
    parent = os.getpid()

    def become() -> None:
        if identity == "mapped":
            _map()
        elif identity == "nobody":
            _drop()
        if at_death:
            # A change of credentials clears this setting, so it comes last.
            _libc.prctl(PR_SET_PDEATHSIG, int(at_death), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return become


def _map() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{NOBODY} {uid} 1"),
        ("gid_map", f"{NOBODY} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _drop() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def _is_reachable(program: str) -> None:
    _drop()
    if not os.access(program, os.X_OK):
        raise PermissionError(program)


def _succeeds(attempt: Callable[[], None]) -> bool:
    """Whether a child process gets through it; this process stays as it is."""
    child = os.fork()
    if child == 0:
        try:
            attempt()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
