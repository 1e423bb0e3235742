"""SSE and streamable HTTP. Without authentication on loopback only."""

import argparse
import ipaddress
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import uvicorn
from mcp.server import Server
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from mcp.server.auth.settings import AuthSettings
from mcp.server.sse import SseServerTransport
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_backend.app import App, read_policy
from mcp_backend.errors import BackendError, InvalidArgument
from mcp_backend.listening import listener
from mcp_backend.policy.serving import Http
from mcp_backend.serving.health import Draining, Health
from mcp_backend.serving.http_limits import IDLE_SECONDS, Impatient, connections
from mcp_backend.serving.transports import CHANGES
from mcp_backend.settings import workspace

if TYPE_CHECKING:
    from mcp_backend.serving.access import Verifier


def serve(server: Server[App], options: argparse.Namespace) -> int:
    """Serves until interrupted. Raises `InvalidArgument` for an address that needs authentication and has none."""
    settings = read_policy(workspace(options.workspace), options.workspace)
    http = settings.http
    if not loopback(options.host) and not http.authenticated:
        raise InvalidArgument(
            f"--host: {options.host} is not a loopback address; without authentication ([http] tokens or issuer in "
            "mcp-backend.toml) only those"
        )
    if bool(options.tls_cert) != bool(options.tls_key):
        raise InvalidArgument("--tls-cert and --tls-key: expected both or none")
    health = Health(server, http.drain)
    routes = [*health.routes(), *webhooks(options.workspace)]
    if options.transport == "http":
        app = streamable_http(server, http, routes, shared=bool(settings.store.url) and not http.sticky)
    else:
        app = sse(server, http, routes)
    path = "/mcp" if options.transport == "http" else "/sse"
    listening = listener(options.host, options.port)
    host = f"[{options.host}]" if ":" in options.host else options.host
    scheme = "https" if options.tls_cert else "http"
    print(f"mcp-backend serves {scheme}://{host}:{listening.getsockname()[1]}{path}", file=sys.stderr, flush=True)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=3, server_header=False,
        http=Impatient, limit_concurrency=connections(), timeout_keep_alive=IDLE_SECONDS,
        ssl_certfile=options.tls_cert, ssl_keyfile=options.tls_key,
    )  # fmt: skip
    Draining(config, health).run(sockets=[listening])
    return 0


def loopback(host: str) -> bool:
    """Whether the host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def webhooks(start: Path) -> list[Route]:
    """`POST /webhooks/NAME`, where the policy names systems that bring people's decisions. A signature, not a token of
    this server, says who sends."""
    from mcp_backend.people.inbox import open_inbox
    from mcp_backend.serving import webhooks as deliveries

    if not read_policy(workspace(start), start).webhooks:
        return []

    async def receive(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > deliveries.BODY_LIMIT:
                return JSONResponse({"error": {"reason": f"expected at most {deliveries.BODY_LIMIT} bytes"}}, 413)
        name, now = request.path_params["name"], datetime.now(UTC).timestamp()
        try:
            with open_inbox(start) as inbox:
                row = await deliveries.receive(inbox, name, request.headers, bytes(body), now)
        except BackendError as error:
            status = {"permission_denied": 403, "invalid_argument": 400, "not_found": 404, "unavailable": 503}
            return JSONResponse({"error": error.as_json()}, status.get(error.code, 409))
        return JSONResponse({"escalation": row["id"], "status": row["status"]})

    return [Route("/webhooks/{name}", receive, methods=["POST"])]


def streamable_http(server: Server[App], http: Http, more: Sequence[Route], *, shared: bool) -> Starlette:
    """The streamable HTTP application at `/mcp`, with the SDK's checks of Host, Origin, body size and token.

    `shared`: any replica answers any request, so no session of the former era of the protocol is kept on one.
    """
    return server.streamable_http_app(
        transport_security=_security(http),
        max_sessions=http.max_sessions,
        stateless_http=shared,
        custom_starlette_routes=list(more),
        auth=_settings(http),
        token_verifier=_verifier(http),
    )


def sse(server: Server[App], http: Http, more: Sequence[Route]) -> Starlette:
    """The SSE application at `/sse` (deprecated by the specification, still what some hosts speak)."""
    transport = SseServerTransport("/messages/", security_settings=_security(http))

    async def connect(scope: Scope, receive: Receive, send: Send) -> None:
        async with transport.connect_sse(scope, receive, send) as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options(CHANGES))

    listen: ASGIApp = connect
    post: ASGIApp = transport.handle_post_message
    routes: list[BaseRoute] = [*more]
    middleware: list[Middleware] = []
    settings, verifier = _settings(http), _verifier(http)
    if settings is not None and verifier is not None and settings.resource_server_url is not None:
        backend = BearerAuthBackend(verifier, resource_server_url=settings.resource_server_url)
        middleware = [Middleware(AuthenticationMiddleware, backend=backend), Middleware(AuthContextMiddleware)]
        metadata = build_resource_metadata_url(settings.resource_server_url)
        listen, post = RequireAuthMiddleware(listen, [], metadata), RequireAuthMiddleware(post, [], metadata)
        routes += create_protected_resource_routes(settings.resource_server_url, [settings.issuer_url])
    routes += [Route("/sse", _Endpoint(listen), methods=["GET"]), Mount("/messages/", app=post)]
    return Starlette(routes=routes, middleware=middleware)


class _Endpoint:
    """An ASGI application as the endpoint of a route: a function would be taken for one that returns a response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _settings(http: Http) -> AuthSettings | None:
    from mcp_backend.serving import access  # brings cryptography

    return access.settings(http) if http.authenticated else None


def _verifier(http: Http) -> "Verifier | None":
    from mcp_backend.serving.access import Verifier

    return Verifier(http) if http.authenticated else None


def _security(http: Http) -> TransportSecuritySettings:
    hosts = ["127.0.0.1:*", "localhost:*", "[::1]:*"]
    origins = [f"http://{host}" for host in hosts]
    if http.url:
        parts = urlsplit(http.url)
        hosts.append(parts.netloc)
        origins.append(f"{parts.scheme}://{parts.netloc}")
    return TransportSecuritySettings(enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=origins)
