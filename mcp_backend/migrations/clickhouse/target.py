"""What the target is, read and never changed: definitions, sizes, what feeds what, mutations under way, clusters."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcp_backend.engines.ch import definition
from mcp_backend.engines.ch.errors import ServerError, refusal
from mcp_backend.engines.ch.fingerprint import FUNCTIONS, OURS
from mcp_backend.migrations.clickhouse.language import Name

if TYPE_CHECKING:
    from mcp_backend.engines.ch.analysis import Asks

TABLES = f"""
SELECT database, name, engine, create_table_query, ifNull(total_rows, 0), ifNull(total_bytes, 0), sorting_key,
  partition_key, arrayZip(dependencies_database, dependencies_table), toString(uuid)
FROM system.tables WHERE {OURS} AND NOT is_temporary
"""
COLUMNS = f"""
SELECT database, table, name, type, default_kind, data_compressed_bytes, is_in_sorting_key, is_in_partition_key,
  comment, compression_codec, default_expression
FROM system.columns WHERE {OURS} ORDER BY database, table, position
"""
PARTS = f"""
SELECT database, table, sum(rows), sum(bytes_on_disk), count(), uniqExact(partition_id) FROM system.parts
WHERE active AND {OURS} GROUP BY database, table
"""
MUTATIONS = f"""
SELECT database, table, mutation_id, command, parts_to_do, latest_fail_reason FROM system.mutations
WHERE NOT is_done AND {OURS} ORDER BY create_time
"""
_DATABASES = f"SELECT name, engine FROM system.databases WHERE {OURS.replace('database', 'name')}"
_CLUSTERS = "SELECT cluster, uniqExact(host_name, port) FROM system.clusters GROUP BY cluster"
_SETTINGS = "SELECT name, value FROM system.settings WHERE name IN ('mutations_sync', 'alter_sync')"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table that exists."""

    name: str
    type: str
    default_kind: str
    bytes: int
    sorting: bool
    partition: bool
    about: tuple[str, ...] = ()
    """Comment, codec and default, which change nothing for who reads."""

    @property
    def written(self) -> bool:
        """Whether an INSERT may name it."""
        return self.default_kind in ("", "DEFAULT", "EPHEMERAL")


@dataclass(frozen=True, slots=True)
class Table:
    """A table, view or dictionary. `feeds` are the materialised views that read it as rows are inserted."""

    name: Name
    engine: str
    ddl: str
    rows: int
    bytes: int
    sorting: str
    partition: str
    feeds: tuple[Name, ...]
    uuid: str
    columns: Mapping[str, Column]
    parts: int = 0
    partitions: int = 0

    @property
    def stored(self) -> bool:
        """Whether its rows lie in parts of its own."""
        return self.engine.endswith("MergeTree")

    @property
    def to(self) -> Name | None:
        """Where a materialised view writes."""
        if self.engine != "MaterializedView":
            return None
        database, dot, table = definition.parse(self.ddl).target.rpartition(".")
        if not table:
            return self.name[0], f".inner_id.{self.uuid}"
        return (database if dot else self.name[0]), table


@dataclass(frozen=True, slots=True)
class Mutation:
    """A mutation that is not done."""

    table: Name
    id: str
    command: str
    parts_to_do: int
    failed: str


@dataclass(frozen=True, slots=True)
class Schema:
    """Every table at one moment."""

    tables: Mapping[Name, Table]
    mutations: tuple[Mutation, ...] = ()

    def find(self, name: Name | None, current: str) -> Table | None:
        """The table that a name means where `current` is the current database."""
        return self.tables.get((name[0] or current, name[1])) if name else None

    def views(self) -> list[tuple[Name, Name, Name]]:
        """Source, materialised view and target of every step of a chain that is alive."""
        return [
            (table.name, view, target)
            for table in self.tables.values()
            for view in table.feeds
            if view in self.tables and (target := self.tables[view].to) is not None
        ]


@dataclass(frozen=True, slots=True)
class Target:
    """The server that the migration is for."""

    version: str
    database: str
    schema: Schema
    databases: Mapping[str, str]
    functions: Sequence[str] = ()
    clusters: Mapping[str, int] = field(default_factory=dict[str, int])
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    partly: tuple[str, ...] = ()
    """What could not be read, in words."""

    def clustered(self, table: Table | None) -> str:
        """The cluster that a table, or a new one, would be expected on: there are several hosts and replicated or
        distributed tables in a database that does not copy its own definitions."""
        database = table.name[0] if table else self.database
        if self.databases.get(database) in ("Replicated", "Shared"):
            return ""
        seen = [table] if table else [t for t in self.schema.tables.values() if t.name[0] == database]
        spread = any(t.engine.startswith("Replicated") or t.engine == "Distributed" for t in seen)
        several = sorted((-hosts, name) for name, hosts in self.clusters.items() if hosts > 1)
        return several[0][1] if spread and several else ""


async def schema(asks: "Asks") -> Schema:
    """The tables of a server, its parts and its unfinished mutations, as they are now. Raises `ServerError`."""
    tables, columns, parts, mutations = await asyncio.gather(
        asks.rows(TABLES), asks.rows(COLUMNS), asks.rows(PARTS), asks.rows(MUTATIONS)
    )
    by_table: dict[Name, dict[str, Column]] = {}
    for database, table, name, kind, default, size, sorting, partition, *about in columns:
        column = Column(name, kind, default, int(size), bool(sorting), bool(partition), tuple(map(str, about)))
        by_table.setdefault((database, table), {})[name] = column
    sizes = {(row[0], row[1]): [int(n) for n in row[2:]] for row in parts}
    found: dict[Name, Table] = {}
    for database, name, engine, ddl, rows, size, sorting, partition, feeds, uuid in tables:
        key = (database, name)
        stored, on_disk, count, partitions = sizes.get(key, [int(rows), int(size), 0, 0])
        found[key] = Table(
            key, engine, ddl, stored, on_disk, sorting, partition, tuple((d, n) for d, n in feeds), uuid,
            by_table.get(key, {}), count, partitions,
        )  # fmt: skip
    return Schema(found, tuple(Mutation((r[0], r[1]), r[2], r[3], int(r[4]), r[5]) for r in mutations))


async def read(asks: "Asks") -> Target:
    """The target. Raises `BackendError` when its tables cannot be read."""
    try:
        standing = await asks.standing()
        now, databases = await asyncio.gather(schema(asks), asks.rows(_DATABASES))
    except ServerError as error:
        raise refusal(error, field="the catalog of the target") from None
    partly: list[str] = []
    found: list[list[list[Any]]] = []
    for what, sql in (("functions", FUNCTIONS), ("clusters", _CLUSTERS), ("settings", _SETTINGS)):
        try:
            found.append(await asks.rows(sql))
        except ServerError as error:
            partly.append(f"system.{what} of the target cannot be read: {error.message[:120]}")
            found.append([])
    return Target(
        standing.version,
        standing.database,
        now,
        {str(name): str(engine) for name, engine in databases},
        [str(row[1]) for row in found[0]],
        {str(name): int(hosts) for name, hosts in found[1]},
        {str(name): str(value) for name, value in found[2]},
        tuple(partly),
    )
