"""Approvals are server state, keyed by the digest of the actions and the version of the world.

The agent holds no token: it repeats the same call, and an unspent approval for that digest at that version is
there, or it is not. Each is spent once, by one atomic statement.
"""

from dataclasses import dataclass

from mcp_backend.store import Store


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval that was just spent on a call."""

    id: str
    escalation: str
    approver: str
    channel: str


async def spend(store: Store, digest: str, at_version: str, now: float) -> Approval | None:
    """Takes an unspent, unexpired approval for exactly this digest at this version, or `None`."""
    row = await store.row("approval_spend", digest=digest, at_version=at_version, now=now)
    return Approval(row["id"], row["escalation"], row["approver"], row["channel"]) if row else None


async def supersede(store: Store, digest: str, at_version: str, now: float) -> None:
    """Ends what was asked or approved, and not used, for this digest in another state of the world."""
    for row in await store.rows("escalation_supersede", digest=digest, at_version=at_version):
        await store.run(
            "escalation_event", escalation=row["id"], at=now, event="superseded", actor="world", channel="timer"
        )


async def moved(store: Store, digest: str, at_version: str, now: float) -> str | None:
    """The version an unspent approval of this digest was given for, when that is not `at_version`; such approvals
    lapse now, because the world they were given in is gone."""
    row = await store.row("approvals_elsewhere", digest=digest, at_version=at_version, now=now)
    if row is None:
        return None
    await store.run("approvals_lapse", digest=digest, at_version=at_version, now=now)
    await supersede(store, digest, at_version, now)
    return str(row["at_version"])
