"""A batch for Kafka as one transaction, and what became of it: all stored, nothing stored, or unknown.

A commit without an answer is settled: a new producer of the same id begins only when the transaction has ended, and
then a reader of what is committed has its messages or will never have them.
"""

import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mcp_backend.engines.kafka import Ended, Failed, Kafka
from mcp_backend.engines.outcomes import Cause, Message, Outcome
from mcp_backend.errors import BackendError

SECONDS = 9.0
SETTLE_SECONDS = 8.0
LOOKED_AT = 10_000
NOTE = "the batch is one transaction: all of it is stored or nothing (readers need isolation.level=read_committed)"


async def settled(kafka: Kafka) -> bool:
    """Whether the last transaction of the engine's id has ended, after waiting for it."""
    with suppress(Ended, Failed, BackendError):
        await kafka.ask("settle", transactional_id=kafka.settings.access.transactional_id, seconds=SETTLE_SECONDS)
        return True
    return False


async def store_together(
    kafka: Kafka, topic: str, records: Sequence[dict[str, Any]], causes: Mapping[str, Cause]
) -> list[Outcome] | tuple[str, bool]:
    """The outcome of each record, in order; or why they have to be looked for, and whether it has ended by now."""
    identifier = kafka.settings.access.transactional_id
    try:
        told = await kafka.ask(
            "transact", transactional_id=identifier, topic=topic, records=records, seconds=SECONDS
        )  # fmt: skip
    except (Ended, Failed) as error:
        return str(error), False
    except BackendError as error:
        return [Outcome("no", "unreachable", f"not sent: {error.reason}")] * len(records)
    if told["ended"] == "committed":
        reports = [told["reports"][str(record["n"])] for record in records]
        return [Outcome("yes", partition=int(r["partition"]), sequence=int(r["offset"])) for r in reports]
    said = f"{told['text']} ({told['error']})"
    if told["ended"] == "aborted":
        cause = causes.get(told["error"], "unreachable")
        return [Outcome("no", cause, f"the transaction was aborted: {said}")] * len(records)
    return f"the commit got no clear answer: {said}", told["ended"] == "final"


async def look(
    kafka: Kafka, topic: str, messages: Sequence[Message], starts: Mapping[str, int], ends: Mapping[str, int], why: str,
    *, header: str, decided: bool,
) -> list[Outcome]:  # fmt: skip
    """What became of a transaction, looked up among what is committed. `decided`: it has ended."""
    found: dict[str, tuple[int, int]] = {}
    whole = False
    with suppress(BackendError):
        told = await kafka.read("read", topic=topic, starts=starts, ends=ends, count=LOOKED_AT, seconds=4.0)
        whole = bool(told.get("whole"))
        wanted = {message.message_id for message in messages}
        for record in told["messages"]:
            names = {name: base64.b64decode(value).decode("utf-8", "replace") for name, value in record["headers"]}
            if names.get(header) in wanted:
                found.setdefault(names[header], (int(record["partition"]), int(record["offset"])))
    if found:  # one of them is committed, so all are
        places = [found.get(message.message_id, (None, None)) for message in messages]
        return [Outcome("yes", partition=where, sequence=offset, settled=True) for where, offset in places]
    if decided and whole:
        return [Outcome("no", "unreachable", f"the transaction was not committed: {why}", settled=True)] * len(messages)
    return [Outcome("unknown", "unanswered", why)] * len(messages)
