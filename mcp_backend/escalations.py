"""Questions for people, and their answers. Silence is never consent."""

import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mcp_backend import approvals, audit
from mcp_backend.errors import FailedPrecondition, InvalidArgument, Json, NotFound, PermissionDenied
from mcp_backend.people import questions, quotes, routing, wording
from mcp_backend.persona import Kind
from mcp_backend.policy import Constraint, seconds
from mcp_backend.store import Row, Store

CHANNELS = ("inbox",)
OPEN = ("open", "acknowledged")
DECIDED = ("answered", "approved", "denied")
SEATED = ("terminal", "web")
"""Channels that a person at a terminal of their own opened: the engineer runs as the same operating-system user."""
COMPARED = 200
"""How many of the latest escalations a new question is compared with by wording."""


async def open_question(
    store: Store,
    kind: Kind,
    title: str,
    question: str,
    details: Mapping[str, Any],
    *,
    blocking: bool,
    asker: str,
    now: float,
    root: Path | None = None,
) -> tuple[Row, bool]:
    """Opens an escalation, or finds the earlier one that asks the same. The second value tells whether it is new.

    `root` is where the files lie that it quotes: what was decided about other words of them is no answer to it.
    """
    quote = quotes.quoted(root, kind.id, details) if root else ""
    if root:
        await routing.end_changed(store, root, now)
    digest = questions.question_digest(kind.id, title, question, details)
    async with store.transaction():
        await expire(store, now)
        for earlier in await store.rows("escalation_by_digest", digest=digest, at_version=""):
            if _stands(earlier, root):
                return earlier, False
        words = questions.asked_words(title, question, details)
        for earlier in await _questions(store, kind.id):
            if _words(earlier) == words and _stands(earlier, root):
                return earlier, False
        identifier = await _add(
            store, kind, title, question, details, digest, blocking=blocking, asker=asker, now=now, quote=quote
        )
    row = await store.row("escalation_get", id=identifier)
    assert row is not None
    return row, True


def _stands(row: Row, root: Path | None) -> bool:
    """Whether an earlier question is still open or decided, and about the same words."""
    return row["status"] in (*OPEN, *DECIDED) and not (root and quotes.changed(root, row["quotes"]))


async def alike(store: Store, row: Row) -> list[Row]:
    """Earlier questions of the same kind that share many words with this one, decided or open, the most alike first."""
    others = {str(r["id"]): r for r in await _questions(store, row["kind"]) if r["id"] != row["id"]}
    keys = wording.nearest(_words(row), ((key, _words(other)) for key, other in others.items()))
    return [others[key] for key in keys if others[key]["status"] in (*OPEN, *DECIDED)]


def _words(row: Row) -> tuple[str, ...]:
    return questions.asked_words(row["title"], row["question"], json.loads(row["details"]))


async def _questions(store: Store, kind: str) -> list[Row]:
    return [row for row in await store.rows("escalations_all", limit=COMPARED) if row["kind"] == kind]


async def open_approval(
    store: Store,
    kind: Kind,
    constraint: Constraint,
    *,
    tool: str,
    digest: str,
    at_version: str,
    preview: str,
    reason: str,
    asker: str,
    now: float,
    evidence: Mapping[str, Json] | None = None,
) -> Row:
    """Opens the approval of one call, or finds the one that is already open, denied or just granted for it.

    A denial holds as long as the question would have; what was asked in another state of the world ends here.
    `evidence` is what a person looks at beside the preview.
    """
    async with store.transaction():
        await expire(store, now)
        for earlier in await store.rows("escalation_by_digest", digest=digest, at_version=at_version):
            if earlier["status"] in OPEN or (earlier["status"] == "denied" and earlier["expires"] > now):
                return earlier
            if earlier["status"] == "approved" and await _unspent(store, earlier["id"], now):
                return earlier
        await approvals.supersede(store, digest, at_version, now)
        identifier = await _add(
            store,
            kind,
            f"approve {tool}",
            _storable(reason),
            {"preview": _storable(preview), "constraint": constraint.statement, **_shown(evidence)},
            digest,
            blocking=True,
            asker=asker,
            now=now,
            at_version=at_version,
            tool=tool,
            constraint=constraint,
        )
    row = await store.row("escalation_get", id=identifier)
    assert row is not None
    return row


