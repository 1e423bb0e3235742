"""Which tool a migration folder belongs to. Standard library only.

Some can be applied (`tools.TOOLS`); the others are recognised so that a folder is never read as something it is not.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOOKED_AT = 200
"""Files of a folder that are looked at; a folder has one form."""
_PLAIN = re.compile(r"([0-9]+)([^\n]*)\.sql")
APPLIED = ("dbmate", "golang-migrate", "goose", "Flyway", "Prisma", "sqlx", "Supabase", "Drizzle", "Alembic", "Django")
"""Tools whose migrations are applied: the names of `tools.TOOLS`."""
PROGRAMS = ("Alembic", "Django")
"""Those of them whose migrations are programs, run by the tool's own command."""
MANIFEST = 200_000
"""Bytes of a manifest that are read."""
_PROSE = (".md", ".rst", ".txt", "README", "LICENSE", "MAKEFILE")
_READ = (".sql", ".py", ".xml", ".yaml", ".yml", ".json")
"""Files in which a marker may be."""
HEAD = 4096
"""Bytes at the start of a file in which its tool's marker is looked for."""


@dataclass(frozen=True, slots=True)
class Form:
    """A tool, or "" for none that is known, and what it was recognised by. `files` tells whether there is anything."""

    tool: str
    because: str
    files: bool = True


def form(folder: Path, most: int = LOOKED_AT) -> Form:
    """The form of a folder that exists, by at most that many of its files."""
    entries = sorted(folder.iterdir())[:most]
    names = [entry.name for entry in entries]
    heads = {entry.name: _head(entry) for entry in entries if entry.suffix in _READ and entry.is_file()}
    for name, head in heads.items():
        if _PLAIN.fullmatch(name) and _has_line(head, r"--\s*migrate:(up|down)"):
            return Form("dbmate", f"{name} has a line '-- migrate:up'")
    for tool, because in _RULES:
        if found := because(folder, names, heads):
            return Form(tool, found)
    plain = next((name for name in heads if _PLAIN.fullmatch(name)), None)
    if plain:
        return Form("", f"{plain} has no line '-- migrate:up'")
    for tool, because in _LAST:
        if found := because(folder, names, heads):
            return Form(tool, found)
    return Form("", "it has no file whose name is digits, a name and .sql", any(map(_says_something, entries)))


def by_manifest(folder: Path, root: Path) -> str:
    """Whose a folder in the form that golang-migrate and sqlx share is, by the nearest manifest at or above it: the
    clients of a service in Rust are in Go, too. "" where none says it, or one folder has both."""
    for place in (folder, *folder.parents):
        rust = (place / "Cargo.toml").is_file() and "sqlx" in _head(place / "Cargo.toml", MANIFEST)
        if rust or (place / "go.mod").is_file():
            return "" if rust and (place / "go.mod").is_file() else "sqlx" if rust else "golang-migrate"
        if place == root:
            break
    return ""


def _says_something(entry: Path) -> bool:
    """Whether it may be a migration of a tool that is not known here: not for people, not hidden, no empty folder."""
    if entry.name.startswith(".") or entry.suffix.lower() in _PROSE or entry.name.upper() in _PROSE:
        return False
    return entry.is_file() or any(not inner.name.startswith(".") for inner in entry.iterdir())


def _head(path: Path, most: int = HEAD) -> str:
    try:
        with path.open("rb") as file:
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""


def _has_line(text: str, pattern: str) -> bool:
    return re.search(rf"^\s*{pattern}", text, re.MULTILINE | re.IGNORECASE) is not None


_Rule = Callable[[Path, list[str], dict[str, str]], str | None]


def _beside(*names: str) -> _Rule:
    def rule(folder: Path, _: list[str], __: dict[str, str]) -> str | None:
        for name in names:
            if (folder / name).exists() or (folder.parent / name).exists():
                return f"there is {name}"
        return None

    return rule


def _named(pattern: str) -> _Rule:
    def rule(_: Path, names: list[str], __: dict[str, str]) -> str | None:
        return next((f"there is {name}" for name in names if re.fullmatch(pattern, name)), None)

    return rule


