"""Hazards of rows that no longer arrive: a row that could be inserted before a migration and cannot be after it."""

from collections.abc import Mapping

from mcp_backend.errors import Json
from mcp_backend.migrations.clickhouse import flow
from mcp_backend.migrations.clickhouse.differences import shown
from mcp_backend.migrations.clickhouse.grammar_hazards import hazard
from mcp_backend.migrations.clickhouse.language import Name
from mcp_backend.migrations.clickhouse.shadow import Shadow
from mcp_backend.migrations.clickhouse.target import Schema
from mcp_backend.migrations.rehearsal.report import Hazard


async def of_arrivals(
    local: Shadow, statements: int, arrived: Mapping[Name, flow.Arrival], before: Schema, after: Schema
) -> list[Hazard]:
    """Whether rows still arrive everywhere, as they did before."""
    number = 1 if statements == 1 else 0
    hazards: list[Hazard] = []
    gone = {name for name in before.tables if name not in after.tables}
    moved = {t.uuid: t.name for t in after.tables.values()}
    for name, was in arrived.items():
        if was.error:
            continue
        now_called = name if name in after.tables else moved.get(before.tables[name].uuid)
        if now_called is None or now_called not in after.tables:
            continue
        columns = tuple(c for c in was.columns if c in after.tables[now_called].columns)
        now = await flow.arrive(local, now_called, columns, was.row, after)
        evidence: dict[str, Json] = {"row": was.row[:300], "untrusted": "row holds values"}
        if now.error:
            broken = "view" in now.error.lower() or any(
                view in gone or to in gone for s, view, to in before.views() if s == name
            )
            hazards.append(
                hazard("breaks_writes", number, "reject", f"an INSERT into {shown(name)} that worked before "
                                                          f"fails: {now.error[:300]}",
                       "change what the rows flow into (views, constraints) in the same "
                       "migration", "observed", **evidence)
            )  # fmt: skip
            if broken:
                hazards.append(
                    hazard(
                        "mv_chain_breakage",
                        number,
                        "reject",
                        f"a view behind {shown(name)} cannot write any more",
                        "",
                        "observed",
                    )
                )
            continue
        for lost in sorted(was.reached - now.reached):
            view = next((v for _, v, to in before.views() if to == lost and v in after.tables), None)
            if view is None or lost not in after.tables:
                continue
            hazards.append(
                hazard("mv_chain_breakage", number, "reject",
                       f"a row that was inserted into {shown(now_called)} no longer reaches {shown(lost)} "
                       f"through {shown(view)}, "
                       "without an error", "make the view anew over the table's new name", "observed", **evidence)
            )  # fmt: skip
            hazards.append(
                hazard("silent_data_loss", number, "reject", f"{shown(lost)} silently gets no rows", "", "observed")
            )
    for lost_column in sorted(flow.lost_columns(after) - flow.lost_columns(before), key=lambda found: found.column):
        old = lost_column.view in before.tables
        hazards.append(
            hazard("silent_data_loss", number, "reject" if old else "needs_approval",
                   f"the view {shown(lost_column.view)} computes {lost_column.column}, and "
                   f"{shown(lost_column.target)} has no such "
                   "column: inserts go on without an error, the values are thrown away",
                   "change the view in the same migration (ALTER TABLE … MODIFY QUERY), or keep the column", "catalog")
        )  # fmt: skip
        if old:
            hazards.append(
                hazard(
                    "mv_chain_breakage",
                    number,
                    "reject",
                    f"{shown(lost_column.view)} no longer fits its target",
                    "",
                    "catalog",
                )
            )
    return hazards
