"""Where a repository has migrations, for which engine, and which folder is applied where its policy names none."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from mcp_backend.settings import Workspace
from mcp_backend.workspace import listing
from mcp_backend.workspace.kinds import evidence

MOST_FOLDERS = 60
FEW = 10
"""Files of a folder that tell its tool when a server starts."""
MANY = 2
"""Folders of one tool side by side that are told as one."""
_DBMATE = re.compile(r"^\s*--\s*migrate:up", re.MULTILINE)
_MIGRATION = re.compile(
    r"\d+.*\.(sql|py|rb|exs|[cm]?[jt]s)|[VUR]\d*.*__.+\.sql|[0-9a-f]{8,}_\w+\.py|(migration|up)\.sql"
)
_BEGINS = frozenset("0123456789abcdefVURmu")
_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("postgresql", re.compile(r"(postgres(ql)?|pg|pgsql|pgx|psql|timescale(db)?)(migrations?)?")),
    ("clickhouse", re.compile(r"(clickhouse|ch)(migrations?)?")),
    ("", re.compile(
        r"(sqlite3?|mysql|maria(db)?|mssql|sqlserver|oracle|cockroach(db)?|cassandra|scylla|spanner|mongo(db)?|libsql"
        r"|turso|d1|duckdb|bigquery|snowflake|redshift)(migrations?)?")),
)  # fmt: skip
"""Words of a path that say whose migrations lie there; "" for engines that no tool here works with."""


@dataclass(frozen=True, slots=True)
class Migrations:
    """A folder of migrations and the tool it belongs to ("" when none is known)."""

    folder: str
    tool: str
    because: str


def applied(workspace: Workspace, files: Sequence[str]) -> Mapping[str, str]:
    """The folder of migrations that is applied to the only engine of a kind: one whose path names the kind before one
    whose path names none; the first in dbmate's form (https://github.com/amacneil/dbmate#creating-migrations),
    otherwise the only one of another tool, of one whose migrations are programs last."""
    folders = _folders(files)
    found: dict[str, str] = {}
    of = {folder: kind(folder) for folder in folders}
    groups = ([f for f in folders if of[f] == "postgresql"], [f for f in folders if of[f] is None])
    if (place := _applied(workspace, files, folders, groups)) is not None:
        found["postgresql"] = place
    if place := next((f for f in folders if of[f] == "clickhouse" and _dbmate(workspace, folders[f])), None):
        found["clickhouse"] = place
    return found


def kind(folder: str) -> str | None:
    """The kind of engine that a path names, the innermost word first: "" for one that no tool here works with, `None`
    where it names none."""
    for part in reversed(re.split(r"[/._-]", folder.lower())):
        if (named := next((name for name, words in _KINDS if words.fullmatch(part)), None)) is not None:
            return named
    return None


def found(workspace: Workspace, files: Sequence[str]) -> tuple[Migrations, ...]:
    """All folders of migrations, nearest to the root first."""
    from mcp_backend.migrations import forms

    there: list[Migrations] = []
    for folder in _folders(files):
        place = workspace.root / folder
        if place.is_dir():
            form = forms.form(place)
            if form.files and (form.tool or "migrat" in folder):
                tool = form.tool
                if tool == "golang-migrate":
                    tool = forms.by_manifest(place, workspace.root) or tool
                there.append(Migrations(folder or ".", tool, form.because))
    return tuple(there)


def told(migrations: Sequence[Migrations]) -> list[str]:
    """The folders in words, many of one tool below one folder as one: apps of Django, versions side by side."""
    words: list[str] = []
    for (above, tool), same in groupby(migrations, key=lambda m: (_group(m), m.tool)):
        folders = [m.folder for m in same]
        named = f"{tool or 'tool unknown'}"
        if len(folders) > MANY:
            words.append(f"{above or '.'} ({named}, {len(folders)} folders)")
        else:
            words += [f"{folder} ({named})" for folder in folders]
    return words


def elsewhere(root: Path) -> list[str]:
    """The folders of migrations of a repository in words, for who looked in the wrong one."""
    from mcp_backend.settings import workspace

    place = workspace(root)
    return told(found(place, listing.files(place)))


def _group(migrations: Migrations) -> str:
    up = 2 if migrations.tool == "Django" else 1
    return "/".join(migrations.folder.split("/")[:-up])


def _folders(files: Sequence[str]) -> dict[str, list[str]]:
    """The folders that may hold migrations, nearest to the root first, each with its files that look like one."""
    there: dict[str, list[str]] = {}
    for path in files:
        folder, _, name = path.rpartition("/")
        if (
            name[:1] in _BEGINS
            and _MIGRATION.fullmatch(name)
            and (name.endswith(".sql") or "migrat" in path or "versions/" in path)
        ):
            if name in ("migration.sql", "up.sql"):
                folder = folder.rpartition("/")[0]
            there.setdefault(folder, []).append(path)
    near = sorted((f for f in there if evidence(f + "/")), key=lambda f: (f.count("/"), f))
    return {folder: there[folder] for folder in near[:MOST_FOLDERS]}


def _dbmate(workspace: Workspace, names: Sequence[str]) -> bool:
    first = next((name for name in names if name.endswith(".sql")), None)
    return first is not None and _DBMATE.search(listing.text(workspace.root, first, 4096) or "") is not None


def _applied(
    workspace: Workspace, files: Sequence[str], folders: Mapping[str, list[str]], groups: Sequence[Sequence[str]]
) -> str | None:
    for group in groups:
        if (first := next((f for f in group if _dbmate(workspace, folders[f])), None)) is not None:
            return first or "."
    marked = any(path.rpartition("/")[2] in ("alembic.ini", "manage.py") for path in files)
    if not any(groups) and not marked:
        return None
    from mcp_backend.migrations import forms
    from mcp_backend.migrations import found as programs

    def of_tool(group: Sequence[str]) -> Iterator[str]:
        for folder in group:
            place = workspace.root / folder
            tool = forms.form(place, FEW).tool if place.is_dir() else ""
            if tool in forms.APPLIED and tool not in forms.PROGRAMS:
                yield folder

    for group in groups:
        if there := list(of_tool(group)):
            return (there[0] or ".") if len(there) == 1 else None
    return programs.folder(workspace.root, files) if marked else None
