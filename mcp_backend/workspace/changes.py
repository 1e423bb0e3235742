"""What differs: `git status` in its machine format, and how a path is shown to people and models.

https://git-scm.com/docs/git-status#_porcelain_format_version_2
"""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mcp_backend.errors import InvalidArgument, NotFound
from mcp_backend.workspace.canonical import canonical
from mcp_backend.workspace.git import Repository, run, text
from mcp_backend.workspace.protected import git_internal

Change: TypeAlias = Literal["added", "modified", "deleted", "renamed", "copied", "type changed", "unmerged"]
_LETTERS: dict[str, Change] = {
    "A": "added", "M": "modified", "D": "deleted", "R": "renamed", "C": "copied", "T": "type changed",
    "U": "unmerged",
}  # fmt: skip
_LITTER = re.compile(
    r"(.*/)?((__pycache__|\.pytest_cache|\.hypothesis|\.mypy_cache|\.ruff_cache|\.tox|\.nox|\.venv|venv|node_modules"
    r"|[^/]*\.egg-info)/.*|[^/]*\.py[co]|\.coverage(\.[^/]*)?|\.DS_Store)"
)
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}


@dataclass(frozen=True, slots=True)
class Entry:
    """One changed path, in the index against HEAD (`staged`) and in the work tree against the index (`unstaged`)."""

    path: str
    staged: Change | None = None
    unstaged: Change | None = None
    source: str | None = None
    """The path it had before, of a rename or copy."""
    submodule: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a work tree. `head` is the commit (`None` before the first), `branch` `None` when detached."""

    head: str | None
    branch: str | None
    upstream: str | None
    ahead: int | None
    behind: int | None
    changed: tuple[Entry, ...]
    untracked: tuple[str, ...]
    nested: tuple[str, ...]
    """Folders that are repositories of their own and belong to no commit here."""
    conflicts: tuple[str, ...]


def status(repository: Repository, paths: Sequence[str] = (), *, renames: bool = True) -> Status:
    """The state of the work tree, of `paths` only where given. Submodules are compared by commit: nothing runs
    inside them."""
    output = run(
        repository, "status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--ignore-submodules=dirty",
        "--find-renames" if renames else "--no-renames", "--", *paths,
    )  # fmt: skip
    fields = iter(text(output).split("\0"))
    about: dict[str, str] = {}
    changed: list[Entry] = []
    untracked: list[str] = []
    conflicts: list[str] = []
    for line in fields:
        kind, _, rest = line.partition(" ")
        if kind == "#":
            key, _, value = rest.partition(" ")
            about[key] = value
        elif kind == "1":
            parts = rest.split(" ", 7)
            changed.append(_entry(parts[0], parts[1], parts[7]))
        elif kind == "2":
            parts = rest.split(" ", 8)
            changed.append(_entry(parts[0], parts[1], parts[8], next(fields)))
        elif kind == "u":
            conflicts.append(rest.split(" ", 9)[9])
        elif kind == "?":
            untracked.append(rest)
    ahead, behind = _distance(about.get("branch.ab"))
    return Status(
        head=None if about.get("branch.oid") == "(initial)" else about.get("branch.oid"),
        branch=None if about.get("branch.head") == "(detached)" else about.get("branch.head"),
        upstream=about.get("branch.upstream"),
        ahead=ahead,
        behind=behind,
        changed=tuple(changed),
        untracked=tuple(path for path in untracked if not path.endswith("/")),
        nested=tuple(path for path in untracked if path.endswith("/")),
        conflicts=tuple(conflicts),
    )


def shown(path: str) -> str:
    """A path as results and actions carry it: itself, or quoted as git quotes it where it is not printable UTF-8."""
    if path.isprintable() and not path.startswith('"'):
        return path
    letters = {code: letter for letter, code in _ESCAPES.items()}
    quoted = "".join(
        f"\\{letters[byte]}" if byte in letters else chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"
        for byte in path.encode("utf-8", "surrogateescape")
    )
    return f'"{quoted}"'


def litter(path: str) -> bool:
    """Whether an untracked file is what tools leave behind in a repository that does not ignore it. It is no part of
    a commit unless named, and no part of what a test run is about."""
    return _LITTER.fullmatch(path) is not None


def classified(path: str) -> str:
    """A path as the rules about owners read it: bytes that are not UTF-8 are replaced, the extension is kept."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def given(path: str, repository: Repository, *, name: str = "paths") -> str:
    """A path that a caller named, relative to the root; accepts git's quoted form, and absolute paths inside.

    Raises `InvalidArgument` when it leaves the work tree or reaches into `.git`.
    """
    plain = _unquoted(path) if len(path) > 1 and path.startswith('"') and path.endswith('"') else path
    root = f"{repository.root}/"
    relative = posixpath.normpath(f"{plain}/".removeprefix(root) if plain.startswith("/") else plain) if plain else ""
    if not relative or relative.startswith(("/", "../")) or relative == ".." or "\0" in relative:
        raise InvalidArgument(f"{name}: expected a path inside the work tree, got {path[:120]!r}")
    if git_internal(canonical(relative).split("/")):
        raise InvalidArgument(f"{name}: {path[:120]!r} is inside .git, which holds no files of the project")
    return relative


def within(path: str, chosen: Sequence[str]) -> bool:
    """Whether a path is one of `chosen` or lies below one of them."""
    return any(root == "." or path == root or path.startswith(f"{root}/") for root in chosen)


def unknown(chosen: Sequence[str], status: Status, repository: Repository) -> None:
    """Raises for a chosen path that is neither changed nor known to git: a misspelt path must not be ignored."""
    changed = [*(e.path for e in status.changed), *status.untracked, *status.nested, *status.conflicts]
    for path in chosen:
        if path == "." or any(within(p.rstrip("/"), [path]) for p in changed):
            continue
        if run(repository, "ls-files", "-z", "--", path):
            continue
        if (repository.root / path).exists():
            raise InvalidArgument(
                f"paths: {shown(path)} is ignored by .gitignore or an empty folder; a person decides whether it "
                "belongs to the repository"
            )
        raise NotFound(f"paths: {shown(path)} does not exist and git does not know it; see git_status for what changed")


def _entry(letters: str, submodule: str, path: str, source: str | None = None) -> Entry:
    return Entry(path, _LETTERS.get(letters[0]), _LETTERS.get(letters[1]), source, submodule.startswith("S"))


def _distance(text: str | None) -> tuple[int | None, int | None]:
    found = re.fullmatch(r"\+(\d+) -(\d+)", text or "")
    return (int(found[1]), int(found[2])) if found else (None, None)


def _unquoted(path: str) -> str:
    data = bytearray()
    for part in re.finditer(r'\\([0-3][0-7]{2})|\\([abtnvfr"\\])|([^\\]+)|(\\)', path[1:-1]):
        if part[4] is not None:
            raise InvalidArgument(f"paths: {path[:120]!r} is not quoted as git quotes paths")
        octal, letter, plain = part[1], part[2], part[3]
        data += bytes([int(octal, 8)]) if octal else bytes([_ESCAPES[letter]]) if letter else plain.encode()
    return data.decode("utf-8", "surrogateescape")
