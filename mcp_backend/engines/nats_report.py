"""What is said about messages published to NATS: an entry for each, and the guarantee of the whole."""

from mcp_backend.engines.nats import Stream
from mcp_backend.engines.outcomes import SAFE_WINDOW_SECONDS, Message, Outcome
from mcp_backend.errors import Json


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
    window = f"{stream.dedupe_seconds:g} s"
    if derived and stream.dedupe_seconds:
        said.append(
            f"message_id was derived from the content: an equal message within {window} counts as the same one; give "
            "message_id to send it again"
        )
    if stream.acknowledges and stream.name and stream.dedupe_seconds < SAFE_WINDOW_SECONDS:
        said.append(f"{stream.name} forgets ids after {window}: look before you repeat this call later than that")
    if stream.interest:
        said.append(f"{stream.name} keeps a message only while a consumer wants it (retention interest)")
    if stream.storage == "memory":
        said.append(f"{stream.name} is kept in memory: what is stored is lost when the server stops")
    return said
