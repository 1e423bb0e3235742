"""What a rehearsal decided about a call, kept so that the same call at the same state is not rehearsed again."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mcp_backend import actions
from mcp_backend.engines.postgresql import Postgresql
from mcp_backend.errors import Unavailable
from mcp_backend.facts import Rehearsal
from mcp_backend.migrations import planning
from mcp_backend.migrations.model import Direction
from mcp_backend.migrations.run import Prepared
from mcp_backend.settings import Workspace

if TYPE_CHECKING:
    from mcp_backend.migrations.rehearsal.report import Report

KEPT = 200
"""Rehearsals of a workspace; the oldest go first."""
_DECIDES = ("reject", "needs_approval", "warn")


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """`version_after` is the schema that the rehearsal ended with; `touched` the relations it locked and how."""

    digest: str
    at_version: str
    verdict: str
    version_after: str
    reasons: tuple[str, ...]
    remedies: tuple[str, ...]
    touched: tuple[tuple[str, str], ...]

    def fact(self, engine: str) -> Rehearsal:
        """What a guard judges."""
        return Rehearsal(engine, self.verdict, self.reasons, self.remedies)


async def rehearsed(
    engine: Postgresql, workspace: Workspace, prepared: Prepared, version: str | None, direction: Direction
) -> "tuple[Rehearsed, Report | None]":
    """What the rehearsal of exactly these statements at exactly this state decided; rehearses when none was kept, and
    then returns the report, too.

    Raises `Unavailable` when nothing can be rehearsed on, and as planning does when the world moved meanwhile.
    """
    digest = actions.digest("run_migration", (planning.action(prepared, engine),))
    if kept := find(workspace, digest, prepared.version):
        return kept, None
    from mcp_backend.migrations.rehearsal import following, subject
    from mcp_backend.migrations.rehearsal.rehearse import rehearse

    try:
        if prepared.observed:
            found = subject.observed(engine, prepared)
        else:
            found = await subject.pending(engine, workspace.root, version, direction)
        report = await rehearse(engine, workspace, found)
        following.remember(found, report)
    except Unavailable as error:
        raise Unavailable(
            f"the migration could not be rehearsed, so nothing was executed: {error.reason} (a person can let "
            f"migrations run unrehearsed with engines.{engine.settings.name}.unrehearsed_because in mcp-backend.toml)",
            details=error.details,
        ) from error
    return keep(workspace, report), report


def keep(workspace: Workspace, report: "Report") -> Rehearsed:
    """Keeps what a report decided."""
    deciding = [h for level in _DECIDES for h in report.hazards if h.severity == level]
    numbers = {s.number: f"{s.file}:{s.line}: " if s.line else f"{s.file}: " for s in report.statements if s.file}
    touched = {(lock.relation, lock.mode): None for s in report.statements for lock in s.locks}
    kept = Rehearsed(
        report.digest, report.at_version, report.verdict, report.version_after,
        tuple(f"{h.id}: {numbers.get(h.statement, '')}{h.reason}" for h in deciding[:20]),
        tuple(dict.fromkeys(h.remedy for h in deciding if h.remedy))[:10], tuple(touched),
    )  # fmt: skip
    about = {name: getattr(kept, name) for name in Rehearsed.__slots__}
    put(workspace, kept.digest, json.dumps(about, ensure_ascii=False))
    return kept


def put(workspace: Workspace, digest: str, decided: str) -> None:
    """Keeps what was decided, as `text` gives it."""
    folder = _folder(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{digest}.json"
    part = place.with_suffix(f".{os.getpid()}")
    part.write_text(decided)
    part.replace(place)
    for old in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)


def text(workspace: Workspace, digest: str) -> str:
    """What was decided under a digest, for `put` on another server; empty when nothing was."""
    try:
        return (_folder(workspace) / f"{digest}.json").read_text()
    except OSError:
        return ""


def find(workspace: Workspace, digest: str, at_version: str) -> Rehearsed | None:
    """What was kept for these statements at this state."""
    try:
        about = cast("Mapping[str, Any]", json.loads((_folder(workspace) / f"{digest}.json").read_text()))
        if (about["digest"], about["at_version"]) != (digest, at_version):
            return None
        return Rehearsed(
            digest, at_version, about["verdict"], about["version_after"], tuple(about["reasons"]),
            tuple(about["remedies"]), tuple((relation, mode) for relation, mode in about["touched"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _folder(workspace: Workspace) -> Path:
    return workspace.state / "rehearsed"