def _storable(text: str) -> str:
    """`text` with lone surrogates (of file names that are not UTF-8) escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _shown(evidence: Mapping[str, Json] | None) -> dict[str, Json]:
    return {"evidence": json.loads(_storable(json.dumps(evidence, ensure_ascii=False)))} if evidence else {}


async def _unspent(store: Store, identifier: str, now: float) -> bool:
    granted = await store.row("approval_of", escalation=identifier)
    return granted is not None and granted["spent"] is None and granted["expires"] > now


async def _add(
    store: Store,
    kind: Kind,
    title: str,
    question: str,
    details: Mapping[str, Any],
    digest: str,
    *,
    blocking: bool,
    asker: str,
    now: float,
    at_version: str = "",
    tool: str = "",
    constraint: Constraint | None = None,
    quote: str = "",
) -> str:
    identifier = f"ESC-{secrets.token_hex(4)}"
    await store.run(
        "escalation_add",
        id=identifier,
        kind=kind.id,
        title=title,
        question=question,
        details=json.dumps(details, ensure_ascii=False),
        blocking=blocking,
        digest=digest,
        at_version=at_version,
        tool=tool,
        constraint_id=constraint.id if constraint else "",
        asker=asker,
        opened=now,
        expires=now + seconds(kind.expires_after),
        quotes=quote,
        **routing.opening(kind, constraint, now),
    )
    await routing.noted(store, identifier, now, "open", asker, "tool")
    return identifier


async def expire(store: Store, now: float) -> None:
    """Ends what nobody answered in time, and puts to the next role what nobody acknowledged. Runs inside the caller's
    transaction. Silence is never consent."""
    for row in await store.rows("escalation_expire", now=now):
        await routing.noted(store, row["id"], now, "expired", "timer", "timer")
    await routing.pass_on(store, now)


async def get(store: Store, identifier: str) -> Row:
    """One escalation. Raises `NotFound` naming the open ones."""
    row = await store.row("escalation_get", id=identifier)
    if row is None:
        known = [str(r["id"]) for r in await store.rows("escalations_open")]
        raise NotFound(f"no escalation {identifier}; open ones: {', '.join(known) or 'none'}")
    return row


async def decide(
    store: Store,
    identifier: str,
    *,
    status: str,
    answer: str,
    by: str,
    channel: str,
    now: float,
    constraint: Constraint | None = None,
    people: tuple[str, ...] = (),
) -> Row:
    """Records a person's answer; an approval becomes spendable in the same transaction.

    `constraint` is the promise that asked for the approval: its channels and its duration hold. `people` are those
    who may answer for the assignee; empty when the policy names nobody. Raises `InvalidArgument` when the answer
    does not suit the kind, `PermissionDenied` when this person or channel may not decide, `FailedPrecondition` when
    the escalation is not open.

    What this fences and what it cannot: the one who asked never approves it, unless at a terminal, because on one
    machine the person and the agent usually share an operating-system user. A process of that user that imitates a
    terminal is not told apart from the person; a separate user for the approver is the boundary.
    """
    row = await get(store, identifier)
    if row["kind"] == "approval" and status not in ("approved", "denied"):
        raise InvalidArgument(f"{identifier} is an approval: answer it with --approve or --deny")
    if status == "answered" and not answer.strip():
        raise InvalidArgument("the answer is empty: say what was decided")
    if status == "approved":
        _may_approve(row, by, channel, constraint, people)
        if (late := await audit.latest(store) - now) > audit.SKEW:
            raise FailedPrecondition(
                f"the clock of this machine is {late:.0f} s behind the last record of the audit: set it, an approval "
                "is not given in the past"
            )
    async with store.transaction():
        await expire(store, now)
        if not await store.row(
            "escalation_decide", id=identifier, status=status, answer=answer, by=by, channel=channel, now=now
        ):
            current = await get(store, identifier)
            raise FailedPrecondition(f"{identifier} is {current['status']}, only an open escalation can be answered")
        await routing.noted(store, identifier, now, status, by, channel)
        at = datetime.fromtimestamp(now, UTC).isoformat()
        decision = {"event": status, "escalation": identifier, "digest": row["digest"], "by": by}
        more: dict[str, Json] = {"kind": row["kind"], "channel": channel, "at_version": row["at_version"]}
        expires = now + seconds(constraint.expires if constraint else "4h")
        if status == "approved":
            more["expires"] = expires
        seq = await audit.append(store, {"at": at, **decision, **more})
        if row["kind"] == "approval" and status == "approved":
            await store.run(
                "approval_add",
                id=f"APR-{secrets.token_hex(4)}",
                escalation=identifier,
                digest=row["digest"],
                at_version=row["at_version"],
                approver=by,
                channel=channel,
                granted=now,
                expires=expires,
                record=seq,
            )
    return await get(store, identifier)


def _may_approve(row: Row, by: str, channel: str, constraint: Constraint | None, people: tuple[str, ...]) -> None:
    vouched = channel == "elicitation" and constraint is not None and channel in constraint.channels
    if by == row["asker"] and channel not in SEATED and not vouched:
        raise PermissionDenied(f"{by} asked for this: somebody else approves it, or the same person at a terminal")
    if constraint and constraint.channels and channel not in constraint.channels:
        raise PermissionDenied(
            f"{constraint.id} is approved through {', '.join(constraint.channels)}, not through {channel}"
        )
    if not among(people, by):
        raise PermissionDenied(f"{row['id']} is for {row['assignee']} ({', '.join(people)}), not for {by}")


def among(people: tuple[str, ...], by: str) -> bool:
    """Whether somebody is one of the people of the policy, or the policy names nobody."""
    return not people or any(by.casefold() in _names(entry) for entry in people)


def _names(entry: str) -> set[str]:
    """The ways a person of the policy is known: `ana`, `ana@example.org`, `Ana Silva <ana@example.org>`."""
    address = re.search(r"[^\s<>]+@[^\s<>]+", entry)
    local = {address[0], address[0].split("@")[0]} if address else set[str]()
    return {name.casefold() for name in (entry, *local)}
