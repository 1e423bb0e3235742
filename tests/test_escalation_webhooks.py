"""Decisions that another system brings: signed, of this moment, once, and only for the people it may speak for."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from mcp_backend import persona, policy
from mcp_backend.errors import BackendError, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from mcp_backend.people.inbox import Inbox, open_inbox
from mcp_backend.serving import webhooks
from mcp_backend.serving.over_http import webhooks as routes
from tests.test_inbox import DIGEST, ask, ask_approval, stored

SECRET = "a-secret-of-the-chat-0123456789"
POLICY = (
    '[people]\ndata_owner = ["ana"]\n[webhooks.chat]\nsecret = "env:CHAT_SECRET"\npeople = ["ana", "ben"]\n'
    '[webhooks.short]\nsecret = "env:SHORT_SECRET"\npeople = ["ana"]\n'
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose policy takes decisions from a chat."""
    monkeypatch.setenv("CHAT_SECRET", SECRET)
    monkeypatch.setenv("SHORT_SECRET", "short")
    (tmp_path / "mcp-backend.toml").write_text(POLICY)
    return tmp_path


@pytest.fixture
def inbox(place: Path) -> Iterator[Inbox]:
    with open_inbox(place) as found:
        yield found


def delivery(
    identifier: str, at: float, secret: str = SECRET, number: str = "msg_00000001", **change: Any
) -> tuple[dict[str, str], bytes]:
    """The headers and the body of an approval by ana."""
    said = {"escalation": identifier, "by": "ana", "decision": "approve", "digest": DIGEST, **change}
    body = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
    signed = webhooks.signature(secret.encode(), number, str(int(at)), body)
    return {"webhook-id": number, "webhook-timestamp": str(int(at)), "webhook-signature": signed}, body


async def test_a_signed_decision_approves_once(place: Path, inbox: Inbox) -> None:
    identifier = await _approval(place)
    now = time.time()
    headers, body = delivery(identifier, now)
    row = await webhooks.receive(inbox, "chat", headers, body, now)
    assert (row["status"], row["answered_by"], row["channel"]) == ("approved", "ana", "webhook")
    with pytest.raises(FailedPrecondition, match="received already"):
        await webhooks.receive(inbox, "chat", headers, body, now)


async def _approval(place: Path) -> str:
    return await asyncio.to_thread(ask_approval, place)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("chat", {"secret": "another-secret-0123456789abcdef"}),
        ("chat", {"at": -301}),
        ("chat", {"at": 301}),
        ("chat", {"number": "short"}),
        ("nobody", {}),
        ("nobody", {"secret": "\0" * 24}),
        ("short", {"secret": "short"}),
    ],
    ids=["other secret", "old", "of the future", "no id", "unknown", "unknown, zero secret", "weak secret"],
)
async def test_a_delivery_that_is_not_genuine_is_refused_in_the_same_words(
    place: Path, inbox: Inbox, name: str, change: dict[str, Any]
) -> None:
    identifier = await _approval(place)
    now = time.time()
    headers, body = delivery(identifier, **{**change, "at": now + change.get("at", 0)})
    with pytest.raises(PermissionDenied) as refused:
        await webhooks.receive(inbox, name, headers, body, now)
    assert refused.value.reason == webhooks.REFUSED
    assert (await inbox.one(identifier))["status"] == "open"


