"""The topology of a Kafka cluster joined with the contracts of the repository: topics, groups, what is risky."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from mcp_backend.contracts.messages import Contract, Index
from mcp_backend.engines.kafka import STAND_IN, Kafka
from mcp_backend.engines.topology import COMMON, Finding, Item, Position, Severity
from mcp_backend.errors import BackendError, FailedPrecondition, Json

CHUNK = 25
PROTOCOLS = frozenset({"kafka", "kafka-secure"})
MEANING: dict[str, tuple[Severity, str]] = {
    "no_leader": ("error", "a partition has no leader, so it can be neither written nor read: look at the brokers"),
    "under_replicated": ("error", "replicas are behind; one more failure may stop it"),
    "single_replica": ("warn", "one replica: the loss of one broker loses it; use 3 and min.insync.replicas 2"),
    "no_consumer": ("info", "has messages and no group reads them"),
    "nobody_fetches": ("warn", "messages wait and the group has no member: is it running?"),
    "declared_missing": ("info", "declared, but no topic has its name"),
    **COMMON,
}


class KafkaView:
    """All topics and groups of a cluster and all contracts, as they are at one moment. `View` of Kafka."""

    kind = "kafka"
    meaning: Mapping[str, tuple[Severity, str]] = MEANING
    failures: tuple[type[Exception], ...] = ()

    def __init__(
        self, kafka: Kafka, index: Index, topics: Mapping[str, list[list[int]]], groups: Mapping[str, Any]
    ) -> None:
        self.version = "mock" if kafka.stand_in else ""
        self.notes = [STAND_IN] if kafka.stand_in else list[str]()
        self._kafka, self._index = kafka, index
        self.topics = {name: parts for name, parts in topics.items() if not name.startswith("__")}
        self.groups: Mapping[str, Any] = groups["groups"]
        self._told = "unsupported" not in groups
        if not self._told and not kafka.stand_in:
            self.notes.append(f"groups and their lag are not known: {groups['unsupported']}")
        self._contracts = tuple(c for c in index.contracts() if not c.protocols or c.protocols & PROTOCOLS)
        self._chosen: Sequence[str] = ()
        self._missing: Sequence[Contract] = ()

    @classmethod
    async def of(cls, kafka: Kafka, index: Index, now: datetime) -> "KafkaView":
        """The topology as it is now. Raises `Unavailable`."""
        topics = await kafka.topics()
        return cls(kafka, index, topics, await kafka.read("groups"))

    def told(self, error: Exception) -> BackendError:
        """The error of ours for a failure."""
        return self._kafka.unavailable(str(error), "protocol")

    async def choose(self, words: Sequence[str]) -> int:
        """Keeps the topics and declared names in which all words occur."""
        readers = {
            name: [group for group, told in self.groups.items() if name in told["offsets"]] for name in self.topics
        }
        self._chosen = [n for n in sorted(self.topics) if _has(words, (n, *readers[n], self._of(n)))]
        self._missing = [
            c for c in sorted(self._contracts, key=lambda c: c.pattern.text)
            if _has(words, (c.pattern.text, c.source)) and not any(c.pattern.matches(name) for name in self.topics)
        ]  # fmt: skip
        return len(self._chosen) + len(self._missing)

    async def items(self, after: Position, *, brief: bool) -> AsyncIterator[Item]:
        """Everything that was chosen and comes after a position. Offsets are read when their turn comes."""
        for contract in self._missing:
            text = contract.pattern.text
            entry: dict[str, Json] = {"name": text, "kind": "declared", "schema": contract.source}
            if (1, text, "") > after:
                yield Item((1, text, ""), entry, (Finding("declared_missing", text),))
        left = [name for name in self._chosen if (4, name) >= after[:2]]
        for start in range(0, len(left), CHUNK):
            chunk = left[start : start + CHUNK]
            places = {name: [part[0] for part in self.topics[name]] for name in chunk}
            offsets = (await self._kafka.read("offsets", topics=places))["offsets"]
            configs: dict[str, Any] = {}
            if not brief and not self._kafka.stand_in:
                configs = (await self._kafka.read("configs", topics=chunk))["configs"]
            for name in chunk:
                for item in self._topic(name, offsets[name], configs.get(name, {})):
                    if item.position > after:
                        yield item

    def totals(self) -> dict[str, Json]:
        """Sums and counts over everything, whatever page is shown."""
        counts: dict[str, int] = {}
        for name in self.topics:
            for finding in self._own(name):
                counts[finding.id] = counts.get(finding.id, 0) + 1
        return {
            "topics": len(self.topics), "partitions": sum(len(parts) for parts in self.topics.values()),
            "consumers": len(self.groups), "contracts": len(self._contracts),
            "findings": {**dict(sorted(counts.items()))},
        }  # fmt: skip

    def _topic(self, name: str, offsets: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Item]:
        held = sum(max(0, place["last"] - place["first"]) for place in offsets.values())
        parts = self.topics[name]
        groups = {group: told for group, told in self.groups.items() if name in told["offsets"]}
        entry: dict[str, Json] = {
            "name": name, "kind": "topic", "partitions": len(parts), "replicas": parts[0][2] if parts else 0,
            "messages": held, "schema": self._of(name) or None,
        }  # fmt: skip
        if self._told:
            entry["consumers"] = len(groups)
        if config and "unsupported" not in config:
            entry["config"] = dict(list(config.items())[:12])
        findings = [*self._own(name)]
        if self._told and held and not groups:
            findings.append(Finding("no_consumer", f"{name}: {held:,} messages"))
        yield Item((4, name, ""), entry, tuple(findings))
        for group, told in sorted(groups.items()):
            lag = sum(
                max(0, offsets[n]["last"] - max(0, at)) for n, at in told["offsets"][name].items() if n in offsets
            )
            waiting: dict[str, Json] = {"name": group, "destination": name, "lag": lag, "members": told["members"]}
            idle = (Finding("nobody_fetches", f"{name}/{group}: {lag:,} wait"),) if lag and not told["members"] else ()
            yield Item((4, name, group), waiting, idle, consumer=True)

    def _own(self, name: str) -> Iterator[Finding]:
        parts = self.topics[name]
        if any(leader < 0 for _, leader, _, _ in parts):
            yield Finding("no_leader", name)
        if any(alive < replicas for _, _, replicas, alive in parts):
            yield Finding("under_replicated", name)
        if self._kafka.settings.environment == "production" and any(replicas < 2 for _, _, replicas, _ in parts):
            yield Finding("single_replica", name)
        contract = self._contract(name)
        if contract is None:
            yield Finding("undocumented", name)
        elif contract.unchecked:
            yield Finding("contract_unchecked", f"{name}: {contract.unchecked}")

    def _contract(self, name: str) -> Contract | None:
        try:
            return self._index.contract_for(name)
        except FailedPrecondition:
            return None

    def _of(self, name: str) -> str:
        contract = self._contract(name)
        return contract.source if contract else ""


def _has(words: Sequence[str], texts: Sequence[str]) -> bool:
    whole = "\n".join(texts).lower()
    return all(word in whole for word in words)
