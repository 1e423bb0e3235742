"""The files of a workspace: what git tracks or would add, or a bounded walk where there is no git."""

import os
import re
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

from mcp_backend.settings import Workspace
from mcp_backend.workspace.canonical import words
from mcp_backend.workspace.childenv import clean_path

LIMIT = 20_000
"""Files. A walk outside git stops there; git's own index has no limit."""
LARGE = 1_500
"""Files from which on a repository says what it uses in what it tracks."""
SECONDS = 20
SKIPPED = words("venv node_modules bower_components __pycache__")
"""Folders a walk does not enter, beside hidden ones: they hold what tools made, not what people wrote."""
_ENVIRONMENTS = tuple(f"--exclude={name}/" for name in (".venv", "venv", "node_modules"))
"""What nobody wrote and git would add where no rule ignores it: `python -m venv` writes no rule before Python 3.13."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "safe.directory=*")
"""Listing runs no program of the repository: `core.fsmonitor` may name one (https://git-scm.com/docs/git-config)."""


def files(workspace: Workspace) -> tuple[str, ...]:
    """Paths relative to the root, with `/`, sorted: tracked files and new ones that are not ignored. A file that was
    deleted but is still tracked is listed. Names that are not UTF-8 are left out."""
    if workspace.repository:
        listed = _listed_by_git(workspace.root)
        if listed is not None:
            return listed
    return _walked(workspace.root)


def tracked(workspace: Workspace) -> tuple[str, ...]:
    """As `files`, but of a large repository only what git tracks: that is in its index and takes no look at the
    folders, which costs far more than everything else at the start of a server."""
    if workspace.repository:
        known = _git(workspace.root, "ls-files", "-z", "--cached")
        if known is not None and known.count(b"\0") >= LARGE:
            return _names(known)
    return files(workspace)


def committed(root: Path) -> str | None:
    """The id of the commit the work tree stands on, or `None` before the first one and outside git.

    Mostly two small files say it, at a hundredth of what a process costs; git is asked about everything else (packed
    refs, other formats of refs, linked work trees). https://git-scm.com/docs/gitrepository-layout
    """
    head = (text(root, ".git/HEAD") or "").strip()
    if head.startswith("ref: refs/heads/"):
        head = (text(root, f".git/{head.removeprefix('ref: ')}") or "").strip()
    if _COMMIT.fullmatch(head):
        return head
    found = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return found.decode().strip() if found else None


def files_of(root: Path, commit: str) -> tuple[str, ...]:
    """The files of a commit, as `files` gives them."""
    return _names(_git(root, "ls-tree", "-r", "-z", "--name-only", commit) or b"")


def texts_of(root: Path, commit: str, paths: Iterable[str]) -> dict[str, str]:
    """The texts of some files of a commit, in one call; links and what is missing are left out."""
    wanted = [path for path in paths if "\n" not in path]
    asked = "".join(f"{commit}:{path}\n" for path in wanted).encode()
    answer = _git(root, "cat-file", "--batch", given=asked) or b""
    found: dict[str, str] = {}
    position = 0
    for path in wanted:
        line, _, _ = answer[position:].partition(b"\n")
        position += len(line) + 1
        parts = line.split(b" ")
        if len(parts) == 3 and parts[2].isdigit():
            size = int(parts[2])
            if parts[1] == b"blob":
                found[path] = answer[position : position + size].decode("utf-8", "replace")
            position += size + 1
    return found


def text(root: Path, path: str, limit: int = 1_000_000) -> str | None:
    """The first `limit` bytes of a regular file as text, or `None`: for looking at manifests, never for editing."""
    try:
        descriptor = os.open(root / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return file.read(limit).decode("utf-8", "replace")


def ignored(root: Path, path: str) -> bool:
    """Whether git ignores a path, so that it never enters the repository. Not a tracked one, whatever the rules say."""
    return bool(_git(root, "check-ignore", "--", f"./{path}"))


def _listed_by_git(root: Path) -> tuple[str, ...] | None:
    answer = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *_ENVIRONMENTS)
    return None if answer is None else _names(answer)


def _names(answer: bytes) -> tuple[str, ...]:
    text = os.fsdecode(answer)
    names = set(text.split("\0")) - {""}
    return tuple(sorted(names if _printable(text) else filter(_printable, names)))


def _git(root: Path, *arguments: str, given: bytes | None = None) -> bytes | None:
    """What git printed, or `None` where it is missing, refuses or hangs."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    clean |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1"}
    clean["PATH"] = clean_path(clean.get("PATH", os.defpath), root)
    try:
        answer = subprocess.run(
            [*_GIT, *arguments], cwd=root, env=clean, input=given, capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None


def _walked(root: Path) -> tuple[str, ...]:
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED and not name.startswith("."))
        base = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if base == "." else f"{base}/"
        found.extend(prefix + name for name in names if _printable(name))
        if len(found) >= LIMIT:
            break
    return tuple(sorted(found[:LIMIT]))


def _printable(name: str) -> bool:
    """Whether it was UTF-8: `os.fsdecode` keeps other bytes as lone surrogates."""
    return name.isascii() or _SURROGATE.search(name) is None
