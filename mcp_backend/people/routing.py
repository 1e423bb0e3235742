"""Whom a question is put to, and what people do with it beside answering: acknowledge, pass on, ask back.

Timers are looked at whenever somebody reads: no process has to stay awake for them, and none of them can say yes. A
question that nobody acknowledged in time is put to the next role, too; whatever nobody answered lapses.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from mcp_backend import audit
from mcp_backend.errors import FailedPrecondition, InvalidArgument, Json, NotFound, PermissionDenied
from mcp_backend.people import quotes
from mcp_backend.persona import Kind
from mcp_backend.policy import Constraint, Policy, seconds
from mcp_backend.store import Row, Store

LONGEST = 5000
"""Characters of what a person asks back, and of the reply."""


def kind_for(kind: Kind, policy: Policy) -> Kind:
    """The kind as the policy routes it."""
    asking = policy.asking.get(kind.id)
    if asking is None:
        return kind
    return replace(
        kind,
        to=asking.to or kind.to,
        then=kind.then if asking.then is None else asking.then,
        escalate_after=asking.escalate_after or kind.escalate_after,
        expires_after=asking.expires_after or kind.expires_after,
    )


def opening(kind: Kind, constraint: Constraint | None, now: float) -> dict[str, object]:
    """The routing columns of a new escalation: an approval goes to the approvers of its constraint alone."""
    roles = constraint.approvers if constraint and constraint.approvers else (kind.to, *kind.then)
    every = seconds(kind.escalate_after)
    return {
        "assignee": roles[0],
        "asked": json.dumps([roles[0]]),
        "chain": json.dumps(list(dict.fromkeys(role for role in roles[1:] if role != roles[0]))),
        "escalate_every": every,
        "escalate_at": now + every if len(roles) > 1 else None,
    }


async def noted(
    store: Store, identifier: str, now: float, event: str, actor: str, channel: str, note: str = ""
) -> None:
    """Adds one step to the history of an escalation, inside the caller's transaction."""
    await store.run(
        "escalation_event", escalation=identifier, at=now, event=event, actor=actor, channel=channel, note=note
    )


async def pass_on(store: Store, now: float) -> None:
    """Puts what nobody acknowledged in time to the next role. Runs inside the caller's transaction."""
    for row in await store.rows("escalations_overdue", now=now):
        following, *rest = [*_list(row["chain"]), None]
        if following is None:
            continue
        left = [role for role in rest if role is not None]
        due = now + row["escalate_every"] if left else None
        if await _put_to(store, row, following, json.dumps(left), due):
            await noted(store, row["id"], now, "reassigned", "timer", "timer", following)


async def _put_to(store: Store, row: Row, whom: str, chain: str, due: float | None) -> bool:
    asked = list(dict.fromkeys([*_list(row["asked"]), row["assignee"], whom]))
    done = await store.row(
        "escalation_pass_on", id=row["id"], assignee=whom, chain=chain, asked=json.dumps(asked), escalate_at=due,
        before=row["assignee"],
    )  # fmt: skip
    return done is not None


async def end_changed(store: Store, root: Path, now: float) -> None:
    """Ends the open questions whose source says something else now: an answer would be to another question."""
    gone = {
        row["id"]: path for row in await store.rows("escalations_open") if (path := quotes.changed(root, row["quotes"]))
    }
    if not gone:
        return
    async with store.transaction():
        for identifier, path in gone.items():
            if await store.row("escalation_end", id=identifier, status="superseded", now=now):
                await noted(store, identifier, now, "superseded", "world", "timer", f"{path} changed")


def asked(row: Row) -> list[str]:
    """Everybody a question was put to so far: roles, and people by name."""
    return list(dict.fromkeys([*_list(row["asked"]), row["assignee"]]))


def entitled(row: Row, policy: Policy) -> tuple[str, ...]:
    """The people who may answer, as the policy names them; empty when it names nobody."""
    known = {person for people in policy.people.values() for person in people}
    found = [p for whom in asked(row) for p in policy.people.get(whom, (whom,) if whom in known else ())]
    return tuple(dict.fromkeys(found))


def targets(row: Row, policy: Policy, kinds: tuple[Kind, ...]) -> tuple[str, ...]:
    """Whom an escalation can be handed to. An approval stays with the approvers of its constraint."""
    if row["kind"] == "approval":
        constraint = policy.constraint(row["constraint_id"])
        roles = constraint.approvers if constraint else ()
    else:
        routed = [kind_for(kind, policy) for kind in kinds if kind.id != "approval"]
        roles = tuple(dict.fromkeys([*policy.people, *(role for kind in routed for role in (kind.to, *kind.then))]))
    people = [person for role in roles for person in policy.people.get(role, ())]
    return tuple(whom for whom in dict.fromkeys([*roles, *people]) if whom != row["assignee"])


