"""Publishing to a subject that nothing stores: NATS core, at most once.

https://docs.nats.io/nats-concepts/core-nats
"""

from collections.abc import Sequence

from mcp_backend.engines.nats import Nats
from mcp_backend.engines.nats_connection import Denied, NotSent, Unanswered
from mcp_backend.engines.nats_publish import ACK_SECONDS
from mcp_backend.engines.outcomes import Message, Outcome


async def tell_all(nats: Nats, messages: Sequence[Message]) -> list[Outcome]:
    """Publishes to a subject that nothing stores: to whoever listens right now, and to nobody else.

    `sent` says whether the server has got the message; whether anybody read it cannot be known.
    """
    connection = await nats.connection()
    handed, why = 0, ""
    rest = Outcome("no", "unanswered")
    try:
        for message in messages:
            headers = {**message.headers, "Nats-Msg-Id": message.message_id}
            await connection.tell(message.subject, message.payload, headers)
            handed += 1
        await connection.flush(messages[0].subject, seconds=ACK_SECONDS)
    except NotSent as error:
        why = str(error)
        rest = Outcome("no", "unreachable", f"not sent: {error}")
    except Denied as error:
        return [Outcome("no", "denied", str(error)) for _ in messages]
    except Unanswered as error:
        await nats.drop(connection)
        why = str(error)
    else:
        return [Outcome("no", sent=True) for _ in messages]
    lost = Outcome("no", "unanswered", f"whether the server got it is unknown: {why}")
    return [lost if index < handed else rest for index in range(len(messages))]
