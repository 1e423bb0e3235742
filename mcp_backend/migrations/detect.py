"""Which tool migrates a database: from its folder, its history table and the policy. Two that fit are an error."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mcp_backend.actions import listed
from mcp_backend.errors import FailedPrecondition, InvalidArgument, NotFound
from mcp_backend.migrations import files as reading
from mcp_backend.migrations import forms, history, tools
from mcp_backend.migrations.forms import Form
from mcp_backend.migrations.model import Connection, File, Tool
from mcp_backend.policy import EngineSettings

FOLDER = "db/migrations"
"""dbmate's own default."""
SHOWN = 6
SETTING = "engines.{}.migration_tool of mcp-backend.toml"


def folder(root: Path, settings: EngineSettings) -> Path:
    """Where the migrations of an engine lie."""
    return root / (settings.migrations or FOLDER)


async def find(conn: Connection, root: Path, settings: EngineSettings) -> tuple[Tool, tuple[File, ...]]:
    """The tool of an engine's migrations, and its files.

    Raises `NotFound` when there is no folder, `FailedPrecondition` when its tool cannot be applied, another tool
    migrated this database, or two tools fit, `InvalidArgument` when its files cannot be read.
    """
    place = folder(root, settings)
    where = reading.shown(place, root)
    key = f"engines.{settings.name}.migrations"
    if not place.exists():
        if there := await asyncio.to_thread(_elsewhere, root):
            raise NotFound(
                f"no migration folder {where}. This repository has migrations in {there}: a person names the one of "
                f'this database in mcp-backend.toml, [engines.{settings.name}] migrations = "…"'
            )
        raise NotFound(
            f"no migration folder {where}; create it with a first file such as 20260131120000_create_orders.sql "
            "('-- migrate:up', the SQL, '-- migrate:down', the SQL that takes it back), or name another folder in "
            f"{key} of mcp-backend.toml"
        )
    if not place.is_dir():
        raise InvalidArgument(f"{key}: {where} is not a folder")
    try:
        form = forms.form(place)
        tool = await _tool(conn, place, root, settings, form)
        found = tool.files(place, root)
    except OSError as error:
        raise InvalidArgument(f"{key}: {where} cannot be read: {error.strerror}") from error
    if not found and form.files:
        raise InvalidArgument(
            f"{where}: no file here is a migration: {form.because}, such as 20260131120000_create_orders.sql"
        )
    if tool.program:
        tool = replace(tool, key=_key({file.version: index for index, file in enumerate(found)}))
    return tool, found


def _elsewhere(root: Path) -> str:
    """The folders of migrations that the repository has, in words."""
    from mcp_backend.workspace import migration_folders

    return listed(migration_folders.elsewhere(root), SHOWN)


def _key(places: Mapping[str, int]) -> Callable[[str], int]:
    """Sorts versions as their files are; those without one come last."""
    return lambda version: places.get(version, len(places))


async def _tool(conn: Connection, place: Path, root: Path, settings: EngineSettings, form: Form) -> Tool:
    where, setting = reading.shown(place, root), SETTING.format(settings.name)
    if settings.migrating.tool:
        if tool := tools.named(settings.migrating.tool):
            return tool
        raise InvalidArgument(f"{setting}: expected one of {', '.join(tool.name for tool in tools.TOOLS)}")
    present = await tables(conn)
    name = _chosen(place, root, form, present)
    if name is None:
        raise FailedPrecondition(
            f"{where} can be golang-migrate's or sqlx's ({form.because}), and neither its database nor the repository "
            f'says which. Say it: {setting} = "golang-migrate" or "sqlx"'
        )
    tool = tools.named(name)
    if tool is None:
        raise FailedPrecondition(
            f"{where} is in the form of {name} ({form.because}), which this release cannot apply. Apply it with {name} "
            f"itself, or name a folder in another form in engines.{settings.name}.migrations (applied are "
            f"{', '.join(tool.name for tool in tools.TOOLS)})"
        )
    others = {owner: table for owner, table in present.items() if owner != name}
    if form.files and name not in present and others:
        owner, table = next(iter(others.items()))
        raise FailedPrecondition(
            f"{where} is in the form of {name} ({form.because}), but {owner} migrated this database: there is {table}. "
            f'A second history would be made; if that is meant, say {setting} = "{name}"'
        )
    return tool


def _chosen(place: Path, root: Path, form: Form, present: Mapping[str, str]) -> str | None:
    """The name of the tool; None when it can be two."""
    if form.tool == "golang-migrate":
        fits = [name for name in ("golang-migrate", "sqlx") if name in present]
        fits = fits or ([nearest] if (nearest := forms.by_manifest(place, root)) else [])
        fits = fits or (["sqlx"] if _mentions(root, "Cargo.toml", "sqlx") else [])
        fits = fits or (["golang-migrate"] if _mentions(root, "go.mod", "") else [])
        return fits[0] if len(fits) == 1 else None
    if form.tool == "Flyway" and "Flyway" not in present and _mentions(root, "Cargo.toml", "refinery"):
        return "refinery"
    if form.tool:
        return form.tool
    if "Supabase" in present or place.parts[-2:] == ("supabase", "migrations"):
        return "Supabase"
    if "sqlx" in present or _mentions(root, "Cargo.toml", "sqlx"):
        return "sqlx"
    return "dbmate"


def _mentions(root: Path, name: str, word: str) -> bool:
    for place in (root / name, *sorted(root.glob(f"*/{name}"))[:20]):
        try:
            if place.is_file() and word in place.read_text("utf-8", "replace")[:200_000]:
                return True
        except OSError:
            continue
    return False


_TABLES: Mapping[str, str] = {
    "flyway_schema_history": "Flyway", "_prisma_migrations": "Prisma", "goose_db_version": "goose",
    "_sqlx_migrations": "sqlx", "alembic_version": "Alembic", "django_migrations": "Django",
    "pgmigrations": "node-pg-migrate", "knex_migrations": "Knex", "databasechangelog": "Liquibase",
    "_yoyo_migration": "yoyo", "schema_version": "tern", "__drizzle_migrations": "Drizzle",
    "refinery_schema_history": "refinery", "__diesel_schema_migrations": "Diesel", "gorp_migrations": "sql-migrate",
    "SequelizeMeta": "Sequelize", "atlas_schema_revisions": "Atlas", "schemaversion": "postgrator",
}  # fmt: skip
_LOOK = """
select n.nspname::text, c.relname::text, pg_catalog.format('%I.%I', n.nspname, c.relname),
  exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = 'dirty'),
  exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = 'inserted_at'),
  pg_catalog.to_regclass('ar_internal_metadata') is not null
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p')
  and (pg_catalog.pg_table_is_visible(c.oid) or n.nspname in ('drizzle', 'supabase_migrations'))
  and c.relname in ({})
order by 1, 2
""".format(", ".join(f"'{name}'" for name in (*_TABLES, "schema_migrations")))


async def tables(conn: Connection) -> dict[str, str]:
    """The history tables of the database that are known, by tool."""
    found: dict[str, str] = {}
    for schema, name, quoted, dirty, inserted, rails in await history.rows(conn, _LOOK):
        if name != "schema_migrations":
            tool = _TABLES[name]
        elif schema == "supabase_migrations":
            tool = "Supabase"
        else:
            tool = "golang-migrate" if dirty else "Ecto" if inserted else "Rails" if rails else "dbmate"
        found.setdefault(tool, quoted)
    return found
