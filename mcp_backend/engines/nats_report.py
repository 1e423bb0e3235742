"""What is said about published messages: an entry for each, the guarantee of the whole, an error for nothing at all."""

from collections import Counter
from collections.abc import Sequence

from mcp_backend.engines.nats import Stream
from mcp_backend.engines.nats_publish import SAFE_WINDOW_SECONDS, Message, Outcome
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

SHOWN = 50
"""Entries in an error."""
_ERRORS: dict[str, tuple[type[BackendError], str]] = {
    "conflict": (Aborted, ""),
    "moved": (Aborted, ". Repeat this call to plan it anew"),
    "id_reused": (InvalidArgument, ""),
    "denied": (PermissionDenied, ". A person grants it, or choose another destination"),
    "refused": (FailedPrecondition, ". Look at the stream's limits with message_topology"),
}


def delivery(stream: Stream | None) -> str:
    """The guarantee: `exactly_once` says that a message is stored once however often it is published again while its
    id is remembered; what consumers do with it is theirs. Without acknowledgement or stream it is `at_most_once`."""
    if stream is None or not stream.acknowledges:
        return "at_most_once"
    return "exactly_once" if stream.dedupe_seconds >= SAFE_WINDOW_SECONDS else "at_least_once"


def entry(message: Message, outcome: Outcome, against: str | None) -> dict[str, Json]:
    """What is known about one message."""
    result: dict[str, Json] = {
        "message_id": message.message_id,
        "stored": outcome.stored,
        "duplicate": outcome.duplicate,
        "sequence": outcome.sequence,
        "stream": outcome.stream,
        "validated_against": against,
    }
    if outcome.sent:
        result |= {"sent": True, "receivers": None}
    if outcome.reason:
        result["reason"] = outcome.reason
    return result


def notes(destination: str, stream: Stream | None, *, derived: bool) -> list[str]:
    """What the caller should know about how long the statements hold."""
    if stream is None:
        return [f"nothing stores {destination}: only who listens right now gets it, nobody can read it later"]
    said: list[str] = []
    window = f"{stream.dedupe_seconds:.0f} s"
    if derived and stream.dedupe_seconds:
        said.append(
            f"message_id was derived from the content: an equal message within {window} counts as the same one; give "
            "message_id to send it again"
        )
    if stream.acknowledges and stream.name and stream.dedupe_seconds < SAFE_WINDOW_SECONDS:
        said.append(f"{stream.name} forgets ids after {window}: look before you repeat this call later than that")
    if stream.storage == "memory":
        said.append(f"{stream.name} is kept in memory: what is stored is lost when the server stops")
    return said


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
