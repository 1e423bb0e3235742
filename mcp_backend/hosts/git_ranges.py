"""What commits or a stash would bring into the work tree, asked of git in its pinned environment."""

import re
from collections.abc import Iterable
from pathlib import Path

from mcp_backend.errors import BackendError
from mcp_backend.hosts.effects import Effects, operands
from mcp_backend.workspace.shell_parts import Word

_REVISION = re.compile(r"[\w@][^\s:?*\[\\]{0,200}")
_OPTIONS = {"merge": "mXsF", "cherry-pick": "mXs", "revert": "mXs"}


def brought(verb: str, words: list[Word], effects: Effects) -> list[str]:
    """The files that `git merge`, `cherry-pick`, `revert` or `stash pop` would change, as absolute paths.

    A merge counts with what no remote branch has: what people published is theirs, and judged where it is. Nothing
    where git says no; the repository itself where it cannot be asked.
    """
    if any(word.text in ("--abort", "--continue", "--skip", "--quit") for word in words):
        return []
    given = [w.text for w in operands(words, _OPTIONS.get(verb, ""), ("--message", "--strategy", "--mainline"))]
    if verb == "pull":
        given = given[1:] if given[:1] == ["."] else []
    if verb == "stash":
        if re.search(r"\bgit\s+stash\b(?!\s+(pop|apply|branch|list|show|drop))", effects.line):
            return []  # The line takes back what it put away itself.
        given = [text for text in given[1:] if "stash" in text or text.isdigit()] or ["stash@{0}"]
        given = [f"stash@{{{text}}}" if text.isdigit() else text for text in given]
    revisions = [text for text in given if _REVISION.fullmatch(text)]
    if not revisions:
        return []
    try:
        return [f"{effects.root}/{path}" for path in _changed(verb, revisions, Path(effects.root))]
    except (BackendError, OSError):
        return []


def listed(arguments: Iterable[str], paths: Iterable[str], root: str) -> list[str] | None:
    """The paths that a listing command of git names, as absolute paths; `None` where it cannot be asked."""
    from mcp_backend.settings import workspace
    from mcp_backend.workspace import git
    from mcp_backend.workspace.git_environment import open_repository

    try:
        repository = open_repository(workspace(Path(root)))
        found = git.run(repository, *arguments, "-z", "--", *paths)
    except (BackendError, OSError):
        return None
    return [f"{root}/{name}" for name in _names(found)]


def _changed(verb: str, revisions: Iterable[str], root: Path) -> set[str]:
    from mcp_backend.settings import workspace
    from mcp_backend.workspace import git
    from mcp_backend.workspace.git_environment import open_repository

    repository = open_repository(workspace(root))
    lines = list(revisions)
    walk = ["--no-walk"]
    if verb in ("merge", "pull", "rebase"):
        # https://git-scm.com/docs/git-rev-list: --remotes after --not takes away what remote branches reach.
        walk, lines = ["--max-count=500"], [*lines, "--not", "HEAD", "--remotes"]
    if verb == "stash":
        # A stash is a merge: of HEAD, of the index, and of what was untracked. https://git-scm.com/docs/git-stash
        return {
            path for revision in lines
            for base, tip in ((f"{revision}^1", revision), (None, f"{revision}^3"))
            for path in _names(git.run(repository, "diff-tree", "-r", "-z", "--name-only", "--no-commit-id", "--root",
                                       *([base] if base else []), tip, accept=(0, 128)))
        }  # fmt: skip
    commits = git.run(repository, "rev-list", *walk, *lines, "--", accept=(0, 128, 129))
    if not commits:
        return set()
    options = ("--stdin", "-r", "-c", "-z", "--name-only", "--no-commit-id", "--root", "--no-renames")
    return set(_names(git.run(repository, "diff-tree", *options, given=commits)))


def _names(listed: bytes) -> list[str]:
    return [name for name in listed.decode("utf-8", "surrogateescape").split("\0") if name]