async def acknowledge(store: Store, identifier: str, *, by: str, channel: str, now: float) -> None:
    """A person looks at it: nobody else is asked by a timer. It still lapses without an answer."""
    async with store.transaction():
        if await store.row("escalation_acknowledge", id=identifier):
            await _told(store, identifier, now, "acknowledged", by, channel)
            return
    row = await _open(store, identifier)
    raise FailedPrecondition(f"{row['id']} is {row['status']} already")


async def delegate(
    store: Store, identifier: str, to: str, allowed: tuple[str, ...], *, by: str, channel: str, now: float
) -> None:
    """Hands an escalation to another role or person of `allowed`; nobody is asked after them by a timer.

    Raises `InvalidArgument` naming the others for anybody else, `FailedPrecondition` when it is not open.
    """
    chosen = next((w for w in allowed if to.strip().casefold().replace(" ", "_") == w.casefold().replace(" ", "_")), "")
    row = await _open(store, identifier)
    if not chosen:
        raise InvalidArgument(f"{identifier} can go to {', '.join(allowed) or 'nobody else'}, not to {to!r}")
    async with store.transaction():
        if not await _put_to(store, row, chosen, "[]", None):
            raise FailedPrecondition(f"{identifier} was decided or passed on meanwhile: look at it again")
        await _told(store, identifier, now, "delegated", by, channel, chosen)


async def ask_back(store: Store, identifier: str, question: str, *, by: str, channel: str, now: float) -> None:
    """A person asks the engineer something before answering; its next result carries the question."""
    _words(question, "the question")
    async with store.transaction():
        if not await store.row("escalation_ask_back", id=identifier):
            raise FailedPrecondition(f"{identifier} is not open any more")
        await _told(store, identifier, now, "asked_back", by, channel, question.strip())


async def reply(store: Store, identifier: str, text: str, *, asker: str, now: float) -> None:
    """The engineer answers what a person asked back. Only who asked may, and only while it is asked."""
    _words(text, "the reply")
    await _own(store, identifier, asker)
    async with store.transaction():
        if not await store.row("escalation_reply", id=identifier):
            raise FailedPrecondition(f"{identifier}: nobody asked back; check_escalation says how it stands")
        await _told(store, identifier, now, "replied", asker, "tool", text.strip())


async def withdraw(store: Store, identifier: str, why: str, *, asker: str, now: float) -> None:
    """The asker needs no answer any more."""
    await _own(store, identifier, asker)
    async with store.transaction():
        if not await store.row("escalation_end", id=identifier, status="withdrawn", now=now):
            raise FailedPrecondition(f"{identifier} is not open any more")
        await _told(store, identifier, now, "withdrawn", asker, "tool", why.strip())


async def _own(store: Store, identifier: str, asker: str) -> None:
    row = await _open(store, identifier)
    if row["asker"] != asker:
        raise PermissionDenied(
            f"{identifier} was asked by {row['asker']}: only the asker replies to it or withdraws it"
        )


async def _open(store: Store, identifier: str) -> Row:
    row = await store.row("escalation_get", id=identifier)
    if row is None:
        known = [str(r["id"]) for r in await store.rows("escalations_open")]
        raise NotFound(f"no escalation {identifier[:40]}; open ones: {', '.join(known) or 'none'}")
    if row["status"] not in ("open", "acknowledged"):
        raise FailedPrecondition(f"{identifier} is {row['status']}: it is not open any more")
    return row


async def _told(store: Store, identifier: str, now: float, event: str, by: str, channel: str, note: str = "") -> None:
    """The step in the history and, without its words, in the audit."""
    await noted(store, identifier, now, event, by, channel, note)
    record: dict[str, Json] = {"at": datetime.fromtimestamp(now, UTC).isoformat(), "event": event,
                               "escalation": identifier, "by": by, "channel": channel}  # fmt: skip
    await audit.append(store, {**record, "to": note} if event == "delegated" else record)


def _words(text: str, what: str) -> None:
    if not text.strip():
        raise InvalidArgument(f"{what} is empty")
    if len(text) > LONGEST:
        raise InvalidArgument(f"{what}: expected at most {LONGEST:,} characters")


def _list(text: str) -> list[str]:
    return [str(item) for item in cast("list[object]", json.loads(text or "[]"))]
