"""Approvals are server state, keyed by the digest of the actions and the version of the world.

The agent holds no token: it repeats the same call, and an unspent approval for that digest at that version is
there, or it is not. Each is spent once, by one atomic statement.
"""

from dataclasses import dataclass

from mcp_backend import audit
from mcp_backend.errors import PermissionDenied
from mcp_backend.people import routing
from mcp_backend.store import Store


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval that was just spent on a call."""

    id: str
    escalation: str
    approver: str
    channel: str


async def spend(store: Store, digest: str, at_version: str, now: float) -> Approval | None:
    """Takes an unspent, unexpired approval for exactly this digest at this version, or `None`.

    A clock that was set back does not make an approval live longer: time does not go back behind the last record of
    the audit. Raises `PermissionDenied` when the audit does not hold the decision that the approval came from, or
    holds a call that used it: then somebody wrote into the store.
    """
    latest = max(now, await audit.latest(store) - audit.SKEW)
    row = await store.row("approval_spend", digest=digest, at_version=at_version, now=latest)
    if row is None:
        return None
    decision = {"event": "approved", "escalation": row["escalation"], "digest": digest, "at_version": at_version}
    decision |= {"by": row["approver"], "expires": row["expires"]}
    mark = f'%"id":"{row["id"]}"%'
    if (
        not await audit.holds(store, row["record"], decision)
        or await store.row("audit_naming", after=row["record"], mark=mark) is not None
    ):
        raise PermissionDenied(
            f"the approval {row['id']} is in the store, but by the audit no person gave it for this call, or it was "
            "used already: it counts for nothing. A person runs `mcp-backend audit verify`"
        )
    return Approval(row["id"], row["escalation"], row["approver"], row["channel"])


async def supersede(store: Store, digest: str, at_version: str, now: float) -> None:
    """Ends what was asked or approved, and not used, for this digest in another state of the world."""
    for row in await store.rows("escalation_supersede", digest=digest, at_version=at_version):
        await routing.noted(store, row["id"], now, "superseded", "world", "timer")


async def moved(store: Store, digest: str, at_version: str, now: float) -> str | None:
    """The version an unspent approval of this digest was given for, when that is not `at_version`; such approvals
    lapse now, because the world they were given in is gone."""
    row = await store.row("approvals_elsewhere", digest=digest, at_version=at_version, now=now)
    if row is None:
        return None
    await store.run("approvals_lapse", digest=digest, at_version=at_version, now=now)
    await supersede(store, digest, at_version, now)
    return str(row["at_version"])
