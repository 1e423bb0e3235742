"""`mcp-backend doctor --harden ENGINE`: a role with which nothing depends on any analysis of statements.

The script is for an administrator to read and run; nothing is changed from here. What the catalog says about the role
decides whether it holds.
"""

from dataclasses import dataclass
from pathlib import Path

from mcp_backend.app import read_policy
from mcp_backend.engines import Engines
from mcp_backend.errors import Json
from mcp_backend.settings import workspace


@dataclass(frozen=True, slots=True)
class Hardening:
    """A script for an administrator, and what the role could do but read. `used` tells of the role of the URL."""

    engine: str
    role: str
    sql: str
    exists: bool
    faults: tuple[str, ...]
    used: str

    @property
    def holds(self) -> bool:
        """Whether the role exists and can only read."""
        return self.exists and not self.faults

    def as_json(self) -> dict[str, Json]:
        """For programs."""
        return {
            "engine": self.engine, "role": self.role, "exists": self.exists, "holds": self.holds,
            "faults": [*self.faults], "used": self.used, "sql": self.sql,
        }  # fmt: skip


async def harden(start: Path, engine: str | None, role: str) -> Hardening:
    """The hardening of an engine. Raises `BackendError` when there is no such engine or it does not answer."""
    place = workspace(start)
    engines = Engines(read_policy(place, start).engines, place)
    try:
        chosen = engines.choose(engine, ("postgresql", "clickhouse"))
        looked_at = _clickhouse if chosen.kind == "clickhouse" else _postgresql
        return await looked_at(engines, chosen.name, role)
    finally:
        await engines.close()


async def _postgresql(engines: Engines, name: str, role: str) -> Hardening:
    from mcp_backend.engines.pg import errors, roles
    from mcp_backend.engines.pg.wire import Step

    engine = engines.postgresql(name)
    database, about = await engine.look_up([Step("select pg_catalog.current_database()"), roles.report(role)])
    for reply in (database, about):
        if reply.error is not None:
            raise errors.refusal(reply.error, field="the catalog")
    found = roles.read_report(about).faults if about.rows else ()
    sql = roles.hardening(role, str(database.rows[0][0]))
    return Hardening(name, role, sql, bool(about.rows), found, str(await engine.role()))


async def _clickhouse(engines: Engines, name: str, role: str) -> Hardening:
    from mcp_backend.engines.ch import errors, hardening

    engine = engines.clickhouse(name)
    try:
        standing = await engine.standing()
        databases = [str(row[0]) for row in await engine.rows(hardening.DATABASES)]
        found = hardening.faults(standing.readonly, await engine.rows(hardening.GRANTS))
    except errors.ServerError as error:
        raise errors.refusal(error, field="the catalog") from None
    # A user may look at its own grants only: that of the URL is the one that can be judged.
    used = f"{standing.user}: {'; '.join(found) or 'hardened'}"
    exists = standing.user == role
    return Hardening(name, role, hardening.script(role, databases), exists, found if exists else (), used)
