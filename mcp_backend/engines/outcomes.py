"""What is known about published messages, whatever the system: stored, not stored, or unknown; and when that is an
error."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mcp_backend.errors import (
    Aborted,
    BackendError,
    FailedPrecondition,
    InvalidArgument,
    Json,
    OutcomeUnknown,
    PermissionDenied,
    Unavailable,
)

SAFE_WINDOW_SECONDS = 30.0
"""A destination that remembers ids at least this long settles every repetition that happens within one call."""
SHOWN = 50
"""Entries in an error."""
_ERRORS: dict[str, tuple[type[BackendError], str]] = {
    "conflict": (Aborted, ""),
    "moved": (Aborted, ". Repeat this call to plan it anew"),
    "id_reused": (InvalidArgument, ""),
    "denied": (PermissionDenied, ". A person grants it, or choose another destination"),
    "refused": (FailedPrecondition, ". Look at its limits with message_topology"),
}

Cause = Literal["", "unreachable", "denied", "moved", "conflict", "id_reused", "refused", "unanswered", "skipped"]


@dataclass(slots=True)
class Message:
    """One message. `subject` is its destination, `order` what it keeps its order within; `None` asks for none. Not
    frozen: a batch has a thousand of them, and a frozen one costs three times as much."""

    subject: str
    message_id: str
    headers: Mapping[str, str]
    payload: bytes
    order: str | None = None


@dataclass(slots=True)
class Outcome:
    """What is known about one message. `cause` and `reason` say why it is not stored; `settled` that it took more
    than one attempt to know. `sent` tells, where nothing stores the destination, whether the server has got it, and
    `receivers` to how many it went, where the server says that. Not frozen, as `Message`."""

    stored: Literal["yes", "no", "unknown"]
    cause: Cause = ""
    reason: str = ""
    sequence: int | None = None
    stream: str | None = None
    duplicate: bool = False
    settled: bool = False
    sent: bool = False
    entry_id: str | None = None
    receivers: int | None = None
    partition: int | None = None


def raise_if_nothing_happened(
    engine: str, outcomes: Sequence[Outcome], results: Sequence[dict[str, Json]], guarantee: str
) -> None:
    """Part of a batch that failed is a result. A call of which nothing is known to have happened is an error:
    `OutcomeUnknown` when something may have, else what the first failure is. `details.results` has the entries, the
    unknown ones first; of a large batch only some, and `counts` says of how many."""
    if any(o.stored == "yes" or o.sent or (o.duplicate and o.stored == "unknown") for o in outcomes):
        return
    shown = sorted(results, key=lambda result: result["stored"] != "unknown")[:SHOWN]
    details: dict[str, Json] = {"results": [*shown], "delivery": guarantee, "engine": engine}
    if len(results) > SHOWN:
        details["counts"] = {**Counter(outcome.stored for outcome in outcomes)}
    which = "the message" if len(outcomes) == 1 else f"each of the {len(outcomes)} messages"
    unsure = next((o for o in outcomes if o.stored == "unknown" or o.cause == "unanswered"), None)
    if unsure:
        raise OutcomeUnknown(
            f"engine {engine}: whether {which} arrived is unknown: {unsure.reason}. Repeat this call unchanged when "
            "the server answers: what is stored is not stored again while its id is remembered",
            details=details,
        )
    first = next(o for o in outcomes if o.cause != "skipped")
    kind, help_ = _ERRORS.get(first.cause, (Unavailable, ""))
    raise kind(f"engine {engine}: {which} is not stored: {first.reason}{help_}", details=details)
