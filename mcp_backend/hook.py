"""`mcp-backend hook HOST`: judges a host's own tool call before it runs. Standard library only.

The event comes on standard input. Silence means "no objection": the host's own rules and prompts still apply, so this
never answers "allow". Where the host can tell the model something beside, it is told of people's answers. A fault of
our own, or an event that is not understood, refuses (exit 2, reason on standard error): every host that has hooks takes
that for a refusal.

Where a server of this user runs, a process beside it judges (resident.py). Otherwise, and whenever that gives no
answer, this one does.
"""

import os
import sys

from mcp_backend.hosts import HOOKED, SAME_HOOK, resident

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` takes longer to import than all of this.
    from collections.abc import Sequence
    from typing import NoReturn

BYTES = 20_000_000
USAGE = f"usage: mcp-backend hook {'|'.join(sorted((*HOOKED, *SAME_HOOK)))}  (the event on standard input)"
ANSWERED, FAULT = 0, 2


def main(arguments: "Sequence[str] | None" = None) -> int:
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
    name = SAME_HOOK.get(given[0], given[0]) if len(given) == 1 else ""
    if name not in HOOKED:
        print(USAGE, file=sys.stderr)
        return FAULT
    event = sys.stdin.buffer.read(BYTES)
    said = resident.asked(name, event)
    if said is None:
        from mcp_backend.hosts import answering

        said = answering.answer(name, event, answering.take)
    sys.stdout.write(said or "")
    return ANSWERED


def script(arguments: "Sequence[str] | None" = None) -> "NoReturn":
    """The console script `mcp-backend-hook`: collects nothing, and leaves without the interpreter's tidying up."""
    import gc

    gc.disable()
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
