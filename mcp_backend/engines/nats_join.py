"""The topology of a NATS server joined with the contracts of the repository, in an order that can be paged through."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from mcp_backend.actions import listed
from mcp_backend.contracts.messages import Contract, Index
from mcp_backend.contracts.patterns import Pattern, subject
from mcp_backend.engines import nats_topology
from mcp_backend.engines.nats import JetStreamError, Nats
from mcp_backend.engines.nats_connection import Denied
from mcp_backend.engines.nats_findings import ADVISORY, MEANING, dead_letter_subjects, of_consumer, of_stream
from mcp_backend.engines.nats_topology import Consumer, Held
from mcp_backend.engines.topology import Finding, Item, Position, Severity
from mcp_backend.errors import BackendError, FailedPrecondition, Json, PermissionDenied

CHUNK = 20
"""Streams whose consumers are read together while a page is filled."""
SEARCHED = 1000
"""With at most this many streams a search reads the names of all consumers."""
T = TypeVar("T")


class Topology:
    """All streams of a server and all contracts, as they are at one moment. `View` of NATS."""

    kind = "nats"
    meaning: Mapping[str, tuple[Severity, str]] = MEANING
    failures: tuple[type[Exception], ...] = (Denied, JetStreamError)

    def __init__(self, nats: Nats, index: Index, streams: Sequence[Held], now: datetime) -> None:
        self.streams = streams
        self.version = ""
        self.notes: list[str] = []
        self._chosen: tuple[list[Held], list[Contract]] = ([], [])
        self.nats, self._index, self._now = nats, index, now
        self._contracts = tuple(c for c in index.contracts() if not c.protocols or "nats" in c.protocols)
        self._first: dict[str, list[Contract]] = {}
        for contract in self._contracts:
            self._first.setdefault(_first(contract.pattern), []).append(contract)
        self._differing = index.declared_differently()
        self._dead_letters = dead_letter_subjects(streams)
        self._consumers: dict[str, list[Consumer]] = {}

    @classmethod
    async def of(cls, nats: Nats, index: Index, now: datetime) -> "Topology":
        """The topology as it is now. Raises `Unavailable`, and `PermissionDenied` when this user may not look."""
        try:
            streams = await nats_topology.streams(nats)
        except (Denied, JetStreamError) as error:
            raise _told(nats, error) from error
        topology = cls(nats, index, streams or [], now)
        topology.version = (await nats.connection()).version
        if streams is None:
            topology.notes.append(
                "this server or account has no JetStream: nothing is stored, delivery is at most once"
            )
        return topology

    def told(self, error: Exception) -> BackendError:
        """The error of ours for a refusal of the server."""
        return _told(self.nats, error)

    async def choose(self, words: Sequence[str]) -> int:
        """Keeps the streams, and the declared subjects without a stream, in which all words occur."""
        if words and len(self.streams) <= SEARCHED:
            self._consumers = await nats_topology.consumers(self.nats, self.streams)
        streams = [held for held in self.streams if _has(words, self._texts(held))]
        stored = [subject(text) for held in self.streams for text in held.subjects]
        taken: dict[str, list[Pattern]] = {}
        for pattern in stored:
            taken.setdefault(_first(pattern), []).append(pattern)
        missing = [
            contract
            for contract in self._contracts
            if _has(words, (contract.pattern.text, contract.source))
            and not any(contract.pattern.overlaps(pattern) for pattern in _near(taken, contract.pattern))
        ]
        self._chosen = (streams, sorted(missing, key=lambda contract: contract.pattern.text))
        return len(streams) + len(missing)

    async def items(self, after: Position, *, brief: bool) -> AsyncIterator[Item]:
        """Everything that comes after a position. What belongs to a stream is read when its turn comes."""
        streams, missing = self._chosen
        left = [held for held in streams if (0, held.stream) >= after[:2]]
        for start in range(0, len(left), CHUNK):
            chunk = left[start : start + CHUNK]
            unread = [held for held in chunk if held.stream not in self._consumers]
            self._consumers |= await nats_topology.consumers(self.nats, unread)
            subjects = await nats_topology.stored_subjects(self.nats, chunk)
            for held in chunk:
                for item in self._stream(held, subjects.get(held.stream), brief=brief):
                    if item.position > after:
                        yield item
        for contract in missing:
            position = (1, contract.pattern.text, "")
            if position > after:
                entry: dict[str, Json] = {"name": contract.pattern.text, "kind": "subject", "schema": contract.source}
                yield Item(position, entry, tuple(self._declared(contract, stored=False)))

    def totals(self) -> dict[str, Json]:
        """Sums and counts over everything, whatever page is shown. Findings here are those of streams."""
        counts: dict[str, int] = {}
        for held in self.streams:
            for finding in (*self._own(held), *self._undocumented(held, None)):
                counts[finding.id] = counts.get(finding.id, 0) + 1
        return {
            "streams": len(self.streams),
            "consumers": sum(held.consumers for held in self.streams),
            "messages": sum(int(held.state.get("messages", 0)) for held in self.streams),
            "bytes": sum(int(held.state.get("bytes", 0)) for held in self.streams),
            "contracts": len(self._contracts),
            "findings": {**dict(sorted(counts.items()))},
        }

    def _stream(self, held: Held, stored: Sequence[str] | None, *, brief: bool) -> Iterator[Item]:
        contracts = self._of(held)
        entry = held.entry(brief=brief) | {"schema": contracts[0].source if contracts else None}
        if len(contracts) > 1:
            entry["schemas"] = [contract.source for contract in contracts[:5]]
        findings = [*self._own(held), *self._undocumented(held, stored)]
        for contract in contracts:
            findings += self._declared(contract, stored=True)
        yield Item((0, held.stream, ""), entry, tuple(findings))
        for consumer in self._consumers.get(held.stream, ()):
            found = tuple(of_consumer(consumer, held, self._dead_letters, self._now))
            yield Item((0, held.stream, consumer.name), consumer.entry(brief=brief), found, consumer=True)

    def _own(self, held: Held) -> Iterator[Finding]:
        return of_stream(held, self.nats.settings.environment)

    def _of(self, held: Held) -> list[Contract]:
        """The contracts of what a stream stores."""
        patterns = [subject(text) for text in held.subjects]
        near = {contract.pattern.text: contract for pattern in patterns for contract in _near(self._first, pattern)}
        return [c for c in near.values() if any(c.pattern.overlaps(pattern) for pattern in patterns)]

    def _undocumented(self, held: Held, stored: Sequence[str] | None) -> Iterator[Finding]:
        """A stream without a contract, or the subjects in it that have none."""
        if held.kind != "stream" or not held.subjects or all(text.startswith(ADVISORY) for text in held.subjects):
            return
        if not self._of(held):
            yield Finding("undocumented", held.stream)
            return
        bare = [text for text in stored or () if not self._documented(text)]
        if bare:
            yield Finding("undocumented", f"{held.stream}: {listed(bare, 3)}")

    def _documented(self, destination: str) -> bool:
        try:
            return self._index.contract_for(destination) is not None
        except FailedPrecondition:
            return False

    def _declared(self, contract: Contract, *, stored: bool) -> Iterator[Finding]:
        text = contract.pattern.text
        if not stored:
            yield Finding("declared_missing", text)
        if contract.unchecked:
            yield Finding("contract_unchecked", f"{text}: {contract.unchecked}")
        if text in self._differing:
            yield Finding("declared_twice", f"{text}: {', '.join(self._differing[text][:3])}")

    def _texts(self, held: Held) -> tuple[str, ...]:
        names = (consumer.name for consumer in self._consumers.get(held.stream, ()))
        sources = (contract.source for contract in self._of(held))
        return (held.name, held.stream, *held.subjects, str(held.config.get("description", "")), *names, *sources)


def _told(nats: Nats, error: Exception) -> BackendError:
    if isinstance(error, Denied):
        text = f"engine {nats.settings.name}: {error}; a person grants it, then the topology can be shown"
        return PermissionDenied(text)
    return nats.unavailable(f"JetStream: {error}", "protocol")


def _has(words: Sequence[str], texts: Sequence[str]) -> bool:
    whole = "\n".join(texts).lower()
    return all(word in whole for word in words)


def _first(pattern: Pattern) -> str:
    """The first token when it is a text; everything else has to be compared with everything."""
    first = pattern.tokens[0]
    return first if isinstance(first, str) else ""


def _near(by_first: Mapping[str, list[T]], pattern: Pattern) -> list[T]:
    """What may overlap the pattern, judged by the first token."""
    first = _first(pattern)
    if not first:
        return [item for items in by_first.values() for item in items]
    return [*by_first.get(first, ()), *by_first.get("", ())]