def _marked(pattern: str, words: str) -> _Rule:
    def rule(_: Path, __: list[str], heads: dict[str, str]) -> str | None:
        return next((f"{name} has {words}" for name, head in heads.items() if _has_line(head, pattern)), None)

    return rule


def _inside(glob: str) -> _Rule:
    def rule(folder: Path, _: list[str], __: dict[str, str]) -> str | None:
        found = next(folder.glob(glob), None)
        return f"there is {found.relative_to(folder)}" if found else None

    return rule


_RULES: tuple[tuple[str, _Rule], ...] = (
    ("goose", _marked(r"--\s*\+goose\s+(up|down)", "a line '-- +goose Up'")),
    ("sql-migrate", _marked(r"--\s*\+migrate\s+(up|down)", "a line '-- +migrate Up'")),
    ("Liquibase", _marked(r"--\s*liquibase formatted sql", "a line '--liquibase formatted sql'")),
    ("tern", _marked(r"---- create above / drop below ----", "tern's separator")),
    ("node-pg-migrate", _marked(r"--\s*(up|down) migration", "a line '-- Up Migration'")),
    ("yoyo", _marked(r"--\s*depends:", "a line '-- depends:'")),
    ("Flyway", _named(r"([VU][0-9][0-9._]*|R)__.+\.sql")),
    ("Flyway's migrations in Java", _named(r"([VUB][0-9][0-9._]*|R)__.+\.(java|kt|class)")),
    ("Alembic", _beside("script.py.mako", "alembic.ini")),
    ("Alembic", _marked(r"down_revision\b", "a down_revision")),
    ("Django", _marked(r".*DJANGO_SETTINGS_MODULE", "DJANGO_SETTINGS_MODULE")),
    ("Django", _marked(r"from django\.db import .*migrations", "Django's import")),
    ("yoyo", _marked(r"from yoyo import", "yoyo's import")),
    ("Drizzle 1", _inside("[0-9]*/snapshot.json")),
    ("Prisma", _inside("[0-9]*/migration.sql")),
    ("Hasura", _inside("*/[0-9]*/up.sql")),
    ("Diesel or Hasura", _inside("*/up.sql")),
    ("Drizzle", _inside("meta/_journal.json")),
    ("Drizzle", _marked(r"--> statement-breakpoint", "a line '--> statement-breakpoint'")),
    ("sqitch", _beside("sqitch.plan")),
    ("bun", _named(r"[0-9]+_.*\.tx\.(up|down)\.sql")),
    ("bun", _marked(r"--bun:split", "a line '--bun:split'")),
    ("golang-migrate", _named(r"[0-9]+_.*\.(up|down)\.sql")),
    ("postgrator", _named(r"[0-9]+\.(do|undo)\..*\.sql|[0-9]+\.(do|undo)\.sql")),
    ("db-migrate", _named(r"[0-9]{14}-.*-(up|down)\.sql")),
    ("Atlas", _beside("atlas.sum")),  # Atlas also writes the forms of other tools, which then apply them.
    ("Rails", _named(r"[0-9]{14}_\w+\.rb")),
    ("Ecto", _named(r"[0-9]{14}_\w+\.exs")),
    ("Liquibase", _named(r".*changelog.*\.(xml|ya?ml|json)")),
    ("Liquibase", _marked(r".*\bdatabaseChangeLog\b", "a databaseChangeLog")),
    ("pgroll", _marked(r"[{\s]*\"?operations\"?:", "pgroll's operations")),
)

_LAST: tuple[tuple[str, _Rule], ...] = (
    ("Doctrine", _named(r"Version[0-9]{8,}\.php")),
    ("Laravel, Phinx or another PHP tool", _named(r"[0-9_]{14,}\w+\.php")),
    ("Entity Framework", _named(r"[0-9]{14}_\w+\.cs")),
    ("Knex, TypeORM or another JavaScript tool", _named(r"(?!index\.|.*\.d\.).*\.[cm]?[jt]s")),
    ("goose in Go, gormigrate or another Go program", _named(r".*\.go")),
    ("another tool's programs in Ruby, PHP, C#, Java or Kotlin", _named(r".*\.(rb|php|cs|java|kt)")),
)
"""For a folder without a file of plain SQL, beside which programs may lie that read it."""
