"""Hazards that the statement itself shows: what never belongs into a migration, and choices that people make."""

from collections.abc import Iterator, Sequence

from mcp_backend.engines.ch import effects
from mcp_backend.migrations.clickhouse import mapping
from mcp_backend.migrations.clickhouse.language import ACCESS, Statement
from mcp_backend.migrations.clickhouse.target import Target
from mcp_backend.migrations.rehearsal.report import Hazard, Severity

SERVER = frozenset(
    {"SYSTEM", "KILL", "BACKUP", "RESTORE", "SET ROLE", "SET DEFAULT", "EXECUTE", "USE", "MOVE", "CHECK"}
)
GUARDS = frozenset({"max_table_size_to_drop", "max_partition_size_to_drop"})
NOT_FILES = frozenset(
    ["zeros", "zeros_mt", "dictionary", "viewexplain", "loop", "input", "sleep", "sleepeachrow", "trap"]
)


def hazard(
    identifier: str,
    number: int,
    severity: Severity,
    reason: str,
    remedy: str = "",
    source: str = "statement",
    **evidence: object,
) -> Hazard:
    """A hazard of a statement."""
    return Hazard(identifier, number, severity, reason, remedy, source, evidence={**evidence})  # type: ignore[arg-type]


def runnable(statement: Statement) -> bool:
    """Whether the shadow may run it: nothing that changes the server itself, its users or its merges."""
    return not (
        statement.verb in SERVER
        or statement.verb in ("GRANT", "REVOKE")
        or any(statement.verb.endswith(f" {what}") for what in (*ACCESS, "NAMED COLLECTION", "WORKLOAD", "RESOURCE"))
    )


def of_statement(statement: Statement, number: int, there: Target, ast: Sequence[str]) -> Iterator[Hazard]:
    """What the words and the syntax tree of one statement show."""
    verb, settings = statement.verb, statement.settings
    if not runnable(statement):
        access = verb in ("GRANT", "REVOKE") or any(verb.endswith(f" {what}") for what in ACCESS)
        yield hazard(
            "server_command", number, "needs_approval" if access else "reject",
            "USE means nothing to the statements after it: each is sent by itself" if verb == "USE"
            else f"{verb} changes {'who may do what' if access else 'the server itself'}, not the schema; it was not "
            "run",
            "name the database in front of each table" if verb == "USE"
            else "users and grants are a person's decision" if access else "run it by hand, outside of migrations, "
                "if it is needed",
        )  # fmt: skip
    yield from _files(statement, number, ast)
    for name in sorted(GUARDS & settings.keys()):
        yield hazard(
            "disables_size_guard", number, "reject",
            f"{name} = {settings[name]} switches off what keeps a large table from being dropped by mistake",
            "leave the guard as it is; a person drops a large table by hand", setting=name,
        )  # fmt: skip
    for name in ("mutations_sync", "alter_sync", "lightweight_deletes_sync"):
        if settings.get(name) == "0":
            yield hazard(
                "async_mutation", number, "warn",
                f"{name} = 0: the statement returns before its work is done, and a failure shows only in "
                f"system.mutations",
                f"leave {name} out: run_migration waits for the end",
            )  # fmt: skip
    if verb == "OPTIMIZE" and statement.has("FINAL"):
        table = there.schema.find(statement.name, there.database)
        big = table is not None and table.bytes > 10 * 2**30
        yield hazard(
            "optimize_final", number, "reject" if big else "warn",
            f"OPTIMIZE … FINAL merges every part of the table anew ({table.bytes if table else 0} bytes)",
            "leave it out: merges come by themselves, and SELECT … FINAL is exact meanwhile",
        )  # fmt: skip
    if verb == "CREATE MATERIALIZED VIEW" and statement.has("POPULATE"):
        yield hazard(
            "mv_populate_misses_rows", number, "warn",
            "rows that are inserted while POPULATE runs are in the source and never in the view",
            "create the view TO a table without POPULATE, "
            "then INSERT … SELECT the rows before a moment that the view covers",
        )  # fmt: skip
    if verb.startswith("EXCHANGE"):
        one, other = (".".join(n for n in name if n) for name in (*statement.names, ("", "?"), ("", "?"))[:2])
        yield hazard(
            "exchange_tables", number, "needs_approval",
            f"from one moment to the next readers of {one} see the rows of {other}, and views stay with the names",
            "have a person agree to the moment; compare counts of both tables before",
        )  # fmt: skip
    if not statement.cluster and not statement.session and statement.names:
        table = there.schema.find(statement.name, there.database)
        copied = (
            table is not None
            and table.engine.startswith("Replicated")
            and verb in ("ALTER TABLE", "OPTIMIZE", "INSERT", "DELETE")
        )
        if verb not in ("INSERT", "SELECT") and not copied and (cluster := there.clustered(table)):
            yield hazard(
                "on_cluster_missing", number, "needs_approval",
                f"the target is one of several servers of the cluster {cluster}; without ON CLUSTER only this "
                f"one changes",
                f"write ON CLUSTER {cluster} after the name", "catalog",
            )  # fmt: skip


