"""Many messages under way on one connection of NATS at a time, each with an answer of its own."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from nats.aio.msg import Msg

from mcp_backend.engines.nats import Nats
from mcp_backend.engines.nats_connection import Connection, Denied, NoResponders, NotSent, Unanswered
from mcp_backend.engines.outcomes import Outcome

Request = tuple[str, bytes, Mapping[str, str]]
"""Subject, payload, headers."""


async def ask_each(
    nats: Nats, requests: Sequence[Request], *, seconds: float, window: int, accept: Callable[[bytes], bool]
) -> list[bytes | Exception]:
    """`Nats.ask` for many, sent in order with at most `window` of them without an answer: for each its answer, or what
    `ask` would raise. After one that gets none within `seconds`, or when the connection is lost, no more is sent, and
    the rest is `NotSent`. A connection that stays silent is given up. Raises `Unavailable` when there is none.
    """
    connection = await nats.connection()
    found = await _Window(connection, seconds, accept).through(requests, window)
    if any(isinstance(one, Unanswered) for one in found):
        await nats.drop(connection)
    return found


def plainly_stored(answer: bytes | Exception | None) -> Outcome | None:
    """The outcome when an answer says that the message is stored and nothing besides."""
    if not isinstance(answer, bytes):
        return None
    told = json.loads(answer)
    if "error" in told or told.get("duplicate"):
        return None
    return Outcome("yes", sequence=int(told["seq"]), stream=str(told["stream"]))


class _Window:
    def __init__(self, connection: Connection, seconds: float, accept: Callable[[bytes], bool]) -> None:
        self._connection, self._seconds, self._accept = connection, seconds, accept
        self._found: list[bytes | Exception] = []
        self._under_way: deque[tuple[str, asyncio.Future[Msg], float]] = deque()
        self._silent = ""

    async def through(self, requests: Sequence[Request], window: int) -> list[bytes | Exception]:
        clock = asyncio.get_running_loop().time
        try:
            for subject, payload, headers in requests:
                if len(self._under_way) >= window:
                    await self._settle()
                if self._silent or self._connection.lost.is_set():
                    break
                token, future = self._connection.expect(subject, self._accept)
                self._under_way.append((token, future, clock() + self._seconds))
                try:
                    await self._connection.send(subject, payload, headers, token)
                except NotSent as error:
                    if not future.done():
                        future.set_exception(error)
                    future.exception()
                    break
            while self._under_way:
                await self._settle()
        finally:
            for token, _, _ in self._under_way:
                self._connection.forget(token)
        left = len(requests) - len(self._found)
        return self._found + [NotSent(self._silent or "the connection was lost")] * left

    async def _settle(self) -> None:
        """Waits for the oldest answer: they come in the order of the messages, save for a few."""
        token, future, until = self._under_way.popleft()
        try:
            if not future.done():
                async with asyncio.timeout_at(0.0 if self._silent else until):
                    await future
            answer = future.result()
            bare = not answer.data and answer.headers and answer.headers.get("Status") == "503"
            self._found.append(NoResponders("nobody listens there") if bare else answer.data)
        except TimeoutError:
            self._silent = f"no answer within {self._seconds:.1f} s"
            self._found.append(Unanswered(self._silent))
        except (Unanswered, Denied, NotSent) as error:
            self._found.append(error)
        finally:
            self._connection.forget(token)
