"""A NATS subject as publish_message sees it: a stream stores it, or nothing does."""

from collections.abc import Sequence
from dataclasses import replace

from mcp_backend.engines import nats_report as report
from mcp_backend.engines.nats import UNKNOWN_STREAM, Nats, Stream
from mcp_backend.engines.nats_message import check_subject, header_bytes
from mcp_backend.engines.outcomes import Message, Outcome
from mcp_backend.engines.publishing import SECONDS, SECONDS_EACH
from mcp_backend.errors import BackendError, InvalidArgument, Json
from mcp_backend.policy import EngineSettings

OVERHEAD_BYTES = 30
"""What a message takes in a file besides subject, headers and payload."""


class NatsPublisher:
    """Publishes to one subject. `expected` is the last sequence the caller knows of it."""

    def __init__(self, nats: Nats, subject: str, expected: int | None) -> None:
        check_subject(subject)
        self._nats, self.address, self._expected = nats, subject, expected
        self._stream: Stream | None = None

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        return self._nats.settings

    async def look(self, messages: Sequence[Message]) -> list[str]:
        """Finds the stream, and whether the messages fit it and the server. Raises `InvalidArgument`, `Unavailable`."""
        from mcp_backend.engines.nats_connection import Denied

        notes: list[str] = []
        try:
            self._stream = await self._nats.stream_of(self.address)
        except Denied:
            notes.append("this user may not read the JetStream API, so an answer that gets lost cannot be verified")
            self._stream = UNKNOWN_STREAM
        if self._stream is None and self._expected is not None:
            raise InvalidArgument(
                f"expected_last_sequence: no stream stores {self.address}, so it has no sequence; leave it out, or "
                "have a stream made for it"
            )
        self._check_sizes(messages, (await self._nats.connection()).max_payload)
        return notes

    def version(self) -> str:
        """The stream, or that there is none."""
        return f"stream {self._stream.name}" if self._stream else "no stream"

    def sent_headers(self, message: Message) -> dict[str, str]:
        """Headers, with the sequence the message is bound to."""
        headers = dict(message.headers)
        if self._expected is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(self._expected)
        return headers

    async def send(self, messages: Sequence[Message]) -> list[Outcome]:
        """Publishes to the stream that was found, or to whoever listens."""
        from mcp_backend.engines.nats_after import held_against
        from mcp_backend.engines.nats_core import tell_all
        from mcp_backend.engines.nats_publish import publish_all

        if self._stream is None:
            return await self._still_unstored(await tell_all(self._nats, messages))
        seconds = SECONDS + SECONDS_EACH * len(messages)
        told = await publish_all(self._nats, messages, self._stream, expected=self._expected, seconds=seconds)
        return await held_against(self._nats, messages, self._stream, told, expected=self._expected)

    def entry(self, message: Message, outcome: Outcome, against: str | None) -> dict[str, Json]:
        """What is said about one message."""
        return report.entry(message, outcome, against)

    def delivery(self) -> str:
        """The guarantee of the stream."""
        return report.delivery(self._stream)

    def notes(self, *, derived: bool) -> list[str]:
        """How long the statements hold."""
        return report.notes(self.address, self._stream, derived=derived)

    def _check_sizes(self, messages: Sequence[Message], server: int) -> None:
        limit, whose, stream = server, "the server", self._stream
        if stream and 0 <= stream.max_message < server:
            limit, whose = stream.max_message, f"stream {stream.name}"
        if stream and 0 < stream.most[2] < limit:
            # What is larger than all the stream may hold is acknowledged, and removed at once.
            limit, whose = stream.most[2] - OVERHEAD_BYTES - len(self.address), f"stream {stream.name} (max_bytes)"
        for index, message in enumerate(messages):
            headers = {**message.headers, "Nats-Msg-Id": message.message_id}
            if stream:
                headers["Nats-Expected-Stream"] = stream.name
            if self._expected is not None:
                headers["Nats-Expected-Last-Subject-Sequence"] = "9" * 20
            size = len(message.payload) + header_bytes(headers)
            if size > limit:
                raise InvalidArgument(
                    f"messages.{index}.payload: {size:,} bytes with headers, {whose} takes {limit:,}; put the content "
                    "into an object store and publish a reference to it"
                )

    async def _still_unstored(self, outcomes: list[Outcome]) -> list[Outcome]:
        """A stream may have been made since the plan: then nothing is known about being stored."""
        try:
            appeared = await self._nats.stream_of(self.address)
        except BackendError:
            return outcomes
        if appeared is None:
            return outcomes
        reason = f"stream {appeared.name} was made for this subject meanwhile; repeat the call to be sure"
        return [replace(o, stored="unknown", cause="unanswered", reason=reason) if o.sent else o for o in outcomes]
