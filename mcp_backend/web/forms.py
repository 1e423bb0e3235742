"""What the forms of an escalation's page do: decide, acknowledge, hand over, ask back."""

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.requests import Request

from mcp_backend.errors import FailedPrecondition, InvalidArgument
from mcp_backend.people.inbox import TAIL, Inbox
from mcp_backend.store import Row
from mcp_backend.terminal import plain
from mcp_backend.web.markup import Reader

BODY_LIMIT = 100_000
DECIDING = ("approved", "denied", "answered")
CHANNEL = "web"


async def sent(request: Request, host: str, reader: Reader) -> Mapping[str, str]:
    """The fields of a form that this site sent. Raises `InvalidArgument` for any other."""
    origin = request.headers.get("origin", "")
    if origin.partition("://")[2] != request.headers.get("host", host):
        raise InvalidArgument("this form was not sent from a page of this site")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise InvalidArgument(f"the form is larger than {BODY_LIMIT:,} bytes")
    try:
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise InvalidArgument("the form cannot be read") from error
    found = {name: values[-1] for name, values in fields.items()}
    if not hmac.compare_digest(found.get("token", "").encode(), reader.token.encode()):
        raise InvalidArgument("this form belongs to another session: reload the page")
    return found


async def act(inbox: Inbox, row: Row, form: Mapping[str, str], now: float) -> None:
    """Does what the pressed button says. Raises `InvalidArgument`, `FailedPrecondition` or `PermissionDenied`."""
    way = form.get("way", "")
    words = plain(form.get("answer", "").replace("\r\n", "\n")).strip()
    if way == "acknowledged":
        await inbox.acknowledge(row, channel=CHANNEL, now=now)
    elif way == "delegated":
        await inbox.delegate(row, form.get("to", ""), channel=CHANNEL, now=now)
    elif way == "asked_back":
        await inbox.ask_back(row, words, channel=CHANNEL, now=now)
    elif way in DECIDING and (way == "answered") != (row["kind"] == "approval"):
        await _decide(inbox, row, form, way, words, now)
    else:
        raise InvalidArgument("choose one of the buttons of this page")


async def _decide(inbox: Inbox, row: Row, form: Mapping[str, str], way: str, words: str, now: float) -> None:
    chosen = plain(form.get("choice", "")).strip()
    answer = "\n".join(filter(None, (chosen, words)))
    if way == "answered" and not answer:
        raise InvalidArgument("the answer is empty")
    if way == "approved" and form.get("tail", "").strip().casefold() != row["digest"][-TAIL:]:
        raise FailedPrecondition("that is not the end of the digest: nothing was decided")
    await inbox.decide(row, status=way, answer=answer, channel=CHANNEL, now=now)
