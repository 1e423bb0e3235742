"""Commits as GitPython reads them. It only reads, in the pinned environment, and its processes end with the call.

GitPython knows object names of SHA-1 only (https://git-scm.com/docs/hash-function-transition); repositories with others
are read by git itself.
"""

import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mcp_backend.errors import Json
from mcp_backend.workspace.git import Repository, run, text

if TYPE_CHECKING:
    from git import Commit

SUBJECT = 200
SHA1 = 40


def newest(repository: Repository, commit: str, count: int) -> list[Json]:
    """The `count` newest commits that `commit` (a full id) reaches, newest first."""
    if len(commit) != SHA1:
        return _by_git(repository, commit, count)
    # GitPython runs `git version` when it is imported: with the program that everything else here runs.
    program = shutil.which("git", path=repository.environment["PATH"])
    os.environ |= {"GIT_PYTHON_REFRESH": "quiet", "GIT_PYTHON_GIT_EXECUTABLE": program or "git"}
    from git import Repo

    with Repo(repository.root, expand_vars=False) as repo:
        repo.git.update_environment(**repository.environment)
        return [_described(found) for found in repo.iter_commits(commit, max_count=count)] if count else []


def subjects(repository: Repository, commits: Sequence[str]) -> list[str]:
    """One line for each commit: its short id and its subject."""
    if not commits:
        return []
    given = "".join(f"{commit}\n" for commit in commits).encode()
    lines = text(
        run(repository, "rev-list", "--no-walk=unsorted", "--format=%h %s", "--stdin", given=given)
    ).splitlines()
    return [_plain(line)[:SUBJECT] for line in lines if not line.startswith("commit ")]


def _described(commit: "Commit") -> dict[str, Json]:
    message = commit.message if isinstance(commit.message, str) else commit.message.decode("utf-8", "replace")
    when: datetime = commit.authored_datetime
    return {
        "commit": commit.hexsha[:12],
        "subject": _plain(message.strip().partition("\n")[0])[:SUBJECT],
        "author": _plain(commit.author.name or ""),
        "at": when.isoformat(),
    }


def _by_git(repository: Repository, commit: str, count: int) -> list[Json]:
    """The same from git."""
    form = "--format=%H%x00%s%x00%an%x00%aI"
    lines = text(run(repository, "rev-list", f"--max-count={count}", form, commit)).splitlines()
    commits = [line.split("\0") for line in lines if "\0" in line]
    return [
        {"commit": name[:12], "subject": _plain(subject)[:SUBJECT], "author": _plain(author), "at": when}
        for name, subject, author, when in commits
    ]


def _plain(text: str) -> str:
    """A text without what is not valid Unicode: authors and subjects may be in any encoding."""
    return text.encode("utf-8", "replace").decode("utf-8", "replace")
