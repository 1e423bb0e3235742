"""The tree of files as a fenced program sees it, made of mounts in a namespace of its own (mount_namespaces(7)).

Everything is read-only but the workspace, a private /tmp and a few named folders; in the workspace, what is protected
is read-only again, and the folders above it are mounts of their own, because renaming a folder would carry the
protection away with it. Sockets and private data of the user are out of sight. Each place is reached without following
a symbolic link, so nobody can exchange it between looking and mounting.
"""

import os

from mcp_backend.workspace.fence import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"), ("ptmx", "pts/ptmx"))
FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV
KEPT_RUN = ("/run/current-system", "/run/booted-system", "/run/opengl-driver", "/run/systemd/resolve")


def arrange(spec: "Mapping[str, Any]") -> None:
    """Makes the tree. Call in new mount, process and (without privileges) user namespaces, before giving up
    capabilities. Raises `OSError` saying what the kernel refused."""
    root: str = spec["root"]
    outside: list[str] = [path for path in spec["shared"] if not _below(path, root)]
    kernel.private()
    for overlay in spec["overlays"]:
        _lay_over(*overlay, user_namespace=spec["user_namespace"])
    places = {path: _writable(path) for path in (root, *outside)}
    temporary = [(path, _writable(spec["tmp"])) for path in spec["temporary"]]
    devices = {name: kernel.clone(f"/dev/{name}") for name in (*DEVICES, "null") if os.path.exists(f"/dev/{name}")}
    masks = [(path, kernel.clone("/dev/null")) for path in spec["masked"]]
    kept = [(path, kernel.clone(path)) for path in (*KEPT_RUN, *spec["visible"]) if os.path.isdir(path)]
    kernel.set_attributes("/", kernel.RDONLY | kernel.NOSUID | kernel.NODEV)
    for _, tree in kept:
        kernel.set_attributes(tree, kernel.RDONLY | kernel.NOSUID | kernel.NODEV)
    for path, tree in temporary:
        kernel.attach(tree, path)
    covered = [path for path in spec["hidden"] if _folder(path) and not _below(path, root)]
    _devices(devices)  # before what may lie in /dev/shm
    for path in covered:
        os.makedirs(path, exist_ok=True)
        kernel.mount("tmpfs", path, FLAGS, "mode=0755,size=1m")
    for path, tree in kept:
        if any(_below(path, above) for above in (*covered, *spec["temporary"])):
            os.makedirs(path, exist_ok=True)
            kernel.attach(tree, path)
        else:
            os.close(tree)
    for path, tree in places.items():
        os.makedirs(path, exist_ok=True)
        kernel.attach(tree, path)
    for path in covered:
        # A folder of the caller's below it stays writable: attributes are the mount's own.
        kernel.set_attributes(path, kernel.RDONLY, below=False)
    for path, access in spec["places"]:
        kernel.bind(path, writable=access != "ro")
    for path in spec["hidden"]:
        if _below(path, root) and _folder(path):
            kernel.mount("tmpfs", path, FLAGS | 1, "mode=0555,size=4k")
    for path, tree in masks:
        if os.path.lexists(path):
            kernel.attach(tree, path)
        else:
            os.close(tree)
    kernel.mount("proc", "/proc", FLAGS | kernel.MS_NOEXEC)
    kernel.set_attributes("/proc", kernel.RDONLY)


def _writable(path: str) -> int:
    tree = kernel.clone(path)
    kernel.set_attributes(tree, kernel.NOSUID | kernel.NODEV)
    return tree


def _lay_over(target: str, lower: str, upper: str, work: str, *, user_namespace: bool) -> None:
    """What the person has, to be read, under what programs in the fence wrote before; overlayfs of Linux. Where it
    can't be made, the target is what it is: a folder of the workspace's own."""
    options = f"lowerdir={lower},upperdir={upper},workdir={work}" + (",userxattr" if user_namespace else "")
    try:
        kernel.mount("overlay", target, FLAGS, options)
    except OSError:
        return


def _devices(trees: "Mapping[str, int]") -> None:
    """A /dev with the devices that only give or take bytes, and shared memory and terminals of its own."""
    kernel.mount("tmpfs", "/dev", kernel.MS_NOSUID, "mode=0755,size=64k")
    for name, tree in trees.items():
        with open(f"/dev/{name}", "x", encoding="ascii"):
            pass
        kernel.attach(tree, f"/dev/{name}")
    for name in ("pts", "shm"):
        os.mkdir(f"/dev/{name}")
    kernel.mount("devpts", "/dev/pts", kernel.MS_NOSUID | kernel.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    kernel.mount("tmpfs", "/dev/shm", FLAGS, "mode=1777")
    for name, target in LINKS:
        os.symlink(target, f"/dev/{name}")
    kernel.set_attributes("/dev", kernel.RDONLY, below=False)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def bubblewrap(spec: "Mapping[str, Any]", program: str) -> list[str]:
    """The same tree as arguments of bubblewrap(1), in the order in which it does them."""
    arguments = [program, "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL"]
    if spec["user_namespace"]:
        arguments.append("--unshare-user")
    if spec["keep_dac"]:
        arguments += ["--cap-add", "CAP_DAC_OVERRIDE"]
    if spec["network"]:
        arguments.append("--unshare-net")
    arguments += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    root: str = spec["root"]
    for path in spec["temporary"]:
        arguments += ["--bind", spec["tmp"], path]
    covered = [path for path in spec["hidden"] if _folder(path) and not _below(path, root)]
    hiding = (*covered, *spec["temporary"])
    for path in covered:
        # What lies in the private /tmp is not there yet: nothing to hide.
        if not any(_below(path, folder) for folder in spec["temporary"]):
            arguments += ["--tmpfs", path]
    for path in (*KEPT_RUN, *spec["visible"]):
        if os.path.isdir(path) and any(_below(path, folder) for folder in hiding):
            arguments += ["--ro-bind", path, path]
    for path in (root, *(path for path in spec["shared"] if not _below(path, root))):
        arguments += ["--bind", path, path]
    for path, access in spec["places"]:
        arguments += ["--ro-bind" if access == "ro" else "--bind", path, path]
    for path in spec["hidden"]:
        if _below(path, root) and _folder(path):
            arguments += ["--tmpfs", path]
    for path in spec["masked"]:
        if not any(_below(path, folder) for folder in hiding):
            arguments += ["--ro-bind", "/dev/null", path]
    return [*arguments, "--chdir", spec["cwd"], "--"]


def writable(spec: "Mapping[str, Any]") -> "Sequence[str]":
    """The folders that are writable as a whole in the arranged tree: what Landlock repeats as a second layer."""
    return [spec["root"], *spec["shared"], *spec["temporary"], "/dev/shm", "/dev/pts"]
