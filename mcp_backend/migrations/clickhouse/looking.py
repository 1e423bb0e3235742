"""What the target's rows say about a statement before it runs; rows that it would fail on are brought to the shadow."""

import itertools
from typing import TYPE_CHECKING

from mcp_backend.engines.ch.errors import ServerError
from mcp_backend.errors import BackendError
from mcp_backend.keeper.chdb.tokens import identifier, tokens
from mcp_backend.migrations.clickhouse import mapping, probing, shadow
from mcp_backend.migrations.clickhouse.effect_hazards import Data
from mcp_backend.migrations.clickhouse.language import Command, Statement, between
from mcp_backend.migrations.clickhouse.probing import Cast, Probes
from mcp_backend.migrations.clickhouse.shadow import Shadow
from mcp_backend.migrations.clickhouse.target import Table, Target

if TYPE_CHECKING:
    from mcp_backend.engines.clickhouse import Clickhouse


async def look(statement: Statement, there: Target, probes: Probes, local: Shadow, engine: "Clickhouse") -> Data:
    """Asks the target what only its rows can tell about a statement. What cannot be asked is said in `probes`."""
    data = Data()
    table = there.schema.find(statement.name, there.database)
    if statement.verb == "CREATE TABLE":
        data.partitions = await _partitions(statement, there, probes)
    if table is None or not table.stored or not table.rows:
        return data
    if statement.verb in ("DELETE", "UPDATE"):
        condition = between(statement.sql, statement.words, "WHERE", "SETTINGS")
        if found := await probes.matching(table, condition or "1", f"rows of {statement.verb}"):
            data.matching["0"] = found
    for index, command in enumerate(statement.commands):
        if command.kind in ("UPDATE", "DELETE"):
            condition = probing.condition(statement.sql, command)
            if found := await probes.matching(table, condition, f"rows of {command.kind}"):
                data.matching[str(index)] = found
        holds = between(statement.sql, command.words, "CHECK", "SETTINGS") if command.kind == "ADD CONSTRAINT" else ""
        against = await probes.matching(table, f"NOT ({holds})", "rows against a new constraint") if holds else None
        if against:
            data.matching[str(index)] = against
        if command.kind in ("MODIFY TTL", "MODIFY COLUMN") and "REMOVE" not in [w.upper for w in command.words]:
            await _ttl(statement, command, table, probes, data)
        if command.kind == "MODIFY COLUMN" and command.type and command.name in table.columns:
            await _cast(command, table, probes, local, engine, data)
    return data


async def _cast(
    command: Command, table: Table, probes: Probes, local: Shadow, engine: "Clickhouse", data: Data
) -> None:
    column = table.columns[command.name]
    if probing.same(column.type, command.type) or column.sorting or column.partition:
        return
    cast = await probes.cast(table, column, command.type)
    if cast is None:
        return
    data.casts[column.name] = cast
    if cast.failing or cast.nulls:
        await _bring(cast, table, local, engine)


async def _bring(cast: Cast, table: Table, local: Shadow, engine: "Clickhouse") -> None:
    """Some of the rows that fail, so that the shadow fails as the target would."""
    columns = ", ".join(identifier(c.name) for c in table.columns.values() if c.default_kind in ("", "DEFAULT"))
    query = f"SELECT {columns} FROM {mapping.quoted(*table.name)} WHERE {cast.where} LIMIT 5"
    try:
        await shadow.insert(local, engine, table, query)
    except (ServerError, BackendError) as error:
        local.left_out.append(f"the rows that fail were not brought to the shadow: {str(error)[:160]}")


async def _ttl(statement: Statement, command: Command, table: Table, probes: Probes, data: Data) -> None:
    text = between(statement.sql, command.words, "TTL", "SETTINGS", "FIRST", "AFTER")
    rules = probing.expired(text)
    if not rules:
        return
    condition = " OR ".join(f"(({expression}) <= now() AND ({when}))" for expression, when in rules)
    found = await probes.matching(table, condition, "rows past the new TTL")
    data.expired = found or (0, False)
    data.expired_column = command.name if command.kind == "MODIFY COLUMN" else ""


async def _partitions(statement: Statement, there: Target, probes: Probes) -> int | None:
    """About how many partitions the rows of a table whose columns have the same names would make."""
    words = statement.words
    by = next((at for at, w in enumerate(words) if w.upper == "PARTITION" and words[at + 1 : at + 2]), None)
    if by is None:
        return None
    ends = ("ORDER", "PRIMARY", "SAMPLE", "TTL", "SETTINGS", "COMMENT", "AS", "ENGINE")
    expression = between(statement.sql, words[by + 1 :], "BY", *ends)
    used = {word.name for word in tokens(expression) if word.name}
    fitting = [
        t
        for t in there.schema.tables.values()
        if t.rows and t.stored and used & t.columns.keys() and not used - t.columns.keys() - _calls(expression)
    ]  # fmt: skip
    if not expression or not fitting:
        return None
    return await probes.partitions(max(fitting, key=lambda t: t.rows), expression)


def _calls(expression: str) -> set[str]:
    words = tokens(expression)
    return {a.name for a, b in itertools.pairwise(words) if b.text == "(" and a.name}
