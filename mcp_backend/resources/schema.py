"""schema://{engine} and schema://{engine}/{table}: what db_schema shows, as resources."""

import json
from collections.abc import Mapping

from mcp_backend.app import App
from mcp_backend.resources.base import Resource

MOST_NAMES = 100


async def _database(app: App, values: Mapping[str, str]) -> str:
    return await _shown(app, values["engine"], None)


async def _table(app: App, values: Mapping[str, str]) -> str:
    return await _shown(app, values["engine"], values["table"])


async def _shown(app: App, engine: str, table: str | None) -> str:
    from mcp_backend.tools.db_schema import database, show

    return json.dumps(await show(app, database(app, engine), table), ensure_ascii=False)


async def _complete(app: App, name: str, values: Mapping[str, str]) -> list[str]:
    from mcp_backend.tools.db_schema import DATABASES

    engines = [engine.name for engine in app.engines.settings.values() if engine.kind in DATABASES]
    if name != "table":
        return engines
    chosen = values.get("engine") or (engines[0] if len(engines) == 1 else None)
    if chosen not in engines:
        return []
    if app.engines.settings[chosen].kind == "clickhouse":
        from mcp_backend.engines.ch import table as clickhouse_table

        return await clickhouse_table.names(app.engines.clickhouse(chosen))
    from mcp_backend.engines.pg import table

    async with app.engines.postgresql(chosen).session(True, 5) as conn:
        return await table.names(conn)


DATABASE = Resource(
    "schema://{engine}", "schema", "Database schema", "All tables of a database in brief, the most useful first.",
    _database, complete=_complete,
)  # fmt: skip
TABLE = Resource(
    "schema://{engine}/{table}", "table", "Table", "One table in full: columns, keys, indexes, references.",
    _table, complete=_complete,
)  # fmt: skip
