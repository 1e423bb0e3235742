"""The head of the audit chain, written outside the store: as git notes under `refs/notes/mcp-backend-audit`.

Whoever can rewrite the store can rebuild its chain; a seal from before then no longer matches. A note is only as
safe as the repository: push the ref to a remote that the agent cannot force-push. https://git-scm.com/docs/git-notes
"""

import hashlib
import platform
import re
from dataclasses import dataclass
from datetime import datetime

from mcp_backend.errors import FailedPrecondition
from mcp_backend.settings import Workspace
from mcp_backend.workspace.git import head, run
from mcp_backend.workspace.git_environment import open_repository

REF = "refs/notes/mcp-backend-audit"
_LINE = re.compile(r"audit ([0-9a-f]{12}) record (\d{1,15}) sha256 ([0-9a-f]{64}) at \S+")


@dataclass(frozen=True, slots=True)
class Seals:
    """What the notes of a repository say: the seals of this log, and how many there are of other logs."""

    own: tuple[tuple[int, str], ...]
    others: int


def log_name(place: Workspace) -> str:
    """Names the log of this workspace on this machine. Made from what lies outside the store, so that a store that
    was put in its place has the same name; other clones share the notes and have their own."""
    return hashlib.sha256(f"{platform.node()}\0{place.root}".encode()).hexdigest()[:12]


def seal(place: Workspace, seq: int, digest: str, now: datetime) -> str:
    """Adds the head of the chain to the note of the current commit, and returns the id of that commit.

    Raises `FailedPrecondition` where there is no repository or no commit yet.
    """
    repository = open_repository(place)
    commit, _ = head(repository)
    if commit is None:
        raise FailedPrecondition(f"{place.root.name} has no commit yet that could carry the seal: commit first")
    line = f"audit {log_name(place)} record {seq} sha256 {digest} at {now.isoformat(timespec='seconds')}"
    people = ("AUTHOR", "COMMITTER")
    who = {f"GIT_{role}_{part}": value for role in people for part, value in (
        ("NAME", "mcp-backend audit"), ("EMAIL", "audit@localhost"),
    )}  # fmt: skip
    run(repository, "notes", f"--ref={REF}", "append", "-m", line, commit, extra=who)
    return commit


def seals(place: Workspace) -> Seals:
    """Every seal in the repository. Raises `FailedPrecondition` where there is no repository to look in."""
    repository = open_repository(place)
    notes = run(repository, "notes", f"--ref={REF}", "list").decode("ascii", "replace").split("\n")
    blobs = {note.split(" ")[0] for note in notes if note}
    found = [
        (match[1], int(match[2]), match[3])
        for blob in sorted(blobs)
        for line in run(repository, "cat-file", "blob", blob).decode("utf-8", "replace").split("\n")
        if (match := _LINE.fullmatch(line.strip()))
    ]
    name = log_name(place)
    own = tuple(sorted({(seq, digest) for log, seq, digest in found if log == name}))
    return Seals(own, sum(log != name for log, _, _ in found))
