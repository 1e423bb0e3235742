"""The audit records that this server wrote lately, until nothing can take them away any more.

The end of a call, and the start of one that only reads, is not waited for until a standby has it. When a shared store
fails over, the last of them can be missing there; whoever wrote them still knows, and writes them again.
"""

import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from mcp_backend import audit
from mcp_backend.errors import Json
from mcp_backend.store import Store

KEPT_SECONDS = 120.0
"""A standby that follows synchronously has a record within a second; this is for one that was slow."""
MOST = 20_000


@dataclass(frozen=True, slots=True)
class Written:
    """One record as it was committed."""

    at: float
    seq: int
    hash: str
    record: Mapping[str, Json]


class Recent:
    """What one server wrote, the oldest first."""

    def __init__(self) -> None:
        self._written: deque[Written] = deque(maxlen=MOST)

    def add(self, seq: int, digest: str, record: Mapping[str, Json]) -> None:
        """Remembers a record, once its transaction was committed."""
        self._written.append(Written(time.monotonic(), seq, digest, record))

    async def restore(self, store: Store) -> int:
        """Writes again what is no longer in the store, each with the number it had as `again`; how many they were.

        Raises `Unavailable` as the store does; nothing is forgotten then.
        """
        while self._written and self._written[0].at < time.monotonic() - KEPT_SECONDS:
            self._written.popleft()
        looked = list(self._written)
        if not looked:
            return 0
        there = await _hashes(store, looked)
        lost = [each for each in looked if there.get(each.seq) != each.hash]
        if not lost:
            return 0
        again: list[Written] = []
        async with store.transaction():
            for each in lost:
                record = {**each.record, "again": each.seq}
                seq, digest = await audit.write(store, record)
                again.append(Written(time.monotonic(), seq, digest, record))
                if each.record.get("event") != "started":
                    await store.run("running_remove", call=each.record.get("call"))
        kept = [each for each in self._written if each not in lost]
        self._written = deque([*kept, *again], maxlen=MOST)
        return len(lost)


async def _hashes(store: Store, looked: list[Written]) -> dict[int, str]:
    numbers = json.dumps([each.seq for each in looked])
    return {int(row["seq"]): str(row["hash"]) for row in await store.rows("audit_hashes", numbers=numbers)}
