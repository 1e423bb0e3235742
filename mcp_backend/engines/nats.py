"""NATS: core and JetStream. The connection opens on first use and comes back by itself, on the next call.

JetStream is spoken as its JSON API, so that what a newer server adds is neither lost nor refused:
https://docs.nats.io/reference/reference-protocols/nats_api_reference
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from mcp_backend.engines.away import away
from mcp_backend.engines.nats_address import Address, CannotOpen, addresses
from mcp_backend.engines.nats_connection import Connection, Lost, NoResponders, NotSent, Unanswered
from mcp_backend.engines.opening import Opening
from mcp_backend.errors import Json, Unavailable
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace, resolve

if TYPE_CHECKING:
    from mcp_backend.engines.embedded import Lease

API_SECONDS = 3.0
STREAM_CACHE_SECONDS = 5.0
RESTART_PAUSES = (0.0, 0.1, 0.4, 1.0)
"""A local server that was ended from outside is started again by a new lease, perhaps on another port; it takes a
moment until its keeper has seen the end of the old one."""
NANOSECONDS = 1_000_000_000


class JetStreamError(Exception):
    """JetStream refuses a request. `err_code` is the number of the server's errors.json."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        self.code, self.err_code = int(error.get("code", 0)), int(error.get("err_code", 0))
        self.description = str(error.get("description", "refused"))
        super().__init__(f"{self.description} ({self.err_code})")


class NoJetStream(Exception):
    """This server, or this account, has no JetStream: nothing is ever stored."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What publishing needs to know of a stream. `dedupe_seconds` is how long a message id is remembered."""

    name: str
    storage: str
    replicas: int
    dedupe_seconds: float
    max_message: int
    acknowledges: bool
    rewrites_subjects: bool
    last_sequence: int
    interest: bool = False
    """Keeps a message only while a consumer wants it."""
    most: tuple[int, int, int] = (-1, -1, -1)
    """Messages, messages of a subject and bytes; what is older gives way. -1: no limit, or new messages are refused."""

    def may_drop(self, messages: int, size: int) -> bool:
        """Whether a batch may push out its own beginning, or be kept by nobody."""
        held = zip(self.most, (messages, messages, size), strict=True)
        return self.interest or any(0 < most < some for most, some in held)


UNKNOWN_STREAM = Stream(
    "", "unknown", 1, dedupe_seconds=0.0, max_message=-1, acknowledges=True, rewrites_subjects=False, last_sequence=0
)
"""Stands for whatever may store a subject where this user may not look: nothing is assumed of it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored message."""

    sequence: int
    subject: str
    message_id: str
    payload: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    at: str = ""


