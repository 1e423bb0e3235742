"""One server migrates at a time: a lock on the workspace's state, and one in the database for servers elsewhere.

ClickHouse has no locks to take. A table that can be made once only is one; its comment says until when it holds, and
who has it renews that. Left behind by a server that was killed, it is taken over: by a server of the same workspace at
once, because that holds the other lock and so knows, by others when that moment has passed.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_backend.engines.ch.errors import ServerError
from mcp_backend.errors import BackendError, DeadlineExceeded
from mcp_backend.keeper.chdb.tokens import literal
from mcp_backend.migrations.clickhouse.history import History, lock_name
from mcp_backend.migrations.clickhouse.mapping import quoted
from mcp_backend.settings import Workspace, private

if TYPE_CHECKING:
    from mcp_backend.engines.clickhouse import Clickhouse

HOLDS_SECONDS = 60.0
RENEW_SECONDS = 15.0
LOOK_SECONDS = 0.25
CHANGE_SECONDS = 30.0
EXISTS = 57


@asynccontextmanager
async def taken(engine: "Clickhouse", workspace: Workspace, past: History, seconds: float) -> AsyncGenerator[float]:
    """Holds the turn; gives the milliseconds that were waited. Raises `DeadlineExceeded` naming who has it."""
    from mcp_backend.engines.ch.transport import Lost

    began = time.monotonic()
    folder = private(private(workspace.state) / "migrating")
    with open(
        os.open(folder / f"{engine.settings.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "w"
    ) as file:
        await _flock(file.fileno(), began + seconds, folder)
        place = quoted(past.database, lock_name(past))
        mine = f"{os.getpid()}@{socket.gethostname()} {secrets.token_hex(4)}"
        here = hashlib.sha256(f"{socket.gethostname()} {folder}".encode()).hexdigest()[:16]
        await _made(engine, past, place, (mine, here), began + seconds)
        renewing = asyncio.create_task(_renewed(engine, place, (mine, here)))
        try:
            yield (time.monotonic() - began) * 1000
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            with suppress(BackendError, ServerError, TimeoutError, Lost):
                await engine.change(f"DROP TABLE IF EXISTS {place}", {}, CHANGE_SECONDS)


async def _flock(descriptor: int, until: float, folder: Path) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise DeadlineExceeded(
                    f"another server of this workspace migrates (it holds {folder}); nothing was executed. Repeat the "
                    "call when it is done"
                ) from None
        await asyncio.sleep(LOOK_SECONDS)


async def _made(engine: "Clickhouse", past: History, place: str, mine: tuple[str, str], until: float) -> None:
    while True:
        try:
            await engine.change(
                f"CREATE TABLE {place} (held UInt8) ENGINE = Memory COMMENT {literal(_said(mine))}", {}, CHANGE_SECONDS
            )
            return
        except ServerError as error:
            if error.code != EXISTS:
                raise
        holder, held_until, place_of_holder = await _holder(engine, past)
        if time.time() > held_until or place_of_holder == mine[1]:
            await _over(engine, past, place)
            continue
        if time.monotonic() > until:
            raise DeadlineExceeded(
                f"another server migrates this database: {holder or 'unknown'} (it holds the table {place}). "
                f"Nothing was "
                "executed; repeat the call when it is done"
            )
        await asyncio.sleep(LOOK_SECONDS)


async def _over(engine: "Clickhouse", past: History, place: str) -> None:
    """Takes away a lock whose holder died. Renaming succeeds for one server only."""
    aside = quoted(past.database, f"{lock_name(past)}_{secrets.token_hex(4)}")
    with suppress(ServerError):
        await engine.change(f"RENAME TABLE {place} TO {aside}", {}, CHANGE_SECONDS)
        await engine.change(f"DROP TABLE IF EXISTS {aside}", {}, CHANGE_SECONDS)


async def _holder(engine: "Clickhouse", past: History) -> tuple[str, float, str]:
    """Who holds the lock, until when, and from which workspace; nobody, and for ever, when it was let go just now."""
    rows = await engine.rows(
        "SELECT comment FROM system.tables WHERE database = {database:String} AND name = {name:String}",
        {"database": past.database, "name": lock_name(past)},
    )
    try:
        about = json.loads(str(rows[0][0]))
        return str(about["holder"]), float(about["until"]), str(about.get("from"))
    except (IndexError, ValueError, KeyError, TypeError):
        return "", float("inf"), ""


async def _renewed(engine: "Clickhouse", place: str, mine: tuple[str, str]) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        await engine.change(f"ALTER TABLE {place} MODIFY COMMENT {literal(_said(mine))}", {}, CHANGE_SECONDS)


def _said(mine: tuple[str, str]) -> str:
    return json.dumps({"holder": mine[0], "until": time.time() + HOLDS_SECONDS, "from": mine[1]})
