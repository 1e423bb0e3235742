"""The filter over system calls that every fenced program runs under (`seccomp(2)`, `bpf(4)`).

It takes away what could undo or walk round the mounts: other namespaces, mounts, the memory of other processes, files
by handle, kernel keys, and interfaces that do work of system calls without making them. Numbers:
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux.
"""

import ctypes
import errno
import os
import struct

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""The column of the table, and the architecture as the filter sees it."""
REFUSED: dict[str, tuple[int, int]] = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "open_tree_attr": (467, 467),
    "unshare": (272, 97), "setns": (308, 268), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "syslog": (103, 116), "vhangup": (153, 58),
}  # fmt: skip
CLONE, CLONE3, IOCTL, SOCKET = (56, 220), (435, 435), (16, 29), (41, 198)
NEW_NAMESPACES = 0x7E020000
"""Every CLONE_NEW* flag of clone(2). clone3(2) hides its flags from a filter: told that it does not exist, the C
library falls back to clone."""
TERMINAL_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX type into a terminal."""
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, SOCK_DGRAM = 1, 2, 10, 16, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, EQUAL, AT_LEAST, ANY_BIT, GIVE, AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
PR_SET_SECCOMP, MODE_FILTER = 22, 2

Line = tuple[int, int, int, int]


def known() -> bool:
    """Whether the numbers of this machine are known here."""
    return os.uname().machine in MACHINES


def program(machine: str, *, unix: bool, datagrams: bool) -> list[Line]:
    """The filter. Without `unix` no socket in the file system can be reached, without `datagrams` no UDP."""
    column, architecture = MACHINES[machine]
    lines: list[Line] = [
        (LOAD, 0, 0, 4), (EQUAL, 1, 0, architecture), (GIVE, 0, 0, ERRNO | errno.ENOSYS), (LOAD, 0, 0, 0),
        # x32: another table of numbers under the same architecture.
        (AT_LEAST, 0, 1, 0x40000000), (GIVE, 0, 0, ERRNO | errno.ENOSYS),
    ]  # fmt: skip
    for numbers in REFUSED.values():
        lines += [(EQUAL, 0, 1, numbers[column]), (GIVE, 0, 0, ERRNO | errno.EPERM)]
    lines += [(EQUAL, 0, 1, CLONE3[column]), (GIVE, 0, 0, ERRNO | errno.ENOSYS)]
    lines += _block(CLONE[column], [(LOAD, 0, 0, 16), (ANY_BIT, 0, 1, NEW_NAMESPACES), _no(errno.EPERM)])
    typed: list[Line] = [(LOAD, 0, 0, 24)]
    for request in TERMINAL_INPUT:
        typed += [(EQUAL, 0, 1, request), _no(errno.EPERM)]
    lines += _block(IOCTL[column], typed)
    lines += _block(SOCKET[column], _sockets(unix=unix, datagrams=datagrams))
    return [*lines, (GIVE, 0, 0, ALLOW)]


def _no(code: int) -> Line:
    return (GIVE, 0, 0, ERRNO | code)


def _block(number: int, lines: list[Line]) -> list[Line]:
    """Lines for one system call; when none of them decides, it is allowed."""
    return [(EQUAL, 0, len(lines) + 1, number), *lines, (GIVE, 0, 0, ALLOW)]


def _sockets(*, unix: bool, datagrams: bool) -> list[Line]:
    """Families that are known to stay on this machine or in this network; vsock, packet, crypto and the rest do not
    exist. Arguments: family at 16, type at 24 (its low bits)."""
    families = [AF_INET, AF_INET6, AF_NETLINK, *([AF_UNIX] if unix else [])]
    lines: list[Line] = [(LOAD, 0, 0, 16)]
    lines += [(EQUAL, len(families) - number, 0, family) for number, family in enumerate(families)]
    lines.append(_no(errno.EAFNOSUPPORT if unix else errno.EACCES))
    if not datagrams:
        lines += [
            (EQUAL, 1, 0, AF_INET), (EQUAL, 0, 4, AF_INET6), (LOAD, 0, 0, 24), (AND, 0, 0, 0xF),
            (EQUAL, 0, 1, SOCK_DGRAM), _no(errno.EACCES),
        ]  # fmt: skip
    return lines


def apply(*, unix: bool, datagrams: bool) -> None:
    """Puts this process and all that it starts under the filter. Needs no_new_privs."""
    lines = program(os.uname().machine, unix=unix, datagrams=datagrams)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    header = struct.pack("HxxxxxxQ", len(lines), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.c_char_p(header), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, "seccomp filter")
