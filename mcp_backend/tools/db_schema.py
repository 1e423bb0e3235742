"""db_schema: what a database looks like."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from pydantic import Field

from mcp_backend.app import App
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.engines import listing
    from mcp_backend.engines.clickhouse import Clickhouse
    from mcp_backend.engines.postgresql import Postgresql

DATABASES = ("postgresql", "clickhouse")

SECONDS = 30.0
RECENT_MIGRATIONS = 3
MOST_BYTES = 8_000
"""Of a listing, about 2,000 tokens. One table may take more, because it was asked for."""


class DbSchema(Tool):
    """Show a database's schema: all tables in brief, a search over names, columns and comments, or one table in full;
    and which migrations are applied or pending.

    Start without table: columns for dozens of tables, names and row counts for thousands, the most useful first; pass
    "next" back as after. A table shows columns, keys, indexes, constraints, foreign keys both ways, triggers, policies,
    partitions, comments, rows and bytes; ClickHouse also TTL, codecs, projections and what materialized views feed.
    Databases with the same `version` have the same schema.
    """

    name = "db_schema"
    title = "Show a database schema"
    toolset = "database"
    read_only = True
    idempotent = True
    output = {"engine": {"type": "string"}, "version": {"type": "string"}}

    engine: str | None = None
    table: str | None = Field(default=None, min_length=1, max_length=300)
    search: str | None = Field(default=None, max_length=200, description="words, all of which must occur")
    detail: Literal["auto", "names", "columns", "full"] = "auto"
    after: str | None = Field(default=None, max_length=400)

    async def plan(self, app: App) -> Plan:
        return Plan(prepared=database(app, self.engine))

    async def run(self, app: App, plan: Plan) -> Result:
        return await show(app, plan.prepared, self.table, self.search or "", self.after, self.detail)


def database(app: App, name: str | None) -> "Postgresql | Clickhouse":
    """The database engine of that name, or the only one."""
    chosen = app.engines.choose(name, DATABASES)
    return app.engines.clickhouse(chosen.name) if chosen.kind == "clickhouse" else app.engines.postgresql(chosen.name)


async def version(app: App, name: str) -> str:
    """The fingerprint of an engine's schema now. Raises `BackendError` when there is no such database, or no answer."""
    engine = database(app, name)
    if engine.settings.kind == "clickhouse":
        from mcp_backend.tools import db_schema_clickhouse

        return await db_schema_clickhouse.version(cast("Clickhouse", engine))
    import psycopg

    from mcp_backend.engines.pg import errors, schema

    engine = cast("Postgresql", engine)
    try:
        async with engine.session(True, SECONDS) as conn:
            return (await schema.prepare(conn, engine.memory))[0]
    except psycopg.Error as error:
        raise errors.refusal(errors.server_error(error), field="engine", timeout_seconds=SECONDS) from None


async def show(
    app: App,
    engine: "Postgresql | Clickhouse",
    table: str | None,
    search: str = "",
    after: str | None = None,
    detail: Literal["auto", "names", "columns", "full"] = "auto",
) -> Result:
    """The answer of the tool and of the resources."""
    root = app.workspace.root
    question: listing.Question = (table, search, after, detail)
    if engine.settings.kind == "clickhouse":
        from mcp_backend.migrations.clickhouse.subject import folder
        from mcp_backend.tools import db_schema_clickhouse

        stamp = _stamp(folder(root, engine.settings))
        return await db_schema_clickhouse.show(
            cast("Clickhouse", engine), root, question, stamp, MOST_BYTES, RECENT_MIGRATIONS
        )
    return await _of_postgresql(cast("Postgresql", engine), root, question)


async def _of_postgresql(engine: "Postgresql", root: Path, question: "listing.Question") -> Result:
    import psycopg

    from mcp_backend import migrations
    from mcp_backend.engines import listing
    from mcp_backend.engines.pg import errors, schema
    from mcp_backend.engines.pg import table as one_table
    from mcp_backend.migrations import detect

    table, search, after, detail = question
    stamp = _stamp(detect.folder(root, engine.settings))
    kept, exact = await schema.repeated(engine, question, stamp) or (None, False)
    if kept is not None and exact:
        return dict(kept.answer)
    try:
        async with engine.session(True, SECONDS) as conn:
            applied = await migrations.status(conn, root, engine.settings, RECENT_MIGRATIONS)
            if missing := applied.pop("missing", None):
                applied["without_file"] = len(missing) if isinstance(missing, list) else missing
            if kept is not None:
                result: Result = {**kept.answer, "migrations": applied}
                schema.renew(engine.memory, question, kept, result)
                return result
            version, path = await schema.prepare(conn, engine.memory)
            number = conn.info.server_version
            result = {
                "engine": engine.settings.name,
                "dialect": f"postgresql {number // 10000}.{number % 10000}",
                "environment": engine.settings.environment,
                "version": version,
            }
            if table is None:
                room = MOST_BYTES - listing.size({**result, "migrations": applied})
                result |= await schema.listing(conn, engine.memory, search, after, detail, max(room, MOST_BYTES // 4))
            else:
                shown, following = await one_table.describe(conn, await one_table.find(conn, table, path), after)
                result |= {"table": shown, "truncated": following is not None, "next": following}
            result["migrations"] = applied
            schema.keep(engine.memory, question, path, stamp, result)
    except psycopg.Error as error:
        raise errors.refusal(errors.server_error(error), field="table", timeout_seconds=SECONDS) from None
    return result


def _places(folder: Path) -> list[Path]:
    """The folders that are looked at: of a Django project, those of its apps' migrations."""
    if (folder / "manage.py").is_file():
        from mcp_backend.migrations.django import folders

        return sorted(folders(folder))
    return [folder, *sorted(entry for entry in folder.iterdir() if entry.is_dir())]


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """The files of a folder of migrations, with what tells that one was changed."""
    found: list[tuple[str, int, int]] = []
    try:
        for place in _places(folder):
            with os.scandir(place) as entries:
                for entry in entries:
                    about = entry.stat(follow_symlinks=False)
                    found.append((entry.path, about.st_mtime_ns, about.st_size))
    except OSError:
        return ()
    return tuple(sorted(found))
