"""`mcp-backend hook HOST`: judges a host's own tool call before it runs. Standard library only.

The event comes on standard input. Silence means "no objection": the host's own rules and prompts still apply, so this
never answers "allow". Where the host can tell the model something beside, it is told of people's answers. A fault of
our own, or an event that is not understood, refuses (exit 2, reason on standard error): every host that has hooks takes
that for a refusal.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

BYTES = 20_000_000
USAGE = (
    "usage: mcp-backend hook claude-code|codex|cursor|gemini-cli|opencode|qwen|vscode  (the event on standard input)"
)
ANSWERED, FAULT = 0, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads one event and answers it; the exit code is 0, or 2 where the call must not run."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in ("-h", "--help"):
        print(USAGE)
        return ANSWERED
    try:
        return _answer(given)
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the call must not run unjudged
        reason = getattr(error, "reason", "") or f"{type(error).__name__}: {error}"
        print(f"mcp-backend hook cannot judge this call and refuses it: {str(reason)[:500]}", file=sys.stderr)
        return FAULT


def _answer(given: list[str]) -> int:
    from mcp_backend.hosts import HOOKED, host

    if len(given) != 1 or given[0] not in HOOKED:
        print(USAGE, file=sys.stderr)
        return FAULT
    import json

    data = sys.stdin.buffer.read(BYTES)
    event = json.loads(data)
    if not isinstance(event, dict):
        raise ValueError("expected the event as a JSON object on standard input")
    mouth = host(given[0])
    intent = mouth.intent(event, os.environ)
    if intent is None:
        return ANSWERED
    from mcp_backend.hosts.judging import refusal

    if reason := refusal(intent, os.environ):
        print(mouth.denied(reason, event))
    elif hasattr(mouth, "told") and (waiting := _answers(intent.root or intent.cwd)):
        print(mouth.told(waiting))
    return ANSWERED


def _answers(folder: str) -> str:
    """What people answered, for hosts whose hooks can tell the model something without deciding anything."""
    from pathlib import Path

    from mcp_backend.settings import workspace

    if not os.path.isdir(folder):
        return ""
    state = workspace(Path(folder)).state
    if not os.path.exists(state / "answers.json"):
        return ""
    from mcp_backend import answers

    return answers.take(state)


def script(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script `mcp-backend-hook`: collects nothing, and leaves without the interpreter's tidying up."""
    import gc

    gc.disable()
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
