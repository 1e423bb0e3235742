"""The inbox as a site on loopback: a link opened once gives the session, a form gives the decision.

The link is printed on the terminal of the person who started the site and works once; what it gives is a cookie that
scripts and other sites do not get. A request must name this host (https://owasp.org/www-community/attacks/DNS_Rebinding)
and, to change anything, come from this origin with the token of its session.
"""

import asyncio
import hmac
import json
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from mcp_backend import audit
from mcp_backend.errors import BackendError, FailedPrecondition, InvalidArgument, NotFound
from mcp_backend.inbox import TAIL, Inbox
from mcp_backend.store import Row
from mcp_backend.terminal import plain
from mcp_backend.web import pages
from mcp_backend.web.pages import Reader

COOKIE = "mcp-backend-inbox"
BODY_LIMIT = 100_000
LOOK_SECONDS = 0.5
"""How often the store is asked whether another process wrote to it."""
ALIVE_SECONDS = 15.0
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
WAYS = {"approved", "denied", "answered"}
Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class Door:
    """Who may come in: the one-time key of the printed link, and the sessions it gave."""

    told: Callable[[str], None]
    """Gets each new key, to print its link."""
    key: str = ""
    sessions: set[str] = field(default_factory=set[str])

    def renew(self) -> None:
        """Makes the next link."""
        self.key = secrets.token_urlsafe(24)
        self.told(self.key)

    def enter(self, key: str) -> str | None:
        """The session for a key that was not used before; the next link is printed."""
        if not self.key or not hmac.compare_digest(key.encode(), self.key.encode()):
            return None
        session = secrets.token_urlsafe(32)
        self.sessions.add(session)
        self.renew()
        return session


def token(session: str) -> str:
    """What the forms of a session carry, so that no other site can send one (synchroniser token)."""
    return hmac.new(session.encode(), b"form", sha256).hexdigest()


def site(inbox: Inbox, door: Door, host: str) -> Starlette:
    """The application; `host` is the only `Host` it answers to, such as `127.0.0.1:4000`."""

    def inside(handler: Callable[[Request, Reader], Awaitable[Response]]) -> Handler:
        async def guarded(request: Request) -> Response:
            session = request.cookies.get(COOKIE, "")
            if session not in door.sessions:
                words = "<h1>This page is for one person</h1><p>Open the link that the terminal shows.</p>"
                return _html(pages.page("Closed", words), 403)
            try:
                return await handler(request, Reader(inbox.reader, token(session)))
            except BackendError as error:
                code = 404 if isinstance(error, NotFound) else 400
                body = f"<h1>That did not work</h1><p>{pages.text(error.reason)}</p>"
                return _html(pages.page("Error", body, Reader(inbox.reader, "")), code)

        return _here(guarded, host)

    async def enter(request: Request) -> Response:
        session = door.enter(request.query_params.get("key", ""))
        if session is None:
            words = "<h1>This link was used, or is none</h1><p>The terminal shows the one that works.</p>"
            return _html(pages.page("Closed", words), 403)
        response = RedirectResponse("/", 303, headers=HEADERS)
        response.set_cookie(COOKIE, session, httponly=True, samesite="strict", path="/")
        return response

    async def waiting(request: Request, reader: Reader) -> Response:
        return _html(pages.listing(await inbox.waiting(_now()), _now(), reader))

    async def decided(request: Request, reader: Reader) -> Response:
        rows = [row for row in await inbox.waiting(_now(), everything=True) if row["decided"]]
        return _html(pages.listing(rows[::-1], _now(), reader, decided=True))

    async def one(request: Request, reader: Reader) -> Response:
        return _html(pages.one(inbox, await inbox.one(request.path_params["id"]), _now(), reader))

    async def decide(request: Request, reader: Reader) -> Response:
        row = await inbox.one(request.path_params["id"])
        try:
            form = await _form(request, host, reader)
            await _decide(inbox, row, form)
        except BackendError as error:
            fresh = await inbox.one(row["id"])
            return _html(pages.one(inbox, fresh, _now(), reader, problem=error.reason), 400)
        return RedirectResponse(f"/escalations/{row['id']}", 303, headers=HEADERS)

    async def log(request: Request, reader: Reader) -> Response:
        count, breaks = await audit.verify(inbox.store)
        whole = f"{count} records, the chain holds." if not breaks else f"Broken: {breaks[0].problem}."
        rows = await inbox.store.rows("audit_recent", limit=300)
        records = [cast("dict[str, Any]", json.loads(row["record"])) for row in rows]
        return _html(pages.audit(records, whole, reader))

    async def changes(request: Request, reader: Reader) -> Response:
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(_changes(inbox), media_type="text/event-stream", headers=headers)

    return Starlette(
        routes=[
            Route("/enter", _here(enter, host)),
            Route("/", inside(waiting)),
            Route("/decided", inside(decided)),
            Route("/audit", inside(log)),
            Route("/changes", inside(changes)),
            Route("/escalations/{id}", inside(one), methods=["GET"]),
            Route("/escalations/{id}", inside(decide), methods=["POST"]),
            Route("/site.css", _here(_file("site.css", "text/css"), host)),
            Route("/live.js", _here(_file("live.js", "text/javascript"), host)),
        ]
    )


def _here(handler: Handler, host: str) -> Handler:
    """Refuses a request that was not sent to this very host and port."""

    async def checked(request: Request) -> Response:
        named = request.headers.get("host", "")
        if named not in (host, host.replace("127.0.0.1", "localhost")):
            return PlainTextResponse("wrong host", 421, headers=HEADERS)
        return await handler(request)

    return checked


def _file(name: str, kind: str) -> Handler:
    content = (Path(__file__).parent / name).read_bytes()

    async def read(_: Request) -> Response:
        return Response(content, media_type=kind, headers=HEADERS)

    return read


async def _form(request: Request, host: str, reader: Reader) -> dict[str, str]:
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


async def _decide(inbox: Inbox, row: Row, form: dict[str, str]) -> None:
    way = form.get("way", "")
    if way not in WAYS or (way == "answered") == (row["kind"] == "approval"):
        raise InvalidArgument("choose one of the buttons of this page")
    answer = plain(form.get("answer", "").replace("\r\n", "\n")).strip()
    if way == "answered" and not answer:
        raise InvalidArgument("the answer is empty")
    if way == "approved" and form.get("tail", "").strip().casefold() != row["digest"][-TAIL:]:
        raise FailedPrecondition("that is not the end of the digest: nothing was decided")
    await inbox.decide(row, status=way, answer=answer, channel="web", now=_now())


async def _changes(inbox: Inbox) -> AsyncGenerator[str]:
    """An event each time another process wrote to the store (https://html.spec.whatwg.org/#server-sent-events)."""
    seen, quiet = inbox.store.data_version(), 0.0
    yield "retry: 2000\n\n"
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        quiet += LOOK_SECONDS
        if (version := inbox.store.data_version()) != seen:
            seen, quiet = version, 0.0
            yield "event: change\ndata:\n\n"
        elif quiet >= ALIVE_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"


def _html(content: str, status: int = 200) -> Response:
    return HTMLResponse(content, status, headers=HEADERS)


def _now() -> float:
    return datetime.now(UTC).timestamp()
