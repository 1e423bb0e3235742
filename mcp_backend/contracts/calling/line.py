"""One connection to a checked address, and one request on it within its time."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from mcp_backend.contracts.calling.addresses import Target
from mcp_backend.errors import DeadlineExceeded, OutcomeUnknown, Unavailable
from mcp_backend.threads import patiently

T = TypeVar("T")
CONNECT_SECONDS = 5.0


class Line:
    """A connection for one request. `sent` tells whether the service may have got something of it; `cut` ends whatever
    waits on it, from any thread."""

    def __init__(self, target: Target, seconds: float) -> None:
        self.target = target
        self.sent = False
        self.late = False
        self._deadline = time.monotonic() + seconds
        self._cuts: list[Callable[[], object]] = []
        self._cut = False

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.05, self._deadline - time.monotonic())

    def ends_by(self, cut: Callable[[], object]) -> None:
        """Adds what ends the waiting of whatever uses this line."""
        self._cuts.append(cut)
        if self._cut:
            self.cut()

    def cut(self) -> None:
        """Ends the connection; whoever waits on it gets an error, and who has not begun does not begin."""
        self._cut = True
        for cut in self._cuts:
            with suppress(OSError, ValueError):
                cut()

    def open(self) -> socket.socket:
        """A connection to the first of the checked addresses that takes one. Raises `Unavailable`."""
        target, problems = self.target, list[str]()
        for address in target.addresses:
            if self._cut:  # Its caller was told that nothing was sent.
                raise Unavailable(f"the request to {target.origin} was given up; nothing was sent")
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.settimeout(min(CONNECT_SECONDS, self.left))
            try:
                connection.connect((address, target.port))
            except OSError as error:
                connection.close()
                problems.append(f"{address}: {error.strerror or type(error).__name__.lower()}".lower())
                continue
            connection.settimeout(self.left)
            self.ends_by(lambda c=connection: c.shutdown(socket.SHUT_RDWR))
            return connection
        raise Unavailable(
            f"nothing answers at {target.origin} ({'; '.join(problems)}); nothing was sent. "
            "Start the service, then repeat this call"
        )

    def secured(self, connection: socket.socket) -> socket.socket:
        """The connection with TLS where the target speaks it, for the name that was asked for. Raises `Unavailable`."""
        if not self.target.secure:
            return connection
        try:
            secured = ssl.create_default_context().wrap_socket(connection, server_hostname=self.target.host)
            self.ends_by(lambda: secured.shutdown(socket.SHUT_RDWR))
            return secured
        except OSError as error:
            connection.close()
            why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or "no TLS"
            raise Unavailable(f"no TLS with {self.target.origin}: {str(why).rstrip('.')}; nothing was sent") from error


def lost(line: Line, reads: bool, why: str) -> Exception:
    """The error for a request that got no answer: what is known of its effect."""
    at = line.target.origin
    if not line.sent:
        return Unavailable(f"{at}: {why}; the request was not sent. Check that target and protocol fit, or repeat it")
    if not reads:
        return OutcomeUnknown(
            f"{at}: {why} after the request was sent. It may or may not have had its effect: look at the state of the "
            "service before you send it again"
        )
    if line.late:
        return DeadlineExceeded(f"{at}: {why}; the request only reads. Repeat it, with more timeout_seconds if need be")
    return Unavailable(f"{at}: {why} before it answered; the request only reads, so repeat it")


async def within(line: Line, seconds: float, work: Callable[[], T], *, reads: bool) -> T:
    """What `work` gives, in a thread of its own. When time is over, or the call is cancelled, the line is cut, and
    `work` ends by that. Raises `DeadlineExceeded` or `OutcomeUnknown` where it does not."""
    running = asyncio.ensure_future(patiently(work))
    try:
        done, _ = await asyncio.wait({running}, timeout=seconds)
        if not done:
            line.late = True
            line.cut()
            done, _ = await asyncio.wait({running}, timeout=CONNECT_SECONDS + 1)
        if not done:
            raise lost(line, reads, "timeout_seconds passed")
        return running.result()
    except asyncio.CancelledError:
        line.cut()
        await asyncio.wait({running}, timeout=CONNECT_SECONDS + 1)
        raise
