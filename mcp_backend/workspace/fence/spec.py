"""What launch.py is told, and how: everything about one fence as plain data, handed over on inherited descriptors."""

import marshal
import os
import re
import socket
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mcp_backend.settings import Workspace, private
from mcp_backend.workspace.fence import grants, kernel
from mcp_backend.workspace.fence.layout import Layout
from mcp_backend.workspace.fence.scan import soft_files

Tier: TypeAlias = Literal["namespaces", "bubblewrap", "landlock", "none"]
LAUNCH = Path(__file__).with_name("launch.py")
PRIVATE = (
    ".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store", ".config/gcloud", ".config/gh",
    ".local/share/keyrings", ".mozilla", ".config/google-chrome", ".config/chromium",
)  # fmt: skip
PRIVATE_FILES = (".netrc", ".pgpass", ".my.cnf", ".git-credentials", ".config/git/credentials")
"""Below the home folder: credentials of the person, which a program of the repository has no use for."""
MEMORY_SHARE = 0.8
PROCESSES = 4096
_SOCKETS = ("/run", "/var/run", "/tmp", "/var/tmp")


@dataclass(frozen=True, slots=True)
class Request:
    """One program that is to run in a fence. `shared` are folders outside the workspace it may write."""

    workspace: Workspace
    layout: Layout
    cwd: Path
    shared: tuple[Path, ...] = ()
    ports: tuple[int, ...] = ()
    network: bool = False
    overlays: tuple[tuple[str, str, str, str], ...] = ()


def build(tier: Tier, program: str, request: Request) -> dict[str, Any]:
    """Everything launch.py needs to know, for one tier."""
    root = request.workspace.root
    state = os.path.realpath(request.workspace.state)
    ours = os.geteuid() == 0 or kernel.capable(kernel.CAP_SYS_ADMIN)
    shared = [os.path.realpath(path) for path in request.shared]
    tmp = str(temporary(request.workspace))
    hidden, masked = _private(root, os.path.dirname(state))
    spec: dict[str, Any] = {
        "tier": tier,
        "program": program,
        "root": str(root),
        "cwd": str(request.cwd),
        "places": [(str(root / path), access) for path, access in request.layout.places],
        "tmp": tmp,
        "temporary": [path for path in ("/tmp", "/var/tmp") if os.path.isdir(path) and not os.path.islink(path)],
        "shared": shared,
        "overlays": list(request.overlays) if tier == "namespaces" else [],
        "hidden": hidden,
        "masked": [*masked, *_sockets(root)],
        "visible": _visible(),
        "user_namespace": not ours,
        "keep_dac": os.geteuid() == 0 and os.stat(root).st_uid != 0,
        "network": not request.network,
        "ports": [] if tier == "landlock" or request.network else list(request.ports),
        "unix": True,
        "datagrams": True,
        "memory": int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * MEMORY_SHARE),
        "processes": PROCESSES if not ours and tier != "landlock" else 0,
        "landlock": {} if _landlock() else None,
    }
    if tier == "landlock":
        folders, files = grants.writable(root, request.layout, soft_files(request.layout))
        spec["landlock"] = {
            "writable": [*folders, *shared, tmp, "/dev/shm", "/dev/pts"],
            "files": files,
            "readable": grants.readable([*hidden, *masked]),
            "ports": None if request.network else [*request.ports, *_ephemeral()],
        }
        spec["unix"] = not foreign_sockets()
        spec["datagrams"] = request.network
    return spec


def _landlock() -> bool:
    from mcp_backend.workspace.fence import landlock

    return landlock.version() >= landlock.LEAST


def temporary(workspace: Workspace) -> Path:
    """The folder that stands for /tmp inside: private to the workspace, outside of it."""
    return private(private(private(workspace.state) / "fence") / "tmp")


def _private(root: Path, state: str) -> tuple[list[str], list[str]]:
    """Folders and files out of sight: run-time folders full of sockets, this server's state, credentials."""
    home = os.path.realpath(os.path.expanduser("~"))
    folders = [state, *(path for path in ("/run", "/var/run") if os.path.isdir(path) and not os.path.islink(path))]
    folders += [path for name in PRIVATE if _plain(path := os.path.join(home, name), stat.S_ISDIR)]
    files = [path for name in PRIVATE_FILES if _plain(path := os.path.join(home, name), stat.S_ISREG)]
    inside = f"{root}/"
    return [f for f in folders if not str(root).startswith(f"{f}/")], [f for f in files if not f.startswith(inside)]


def _plain(path: str, wanted: Any) -> bool:
    try:
        return bool(wanted(os.lstat(path).st_mode)) and os.path.realpath(path) == path
    except OSError:
        return False


def _sockets(root: Path) -> list[str]:
    """Sockets of other programs outside the folders that are out of sight anyway: whoever listens there may do what
    the fence refuses (a container engine, a terminal multiplexer, a session bus)."""
    found: set[str] = set()
    try:
        table = Path("/proc/net/unix").read_text("utf-8", "surrogateescape")
    except OSError:
        return []
    for path in re.findall(r" (/.+)$", table, re.MULTILINE):
        real = os.path.realpath(path)
        hidden = real.startswith((*(f"{folder}/" for folder in _SOCKETS), f"{root}/"))
        if not hidden and real == path and _plain(path, stat.S_ISSOCK):
            found.add(path)
    return sorted(found)


def foreign_sockets() -> bool:
    """Whether a program could reach a socket of another one in the file system, where nothing but the filter over
    system calls can keep it from doing so."""
    places = [*_SOCKETS, os.environ.get("XDG_RUNTIME_DIR", ""), "/run/user"]
    for place in {os.path.realpath(place) for place in places if place}:
        for folder, folders, names in os.walk(place):
            if folder.count("/") - place.count("/") >= 3:
                folders.clear()
            for name in names:
                path = os.path.join(folder, name)
                if _plain(path, stat.S_ISSOCK) and os.access(path, os.W_OK):
                    return True
    return any(os.access(path, os.W_OK) for path in _sockets(Path("/nonexistent")))


def _ephemeral() -> Iterable[int]:
    """The ports this kernel gives to whoever asks for any: a test's own server listens on one of them."""
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split())
    except (OSError, ValueError):
        return ()
    return range(low, high + 1)


def _visible() -> list[str]:
    """What launch.py and the programs beside this server are made of, wherever they are installed: also in /tmp."""
    own = (os.path.realpath(sys.base_prefix), os.path.realpath(sys.prefix), str(Path(__file__).resolve().parents[2]))
    return list(dict.fromkeys(own))


class Handed:
    """The descriptors of one start: what the child inherits, and the socket on which it answers."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._place = os.memfd_create("fence")
        os.write(self._place, marshal.dumps(dict(spec)))
        self.answers, self._status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.descriptors = (self._place, self._status.fileno())
        self.arguments = (str(LAUNCH), str(os.getpid()), *(str(number) for number in self.descriptors))

    def given(self) -> None:
        """Call once the child has been started: it has its own copies."""
        if self._place >= 0:
            os.close(self._place)
            self._place = -1
        self._status.close()

    def close(self) -> None:
        """Ends the conversation."""
        self.answers.close()
