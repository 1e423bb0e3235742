"""What a hook prints for an event, in the process of the hook or in one that read this before (resident.py)."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from mcp_backend.hosts import host


def answer(name: str, data: bytes, tell: Callable[[Path], str | None]) -> str | None:
    """The text for the host `name`: a refusal, what people answered, or "" for no objection. `tell` takes the answers
    of people out of a state folder; where it returns `None`, so does this. Raises for what cannot be judged."""
    event = json.loads(data)
    if not isinstance(event, dict) or not event:
        raise ValueError("expected the event as a JSON object on standard input")
    mouth = host(name)
    intent = mouth.intent(event, os.environ)
    if intent is None:
        return ""
    from mcp_backend.hosts.judging import refusal

    if reason := refusal(intent, os.environ):
        return f"{mouth.denied(reason, event)}\n"
    if not hasattr(mouth, "told") or (state := _waiting(intent.root or intent.cwd)) is None:
        return ""
    words = tell(state)
    return f"{mouth.told(words)}\n" if words else words


def take(state: Path) -> str:
    """The answers that wait there; another hook is not told again."""
    from mcp_backend.people import answers

    return answers.take(state)


def left(state: Path) -> None:
    """Leaves the answers to who prints them: a process that gives up waiting must not have lost them."""


def _waiting(folder: str) -> Path | None:
    """The state folder in which answers wait, for hosts whose hooks can tell the model something beside."""
    from mcp_backend.settings import workspace

    if not os.path.isdir(folder):
        return None
    state = workspace(Path(folder)).state
    return state if os.path.exists(state / "answers.json") else None
