"""git by fixed plumbing in a clean, pinned environment: no shell, no hook, no driver, no program of the repository.

Arguments are fixed templates; paths and revisions travel on standard input or behind `--`. How the environment is
made: git_environment.py. https://git-scm.com/docs/git
"""

import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mcp_backend.errors import DeadlineExceeded, FailedPrecondition, NotFound
from mcp_backend.settings import hide_credentials

SECONDS = 120.0
"""A plumbing command that takes longer hangs: on a lock, a dead network mount, a broken disk."""
REVISION = re.compile(r"(?!-)[^\s\x00-\x1f\x7f:?*\[\\]{1,200}")
_IN_PROGRESS = (
    ("MERGE_HEAD", "merge"),
    ("rebase-merge", "rebase"),
    ("rebase-apply", "rebase"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
)


@dataclass(frozen=True, slots=True)
class Repository:
    """One work tree and the environment git runs in. `passed` are the user's own settings that were taken over,
    `filters` the filters that git itself would run here and this server does not."""

    root: Path
    git_dir: Path
    common_dir: Path
    environment: Mapping[str, str]
    passed: Mapping[str, str] = field(default_factory=dict[str, str])
    filters: frozenset[str] = frozenset()
    lfs: bool = False


class GitFailed(FailedPrecondition):
    """git refused; the reason is its own."""


def run(
    repository: Repository,
    *arguments: str,
    given: bytes = b"",
    extra: Mapping[str, str] | None = None,
    accept: Iterable[int] = (0,),
    limit: int | None = None,
    seconds: float = SECONDS,
) -> bytes:
    """What a git command printed. `given` is its standard input, `accept` the exit codes that are no failure; with a
    `limit` of bytes, the command is stopped once it has printed more, and after `seconds` in any case.

    Raises `GitFailed` with git's own words, `DeadlineExceeded` when it hangs.
    """
    environment = {**repository.environment, **(extra or {})}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["git", *arguments], cwd=repository.root, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        try:
            if limit is not None and process.stdout is not None:
                some = process.stdout.read(limit)
                if len(some) == limit:
                    process.kill()
                    return some
                rest, errors = process.communicate(timeout=seconds)
                output = some + rest
            else:
                output, errors = process.communicate(given, timeout=seconds)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise DeadlineExceeded(
                f"git {arguments[0]} did not end within {seconds:.0f} s and was stopped; look whether a lock file is "
                f"left in {repository.git_dir}"
            ) from error
    if process.returncode not in accept:
        words = hide_credentials(errors.decode("utf-8", "replace")).strip()
        raise GitFailed(f"git {arguments[0]}: {words[:400] or f'exit code {process.returncode}'}")
    return output


def resolve(repository: Repository, revision: str, *, name: str = "revision") -> str:
    """The id of the commit a revision names (https://git-scm.com/docs/gitrevisions).

    Raises `NotFound` naming the parameter; anything that is not a plain revision, such as an option, is one too.
    """
    if REVISION.fullmatch(revision) and ".." not in revision:
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        found = run(repository, *arguments, accept=(0, 1, 128)).decode().strip()
        if found:
            return found
    raise NotFound(
        f"{name}: no commit is named {revision[:80]!r}; give a branch, a tag or a commit id of this repository"
    )


def head(repository: Repository) -> tuple[str | None, str | None]:
    """The id of the current commit (`None` before the first one) and the ref that HEAD stands for (`None` when
    detached)."""
    commit = run(repository, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", accept=(0, 1)).decode().strip()
    ref = text(run(repository, "symbolic-ref", "--quiet", "HEAD", accept=(0, 1))).strip()
    return commit or None, ref or None


def is_ancestor(repository: Repository, older: str, newer: str) -> bool:
    """Whether `newer` has everything that `older` has."""
    try:
        run(repository, "merge-base", "--is-ancestor", older, newer)
    except GitFailed:
        return False
    return True


def in_progress(repository: Repository) -> str | None:
    """The operation that somebody has not ended: merge, rebase, cherry-pick or revert."""
    return next((name for file, name in _IN_PROGRESS if (repository.git_dir / file).exists()), None)


def text(data: bytes) -> str:
    """Bytes of git as text; what is not UTF-8 is kept as lone surrogates, as `os.fsdecode` does."""
    return data.decode("utf-8", "surrogateescape")
