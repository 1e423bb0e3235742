"""Whether code of the workspace feeds a destination from an outbox, so that publishing by hand goes around it."""

import asyncio
from typing import cast

from mcp_backend.pipelines.brokers import overlaps
from mcp_backend.pipelines.model import System
from mcp_backend.pipelines.scan import scan
from mcp_backend.policy.outboxes import Outbox
from mcp_backend.settings import Workspace

FRESH_SECONDS = 10.0
"""For so long the code is taken to be what it was: a publish must not wait for a look at every file."""
LOOK_SECONDS = 2.0
"""How long a publish may wait for the first look at the code."""


def twice(outbox: Outbox, kind: str) -> list[str]:
    """What to say where a row that is published by hand arrives again with the relay."""
    if kind == "nats":
        return []
    return [f"the relay of {outbox.table} publishes the row as well: readers tell the copies by their message_id"]


async def feeding(workspace: Workspace, kind: str, destination: str) -> str:
    """Why publishing there goes around an outbox, and what to do instead; empty when no relay feeds it."""
    looking = scan(workspace)
    code = looking.recent(FRESH_SECONDS) or (await asyncio.to_thread(looking.look, LOOK_SECONDS))[0]
    system = cast("System", kind)
    for stage in code.stages:
        for out in stage.out if stage.reads else ():
            if out.publish.system == system and overlaps(system, out.to, destination):
                return (
                    f"{destination} is fed by {stage.name} ({out.path}:{out.publish.line}) from the table "
                    f"{min(stage.reads)}: a message published around it may be about data that is not committed, and "
                    "overtakes what waits there. Insert the row in the transaction of the data instead"
                )
    return ""
