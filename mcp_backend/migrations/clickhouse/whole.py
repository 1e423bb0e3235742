"""Hazards that only the whole migration shows, and what is under way on the target already."""

from collections.abc import Sequence

from mcp_backend.migrations.clickhouse.differences import shown
from mcp_backend.migrations.clickhouse.grammar_hazards import hazard
from mcp_backend.migrations.clickhouse.language import Name, Statement
from mcp_backend.migrations.clickhouse.target import Mutation, Target
from mcp_backend.migrations.rehearsal.report import Hazard, Hold

_SCHEMA = ("ALTER TABLE", "CREATE ", "DROP ", "RENAME", "EXCHANGE", "TRUNCATE")
LATER_WORDS = frozenset({"MATERIALIZE INDEX", "MATERIALIZE PROJECTION"})


def of_whole(
    there: Target, listed: Sequence[Statement], touched: set[Name], holds: Sequence[Hold], notes: list[str]
) -> list[Hazard]:
    """What only the whole migration shows, and what is under way on the target."""
    hazards: list[Hazard] = []
    done = {(c.kind.split()[1], c.name) for s in listed for c in s.commands if c.kind in LATER_WORDS}
    for number, statement in enumerate(listed, 1):
        table = there.schema.find(statement.name, there.database)
        for command in statement.commands:
            thing = command.kind.partition(" ")[2]
            added = command.kind in ("ADD INDEX", "ADD PROJECTION") and (thing, command.name) not in done
            if added and table is not None and table.rows:
                hazards.append(
                    hazard("index_not_materialized", number, "warn",
                           f"{thing.lower()} {command.name} covers parts that are written from now on, not the "
                           f"{table.rows} rows "
                           f"of {shown(table.name)} that are there",
                           f"ALTER TABLE {shown(table.name)} MATERIALIZE {thing} {command.name} at a quiet "
                           f"time", "observed")
                )  # fmt: skip
        if statement.verb == "CREATE MATERIALIZED VIEW" and not statement.has("POPULATE") and statement.name:
            notes.append(
                f"{shown(statement.name)} computes rows that are inserted from now on; those that are there are "
                f"not in it"
            )
    hazards += _here_only(there, listed)
    hazards += [_unfinished(mutation) for mutation in there.schema.mutations if mutation.table in touched]
    synchronous = there.settings.get("mutations_sync", "0") != "0"
    for hold in holds:
        later = hold.to_statement < len(listed)
        if not synchronous and later and hold.estimate.high:
            hazards.append(
                hazard("async_mutation", hold.from_statement, "info",
                       f"the mutation of {hold.relation} runs in the background by default, and the next "
                       f"statement would not wait",
                       "run_migration waits for its end; other tools need SETTINGS mutations_sync = 2", "catalog")
            )  # fmt: skip
    return hazards


def _here_only(there: Target, listed: Sequence[Statement]) -> list[Hazard]:
    """Statements about the schema of one server, among others that are about a whole cluster's."""
    clusters = sorted({s.cluster for s in listed if s.cluster})
    if not clusters or any(hosts > 1 for hosts in there.clusters.values()):
        return []  # on a cluster each statement is judged by itself
    copied = {name for name, table in there.schema.tables.items() if table.engine.startswith("Replicated")}
    copied |= {_full(s, there) for s in listed if s.verb == "CREATE TABLE" and "replicated" in s.sql.lower()}
    return [
        hazard("on_cluster_missing", number, "warn",
               f"other statements are ON CLUSTER {clusters[0]}, and this one changes only the server it is sent to",
               f"write ON CLUSTER {clusters[0]} after the name", "statement")
        for number, s in enumerate(listed, 1)
        if not s.cluster and s.verb.startswith(_SCHEMA) and not s.has("TEMPORARY")
        and not (s.verb == "ALTER TABLE" and _full(s, there) in copied)
    ]  # fmt: skip


def _full(statement: Statement, there: Target) -> Name:
    database, name = statement.name or ("", "")
    return database or there.database, name


def _unfinished(mutation: Mutation) -> Hazard:
    fails = f"; it fails: {mutation.failed[:200]}" if mutation.failed else ""
    return hazard(
        "stuck_mutation", 0, "reject" if mutation.failed else "warn",
        f"{shown(mutation.table)} has an unfinished mutation on the target ({mutation.command[:100]}, "
        f"{mutation.parts_to_do} parts to do{fails}): nothing may begin behind it",
        "KILL MUTATION and undo what it began" if mutation.failed else "wait for its end in system.mutations",
        "catalog",
    )  # fmt: skip
