"""dbmate's history on ClickHouse, and how far a migration has come that was stopped half-way.

The table is dbmate's own (2.37): `schema_migrations(version, ts, applied)`, a ReplacingMergeTree read with FINAL. How
far a migration has come stands in the comment of that table, because no transaction could hold both, and a second table
would be a second history.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_backend.engines.ch.errors import ServerError, refusal
from mcp_backend.engines.ch.fingerprint import digest
from mcp_backend.errors import FailedPrecondition
from mcp_backend.keeper.chdb.tokens import literal
from mcp_backend.migrations import dbmate
from mcp_backend.migrations.clickhouse.mapping import quoted

if TYPE_CHECKING:
    from mcp_backend.engines.ch.analysis import Asks

MARK = "mcp-backend checkpoint "
_LOOK = """
SELECT name, type, (SELECT any(comment) FROM system.tables WHERE database = {database:String} AND name = {table:String})
FROM system.columns WHERE database = {database:String} AND table = {table:String}
"""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a migration has come: `done` statements have ended; the next was begun when `begun`, at the schema
    `before`. `sha256` is of the migration's text."""

    version: str
    direction: str
    sha256: str
    done: int
    begun: bool = False
    before: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """The history table, whether it is there, the versions in it, and an unfinished migration."""

    database: str
    table: str
    exists: bool
    versions: tuple[str, ...] = ()
    checkpoint: Checkpoint | None = None

    @property
    def quoted(self) -> str:
        """The table's name as SQL."""
        return quoted(self.database, self.table)

    @property
    def create(self) -> str:
        """What makes the table, as dbmate does."""
        return (
            f"create table if not exists {self.quoted} (version String, ts DateTime default now(), "
            "applied UInt8 default 1) engine = ReplacingMergeTree(ts) primary key version order by version"
        )

    def record(self, version: str, direction: str) -> str:
        """Writes or takes back a version. Versions are digits."""
        columns, values = (
            ("version, applied", f"'{version}', 0") if direction == "down" else ("version", f"'{version}'")
        )
        return f"insert into {self.quoted} ({columns}) values ({values})"

    def mark(self, checkpoint: Checkpoint | None) -> str:
        """Keeps how far a migration has come, or forgets it."""
        text = f"{MARK}{json.dumps(asdict(checkpoint), sort_keys=True)}" if checkpoint else ""
        return f"alter table {self.quoted} modify comment {literal(text)}"


async def read(asks: "Asks", root: Path) -> History:
    """The history as it is now. Raises `FailedPrecondition` when the table of that name belongs to another tool."""
    database, _, table = dbmate.table_name(root).rpartition(".")
    try:
        database = database or (await asks.standing()).database
        place = {"database": database, "table": table}
        found = await asks.rows(_LOOK, place)
        if not found:
            return History(database, table, exists=False)
        columns = {str(row[0]): str(row[1]) for row in found}
        if columns.get("version") != "String" or "applied" not in columns or "dirty" in columns:
            raise FailedPrecondition(
                f"the table {database}.{table} is not dbmate's (it has {', '.join(columns)}; expected: version, ts, "
                "applied); migrate with the tool it belongs to, or name another table in DBMATE_MIGRATIONS_TABLE"
            )
        rows = await asks.rows(f"SELECT version FROM {quoted(database, table)} FINAL WHERE applied ORDER BY version")
    except ServerError as error:
        raise refusal(error, field="the history of migrations") from None
    versions = tuple(str(row[0]) for row in rows)
    return History(database, table, True, versions, _alive(_checkpoint(str(found[0][2] or "")), versions))


async def structure(asks: "Asks", past: History | None) -> str:
    """The fingerprint of the schema without the history itself and the lock, hex: what migrations change, and what a
    rehearsal can foresee. Raises `ServerError`."""
    left_out = {(past.database, past.table), (past.database, lock_name(past))} if past else set[tuple[str, str]]()
    return await digest(asks, left_out)


def lock_name(past: History) -> str:
    """The table that exists while somebody migrates."""
    return f"{past.table}_lock"


def _alive(checkpoint: Checkpoint | None, versions: tuple[str, ...]) -> Checkpoint | None:
    """A checkpoint that the history does not contradict: the server may have ended between the two."""
    if checkpoint is None or (checkpoint.direction == "up") == (checkpoint.version in versions):
        return None
    return checkpoint


def _checkpoint(comment: str) -> Checkpoint | None:
    if not comment.startswith(MARK):
        return None
    try:
        about = json.loads(comment.removeprefix(MARK))
        return Checkpoint(
            str(about["version"]), str(about["direction"]), str(about["sha256"]), int(about["done"]),
            bool(about["begun"]), str(about["before"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError):
        return None
