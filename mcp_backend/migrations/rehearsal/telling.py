"""From effects to the statements of the report."""

from mcp_backend.migrations.rehearsal.effects import TABLES, Effect, World
from mcp_backend.migrations.rehearsal.observe import BLOCKS
from mcp_backend.migrations.rehearsal.report import Lock, Rewrite, Scan, Statement
from mcp_backend.settings import hide_credentials


def statements(effects: tuple[Effect, ...], world: World) -> tuple[Statement, ...]:
    """Each statement as it ran."""
    return tuple(_statement(effect, world) for effect in effects)


def _statement(effect: Effect, world: World) -> Statement:
    seen = effect.seen
    locks: list[Lock] = []
    for oid, mode in sorted(seen.locks, key=lambda lock: (-list(BLOCKS).index(lock[1]), lock[0])):
        name = world.name(oid)
        if name and (world.kind(oid) in (*TABLES, "v", "f") or BLOCKS[mode] == "reads+writes"):
            locks.append(Lock(name, mode, BLOCKS[mode]))
    error = ""
    if seen.failed:
        error = f"{seen.failed.sqlstate} {hide_credentials(seen.failed.message)[:300]}"
    return Statement(
        number=seen.number,
        sql=_hidden(seen.parsed.sql),
        line=seen.parsed.line,
        file=seen.file,
        transaction=seen.transaction,
        elapsed_ms=seen.elapsed_ms,
        locks=tuple(locks[:20]),
        rewrites=tuple(Rewrite(n, world.size(n).rows, world.size(n).bytes) for n in effect.rewrites),
        scans=tuple(Scan(n, rows, world.size(n).rows) for n, rows in effect.scans.items()),
        rows=sum(rows for rows, _ in effect.written.values()),
        wal_bytes=seen.wal,
        estimate=effect.estimate,
        error=error,
    )


def _hidden(sql: str) -> str:
    from mcp_backend.migrations.statements import without_passwords

    return without_passwords(sql)
