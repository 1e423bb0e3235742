"""Limits below the protocol: how long a request may take to arrive, and how many connections there may be.

A client that sends a head or a body byte by byte (slow-loris) would hold a connection for as long as it likes; RFC 9110
section 15.5.9 lets a server end it. The SDK limits the size of a body, and sessions by number and idle time.
"""

import asyncio
import resource

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""From the first moment of a connection, or the first byte of a further request, to the end of its head."""
BODY_SECONDS = 60.0
"""From there to the end of the body."""
IDLE_SECONDS = 75
"""How long a connection without a request is kept: longer than proxies keep theirs (60 s), so that it is the proxy that
ends it and no request runs into the end."""
STALL_SECONDS = 1.0
"""How long what has arrived may lie unread after the time: a loop that was held up (a machine that slept, a host under
load) runs its timers before it reads, and must not end a connection whose request is there."""
KEPT = 256
"""Descriptors that no client gets: the store, engines, files, programs."""


class Impatient(H11Protocol):
    """Ends a connection whose request does not come to its end in time. How long an answer takes is not its matter."""

    _deadline: asyncio.TimerHandle | None = None
    _awaited: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._expect(h11.IDLE)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        self._expect(self.conn.their_state)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._expect(None)
        super().connection_lost(exc)

    def _expect(self, state: object) -> None:
        """What the client has to send next; more of the same prolongs nothing."""
        if state is self._awaited and self._deadline is not None:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._awaited, self._deadline = state, None
        seconds = HEAD_SECONDS if state is h11.IDLE else BODY_SECONDS if state is h11.SEND_BODY else 0.0
        if seconds and not self.transport.is_closing():
            self._deadline = self.loop.call_later(seconds, self._overdue)

    def _overdue(self) -> None:
        self._deadline = self.loop.call_later(STALL_SECONDS, self.transport.close)


def connections() -> int:
    """How many connections a server takes: what the system allows the process, less some for itself. The soft limit
    is raised to the hard one first (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft != hard:
        most = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
        soft = max(soft, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(soft - KEPT, 64) if soft != resource.RLIM_INFINITY else 65_536