class Nats:
    """One NATS engine of the policy."""

    def __init__(self, settings: EngineSettings, workspace: Workspace) -> None:
        self.settings = settings
        self._workspace = workspace
        self._connection: Connection | None = None
        self._opening = Opening()
        self._lease: Lease | None = None
        self._down_since: datetime | None = None
        self._streams: dict[str, tuple[float, Stream]] = {}

    async def connection(self) -> Connection:
        """The live connection, opened when there is none.

        Raises `Unavailable` naming the engine, the server, the cause and since when, within seconds.
        """
        if self._connection and self._connection.alive:
            return self._connection
        async with self._opening.turn():
            if self._connection and self._connection.alive:
                return self._connection
            if self._connection:
                await self.drop(self._connection)
            self._connection = await self._open()
            self._down_since = None
            return self._connection

    async def drop(self, connection: Connection) -> None:
        """Gives up a connection that stopped answering; the next use opens another."""
        if self._connection is connection:
            self._connection = None
            self._down_since = self._down_since or connection.lost_at or datetime.now(UTC)
        await connection.close()

    async def _open(self) -> Connection:
        problem: CannotOpen | None = None
        for pause in (0.0, *RESTART_PAUSES):
            await asyncio.sleep(pause)
            for address in await self._addresses(again=problem is not None):
                try:
                    return await Connection.open(address)
                except CannotOpen as error:
                    problem = problem or error
            if self._lease is None:
                break
        assert problem is not None, "an address either opens or tells why not"
        raise self.unavailable(str(problem), problem.cause) from problem

    async def _addresses(self, *, again: bool) -> tuple[Address, ...]:
        field = f"engines.{self.settings.name}.url"
        if not self.settings.url.startswith("embedded:"):
            from mcp_backend.engines.nats_access import with_access

            found = addresses(resolve(self.settings.url, field=field), field=field)
            return with_access(found, self.settings, self._workspace.root)
        from mcp_backend.engines.embedded import lease

        if again and self._lease:
            self._lease.close()
            self._lease = None
        if self._lease is None:
            self._lease = await lease("nats", self._workspace)
        return addresses(self._lease.url, field=field)

    def unavailable(self, problem: str, cause: str) -> Unavailable:
        """The error for an engine that does not answer. `problem` names the server."""
        self._down_since = self._down_since or datetime.now(UTC)
        return away(self.settings.name, "nats", problem, self._down_since, cause)

    async def ask(
        self,
        subject: str,
        payload: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float,
        accept: Callable[[bytes], bool] | None = None,
    ) -> bytes:
        """`Connection.ask` on the live connection; one that stays silent is given up. Raises `Unavailable` too."""
        connection = await self.connection()
        try:
            return await connection.ask(subject, payload, headers, seconds=seconds, accept=accept)
        except Unanswered:
            await self.drop(connection)
            raise

    async def _ask_again(self, subject: str, payload: bytes) -> bytes:
        """Asks once more when the connection turned out to be dead: reading twice harms nobody."""
        try:
            return await self.ask(subject, payload, seconds=API_SECONDS)
        except (NotSent, Lost):
            return await self.ask(subject, payload, seconds=API_SECONDS)

    async def api(self, verb: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One request to the JetStream API.

        Raises `JetStreamError`, `NoJetStream`, `Denied` when this user may not ask, `Unavailable`.
        """
        payload = json.dumps(request).encode() if request else b""
        try:
            answer = json.loads(await self._ask_again(f"$JS.API.{verb}", payload))
        except NoResponders as error:
            raise NoJetStream("nobody answers for JetStream") from error
        except (NotSent, Unanswered, ValueError) as error:
            raise self.unavailable(f"JetStream does not answer: {error}", "timeout") from error
        if not isinstance(error := answer.get("error"), dict):
            return cast("dict[str, Any]", answer)
        refusal = JetStreamError(cast("dict[str, Any]", error))
        if refusal.err_code in (10039, 10076):  # not enabled for the account, not enabled
            raise NoJetStream(refusal.description)
        raise refusal

    async def stream_of(self, subject: str) -> Stream | None:
        """The stream that stores what is published to this subject, or `None` when none does.

        What is found is remembered for some seconds: publishing names the stream it expects, so a stale answer is
        refused by the server. That there is none is never remembered. Raises as `api` does, save `NoJetStream`.
        """
        until, known = self._streams.get(subject, (0.0, None))
        if known and time.monotonic() < until:
            return known
        self.forget(subject)
        try:
            found = await self.api("STREAM.LIST", {"subject": subject})
        except NoJetStream:
            return None
        infos = cast("list[dict[str, Any]]", found.get("streams") or [])
        if not infos:
            return None
        stream = _stream(infos[0])
        if len(self._streams) > 1000:
            self._streams.clear()
        self._streams[subject] = (time.monotonic() + STREAM_CACHE_SECONDS, stream)
        return stream

    def forget(self, subject: str) -> None:
        """Looks the stream of this subject up anew next time."""
        self._streams.pop(subject, None)

    async def message(self, stream: str, **which: Json) -> Stored | None:
        """One stored message: `seq=N`, `last_by_subj=S`, or `seq=N, next_by_subj=S`. `None` when there is none.

        Reads by position: no consumer is created and nothing is acknowledged. Raises as `api` does.
        """
        try:
            found = (await self.api(f"STREAM.MSG.GET.{stream}", which))["message"]
        except JetStreamError as error:
            if error.code == 404:
                return None
            raise
        lines = base64.b64decode(found.get("hdrs") or "").decode("utf-8", "replace").split("\r\n")
        headers = {name: value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
        return Stored(
            int(found["seq"]), str(found["subject"]), headers.get("Nats-Msg-Id", ""),
            base64.b64decode(found.get("data") or ""), headers, str(found.get("time", "")),
        )  # fmt: skip

    async def close(self) -> None:
        """Ends the connection and the lease on a local server."""
        if self._connection:
            await self._connection.close()
            self._connection = None
        if self._lease:
            self._lease.close()
            self._lease = None


def _stream(info: Mapping[str, Any]) -> Stream:
    config, state = cast("dict[str, Any]", info["config"]), cast("dict[str, Any]", info["state"])
    return Stream(
        name=str(config["name"]),
        storage=str(config.get("storage", "file")),
        replicas=int(config.get("num_replicas", 1)),
        dedupe_seconds=int(config.get("duplicate_window") or 0) / NANOSECONDS,
        max_message=int(config.get("max_msg_size") or -1),
        acknowledges=not config.get("no_ack", False),
        rewrites_subjects=bool(config.get("subject_transform")),
        last_sequence=int(state.get("last_seq", 0)),
        interest=config.get("retention") == "interest",
        most=_limits(config),
    )


def _limits(config: Mapping[str, Any]) -> tuple[int, int, int]:
    if config.get("discard", "old") != "old":
        return (-1, -1, -1)
    names = ("max_msgs", "max_msgs_per_subject", "max_bytes")
    return cast("tuple[int, int, int]", tuple(int(config.get(name) or -1) for name in names))
