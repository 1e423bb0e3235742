"""Rehearsals of a workspace, kept by digest in its state folder: the result as JSON, and the page beside it."""

import json
import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mcp_backend.errors import Json, NotFound
from mcp_backend.settings import Workspace, private
from mcp_backend.web import rehearsal

if TYPE_CHECKING:
    from mcp_backend.migrations.rehearsal.report import Report

KEPT = 200
"""Rehearsals of a workspace; the oldest go first."""
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


def keep(
    workspace: Workspace, report: "Report", now: datetime, more: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """Keeps a report, in place of one of the same digest; where it can be read, as a result says it."""
    about: dict[str, Json] = {
        "engine": report.engine, "dialect": report.dialect, "direction": report.direction,
        "budget_ms": report.budget_ms,
        "made": now.isoformat(timespec="seconds"), **report.as_result(), **(more or {}),
    }  # fmt: skip
    return {"resource": f"rehearsal://{report.digest}", "file": str(put(workspace, report.digest, about))}


def put(workspace: Workspace, digest: str, about: Mapping[str, Json]) -> Path:
    """Keeps a report as data and as a page; the place of the page."""
    folder = private(private(workspace.state) / "rehearsals")
    page = folder / f"{digest}.html"
    written(page, rehearsal.rendered(about))
    written(page.with_suffix(".json"), json.dumps(about, ensure_ascii=False))
    for old in sorted(folder.glob("*.json"), key=_age)[:-KEPT]:
        old.unlink(missing_ok=True)
        old.with_suffix(".html").unlink(missing_ok=True)
    return page


def is_digest(text: str) -> bool:
    """Whether it can be a digest, or the beginning of one."""
    return _DIGEST.fullmatch(text) is not None


def read(workspace: Workspace, digest: str) -> dict[str, Json]:
    """What was kept under a digest, or under its beginning. Raises `NotFound` naming the newest ones."""
    folder = workspace.state / "rehearsals"
    found = sorted(folder.glob(f"{digest}*.json"), key=_age) if is_digest(digest) else []
    try:
        if found:
            return cast("dict[str, Json]", json.loads(found[-1].read_text("utf-8")))
    except (OSError, ValueError):
        pass  # another server is just replacing it, or took it away
    raise NotFound(f"digest: no rehearsal {digest[:64]!r}; the newest: {', '.join(newest(workspace)[:5]) or 'none'}")


def newest(workspace: Workspace) -> list[str]:
    """The digests that are kept, the newest first."""
    return [path.stem for path in sorted((workspace.state / "rehearsals").glob("*.json"), key=_age, reverse=True)]


def written(path: Path, text: str) -> None:
    """Puts a file that only this user reads in place of the one before, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
