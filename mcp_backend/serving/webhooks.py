"""Decisions of people that another system brings over HTTP: `POST /webhooks/NAME`, each signed by its own secret.

Signed as Standard Webhooks say: `webhook-id`, `webhook-timestamp` and `webhook-signature: v1,<base64>`, an HMAC-SHA256
of `id.timestamp.body` (https://www.standardwebhooks.com). A delivery outside the time window or with an id that was
seen counts for nothing; an approval names the digest of what it approves. The body is JSON: `escalation`, `by`,
`decision` (`approve`, `deny` or `answer`), `digest` with an approval, `text` with an answer.
"""

import base64
import binascii
import hmac
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, cast

from mcp_backend import escalations
from mcp_backend.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from mcp_backend.people.inbox import Inbox
from mcp_backend.policy.asking import Webhook
from mcp_backend.settings import resolve
from mcp_backend.store import Row, Store
from mcp_backend.terminal import plain

log = logging.getLogger("mcp_backend")
CHANNEL = "webhook"
WINDOW_SECONDS = 300
"""How far the time of a delivery may be from ours, to either side."""
BODY_LIMIT = 64_000
SHORTEST = 24
"""Bytes of a secret, at least."""
WAYS: Mapping[str, str] = {"approve": "approved", "deny": "denied", "answer": "answered"}
REFUSED = "the signature, the time or the sender of this delivery is not right"
"""One sentence for every cause: a stranger learns nothing about which it was."""


def signature(secret: bytes, identifier: str, timestamp: str, body: bytes) -> str:
    """What a delivery carries as `webhook-signature`."""
    signed = f"{identifier}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, sha256).digest()).decode()


def verified(hook: Webhook | None, name: str, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """The id of a genuine delivery of this moment. Raises `PermissionDenied`, without saying why."""
    identifier, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    try:
        secret = _key(hook, name) if hook else b"\0" * SHORTEST
    except InvalidArgument as error:
        log.error("webhook %s: %s", name, error.reason)
        raise PermissionDenied(REFUSED) from error
    wanted = signature(secret, identifier, at, body).encode()
    given = headers.get("webhook-signature", "").split()
    genuine = any([hmac.compare_digest(one.encode(), wanted) for one in given[:5]])  # noqa: C419 - all, always
    timely = at.isascii() and at.isdigit() and len(at) < 12 and abs(int(at) - now) <= WINDOW_SECONDS
    if hook is None or not genuine or not timely or not 8 <= len(identifier) <= 200:
        raise PermissionDenied(REFUSED)
    return f"{name}:{identifier}"


async def receive(inbox: Inbox, name: str, headers: Mapping[str, str], body: bytes, now: float) -> Row:
    """Records the decision of a delivery, once. Raises `PermissionDenied` for one that is not genuine or whose person
    may not decide, `InvalidArgument` for one that says nothing, `FailedPrecondition` for one that was seen."""
    hook = inbox.policy.webhooks.get(name)
    identifier = verified(hook, name, headers, body, now)
    assert hook is not None, "verified refuses an unknown name"
    row, said = await _told(inbox, hook, body)
    if not await _first(inbox.store, identifier, now):
        raise FailedPrecondition("this delivery was received already")
    speaker = replace(inbox, reader=str(said["by"]))
    return await speaker.decide(
        row, status=WAYS[said["decision"]], answer=plain(str(said.get("text", ""))).strip(), channel=CHANNEL, now=now
    )


async def _told(inbox: Inbox, hook: Webhook, body: bytes) -> tuple[Row, dict[str, Any]]:
    try:
        data: object = json.loads(body)
    except ValueError as error:
        raise InvalidArgument("the body: expected JSON") from error
    if not isinstance(data, dict):
        raise InvalidArgument("the body: expected an object")
    said = cast("dict[str, Any]", data)
    for field in ("escalation", "by", "decision"):
        if not isinstance(said.get(field), str):
            raise InvalidArgument(f"{field}: expected a string")
    if said["decision"] not in WAYS:
        raise InvalidArgument(f"decision: expected {', '.join(WAYS)}")
    if not escalations.among(hook.people, said["by"]):
        raise PermissionDenied(f"by: this system does not speak for {plain(said['by'])[:100]}")
    row = await inbox.one(said["escalation"])
    if said["decision"] == "approve" and not hmac.compare_digest(str(said.get("digest", "")), str(row["digest"])):
        raise InvalidArgument("digest: expected the whole digest of what is approved")
    return row, said


async def _first(store: Store, identifier: str, now: float) -> bool:
    async with store.transaction():
        await store.run("deliveries_forget", before=now - 2 * WINDOW_SECONDS)
        return await store.row("delivery_add", id=identifier, at=now) is not None


def _key(hook: Webhook, name: str) -> bytes:
    text = resolve(hook.secret, field=f"webhooks.{name}.secret")
    try:
        key = (
            base64.b64decode(text.removeprefix("whsec_"), validate=True) if text.startswith("whsec_") else text.encode()
        )
    except binascii.Error as error:
        raise InvalidArgument(f"webhooks.{name}.secret: expected base64 after whsec_") from error
    if len(key) < SHORTEST:
        raise InvalidArgument(f"webhooks.{name}.secret: expected at least {SHORTEST} bytes in {hook.secret}")
    return key
