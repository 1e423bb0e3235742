"""What a call would run: tool, files, history and steps of one engine, read once and together."""

import asyncio
from dataclasses import replace
from pathlib import Path

from mcp_backend.actions import ExecuteSql
from mcp_backend.engines.postgresql import Connection, Postgresql, schema_version
from mcp_backend.migrations import checkpoint, detect, lost, order, resume
from mcp_backend.migrations.model import Direction, History
from mcp_backend.migrations.run import Prepared
from mcp_backend.migrations.steps import sent, steps


async def prepare(engine: Postgresql, root: Path, version: str | None, direction: Direction) -> Prepared:
    """The plan of a call on an engine. Reads only; nothing pending is a plan without steps, and so is that of a tool
    with a program of its own until that has been observed (`wiretap.observing`).

    Raises `NotFound`, `InvalidArgument` or `FailedPrecondition` when the folder, its files, the history or their order
    must be put right first, `Unavailable` when the database cannot be reached.
    """
    async with engine.session(True, 30) as conn:
        with lost.before(conn, engine):
            tool, files = await detect.find(conn, root, engine.settings)
            folder = detect.folder(root, engine.settings)
            raw = await tool.read(conn, root, files)
            prepared = Prepared((), raw, "", folder, tool, root, files)
            if tool.program:
                from mcp_backend.migrations.wiretap import pending

                todo = pending.todo(tool, files, raw, version, direction)
                return replace(prepared, version=await world(conn, prepared, raw), todo=todo)
            past = checkpoint.settled(raw)
            at_version = await world(conn, prepared, past)
            todo = await asyncio.to_thread(steps, tool, files, past, version, direction, root)
            todo = await resume.remaining(conn, past, todo)
    return replace(prepared, steps=todo, history=past, version=at_version)


async def world(conn: Connection, prepared: Prepared, past: History) -> str:
    """The version of the world: the schema's fingerprint and the newest migration."""
    newest = order.newest(past.versions, prepared.tool.key)
    if prepared.tool.program and past.versions:
        newest = past.versions[-1]
    return f"{await schema_version(conn)}@{newest or 'empty'}"


async def read(conn: Connection, prepared: Prepared) -> History:
    """The history as it is now."""
    return checkpoint.settled(await prepared.tool.read(conn, prepared.root, prepared.files))


def action(prepared: Prepared, engine: Postgresql) -> ExecuteSql:
    """What a guard and a person judge: every statement, at this version of the world."""
    settings = engine.settings
    statements = prepared.observed.said if prepared.observed else sent(prepared.steps, prepared.history)
    return ExecuteSql(settings.name, settings.environment, statements, prepared.version)
