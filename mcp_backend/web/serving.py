"""`mcp-backend inbox serve`: the inbox in a browser, from a person's own terminal."""

import argparse
import asyncio
import socket
import sys

from mcp_backend.errors import InvalidArgument, PermissionDenied
from mcp_backend.listening import listener
from mcp_backend.people import seat


def serve(options: argparse.Namespace) -> int:
    """Serves until interrupted. Raises `PermissionDenied` in the shell of an agent and without a terminal, where
    nobody would read the link."""
    if found := seat.agent():
        raise PermissionDenied(
            f"this shell belongs to {found}, and the engineer does not answer itself. A person starts the inbox in a "
            "terminal of their own"
        )
    if not sys.stdout.isatty():
        raise PermissionDenied("the link of the inbox is shown on a terminal only: standard output must be one")
    if not 0 <= options.port <= 65535:
        raise InvalidArgument(f"--port: expected 0 to 65535, not {options.port}")
    with listener("127.0.0.1", options.port) as listening:
        return asyncio.run(_serve(options, listening))


async def _serve(options: argparse.Namespace, listening: socket.socket) -> int:
    import uvicorn

    from mcp_backend.people.inbox import open_inbox
    from mcp_backend.web.site import Door, site

    host = f"127.0.0.1:{listening.getsockname()[1]}"
    door = Door(lambda key: print(f"open once: http://{host}/enter?key={key}", flush=True))
    with open_inbox(options.workspace) as inbox:

        class Server(uvicorn.Server):
            """Shows the first link once it can be followed, and Ctrl-C is heard."""

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                print(f"inbox of {inbox.reader} on http://{host}; each link works once, Ctrl-C ends it", flush=True)
                door.renew()

        config = uvicorn.Config(
            site(inbox, door, host), log_level="warning", access_log=False, timeout_graceful_shutdown=1
        )
        await Server(config).serve(sockets=[listening])
    return 0
