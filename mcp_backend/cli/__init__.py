"""The command line. Each command imports what it needs when it runs, so that `--help` and hooks stay fast."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from mcp_backend import __version__
from mcp_backend.cli import arguments, audit, check, doctor, engines, hook, inbox, init, render
from mcp_backend.errors import BackendError

if TYPE_CHECKING:
    from mcp_backend.serving.front import Wire

TRANSPORTS = ("stdio", "sse", "http")


def main(arguments: Sequence[str] | None = None, wire: "Wire | None" = None) -> int:
    """Runs one command; the exit code is 0, 1 for "no" (a violation, a refusal, a failure) or 2 for a wrong call.

    `wire` are standard input and output where they were taken already (front.py).
    """
    options = parser().parse_args(arguments, argparse.Namespace(wire=wire))
    try:
        return int(options.run(options) or 0)
    except (BackendError, BaseExceptionGroup) as error:
        known = _single(error)
        if known is None:
            raise
        print(f"mcp-backend: {known.reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _single(error: BaseException) -> BackendError | None:
    """An error of ours, also as the task groups of a transport hand it on: wrapped, once by each of them."""
    if isinstance(error, BaseExceptionGroup):
        inside = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return _single(inside[0]) if len(inside) == 1 else None
    return error if isinstance(error, BackendError) else None


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    top = argparse.ArgumentParser(prog="mcp-backend", description="The backend engineer that any AI host can hire.")
    top.add_argument("--version", action="version", version=f"mcp-backend {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    serve = commands.add_parser("serve", help="serve MCP to a host")
    serve.add_argument("--transport", choices=TRANSPORTS, default="stdio")
    serve.add_argument(
        "--host", default="127.0.0.1", help="others than loopback need authentication (default %(default)s)"
    )
    serve.add_argument(
        "--port", type=int, default=8765, help="for sse and http; 0 takes a free one (default %(default)s)"
    )
    serve.add_argument("--tls-cert", metavar="FILE", help="PEM certificate chain; otherwise put a proxy before it")
    serve.add_argument("--tls-key", metavar="FILE", help="its private key")
    serve.add_argument("--toolsets", default="all", help="comma-separated: database,messaging,git,tests,… or all")
    serve.add_argument("--read-only", action="store_true", help="offer only tools that change nothing")
    arguments.workspace(serve)
    serve.set_defaults(run=_serve)
    init.add(commands)
    doctor.add(commands)
    engines.add(commands)

    demo = commands.add_parser("demo", help="play a host's session on a small real backend")
    demo.set_defaults(run=_demo)
    check.add(commands)
    hook.add(commands)
    render.add(commands)
    inbox.add(commands)
    audit.add(commands)
    return top


def _serve(options: argparse.Namespace) -> int:
    from mcp_backend.serving import transports

    return transports.serve(options)


def _demo(_: argparse.Namespace) -> int:
    import asyncio

    from mcp_backend.demo import story

    return asyncio.run(story.play())
