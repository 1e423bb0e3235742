"""The topology of a Redis server joined with the contracts of the repository: what is declared, read and risky."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime

from mcp_backend.contracts.messages import Contract, Index
from mcp_backend.engines import redis_topology
from mcp_backend.engines.redis import Redis, Refused
from mcp_backend.engines.redis_topology import MANY_DELIVERIES, Channel, Group, Held, Stream
from mcp_backend.engines.topology import COMMON, Finding, Item, Position, Severity
from mcp_backend.errors import BackendError, FailedPrecondition, Json, PermissionDenied

PROTOCOLS = frozenset({"redis", "redis-secure", "rediss", "valkey"})
MEANING: dict[str, tuple[Severity, str]] = {
    "may_evict": ("error", "the server evicts keys when memory is full, streams among them: use noeviction"),
    "not_persistent": ("warn", "no append-only file: what is stored is lost when the server dies; switch it on"),
    "loses_a_second": ("info", "the append-only file is not written with each message: the last ones go with a crash"),
    "read_only_replica": ("warn", "this server is a replica and takes no messages: use the primary's address"),
    "no_replica": ("warn", "no replica is connected: the loss of this server stops everything"),
    "stream_expires": ("error", "the key has a time to live: the whole stream goes at once; trim it instead (PERSIST)"),
    "no_consumer": ("info", "has entries and no group reads them"),
    "nobody_fetches": ("warn", "entries wait and the group has no worker: is it running?"),
    "abandoned": ("warn", "entries were delivered and nobody has touched them for 10 minutes: claim them (XAUTOCLAIM)"),
    "poison": (
        "warn",
        "an entry was delivered again and again: move it to a stream of dead letters and acknowledge it",
    ),
    "lag_unknown": ("info", "entries were deleted, so the server cannot tell how far behind the group is"),
    "declared_missing": ("info", "declared, but no stream has its name: whoever is not subscribed right now misses it"),
    **COMMON,
}


class RedisView:
    """All streams, groups and channels of a server and all contracts, as they are at one moment. `View` of Redis."""

    kind = "redis"
    meaning: Mapping[str, tuple[Severity, str]] = MEANING
    failures: tuple[type[Exception], ...] = (Refused,)

    def __init__(self, redis: Redis, index: Index, held: Held) -> None:
        self.version, self.notes = redis.version, list[str]()
        self._redis, self._index, self.held = redis, index, held
        self._contracts = tuple(c for c in index.contracts() if not c.protocols or c.protocols & PROTOCOLS)
        self._known: dict[str, Contract | None] = {}
        self._differing = index.declared_differently()
        self._streams: Sequence[Stream] = ()
        self._channels: Sequence[Channel] = ()
        self._missing: Sequence[Contract] = ()
        if not held.whole:
            self.notes.append("the keyspace is too large to be searched to its end: there may be more streams")
        if held.patterns:
            self.notes.append(f"{held.patterns} subscriptions are by pattern and may reach any channel")

    @classmethod
    async def of(cls, redis: Redis, index: Index, now: datetime) -> "RedisView":
        """The topology as it is now. Raises `Unavailable`, and `PermissionDenied` when this user may not look."""
        try:
            await redis.refresh()
            return cls(redis, index, await redis_topology.held(redis))
        except Refused as error:
            raise _told(redis, error) from error

    def told(self, error: Exception) -> BackendError:
        """The error of ours for a refusal of the server."""
        return _told(self._redis, error)

    async def choose(self, words: Sequence[str]) -> int:
        """Keeps the streams, channels and declared names in which all words occur."""
        names = {stream.name for stream in self.held.streams}
        self._streams = [
            s for s in self.held.streams if _has(words, (s.name, *(g.name for g in s.groups), self._of(s.name)))
        ]
        self._channels = [c for c in self.held.channels if _has(words, (c.name, self._of(c.name)))]
        self._missing = sorted(
            (
                c for c in self._contracts
                if _has(words, (c.pattern.text, c.source)) and not any(c.pattern.matches(name) for name in names)
            ),
            key=lambda contract: contract.pattern.text,
        )  # fmt: skip
        return len(self._streams) + len(self._channels) + len(self._missing)

    async def items(self, after: Position, *, brief: bool) -> AsyncIterator[Item]:
        """Everything that was chosen and comes after a position."""
        if not brief:
            self._streams = await redis_topology.detailed(self._redis, self._streams)
        for item in self._all(brief=brief):
            if item.position > after:
                yield item

    def totals(self) -> dict[str, Json]:
        """Sums and counts over everything, whatever page is shown. Findings are those of the server and streams."""
        counts: dict[str, int] = {}
        for finding in (*self._server(), *(f for stream in self.held.streams for f in self._own(stream))):
            counts[finding.id] = counts.get(finding.id, 0) + 1
        return {
            "streams": len(self.held.streams),
            "consumers": sum(len(stream.groups) for stream in self.held.streams),
            "channels": len(self.held.channels),
            "messages": sum(stream.length for stream in self.held.streams),
            "bytes": int(self._redis.info.get("used_memory", 0)),
            "contracts": len(self._contracts),
            "findings": {**dict(sorted(counts.items()))},
        }

    def _all(self, *, brief: bool) -> Iterator[Item]:
        server = tuple(self._server())
        for stream in self._streams:
            entry = stream.entry(brief=brief) | {"schema": self._of(stream.name) or None}
            yield Item((0, stream.name, ""), entry, (*server, *self._own(stream)))
            server = ()
            for group in stream.groups:
                found = tuple(_group(group))
                yield Item((0, stream.name, group.name), group.entry(brief=brief), found, consumer=True)
        for contract in self._missing:
            text = contract.pattern.text
            missing: dict[str, Json] = {"name": text, "kind": "declared", "schema": contract.source}
            yield Item((1, text, ""), missing, (Finding("declared_missing", text), *self._declared(contract)))
        for channel in self._channels:
            kind = "shard" if channel.sharded else "channel"
            heard: dict[str, Json] = {
                "name": channel.name,
                "kind": kind,
                "subscribers": channel.subscribers,
                "schema": self._of(channel.name) or None,
            }
            yield Item((3 if channel.sharded else 2, channel.name, ""), heard, tuple(self._undocumented(channel.name)))

    def _server(self) -> Iterator[Finding]:
        info, production = self._redis.info, self._redis.settings.environment == "production"
        policy = info.get("maxmemory_policy", "noeviction")
        name = self._redis.settings.name
        if policy.startswith("allkeys") and info.get("maxmemory", "0") != "0":
            yield Finding("may_evict", f"{name}: {policy}")
        if info.get("aof_enabled") == "0" and (production or self.held.streams):
            yield Finding("not_persistent", name)
        elif info.get("appendfsync", "always") != "always" and self.held.streams:
            yield Finding("loses_a_second", f"{name}: appendfsync {info['appendfsync']}")
        if info.get("role") == "slave":
            yield Finding("read_only_replica", name)
        elif production and info.get("connected_slaves") == "0":
            yield Finding("no_replica", name)

    def _own(self, stream: Stream) -> Iterator[Finding]:
        if stream.expires_ms is not None:
            yield Finding("stream_expires", f"{stream.name}: in {stream.expires_ms // 1000:,} s")
        if stream.length and not stream.groups:
            yield Finding("no_consumer", f"{stream.name}: {stream.length:,} entries")
        yield from self._undocumented(stream.name)

    def _undocumented(self, name: str) -> Iterator[Finding]:
        contract = self._contract(name)
        if contract is None:
            yield Finding("undocumented", name)
        else:
            yield from self._declared(contract)

    def _declared(self, contract: Contract) -> Iterator[Finding]:
        text = contract.pattern.text
        if contract.unchecked:
            yield Finding("contract_unchecked", f"{text}: {contract.unchecked}")
        if text in self._differing:
            yield Finding("declared_twice", f"{text}: {', '.join(self._differing[text][:3])}")

    def _contract(self, name: str) -> Contract | None:
        if name not in self._known:
            try:
                self._known[name] = self._index.contract_for(name)
            except FailedPrecondition:
                self._known[name] = None
        return self._known[name]

    def _of(self, name: str) -> str:
        contract = self._contract(name)
        return contract.source if contract else ""


def _group(group: Group) -> Iterator[Finding]:
    name = f"{group.stream}/{group.name}"
    if group.lag is None:
        yield Finding("lag_unknown", name)
    if not group.workers and (group.lag is None or group.lag > group.pending):
        yield Finding("nobody_fetches", f"{name}: {'some' if group.lag is None else f'{group.lag:,}'} wait")
    if group.abandoned:
        more = " or more" if group.abandoned >= 100 else ""
        yield Finding("abandoned", f"{name}: {group.abandoned}{more}")
    if group.most_deliveries >= MANY_DELIVERIES:
        yield Finding("poison", f"{name}: {group.most_deliveries} times")


def _told(redis: Redis, error: Exception) -> BackendError:
    if isinstance(error, Refused) and error.code == "NOPERM":
        return PermissionDenied(
            f"engine {redis.settings.name}: {error}; a person grants it, then the topology can be shown"
        )
    return redis.unavailable(str(error), "protocol")


def _has(words: Sequence[str], texts: Sequence[str]) -> bool:
    whole = "\n".join(texts).lower()
    return all(word in whole for word in words)
