"""Starts the server before a host does, so that the host's first start is as quick as all others.

The first start of an installation compiles every module and waits for the SDK before it can answer; on a busy machine
that is longer than hosts wait (Claude Code 30 s, Codex 10 s). What is answered here is kept (front.py). Standard
library only.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcp_backend.serving import front
from mcp_backend.settings import hide_credentials

HANDSHAKES = ("2025-11-25", "2025-06-18")
MODERN = "2026-07-28"
"""The protocol versions that hosts speak."""
SECONDS = 60.0
"""How long one start may take."""


def at_a_terminal(root: Path, options: Sequence[str] = ()) -> None:
    """Does `prepare` where a person waits and sees why; a pipeline has no host that starts it."""
    from mcp_backend import busy
    from mcp_backend.terminal import paint, plain

    if not sys.stdout.isatty():
        return
    with busy.Busy("starting the server once, so that no host has to wait for its first start"):
        failed = prepare(root, options)
    if failed:
        print(f"{paint('note', 'yellow')}  the server was started once, for a quick start in a host: {plain(failed)}")


def prepare(root: Path, options: Sequence[str] = (), *, seconds: float = SECONDS) -> str:
    """Has `serve` with these options keep its first answers for each protocol version, unless they are kept already.
    Why that did not come about, empty when it did."""
    understood = front.understood([*options])
    if understood is None:
        return ""
    # One after the other: each adds to what the one before has kept.
    for version in (MODERN, *HANDSHAKES):
        if _missing(front.kept(understood)[2], version):
            try:
                failed = _start(root, options, version, seconds)
            except OSError as error:
                failed = f"{sys.executable} cannot be started: {error.strerror}"
            if failed:
                return failed
    return ""


def _missing(known: dict[str, str], version: str) -> bool:
    first = "server/discover" if version == MODERN else "initialize"
    return any(f"{name} {version}" not in known for name in (first, *front.LISTS[1:]))


def _start(root: Path, options: Sequence[str], version: str, seconds: float) -> str:
    """One connection, from the handshake to the lists."""
    command = [sys.executable, "-P", "-m", "mcp_backend", "serve", *options, "--workspace", str(root)]
    questions = _questions(version)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        late = threading.Timer(seconds, process.kill)
        late.start()
        answered = False
        try:
            process.stdin.write(b"".join(json.dumps({"jsonrpc": "2.0", **q}).encode() + b"\n" for q in questions))
            process.stdin.flush()
            answered = all(process.stdout.readline() for q in questions if "id" in q)
            process.stdin.close()
            said = process.stderr.read()
        except OSError:
            said = process.stderr.read()
        finally:
            late.cancel()
    if answered:
        return ""
    lines = hide_credentials(said.decode("utf-8", "replace")).strip().splitlines()
    return lines[-1][:300] if lines else f"it gave no answer within {seconds:.0f} s"


def _questions(version: str) -> list[dict[str, Any]]:
    lists = front.LISTS[1:]
    if version == MODERN:
        about: dict[str, Any] = {"_meta": {front.VERSION: version, front.CAPABILITIES: {}}}
        names = ("server/discover", *lists)
        return [{"id": number, "method": name, "params": about} for number, name in enumerate(names)]
    us = {"name": "mcp-backend", "version": "0"}
    hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": us}
    return [
        {"id": 0, "method": "initialize", "params": hello}, {"method": "notifications/initialized"},
        *({"id": number, "method": name} for number, name in enumerate(lists, 1)),
    ]  # fmt: skip
