"""The inbox as a site on loopback: a link opened once gives the session, a form gives the decision.

The link is printed on the terminal of the person who started the site and works once; what it gives is a cookie that
scripts and other sites do not get. A request must name this host (https://owasp.org/www-community/attacks/DNS_Rebinding)
and, to change anything, come from this origin with the token of its session.
"""

import asyncio
import base64
import hmac
import json
import secrets
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from mcp_backend import audit
from mcp_backend.errors import BackendError, NotFound
from mcp_backend.people.inbox import Inbox
from mcp_backend.store import Row
from mcp_backend.web import evidence, forms, kept, pages, sharing
from mcp_backend.web.markup import Reader, page, text
from mcp_backend.web.one import one as one_page
from mcp_backend.web.pages import FILTERS
from mcp_backend.web.rehearsal import rendered

COOKIE = "mcp-backend-inbox"
ALIVE_SECONDS = 15.0
RECORDS = 100
"""Records of the audit on one page."""
LOOKS = 50
"""How many hundreds of records one page looks through for those of a kind."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
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
                return _html(page("Closed", words), 403)
            try:
                return await handler(request, Reader(inbox.reader, token(session), _mark(inbox)))
            except BackendError as error:
                code = 404 if isinstance(error, NotFound) else 400
                body = f"<h1>That did not work</h1><p>{text(error.reason)}</p>"
                return _html(page("Error", body, Reader(inbox.reader, "")), code)

        return _here(guarded, host)

    async def enter(request: Request) -> Response:
        session = door.enter(request.query_params.get("key", ""))
        if session is None:
            words = "<h1>This link was used, or is none</h1><p>The terminal shows the one that works.</p>"
            return _html(page("Closed", words), 403)
        response = RedirectResponse("/", 303, headers=HEADERS)
        response.set_cookie(COOKIE, session, httponly=True, samesite="strict", path="/")
        return response

    async def shown(row: Row, reader: Reader, problem: str = "") -> str:
        steps = await inbox.history(row)
        for digest in evidence.digests(row):
            await sharing.bring(inbox.store, inbox.place, digest)
        return await asyncio.to_thread(one_page, inbox, row, steps, _now(), reader, problem=problem)

    async def waiting(request: Request, reader: Reader) -> Response:
        return _html(pages.listing(await inbox.waiting(_now()), _now(), reader))

    async def decided(request: Request, reader: Reader) -> Response:
        rows = [row for row in await inbox.waiting(_now(), everything=True) if row["decided"]]
        return _html(pages.listing(rows[::-1], _now(), reader, decided=True))

    async def one(request: Request, reader: Reader) -> Response:
        return _html(await shown(await inbox.one(request.path_params["id"]), reader))

    async def decide(request: Request, reader: Reader) -> Response:
        row = await inbox.one(request.path_params["id"])
        try:
            form = await forms.sent(request, host, reader)
            await forms.act(inbox, row, form, _now())
        except BackendError as error:
            return _html(await shown(await inbox.one(row["id"]), reader, error.reason), 400)
        return RedirectResponse(f"/escalations/{row['id']}", 303, headers=HEADERS)

    async def log(request: Request, reader: Reader) -> Response:
        count, breaks = await audit.verify(inbox.store)
        whole = f"{count} records, the chain holds." if not breaks else f"Broken: {breaks[0].problem}."
        kind, before = request.query_params.get("show", ""), request.query_params.get("before", "")
        records, older = await _records(inbox, kind, int(before) if before.isdecimal() else sys.maxsize)
        return _html(pages.audit(records, whole, reader, shown=kind if kind in FILTERS else "", older=older))

    async def rehearsal(request: Request, reader: Reader) -> Response:
        digest = request.path_params["digest"]
        await sharing.bring(inbox.store, inbox.place, digest)
        about = await asyncio.to_thread(kept.read, inbox.place, digest)
        content = rendered(cast("Mapping[str, Any]", about))
        return HTMLResponse(content, headers={**HEADERS, "Content-Security-Policy": _own_style(content)})

    async def changes(request: Request, reader: Reader) -> Response:
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        since = request.query_params.get("since", "")
        return StreamingResponse(_changes(inbox, since), media_type="text/event-stream", headers=headers)

    return Starlette(
        routes=[
            Route("/enter", _here(enter, host)),
            Route("/", inside(waiting)),
            Route("/decided", inside(decided)),
            Route("/audit", inside(log)),
            Route("/rehearsals/{digest}", inside(rehearsal)),
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


async def _records(inbox: Inbox, kind: str, before: int) -> tuple[list[dict[str, Any]], int]:
    """A page of audit records of a kind, and where the next one begins, 0 at the end."""
    wanted, found = FILTERS.get(kind), list[dict[str, Any]]()
    for _ in range(LOOKS):
        rows = await inbox.store.rows("audit_before", seq=before, limit=RECORDS)
        for row in rows:
            record = cast("dict[str, Any]", json.loads(row["record"]))
            if wanted is None or record.get("event") in wanted:
                found.append(record)
            before = int(row["seq"])
            if len(found) == RECORDS:
                return found, before
        if len(rows) < RECORDS:
            return found, 0
    return found, before


def _own_style(content: str) -> str:
    """The policy for a page that carries its style in itself: that very style, and nothing else."""
    style = content.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )


def _mark(inbox: Inbox) -> str:
    """How far the store is, as a page carries it. It means something to this very process alone."""
    return str(inbox.store.mark())


async def _changes(inbox: Inbox, since: str) -> AsyncGenerator[str]:
    """An event each time somebody wrote to the store (https://html.spec.whatwg.org/#server-sent-events), also for what
    was written between the reading of the page and this."""
    seen = inbox.store.mark()
    yield "retry: 2000\n\n"
    if since and since != str(seen):
        yield "event: change\ndata:\n\n"
    while True:
        if await inbox.store.changed(seen, ALIVE_SECONDS):
            seen = inbox.store.mark()
            yield "event: change\ndata:\n\n"
        else:
            yield ": still here\n\n"


def _html(content: str, status: int = 200) -> Response:
    return HTMLResponse(content, status, headers=HEADERS)


def _now() -> float:
    return datetime.now(UTC).timestamp()
