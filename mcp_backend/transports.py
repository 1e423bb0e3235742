"""stdio, SSE and streamable HTTP. Over HTTP the server listens on loopback only."""

import argparse
import ipaddress
import logging
import socket
import sys

import anyio
import uvicorn
from mcp.server import NotificationOptions, Server
from mcp.server.sse import SseServerTransport
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from mcp_backend.app import App
from mcp_backend.errors import InvalidArgument, Unavailable
from mcp_backend.server import Options, build
from mcp_backend.tools import TOOLSETS

CHANGES = NotificationOptions(prompts_changed=False, resources_changed=True, tools_changed=False)


def serve(options: argparse.Namespace) -> int:
    """Serves until the host closes stdin, or until interrupted. Logs go to stderr, never to stdout."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    server = build(Options(options.workspace, toolsets(options.toolsets), options.read_only))
    if options.transport == "stdio":
        anyio.run(_stdio, server)
        return 0
    if not loopback(options.host):
        raise InvalidArgument(f"--host: {options.host} is not a loopback address; without authentication only those")
    app = streamable_http(server) if options.transport == "http" else sse(server)
    path = "/mcp" if options.transport == "http" else "/sse"
    listening = _listen(options.host, options.port)
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(f"mcp-backend serves http://{host}:{listening.getsockname()[1]}{path}", file=sys.stderr, flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `Unavailable` when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        raise Unavailable(f"--port: cannot listen on {host}:{port}: {error}") from error
    return listening


def toolsets(text: str) -> frozenset[str]:
    """`all` or comma-separated names. Raises `InvalidArgument` for a name that is none."""
    names = (
        frozenset(TOOLSETS) if text == "all" else frozenset(part.strip() for part in text.split(",") if part.strip())
    )
    if unknown := names - set(TOOLSETS):
        raise InvalidArgument(f"--toolsets: unknown {', '.join(sorted(unknown))}; known: {', '.join(TOOLSETS)}")
    return names


def loopback(host: str) -> bool:
    """Whether the host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _stdio(server: Server[App]) -> None:
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options(CHANGES))


def streamable_http(server: Server[App]) -> Starlette:
    """The streamable HTTP application at `/mcp`, with the SDK's checks of Host and Origin."""
    return server.streamable_http_app(transport_security=_security())


def sse(server: Server[App]) -> Starlette:
    """The SSE application at `/sse` (deprecated by the specification, still what some hosts speak)."""
    transport = SseServerTransport("/messages/", security_settings=_security())

    async def connect(request: Request) -> Response:
        async with transport.connect_sse(request.scope, request.receive, request._send) as (reading, writing):  # pyright: ignore[reportPrivateUsage]
            await server.run(reading, writing, server.create_initialization_options(CHANGES))
        return Response()

    return Starlette(
        routes=[Route("/sse", connect, methods=["GET"]), Mount("/messages/", app=transport.handle_post_message)]
    )


def _security() -> TransportSecuritySettings:
    hosts = ["127.0.0.1:*", "localhost:*", "[::1]:*"]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts]
    )