def _files(statement: Statement, number: int, ast: Sequence[str]) -> Iterator[Hazard]:
    """Whatever reaches files, programs or other servers."""
    named = {
        line.strip().split()[1].lower()
        for line in ast
        if line.strip().startswith("Function ") and len(line.split()) > 1
    }
    found = sorted(n for n in named & effects.REFUSED.keys() - NOT_FILES if _outside(n))
    reached = [f"{name}() {effects.REFUSED[name]}" for name in found]
    reached += ["INTO OUTFILE writes a file"] if statement.has("INTO", "OUTFILE") else []
    reached += ["FROM INFILE reads a file"] if statement.has("FROM", "INFILE") else []
    engine = mapping.engine(statement.words) if statement.verb.startswith(("CREATE", "ATTACH")) else None
    if engine and engine[0] in mapping.FILES:
        reached.append(f"the engine {engine[0]} reaches files, programs or addresses beside the database")
    if reached:
        yield hazard(
            "filesystem_access", number, "reject", f"{'; '.join(reached)}: no migration may do that",
            "load data outside of migrations, with a user who may do only that",
        )  # fmt: skip
    elif engine and engine[0] in mapping.OUTSIDE - {"Distributed", "EmbeddedRocksDB", "KeeperMap", "TimeSeries"}:
        yield hazard(
            "filesystem_access", number, "needs_approval",
            f"the engine {engine[0]} makes the server connect to another system",
            "have a person agree to the connection and to where its credentials are kept", engine=engine[0],
        )  # fmt: skip
    if statement.verb == "CREATE DICTIONARY":
        for source in ("FILE", "EXECUTABLE", "EXECUTABLE_POOL", "LIBRARY"):
            if statement.has("SOURCE", "(", source) or _source_is(statement, source):
                yield hazard(
                    "filesystem_access", number, "reject", f"the dictionary's source {source} reads files or "
                                                           f"runs programs",
                    "fill a table and let the dictionary read that",
                )  # fmt: skip
        for source in ("HTTP", "MYSQL", "POSTGRESQL", "MONGODB", "REDIS", "CASSANDRA", "ODBC", "JDBC", "YTSAURUS"):
            if _source_is(statement, source):
                yield hazard(
                    "filesystem_access", number, "needs_approval",
                    f"the dictionary's source {source} makes the server connect to another system with each reload",
                    "have a person agree to the connection and to where its credentials are kept", engine=source,
                )  # fmt: skip


def _source_is(statement: Statement, source: str) -> bool:
    words = statement.words
    return any(
        word.upper == "SOURCE" and at + 2 < len(words) and words[at + 2].upper == source
        for at, word in enumerate(words)
    )


def _outside(name: str) -> bool:
    why = effects.REFUSED[name]
    return "files" in why or "programs" in why or "connections" in why or "library" in why
