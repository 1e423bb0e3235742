"""Which servers are alive, and what those that died were doing.

A call whose server is dead, or that its living server no longer runs, has no outcome on record: it is `unknown`.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from mcp_backend import audit
from mcp_backend.errors import Unavailable
from mcp_backend.recording.recent import Recent
from mcp_backend.store import Store

SWEEP_SECONDS = 30.0
"""Between two looks for dead servers of a shared store. Servers of one machine look when they start."""
LOST_SECONDS = 1.0
"""Between two looks whether a connection to a shared store was lost: then its records are compared at once."""
log = logging.getLogger("mcp_backend")


@asynccontextmanager
async def alive(
    store: Store, instance: str, clock: Callable[[], datetime], live: Collection[str], told: list[str], recent: Recent
) -> AsyncGenerator[None]:
    """Marks this process as the living server `instance`, and ends the calls that died with others. `told` gets what
    they were; `live` are the calls that run here, `recent` what was recorded of them."""
    async with store.alive(instance):
        if not store.shared:
            told += await report_interrupted(store, instance, live, clock())
            yield
            return
        sweeping = asyncio.create_task(_sweep(store, instance, clock, live, told, recent))
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.wait([sweeping])
            with suppress(Unavailable):
                await _restore(store, recent)


async def _sweep(
    store: Store, instance: str, clock: Callable[[], datetime], live: Collection[str], told: list[str], recent: Recent
) -> None:
    while True:
        losses = store.losses
        try:
            await _restore(store, recent)
            told += await report_interrupted(store, instance, live, clock())
        except Unavailable:
            losses = -1
        left = SWEEP_SECONDS
        while left > 0 and (losses == store.losses or left == SWEEP_SECONDS):
            await asyncio.sleep(LOST_SECONDS)
            left -= LOST_SECONDS


async def _restore(store: Store, recent: Recent) -> None:
    """Before calls are ended as `unknown`: how those ended is known here."""
    if count := await recent.restore(store):
        log.warning("the store lost %d records of this server (a failover?); they were written again", count)


async def report_interrupted(store: Store, instance: str, live: Collection[str], now: datetime) -> list[str]:
    """Ends every call that nobody runs any more as `unknown` in the audit, and says which they were."""
    found: list[str] = []
    async with store.transaction():
        for row in await store.rows("running_all"):
            own = row["instance"] == instance
            if row["call"] in live if own else not await store.dead(row["instance"]):
                continue
            await store.run("running_remove", call=row["call"])
            record = {"at": now.isoformat(), "call": row["call"], "event": "unknown", "tool": row["tool"]}
            await audit.append(store, record)
            found.append(f"{row['tool']} ({row['what']}, call {row['call']})")
    return found
