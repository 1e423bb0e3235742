"""One live connection to a NATS server, where every wait ends: with an answer, a refusal, a loss or silence.

nats-py's own reconnect is switched off: what it buffers while it is disconnected is sent later, after it was reported
as failed. A connection that is lost stays lost; `Nats` opens the next one.
Protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

import asyncio
import itertools
import re
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nats import errors
from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg

from mcp_backend.engines.nats_address import CLOSE_SECONDS, OPEN_SECONDS, Address, CannotOpen, greeting, words

_PERMISSION = re.compile(r'permissions violation for (publish|subscription) to "(.*?)"')


class NotSent(Exception):
    """Nothing of the message left this process."""


class Denied(Exception):
    """The server's permissions refuse the subject. The message went to nobody."""


class NoResponders(Exception):
    """Nobody listens on the subject, not even a stream. The message went to nobody."""


class Unanswered(Exception):
    """No answer in time, or the connection was lost while waiting: the message may or may not have arrived."""


class Lost(Unanswered):
    """The connection ended while waiting."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    subject: str
    future: asyncio.Future[Msg]
    accept: Callable[[bytes], bool] | None = None

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()


class Connection:
    """Publishes and asks. One inbox subscription serves all answers, as the NATS clients themselves do."""

    def __init__(self, address: Address, info: Mapping[str, Any]) -> None:
        self.address = address
        self.version = str(info.get("version", ""))
        self.server = str(info.get("server_name", ""))
        self.max_payload = int(info.get("max_payload", 1024 * 1024))
        self.lost = asyncio.Event()
        self.lost_at: datetime | None = None
        self._client = Client()
        self._prefix = ""
        self._tokens = itertools.count(1)
        self._waiting: dict[str, _Waiting] = {}
        self._trouble: list[Exception] = []
        self._deaf = ""

    @classmethod
    async def open(cls, address: Address) -> "Connection":
        """A connection to one server. Raises `CannotOpen` within twice `OPEN_SECONDS`, whatever the other side does."""
        info = await greeting(address)
        if address.tls and not (info.get("tls_required") or info.get("tls_available")):
            raise CannotOpen("tls", f"{address} offers no TLS, and the URL demands it")
        if info.get("tls_verify") and not address.certified:
            raise CannotOpen(
                "tls", f"{address} demands a certificate of the client: tls_cert and tls_key of the policy"
            )
        connection = cls(address, info)
        await connection._open()
        return connection

    @property
    def alive(self) -> bool:
        """Whether the connection is up as far as this side knows."""
        return self._client.is_connected and not self.lost.is_set()

    async def ask(
        self,
        subject: str,
        payload: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float,
        accept: Callable[[bytes], bool] | None = None,
    ) -> bytes:
        """Publishes with a reply subject and returns the first answer (the first that `accept` takes, because any
        subscriber of the subject may answer, not only the one that is meant).

        Raises `NotSent`, `Denied`, `NoResponders` (all: it went to nobody) or `Unanswered` (it may have arrived).
        """
        token = str(next(self._tokens))
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = _Waiting(subject, future, accept)
        try:
            await self._send(subject, payload, headers, self._prefix + token)
            async with asyncio.timeout(seconds):
                answer = await future
        except TimeoutError:
            raise Unanswered(f"no answer within {seconds:.1f} s") from None
        finally:
            del self._waiting[token]
        if not answer.data and answer.headers and answer.headers.get("Status") == "503":
            raise NoResponders(f"nobody listens on {subject}")
        return answer.data

    def expect(self, subject: str, accept: Callable[[bytes], bool]) -> tuple[str, asyncio.Future[Msg]]:
        """Waits for the first answer that `accept` takes to a message that `send` will carry under the token: the
        future ends with it, or with what `ask` raises. `forget` it when it is of no use any more."""
        token, future = str(next(self._tokens)), asyncio.get_running_loop().create_future()
        self._waiting[token] = _Waiting(subject, future, accept)
        return token, future

    async def send(self, subject: str, payload: bytes, headers: Mapping[str, str], token: str) -> None:
        """Publishes with the reply subject of a token. Raises `NotSent`."""
        await self._send(subject, payload, headers, self._prefix + token)

    def forget(self, token: str) -> None:
        """Waits for this answer no more."""
        self._waiting.pop(token, None)

    async def tell(self, subject: str, payload: bytes, headers: Mapping[str, str] | None) -> None:
        """Publishes without asking for an answer; `flush` tells whether the server has got it. Raises `NotSent`."""
        await self._send(subject, payload, headers, "")

    async def flush(self, subject: str, *, seconds: float) -> None:
        """Waits until the server has processed everything sent so far.

        A message to our own inbox comes back after all that went before it, or is refused after it, which tells the
        same. nats-py's `flush` is not used: its PING overtakes what waits to be written, and when it is cancelled the
        late PONG ends the read loop. Raises `Denied` when what was sent to `subject` was refused, else `Unanswered`.
        """
        loop = asyncio.get_running_loop()
        first, second = str(next(self._tokens)), str(next(self._tokens))
        refused: asyncio.Future[Msg] = loop.create_future()
        echo: asyncio.Future[Msg] = loop.create_future()
        self._waiting[first] = _Waiting(subject, refused)
        self._waiting[second] = _Waiting(self._prefix + second, echo)
        try:
            await self._send(self._prefix + second, b"", None, "")
            await asyncio.wait((echo, refused), return_when=asyncio.FIRST_COMPLETED, timeout=seconds)
            if refused.done():
                await refused
            if not echo.done():
                raise Unanswered(f"no answer within {seconds:.1f} s")
            with suppress(Denied):
                await echo
        except NotSent as error:
            raise Lost("the connection was lost") from error
        finally:
            del self._waiting[first], self._waiting[second]

    @asynccontextmanager
    async def listen(self, subject: str) -> AsyncGenerator[asyncio.Queue[Msg]]:
        """What is published to a subject from now on, as one more subscriber. Raises `Denied`, `Unanswered`."""
        heard: asyncio.Queue[Msg] = asyncio.Queue(1000)

        async def put(message: Msg) -> None:
            with suppress(asyncio.QueueFull):
                heard.put_nowait(message)

        before = len(self._trouble)
        subscription = await self._client.subscribe(subject, cb=put)  # pyright: ignore[reportUnknownMemberType]
        try:
            await self.flush("", seconds=OPEN_SECONDS)
            for trouble in self._trouble[before:]:
                if (refused := _PERMISSION.search(str(trouble).lower())) and refused[1] == "subscription":
                    raise Denied(f"this user may not subscribe to {subject}")
            yield heard
        finally:
            with suppress(errors.Error, OSError):
                await subscription.unsubscribe()

    async def close(self) -> None:
        """Ends the connection; whoever still waits gets `Unanswered`."""
        self._fail_all("the connection was closed")
        with suppress(TimeoutError, errors.Error, OSError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.close()

    async def _send(self, subject: str, payload: bytes, headers: Mapping[str, str] | None, reply: str) -> None:
        # nats-py raises only before it hands anything to the socket.
        try:
            await self._client.publish(subject, payload, reply=reply, headers=dict(headers) if headers else None)
        except (errors.Error, OSError) as error:
            raise NotSent(str(error)) from error

    async def _open(self) -> None:
        address = self.address
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._client.connect(
                    servers=[f"{'tls' if address.tls else 'nats'}://{address}"],
                    user=address.user, password=address.password, token=address.token, tls=address.context,
                    nkeys_seed_str=None if address.jwt else address.seed, user_credentials=_credentials(address),
                    name="mcp-backend", allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=0,
                    connect_timeout=2, pending_size=0, error_cb=self._on_error, closed_cb=self._on_closed,
                )  # fmt: skip
                self._prefix = self._client.new_inbox() + "."
                await self._client.subscribe(  # pyright: ignore[reportUnknownMemberType]
                    self._prefix + "*", cb=self._on_answer
                )
                await self.flush("", seconds=OPEN_SECONDS)
        except (errors.Error, OSError, TimeoutError, ValueError, Unanswered) as error:
            await self.close()
            if self._deaf:
                raise CannotOpen("credentials", f"{address}: {self._deaf}") from error
            raise _sorted(error, self._trouble, address) from error
        except BaseException:
            await self.close()
            raise

    async def _on_answer(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject[len(self._prefix) :])
        if waiting is None or waiting.future.done():
            return
        status = not message.data and message.headers
        if status or waiting.accept is None or waiting.accept(message.data):
            waiting.future.set_result(message)

    async def _on_error(self, error: Exception) -> None:
        self._trouble = [*self._trouble[-9:], error]
        refused = _PERMISSION.search(str(error).lower())
        if not refused:
            return
        verb, subject = refused.groups()
        if verb == "subscription" and subject.startswith("_inbox."):
            self._deaf = "this user may not subscribe to _INBOX.>, so no acknowledgement can reach it"
            self._fail_all(self._deaf)
        for waiting in list(self._waiting.values()):
            if verb == "publish" and waiting.subject.lower() == subject:
                waiting.fail(Denied(f"this user may not publish to {waiting.subject}"))

    async def _on_closed(self) -> None:
        self._fail_all("the connection was lost")

    def _fail_all(self, why: str) -> None:
        if not self.lost.is_set():
            self.lost.set()
            self.lost_at = datetime.now(UTC)
        for waiting in list(self._waiting.values()):
            waiting.fail(Lost(why))


def _credentials(address: Address) -> RawCredentials | None:
    """A JWT and its seed in the form that nats-py reads."""
    if address.jwt is None:
        return None
    return RawCredentials(
        f"-----BEGIN NATS USER JWT-----\n{address.jwt}\n------END NATS USER JWT------\n"
        f"-----BEGIN USER NKEY SEED-----\n{address.seed}\n------END USER NKEY SEED------\n"
    )


def _sorted(error: Exception, trouble: list[Exception], address: Address) -> CannotOpen:
    """What went wrong: nats-py reports a wrong password, a bad certificate and a dead port in three ways."""
    for found in (error, *reversed(trouble)):
        text = str(found)
        if isinstance(found, ssl.SSLError):
            return CannotOpen("tls", f"{address}: TLS failed: {found.reason or text}")
        if isinstance(found, errors.AuthorizationError) or "authorization" in text.lower() or "authent" in text.lower():
            return CannotOpen("credentials", f"{address} refuses these credentials ({text.removeprefix('nats: ')})")
    if isinstance(error, TimeoutError):
        return CannotOpen("timeout", f"{address} does not answer within {OPEN_SECONDS:.0f} s")
    if isinstance(error, OSError):
        return CannotOpen("unreachable", f"{address}: {words(error)}")
    return CannotOpen("protocol", f"{address}: {str(error).removeprefix('nats: ')}")
