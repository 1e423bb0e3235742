"""What happens when a migration is killed and begun again: each statement is run twice, on a shadow of its own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mcp_backend.migrations.clickhouse import grammar_hazards, observing, shadow
from mcp_backend.migrations.clickhouse.grammar_hazards import hazard
from mcp_backend.migrations.clickhouse.language import Name, Statement
from mcp_backend.migrations.clickhouse.observing import Moment
from mcp_backend.migrations.clickhouse.target import Target
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.settings import Workspace

if TYPE_CHECKING:
    from mcp_backend.engines.clickhouse import Clickhouse


async def of_repeating(
    workspace: Workspace, engine: "Clickhouse", there: Target, touched: set[Name], listed: Sequence[Statement]
) -> list[Hazard]:
    """Hazards of a migration of several statements that is stopped between two of them."""
    errors: list[int] = []
    twice: list[int] = []
    async with shadow.opened(workspace, there.database) as local:
        await shadow.fill(local, engine, there, touched, rows=True)
        now = await observing.moment(local)
        session: dict[str, str] = {}
        for number, statement in enumerate(listed, 1):
            if statement.session:
                session |= {k: v for k, v in statement.settings.items() if k not in grammar_hazards.GUARDS}
            if statement.session or not grammar_hazards.runnable(statement):
                continue
            first = await observing.run(local, statement, number, now, session)
            if first.error:
                break
            again = await observing.run(local, statement, number, first.after, session)
            now = again.after
            if again.error:
                errors.append(number)
            elif again.changed_rows() or not _equal(first.after, again.after):
                twice.append(number)
    found: list[Hazard] = []
    if errors:
        found.append(
            hazard(
                "not_atomic", errors[0], "warn",
                f"a run that ends half-way leaves what came before; begun again, statement {errors[0]} fails "
                f"because it is done",
                "IF (NOT) EXISTS where there is one, several commands in one ALTER TABLE, or a migration for each",
                "observed",
                statements=list(errors),
            )
        )  # fmt: skip
    if twice:
        found.append(
            hazard(
                "crash_resume_not_idempotent", twice[0], "warn",
                f"begun again after it was killed, statement {twice[0]} has its effect twice and no error says so",
                "give it a migration of its own, and let it take only rows that are not there yet", "observed",
                statements=list(twice),
            )
        )  # fmt: skip
    return found


def of_inserts(listed: Sequence[tuple[int, Statement]], there: Target) -> list[Hazard]:
    """An INSERT … SELECT into a table with rows: killed half-way, some of its blocks are in."""
    return [
        hazard(
            "crash_resume_not_idempotent", number, "warn",
            "INSERT … SELECT writes block after block: killed half-way some rows are in, "
            "and the next run inserts them again",
            "fill a table of its own that can be truncated, or insert partition by partition with a condition",
            "statement",
        )
        for number, statement in listed
        if statement.verb == "INSERT" and (statement.has("SELECT") or statement.has("WITH"))
        and there.schema.find(statement.name, there.database) is not None
    ]  # fmt: skip


def _equal(one: Moment, other: Moment) -> bool:
    names = {t.name: t.ddl for t in one.schema.tables.values() if not t.name[1].startswith(".inner")}
    return names == {t.name: t.ddl for t in other.schema.tables.values() if not t.name[1].startswith(".inner")}
