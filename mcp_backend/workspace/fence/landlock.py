"""What Landlock lets a fenced program write (`landlock(7)`): allow-lists below places, never a "no" inside a "yes".

It does not see changes of modes, owners, times and extended attributes, nor connections to sockets in the file system.
From version 6 on it also keeps signals and abstract sockets inside.
"""

import ctypes
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
WRITE_FILE, READ_FILE, TRUNCATE, CONNECT_TCP = 0x2, 0x4, 0x4000, 0x2
CHANGES = 0x7FF2
"""Write, truncate, create, remove, move: every right over files but executing, reading and device commands."""
DEVICES = 0x7FF2 & ~(0x40 | 0x800)
"""The same without making device nodes: what is granted."""
LEAST = 3
"""Linux 6.2. Older versions let a file be emptied that must not be written."""

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """The version of Landlock here; 0 where there is none."""
    return max(int(_libc.syscall(CREATE_RULESET, None, 0, 1)), 0)


def restrict(
    writable: "Iterable[str]", files: "Iterable[str]", readable: "Iterable[str] | None", ports: "Iterable[int] | None"
) -> None:
    """Shuts this process in for good: changes only below `writable` and in `files`, reading only below `readable` and
    what may be written (`None`: everywhere), connections only to `ports` (`None`: to any). Needs no_new_privs.

    Raises `OSError` where the kernel has no Landlock of version 3.
    """
    found = version()
    if found < LEAST:
        raise OSError(f"Landlock version {LEAST} is needed, this kernel has {found or 'none'}")
    reading = READ_FILE if readable is not None else 0
    network = CONNECT_TCP if ports is not None and found >= 4 else 0
    handled = struct.pack("QQQ", CHANGES | reading, network, 0x3 if found >= 6 else 0)
    size = 24 if found >= 6 else 16 if found >= 4 else 8
    rules = _called(CREATE_RULESET, handled[:size], size, 0)
    for path in writable:
        _allow(rules, path, DEVICES | reading)
    for path in files:
        _allow(rules, path, WRITE_FILE | TRUNCATE | reading)
    for path in readable or ():
        _allow(rules, path, READ_FILE)
    for port in ports or () if network else ():
        _called(ADD_RULE, rules, 2, struct.pack("=QQ", CONNECT_TCP, port), 0)
    _called(RESTRICT_SELF, rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return  # It went away since the list was made: nothing to allow.
    try:
        mode = os.fstat(place).st_mode
        if (mode & 0o170000) == 0o120000:
            return
        if (mode & 0o170000) != 0o040000:
            rights &= WRITE_FILE | TRUNCATE | READ_FILE
        if rights:
            _called(ADD_RULE, rules, 1, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _called(number: int, *arguments: "int | bytes | None") -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock (system call {number}): {os.strerror(code)}")
    return result
