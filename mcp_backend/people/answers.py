"""Answers of people that the engineer has not read, beside the store, for hooks: a hook reads one small file and no
database. Standard library only.

Each set of answers is shown once by a hook, whichever session comes first; results of this server carry them until they
are read. With a store that several machines share, a machine knows the answers that were given or seen on it.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias, cast

Row: TypeAlias = dict[str, Any]
WAITING, SHOWN = "answers.json", "answers.shown.json"
LONGEST = 2000
"""Characters that a hook adds to what the model reads."""


def summary(row: Row) -> str:
    """One answer, or what a person asks back, in a sentence."""
    if row["awaits"]:
        return (
            f"{row['title']}: a person asks back: {(row['asked_back'] or '')[:300]} "
            f'(answer with escalate, details {{"reply_to": "{row["id"]}"}}, your reply as question)'
        )
    return f"{row['title']}: {(row['answer'] or row['status'])[:200]}"


def keep(state: Path, rows: Sequence[Row], *, told: bool = False) -> None:
    """Puts what is unread where a hook finds it; what was shown, or was `told` by a result, is not shown again. Never
    raises: a hook that tells less is no fault of a call."""
    content = json.dumps([f"{row['id']} ({row['status']}): {summary(row)}" for row in rows], ensure_ascii=False)
    with suppress(OSError, ValueError):
        if not rows:
            for name in (WAITING, SHOWN):
                if os.path.lexists(f"{state}/{name}"):  # Cheaper than an exception at the end of every call.
                    (state / name).unlink(missing_ok=True)
        elif content != _text(state / SHOWN) and (told or content != _text(state / WAITING)):
            state.mkdir(mode=0o700, parents=True, exist_ok=True)  # With a shared store there was nothing here yet.
            part = state / f".{WAITING}.{os.getpid()}"
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(content)
            part.replace(state / (SHOWN if told else WAITING))
            if told:
                (state / WAITING).unlink(missing_ok=True)


def take(state: Path) -> str:
    """What a hook tells the model, once; empty when there is nothing new."""
    try:
        (state / WAITING).rename(state / SHOWN)  # One of several hooks at once gets it.
        told: object = json.loads((state / SHOWN).read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    if not isinstance(told, list):
        return ""
    lines = "\n".join(f"- {line}" for line in cast("list[object]", told))
    return f"Answers of people to your escalations (check_escalation has them in full):\n{lines}"[:LONGEST]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
