"""What the kernel refuses this process from now on: files outside its data, the network, other programs.

Landlock (`landlock(7)`) over files and TCP, two seccomp filters (`seccomp(2)`) over system calls. They hold for root as
well, for every thread to come, and cannot be taken back.
"""

import ctypes
import errno
import os
import struct

from mcp_backend.workspace.fence import seccomp

PR_SET_NO_NEW_PRIVS = 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
LEAST_LANDLOCK = 2
"""Linux 5.19. Version 1 cannot allow what an engine does all the time: moving a file from one folder to another. Before
version 3 a file elsewhere could be emptied with `truncate(2)`, which chdb does only to files it has opened."""
READS = 0b1100
FILE_RIGHTS = {2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}
"""Every right over files that a version of Landlock knows; after 5 none was added."""
TCP_RIGHTS, SCOPES = 0b11, 0b11

NO_NETWORK = {"socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201)}
"""The sockets that exist already go on working."""
NO_PROGRAMS = {"execve": (59, 221), "execveat": (322, 281), "kill": (62, 129)}

_libc = ctypes.CDLL(None, use_errno=True)


class NoFence(Exception):
    """This machine cannot keep the fence; the text says what is missing."""


def enclose(writable: list[str], readable: list[str]) -> str:
    """Shuts this process in, which must have one thread only; returns what holds, in words.

    Below `writable` everything is allowed, below `readable` reading, elsewhere nothing. Raises `NoFence`.
    """
    machine = os.uname().machine
    if not seccomp.known():
        raise NoFence(f"the system calls of {machine} are not known here")
    if len(os.listdir("/proc/self/task")) > 1:
        raise NoFence("the process has threads already, which the rules would not reach")
    try:
        if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "no_new_privs")
        version = _landlock(writable, readable)
        seccomp.apply(unix=False, datagrams=False)
        _filter(machine)
    except OSError as error:
        raise NoFence(f"the kernel refuses a rule: {error}") from error
    tcp = " and Landlock" if version >= 4 else ""
    return f"files: Landlock {version}; network: seccomp{tcp}; programs: seccomp"


def _landlock(writable: list[str], readable: list[str]) -> int:
    version: int = _libc.syscall(CREATE_RULESET, None, 0, 1)
    if version < LEAST_LANDLOCK:
        raise NoFence(
            f"Landlock version {LEAST_LANDLOCK} (Linux 5.19) is needed; this machine, or its container, has "
            f"{version if version > 0 else 'none'}"
        )
    rights = FILE_RIGHTS[min(version, 5)]
    handled = struct.pack("QQQ", rights, TCP_RIGHTS if version >= 4 else 0, SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _called(CREATE_RULESET, handled[:size], size, 0)
    for path, allowed in [(path, rights) for path in writable] + [(path, READS) for path in readable]:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        # A rule over a file may not name rights over folders.
        rule = struct.pack("=Qi", allowed if os.path.isdir(path) else allowed & 0b110, place)
        _called(ADD_RULE, ruleset, 1, rule, 0)
        os.close(place)
    _called(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return version


def _filter(machine: str) -> None:
    """On top of what every fenced program is refused: a network, and other programs."""
    column = seccomp.MACHINES[machine][0]
    program = [(seccomp.LOAD, 0, 0, 0)]
    for numbers in (*NO_NETWORK.values(), *NO_PROGRAMS.values()):
        refused = (seccomp.GIVE, 0, 0, seccomp.ERRNO | errno.EPERM)
        program += [(seccomp.EQUAL, 0, 1, numbers[column]), refused]
    program.append((seccomp.GIVE, 0, 0, seccomp.ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code))
    if _libc.prctl(seccomp.PR_SET_SECCOMP, seccomp.MODE_FILTER, ctypes.c_char_p(header), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def _called(number: int, *arguments: "int | bytes | None") -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock (system call {number}): {os.strerror(code)}")
    return result