@pytest.mark.parametrize("part", ["webhook-id", "webhook-timestamp", "webhook-signature", "body"])
async def test_every_part_of_a_delivery_is_signed(place: Path, inbox: Inbox, part: str) -> None:
    identifier = await _approval(place)
    now = time.time()
    headers, body = delivery(identifier, now)
    if part == "body":
        body = body.replace(b'"ana"', b'"ben"')
    else:
        text, at = headers[part], 12 if part == "webhook-signature" else -1
        other = str((int(text[-1]) + 1) % 10) if part == "webhook-timestamp" else "A" if text[at] != "A" else "B"
        headers[part] = text[:at] + other + (text[at + 1 :] if at > 0 else "")
    with pytest.raises(PermissionDenied):
        await webhooks.receive(inbox, "chat", headers, body, now)
    for headers in ({}, {"webhook-signature": "v1,", "webhook-id": "x" * 20, "webhook-timestamp": "9" * 400}):
        with pytest.raises(PermissionDenied):
            await webhooks.receive(inbox, "chat", headers, body, now)
    assert (await inbox.one(identifier))["status"] == "open"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"digest": None}, InvalidArgument, "whole digest"),
        ({"digest": DIGEST[:-1]}, InvalidArgument, "whole digest"),
        ({"by": "mallory"}, PermissionDenied, "does not speak for mallory"),
        ({"by": "ben"}, PermissionDenied, "not for ben"),
        ({"by": 7}, InvalidArgument, "by: expected a string"),
        ({"decision": "yes"}, InvalidArgument, "decision: expected approve, deny, answer"),
        ({"decision": "answer", "text": "x"}, InvalidArgument, "is an approval"),
        ({"escalation": "ESC-none"}, NotFound, "no escalation"),
    ],
)
async def test_a_genuine_delivery_still_has_to_be_right(
    place: Path, inbox: Inbox, change: dict[str, Any], error: type[BackendError], words: str
) -> None:
    identifier = await _approval(place)
    now = time.time()
    headers, body = delivery(identifier, now, **change)
    with pytest.raises(error, match=words):
        await webhooks.receive(inbox, "chat", headers, body, now)
    assert (await inbox.one(identifier))["status"] == "open"


async def test_the_asker_does_not_approve_through_another_system(place: Path, inbox: Inbox) -> None:
    identifier = await asyncio.to_thread(lambda: ask_approval(place, asker="ana"))
    now = time.time()
    headers, body = delivery(identifier, now)
    with pytest.raises(PermissionDenied, match="ana asked for this"):
        await webhooks.receive(inbox, "chat", headers, body, now)


async def test_a_secret_may_be_in_the_form_of_standard_webhooks(
    place: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_SECRET", "whsec_" + base64.b64encode(SECRET.encode()).decode())
    identifier = await _approval(place)
    now = time.time()
    headers, body = delivery(identifier, now, decision="deny", text="not on a Friday")
    row = await webhooks.receive(inbox, "chat", headers, body, now)
    assert (row["status"], row["answer"]) == ("denied", "not on a Friday")


def test_over_http(place: Path) -> None:
    question, approval = ask(place), ask_approval(place)
    app = Starlette(routes=routes(place))

    async def talk() -> list[tuple[int, Any]]:
        said: list[tuple[int, Any]] = []
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            now = time.time()
            for path, (headers, body) in (
                ("chat", delivery(question, now, decision="answer", text="half even", number="msg_000000q")),
                ("chat", delivery(approval, now)),
                ("chat", delivery(approval, now)),
                ("other", delivery(approval, now)),
                ("chat", ({}, b"x" * 70_000)),
            ):
                answer = await client.post(f"/webhooks/{path}", headers=headers, content=body)
                said.append((answer.status_code, answer.json()))
            said.append(((await client.get("/webhooks/chat")).status_code, None))
        return said

    said = asyncio.run(talk())
    assert [status for status, _ in said] == [200, 200, 409, 403, 413, 405]
    assert said[1][1] == {"escalation": approval, "status": "approved"}
    assert stored(place, question)["answer"] == "half even"


def test_without_systems_in_the_policy_there_is_no_such_address(tmp_path: Path) -> None:
    assert routes(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[webhooks.chat]\nsecret = "env:X"', "expected a table with secret and people"),
        ('[webhooks.chat]\nsecret = "plain"\npeople = ["ana"]', "never a secret itself"),
        ('[webhooks.chat]\nsecret = "env:X"\npeople = []', "expected a list of the people"),
    ],
)
def test_a_wrong_policy_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "mcp-backend.toml").write_text(text)
    with pytest.raises(InvalidArgument, match=reason):
        policy.load(tmp_path / "mcp-backend.toml", persona.load().constraints)
