"""db_schema on ClickHouse."""

from pathlib import Path
from typing import TYPE_CHECKING

from mcp_backend.engines import listing
from mcp_backend.engines.ch import schema
from mcp_backend.engines.ch import table as one_table
from mcp_backend.engines.ch.errors import ServerError, refusal
from mcp_backend.migrations.clickhouse import subject
from mcp_backend.tools.base import Result

if TYPE_CHECKING:
    from mcp_backend.engines.clickhouse import Clickhouse


async def version(engine: "Clickhouse") -> str:
    """The fingerprint of its schema now."""
    try:
        return await schema.version(engine, engine.memory)
    except ServerError as error:
        raise refusal(error, field="the catalog") from None


async def show(
    engine: "Clickhouse", root: Path, question: listing.Question, stamp: object, most_bytes: int, newest: int
) -> Result:
    """As `db_schema.show`. `stamp` tells that the files of migrations are the same, `newest` how many are listed."""
    table, search, after, detail = question
    try:
        word = await engine.changes()
        word = f"{word} {stamp}" if word else ""
        if (known := schema.repeated(engine.memory, question, word)) is not None:
            return known
        migrations = await subject.status(engine, root, newest)
        if missing := migrations.pop("missing", None):
            migrations["without_file"] = len(missing) if isinstance(missing, list) else missing
        standing = await engine.standing()
        result: Result = {
            "engine": engine.settings.name,
            "dialect": f"clickhouse {standing.version}",
            "environment": engine.settings.environment,
            "database": standing.database,
            "version": await schema.version(engine, engine.memory),
        }
        if table is None:
            room = max(most_bytes - listing.size({**result, "migrations": migrations}), most_bytes // 4)
            result |= await schema.listing(engine, engine.memory, search, after, detail, room)
        else:
            shown, following = await one_table.describe(engine, await one_table.find(engine, table), after)
            result |= {"table": shown, "truncated": following is not None, "next": following}
    except ServerError as error:
        raise refusal(error, field="the catalog") from None
    result["migrations"] = migrations
    schema.keep(engine.memory, question, word, result)
    return result
