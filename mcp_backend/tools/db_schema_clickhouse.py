"""db_schema on ClickHouse."""

from typing import TYPE_CHECKING

from mcp_backend.engines import listing
from mcp_backend.engines.ch import schema
from mcp_backend.engines.ch import table as one_table
from mcp_backend.engines.ch.errors import ServerError, refusal
from mcp_backend.errors import Json
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
    engine: "Clickhouse", table: str | None, search: str, after: str | None, detail: listing.Detail, most_bytes: int
) -> Result:
    """As `db_schema.show`."""
    question: listing.Question = (table, search, after, detail)
    elsewhere = f"not looked at here; the resource migrations://{engine.settings.name} lists them"
    migrations: Json = {"applied": [], "pending": [], "problem": elsewhere}
    try:
        word = await engine.changes()
        if (known := schema.repeated(engine.memory, question, word)) is not None:
            return known
        standing = await engine.standing()
        result: Result = {
            "engine": engine.settings.name,
            "dialect": f"clickhouse {standing.version}",
            "environment": engine.settings.environment,
            "database": standing.database,
            "version": await schema.version(engine, engine.memory),
        }
        if table is None:
            room = most_bytes - listing.size({**result, "migrations": migrations})
            result |= await schema.listing(engine, engine.memory, search, after, detail, room)
        else:
            shown, following = await one_table.describe(engine, await one_table.find(engine, table), after)
            result |= {"table": shown, "truncated": following is not None}
            if following is not None:
                result["next"] = following
    except ServerError as error:
        raise refusal(error, field="the catalog") from None
    result["migrations"] = migrations
    schema.keep(engine.memory, question, word, result)
    return result
