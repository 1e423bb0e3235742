"""Goes on with a migration that was interrupted half-way: what of it is left to do, looked up and never guessed."""

from dataclasses import replace

from mcp_backend.errors import FailedPrecondition
from mcp_backend.migrations import checkpoint, history
from mcp_backend.migrations.model import Checkpoint, Connection, History, Part, Step
from mcp_backend.migrations.statements import Statement


async def remaining(conn: Connection, past: History, todo: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps without what is done already of the first one.

    Raises `FailedPrecondition` when the file is another one now, or when it cannot be known whether a statement ended;
    the reason then says how to go on.
    """
    point = checkpoint.find(past)
    if point is None:
        return todo
    step = next((s for s in todo if (s.file.version, s.direction) == (point.version, point.direction)), None)
    if step is None or step is not todo[0]:
        raise FailedPrecondition(
            f"{point.version} ({point.direction}) is half-way: {point.done} of its statements took effect. Go on with "
            f'it first: version="{point.version}", direction="{point.direction}"'
        )
    if step.atomic:
        raise FailedPrecondition(
            f"{step.file.where}: {point.done} of its statements took effect outside a transaction, and now it is to "
            f"run in one. {_by_hand(past, step, point, point.done)}"
        )
    sql = [s.sql for part in step.parts for s in part.statements]
    if point.done > len(sql) or checkpoint.of(point.version, point.direction, sql, point.done).sha256 != point.sha256:
        raise FailedPrecondition(
            f"{step.file.where}: its first {point.done} statement(s) took effect and are not what the file says now. "
            "Put them back as they were, and change only what comes after them"
        )
    done, extra = point.done, ()
    if point.begun and done < len(sql):
        statement = [s for part in step.parts for s in part.statements][done]
        ended, extra = await _ended(conn, past, step, point, statement)
        done += ended
    return (_without(step, done, extra), *todo[1:])


def _without(step: Step, done: int, extra: tuple[Statement, ...]) -> Step:
    parts: list[Part] = []
    left = done
    for part in step.parts:
        taken = min(left, len(part.statements))
        left -= taken
        if taken < len(part.statements) or not part.statements:
            parts.append(Part(part.statements[taken:], part.transaction))
    if extra and parts:
        parts[0] = Part((*extra, *parts[0].statements), parts[0].transaction)
    if not parts:
        parts.append(Part((), transaction=False))
    all_sql = tuple(s.sql for part in step.parts for s in part.statements)
    return replace(step, parts=tuple(parts), done=done, extra=len(extra), all_sql=all_sql, before="")


async def _ended(
    conn: Connection, past: History, step: Step, point: Checkpoint, statement: Statement
) -> tuple[int, tuple[Statement, ...]]:
    """1 when the statement that was begun also ended, otherwise 0 and what must be cleared away first."""
    kind = statement.alone
    if kind == "CREATE INDEX CONCURRENTLY" and statement.index:
        name = statement.index[1:-1].replace('""', '"') if statement.index.startswith('"') else statement.index
        found = await history.rows(
            conn,
            "select pg_catalog.format('%I.%I', n.nspname, c.relname), i.indisvalid from pg_catalog.pg_index i "
            "join pg_catalog.pg_class c on c.oid = i.indexrelid join pg_catalog.pg_namespace n on "
            f"n.oid = c.relnamespace where c.relname = {history.literal(name)} and n.nspname !~ '^pg_toast'",
        )
        if any(valid for _, valid in found):
            return 1, ()
        drops = (f"drop index concurrently if exists {full}" for full, _ in found)
        return 0, tuple(Statement(sql, statement.line, patient=True, alone="DROP INDEX CONCURRENTLY") for sql in drops)
    if kind == "DROP INDEX CONCURRENTLY" or kind.startswith(("VACUUM", "REINDEX", "CLUSTER")):
        # Each can be done twice: what is gone is not dropped again, the rest changes no content.
        names = await _gone(conn, statement) if kind == "DROP INDEX CONCURRENTLY" else False
        return (1, ()) if names else (0, ())
    raise FailedPrecondition(
        f"{step.file.where}:{statement.line}: it was begun and PostgreSQL does not keep whether it ended. "
        f"{_by_hand(past, step, point, point.done)}"
    )


async def _gone(conn: Connection, statement: Statement) -> bool:
    """Whether the one index that the statement drops is gone."""
    from postgast import parse

    drop = parse(statement.sql).stmts[0].stmt.drop_stmt
    if len(drop.objects) != 1 or drop.missing_ok:
        return False
    parts = [item.string.sval for item in drop.objects[0].list.items]
    name = ".".join('"' + part.replace('"', '""') + '"' for part in parts)
    rows = await history.rows(conn, f"select pg_catalog.to_regclass({history.literal(name)}) is null")
    return bool(rows[0][0])


def _by_hand(past: History, step: Step, point: Checkpoint, done: int) -> str:
    sql = [s.sql for part in step.parts for s in part.statements]
    again = checkpoint.write(past, checkpoint.of(point.version, point.direction, sql, done))
    over = checkpoint.write(past, checkpoint.of(point.version, point.direction, sql, min(done + 1, len(sql))))
    return (
        f"Look whether it took effect. If it did, a person runs: {over}; if not: {again}; then repeat the call and it "
        "goes on from there"
    )
