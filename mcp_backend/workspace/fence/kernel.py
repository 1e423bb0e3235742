"""The system calls a fence is made of, for the process that shuts itself in: raw, because Python has none of them.

Standard library only, and as little of it as possible: every command waits for this import. Sources: unshare(2),
mount_setattr(2), open_tree(2), move_mount(2), openat2(2), prctl(2), capabilities(7), netdevice(7), setrlimit(2).
"""

import _socket
import ctypes
import errno
import fcntl
import os
import resource
import struct

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18
RDONLY, NOSUID, NODEV = 1, 2, 4
"""Attributes of `mount_setattr`."""
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPENAT2, OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 437, 428, 429, 442
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS = 0x02, 0x04
PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 24, 38
CAP_DAC_OVERRIDE, CAP_SYS_ADMIN = 1, 21
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> int:
    """The result of a call; raises `OSError` saying what failed when it is negative."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def unshare(flags: int) -> None:
    """Leaves namespaces for new ones."""
    checked(libc.unshare(flags), "unshare")


def own_user() -> None:
    """In a new user namespace: this process keeps its user and group. user_namespaces(7)"""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def capable(number: int) -> bool:
    """Whether this process has a capability."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        line = next(line for line in file if line.startswith("CapEff:"))
    return bool(int(line.split()[1], 16) >> number & 1)


def mount(kind: str, target: str, flags: int = 0, options: str = "") -> None:
    """Mounts a new file system."""
    given = options.encode() or None
    checked(libc.mount(kind.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), given),
            f"mount {kind} on {target}")  # fmt: skip


def private() -> None:
    """What is mounted here from now on is seen here only."""
    checked(libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "make mounts private")


def opened(path: str) -> int:
    """A descriptor that stands for a place, reached without following any symbolic link."""
    how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
    return checked(libc.syscall(OPENAT2, AT_FDCWD, os.fsencode(path), how, len(how)), f"open {path}")


def clone(path: str) -> int:
    """A copy of what is mounted at a place and below it, not attached anywhere yet."""
    place = opened(path)
    flags = 1 | os.O_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE
    try:
        return checked(libc.syscall(OPEN_TREE, place, b"", flags), f"open_tree {path}")
    finally:
        os.close(place)


def attach(tree: int, path: str) -> None:
    """Puts a copy over a place."""
    place = opened(path)
    try:
        checked(libc.syscall(MOVE_MOUNT, tree, b"", place, b"", 0x04 | 0x40), f"move_mount {path}")
    finally:
        os.close(place)
        os.close(tree)


def set_attributes(target: "str | int", add: int, remove: int = 0, *, below: bool = True) -> None:
    """Adds and removes attributes of a mount, and of every mount `below` it."""
    attributes = struct.pack("QQQQ", add, remove, 0, 0)
    flags = AT_RECURSIVE if below else 0
    if isinstance(target, int):
        arguments = (target, b"", flags | AT_EMPTY_PATH)
    else:
        arguments = (AT_FDCWD, os.fsencode(target), flags)
    checked(libc.syscall(MOUNT_SETATTR, *arguments, attributes, len(attributes)), f"mount_setattr {target}")


def bind(path: str, *, writable: bool) -> None:
    """Makes a place a mount of its own: read-only with all below it, or writable by itself."""
    tree = clone(path)
    try:
        if writable:
            set_attributes(tree, NOSUID | NODEV, RDONLY, below=False)
        else:
            set_attributes(tree, RDONLY | NOSUID | NODEV)
    except OSError:
        os.close(tree)
        raise
    attach(tree, path)


def drop_capabilities(keep: int = 0) -> None:
    """Gives up every capability but those in the mask `keep`, for good and for every program that is started."""
    for number in range(64):
        if not keep >> number & 1 and libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
            if ctypes.get_errno() in (errno.EINVAL, errno.EPERM):
                # EPERM: without the right to drop there is nothing to drop; no_new_privs keeps it so.
                break
            checked(-1, "drop a capability")
    low = keep & 0xFFFFFFFF
    header, data = struct.pack("Ii", 0x20080522, 0), struct.pack("IIIIII", low, low, 0, 0, 0, 0)
    checked(libc.capset(header, data), "capset")


def no_new_privileges() -> None:
    """No program that is started gains rights: set-user-id and file capabilities have no effect."""
    checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def hide_from_siblings() -> None:
    """Other processes of the same user cannot look into this one."""
    checked(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")


def loopback_up() -> None:
    """Brings up `lo` in a new network namespace."""
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        request = fcntl.ioctl(probe.fileno(), SIOCGIFFLAGS, struct.pack("16sh22x", b"lo", 0))
        flags: int = struct.unpack("16xh22x", request)[0]
        fcntl.ioctl(probe.fileno(), SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))
    finally:
        probe.close()


def limit(memory: int, processes: int) -> None:
    """No core files; `memory` bytes of private data a process, `processes` of this user in this namespace (0: as it
    is). The kernel ends these processes first when memory runs out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, most in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_NPROC, processes)):
        _, hard = resource.getrlimit(kind)
        if most and (hard == resource.RLIM_INFINITY or hard > most):
            resource.setrlimit(kind, (most, most))
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("500")
    except OSError:
        return
