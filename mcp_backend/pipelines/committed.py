"""Messages taken from the committed rows of an outbox, as its relay publishes them.

A row is read in a transaction of its own, so what is not committed is not there. It goes out under the id that the
relay gives it: where the stream remembers ids, the relay's copy and this one are one message.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mcp_backend.errors import FailedPrecondition, InvalidArgument
from mcp_backend.policy import EngineSettings, Policy
from mcp_backend.policy.outboxes import Outbox

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mcp_backend.engines.postgresql import Postgresql

M = TypeVar("M", bound="BaseModel")
SECONDS = 5.0
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One committed row: the payload as publish_message takes it, and whether the relay has marked it."""

    payload: Any
    key: str | None
    sent: bool


def declared(policy: Policy, settings: EngineSettings, destination: str) -> Outbox | None:
    """The outbox that feeds a destination by the policy; of several the one that names it without wildcards."""
    if not policy.outboxes:
        return None
    from mcp_backend.pipelines.brokers import overlaps

    system: Any = settings.kind
    fitting = [
        outbox for outbox in policy.outboxes.values()
        if outbox.on in (None, settings.name) and overlaps(system, outbox.destination, destination)
    ]  # fmt: skip
    return min(fitting, key=lambda outbox: outbox.destination != destination, default=None)


async def of_rows(database: "Postgresql", outbox: Outbox, messages: Sequence[M]) -> tuple[M, ...]:
    """The messages with the payload and the key of their rows.

    Raises `InvalidArgument` for a message without an id or unlike its row, `FailedPrecondition` for one without a
    committed row or whose row was published, `Unavailable`.
    """
    given = [cast("Any", message) for message in messages]
    for index, one in enumerate(given):
        if not one.message_id or not one.message_id.startswith(outbox.prefix) or one.message_id == outbox.prefix:
            raise InvalidArgument(
                f"messages.{index}.message_id: {outbox.table} feeds this destination: expected "
                f"{outbox.prefix}{outbox.id.upper()} of a committed row of it"
            )
    found = await _read(database, outbox, [one.message_id[len(outbox.prefix) :] for one in given])
    ids = [one.message_id for one in given]
    if missing := [i for i in ids if i not in found]:
        raise FailedPrecondition(
            f"messages: {outbox.table} has no committed row for {', '.join(missing[:SHOWN])}; nothing was sent. Insert "
            "it in the transaction of the data and commit: the relay publishes it"
        )
    if sent := [i for i in ids if found[i].sent]:
        raise FailedPrecondition(
            f"messages: {outbox.table} says that {', '.join(sent[:SHOWN])} was published ({outbox.sent}); nothing was "
            "sent. Look for it with peek_messages"
        )
    for index, one in enumerate(given):
        row = found[one.message_id]
        for name, value, own in (("payload", one.payload, row.payload), ("key", one.key, row.key)):
            if value is not None and value != own:
                raise InvalidArgument(
                    f"messages.{index}.{name}: not what the row {one.message_id} of {outbox.table} says; leave it "
                    f"{'null' if name == 'payload' else 'out'} to publish the row"
                )
    return tuple(m.model_copy(update=_taken(found[i])) for m, i in zip(messages, ids, strict=True))


def _taken(row: Row) -> dict[str, Any]:
    return {"payload": row.payload, "key": row.key}


async def _read(database: "Postgresql", outbox: Outbox, ids: Sequence[str]) -> dict[str, Row]:
    import psycopg
    from psycopg import sql

    from mcp_backend.engines.pg.errors import refusal, server_error

    name: Any = sql.Identifier
    query = sql.SQL("select {id}::text, {payload}, {key}, {sent} from {table} where {id}::text = any(%s)").format(
        id=name(outbox.id), payload=name(outbox.payload), table=name(*outbox.table.split(".")),
        key=sql.SQL("{}::text").format(name(outbox.key)) if outbox.key else sql.SQL("null"),
        sent=sql.SQL("{} is not null").format(name(outbox.sent)) if outbox.sent else sql.SQL("false"),
    )  # fmt: skip
    try:
        async with database.session(read_only=True, timeout_seconds=SECONDS) as connection:
            told = await (await connection.execute(query, [list(ids)])).fetchall()
    except psycopg.Error as error:
        raise refusal(server_error(error), field=f"outboxes.{outbox.destination}", timeout_seconds=SECONDS) from error
    return {f"{outbox.prefix}{id_}": Row(_payload(value), key, bool(sent)) for id_, value, key, sent in told}


def _payload(value: Any) -> Any:
    """A column's value as a payload: text that is JSON is that, other text and bytes are bytes."""
    if not isinstance(value, (str, bytes)):
        return value
    data = value.encode() if isinstance(value, str) else value
    try:
        return json.loads(data)
    except ValueError:
        return {"base64": base64.b64encode(data).decode()}
