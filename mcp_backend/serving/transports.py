"""stdio, and over_http.py for SSE and streamable HTTP, which a host that speaks stdio never imports."""

import argparse
import asyncio
import gc
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server import NotificationOptions, Server
from mcp.server.stdio import stdio_server

from mcp_backend import telemetry
from mcp_backend.app import App
from mcp_backend.errors import InvalidArgument
from mcp_backend.server import Options, build
from mcp_backend.serving import log_lines, memory, wire_ends
from mcp_backend.tools import TOOLSETS

if TYPE_CHECKING:
    from mcp_backend.serving.front import Wire

END_SECONDS = 15.0
"""How long calls may take back what they began, once the server was told to end."""
CHANGES = NotificationOptions(prompts_changed=False, resources_changed=True, tools_changed=False)


def serve(options: argparse.Namespace) -> int:
    """Serves until the host closes stdin, or until interrupted. Logs go to stderr, never to stdout."""
    log_lines.write()
    memory.one_arena()
    telemetry.start()
    try:
        return _serve(options)
    finally:
        telemetry.stop()


def _serve(options: argparse.Namespace) -> int:
    server = build(Options(options.workspace, toolsets(options.toolsets), options.read_only))
    if options.transport == "stdio":
        gc.freeze()
        gc.enable()
        with suppress(asyncio.CancelledError):
            anyio.run(_stdio, server, options.wire)
            return 0
        return 128 + signal.SIGTERM
    from mcp_backend.serving import over_http

    return over_http.serve(server, options)


def toolsets(text: str) -> frozenset[str]:
    """`all` or comma-separated names. Raises `InvalidArgument` for a name that is none."""
    names = (
        frozenset(TOOLSETS) if text == "all" else frozenset(part.strip() for part in text.split(",") if part.strip())
    )
    if unknown := names - set(TOOLSETS):
        raise InvalidArgument(f"--toolsets: unknown {', '.join(sorted(unknown))}; known: {', '.join(TOOLSETS)}")
    return names


async def _stdio(server: Server[App], wire: "Wire | None") -> None:
    own: Any = (wire_ends.Lines(wire), wire_ends.Answers(wire)) if wire is not None else ()
    if wire is not None:  # Without it a thread waits for the host's next line, and nothing can interrupt that.
        _end_on_sigterm()
    giving = asyncio.create_task(memory.giving_back())
    more = True
    try:
        while more:
            async with stdio_server(*own) as (reading, writing):
                await server.run(reading, writing, server.create_initialization_options(CHANGES))
            more = wire is not None and wire.anew()
    finally:
        giving.cancel()


def _end_on_sigterm() -> None:
    """Ends this task on SIGTERM, so that what calls have begun is taken back; a second one ends the process."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end() -> None:
        loop.remove_signal_handler(signal.SIGTERM)
        loop.call_later(END_SECONDS, os._exit, 128 + signal.SIGTERM)
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
