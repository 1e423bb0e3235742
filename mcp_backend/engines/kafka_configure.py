"""Changing topics of Kafka: settings are altered one by one, so that the rest stays; the broker checks a change first.

https://kafka.apache.org/documentation/#topicconfigs
"""

from dataclasses import replace
from typing import Any, cast

from mcp_backend.engines import kafka_groups
from mcp_backend.engines.configuring import Planned, Wanted
from mcp_backend.engines.kafka import Ended, Failed, Kafka
from mcp_backend.engines.kafka_publisher import check_topic
from mcp_backend.errors import (
    Aborted,
    BackendError,
    FailedPrecondition,
    InvalidArgument,
    Json,
    NotFound,
    OutcomeUnknown,
)
from mcp_backend.policy import EngineSettings

DEFAULTS = {"partitions": 1, "replicas": -1}
"""-1 leaves the number of replicas to the broker."""
_CUTS = ("retention.ms", "retention.bytes", "cleanup.policy", "delete.retention.ms")


class KafkaConfigurer:
    """Plans and makes changes of topics and groups."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        return self._kafka.settings

    async def plan(self, wanted: Wanted) -> Planned:
        """What the change would do, after the broker has checked it. Raises as `Configurer.plan` does."""
        if wanted.kind == "group":
            return await kafka_groups.plan(self._kafka, wanted)
        if wanted.kind != "topic" or wanted.verb == "reset":
            raise InvalidArgument(f"kind: of Kafka topics are set, purged and deleted, groups moved, not: {wanted}")
        check_topic(wanted.name)
        live = await self._live(wanted.name)
        if live is None and wanted.verb != "set":
            raise NotFound(f"topic {wanted.name} does not exist; message_topology lists what does")
        if self._kafka.stand_in and (live is not None or wanted.verb != "set"):
            if wanted.verb != "set" or wanted.config.keys() - {"partitions"}:
                raise InvalidArgument(
                    f"changes of {wanted.name}: the local stand-in only creates topics; set a real broker's url"
                )
            return Planned(wanted, True, {}, live, at=live)
        planned = self._planned(wanted, live)
        if planned.diff and not self._kafka.stand_in:
            for change in _steps(planned):
                told = await self._kafka.read("change", validate=True, **change)
                if "refused" in told:
                    raise InvalidArgument(f"config: the broker refuses it: {told['text']} ({told['refused']})")
        return replace(planned, at=_at(live, planned))

    async def apply(self, planned: Planned) -> dict[str, Json]:
        """Makes the change and reads it back. Raises as `Configurer.apply` does."""
        wanted = planned.wanted
        if wanted.kind == "group":
            if not await kafka_groups.still(self._kafka, planned):
                raise Aborted(
                    f"group {wanted.name} or its topic moved since this was planned; look at the new diff first"
                )
            return await kafka_groups.apply(self._kafka, planned)
        if _at(await self._live(wanted.name), planned) != planned.at:
            raise Aborted(f"topic {wanted.name} changed since this was planned; look at the new diff first")
        if self._kafka.stand_in:
            await self._kafka.make_stand_in_topic(wanted.name, int(planned.desired["partitions"]))
        for change in () if self._kafka.stand_in else _steps(planned):
            try:
                told = await self._kafka.ask("change", **change)
            except (Ended, Failed) as error:
                raise OutcomeUnknown(
                    f"whether to {wanted} happened is unknown: {error}; look before you repeat it"
                ) from error
            if "refused" in told:
                raise FailedPrecondition(f"the broker refuses to {wanted}: {told['text']} ({told['refused']})")
        try:
            now = await self._live(wanted.name)
        except BackendError as error:
            raise OutcomeUnknown(f"whether to {wanted} happened could not be read back: {error.reason}") from error
        if wanted.verb == "delete":
            return {"verified": now is None}
        if now is None:
            return {"verified": False}
        if wanted.verb == "purge":
            return {"verified": now["messages"] == 0, "messages": now["messages"]}
        after = _flat(now)
        missed = {
            name: after.get(name)
            for name, (_, value) in planned.diff.items()
            if value not in (None, -1) and after.get(name) != value
        }
        return {"verified": not missed} | ({"not_taken": cast("Json", missed)} if missed else {})

    async def _live(self, name: str) -> dict[str, Any] | None:
        topics = await self._kafka.topics()
        if name not in topics:
            return None
        parts = topics[name]
        numbers = [part[0] for part in parts]
        offsets = (await self._kafka.read("offsets", topics={name: numbers}))["offsets"][name]
        config: dict[str, Any] = {}
        if not self._kafka.stand_in:
            config = (await self._kafka.read("configs", topics=[name]))["configs"][name]
        return {
            "partitions": len(parts), "replicas": parts[0][2], "config": config, "offsets": offsets,
            "messages": sum(max(0, place["last"] - place["first"]) for place in offsets.values()),
        }  # fmt: skip

    def _planned(self, wanted: Wanted, live: dict[str, Any] | None) -> Planned:
        messages = int(live["messages"]) if live else 0
        impact: dict[str, Json] = {"messages": messages, "partitions": live["partitions"]} if live else {}
        if wanted.verb in ("delete", "purge"):
            return Planned(wanted, True, {}, live, None, f"{messages:,} messages" if messages else "", impact=impact)
        before = _flat(live) if live else {}
        after: dict[str, Any] = {**(before or DEFAULTS)}
        for name, value in wanted.config.items():
            if name in ("partitions", "replicas"):
                if not isinstance(value, int) or value < 1:
                    raise InvalidArgument(f"config.{name}: expected a number of at least 1")
                after[name] = value
            else:
                after[name] = None if value is None else str(value)
        diff: dict[str, tuple[Json, Json]] = {n: (before.get(n), v) for n, v in after.items() if before.get(n) != v}
        hazards: list[tuple[str, str]] = []
        if live and "partitions" in diff:
            if after["partitions"] < live["partitions"]:
                raise InvalidArgument(
                    f"config.partitions: {live['partitions']} now, and Kafka cannot take partitions away"
                )
            hazards.append(("partitions_up", "keys move to other partitions: the order of existing keys breaks"))
        if live and "replicas" in diff:
            raise InvalidArgument(
                "config.replicas: replicas of an existing topic are reassigned with the broker's own tools"
            )
        if self.settings.environment == "production" and 0 < int(after["replicas"]) < 3:
            hazards.append(("few_replicas", "fewer than 3 replicas: the loss of one broker may stop or lose it"))
        cut = [name for name in _CUTS if live and name in diff and _stricter(name, *diff[name])]
        if cut:
            hazards.append(("retention_cut", f"keeps less than before ({', '.join(cut)}): who is behind misses some"))
        lost = f"messages beyond the new {', '.join(cut)} (of {messages:,})" if cut and messages else ""
        return Planned(wanted, live is not None, diff, live, after, lost, tuple(hazards), impact)


def _steps(planned: Planned) -> list[dict[str, Any]]:
    """The requests of a change."""
    wanted, name = planned.wanted, planned.wanted.name
    if wanted.verb == "delete":
        return [{"verb": "delete", "topic": name}]
    if wanted.verb == "purge":
        return [
            {
                "verb": "purge",
                "topic": name,
                "offsets": {n: place["last"] for n, place in planned.live["offsets"].items()},
            }
        ]
    config = {n: value for n, (_, value) in planned.diff.items() if n not in ("partitions", "replicas")}
    if not planned.exists:
        made: Any = {n: value for n, value in config.items() if value is not None}
        return [{"verb": "create", "topic": name, "partitions": planned.desired["partitions"],
                 "replicas": planned.desired["replicas"], "config": made}]  # fmt: skip
    steps: list[dict[str, Any]] = [{"verb": "alter", "topic": name, "config": config}] if config else []
    if "partitions" in planned.diff:
        steps.append({"verb": "partitions", "topic": name, "partitions": planned.desired["partitions"]})
    return steps


def _flat(live: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {} if "unsupported" in live["config"] else live["config"]
    return {"partitions": live["partitions"], "replicas": live["replicas"], **config}


def _stricter(name: str, before: Json, after: Json) -> bool:
    """Whether a setting deletes more than before; unset and -1 keep everything or the broker's default."""
    if name == "cleanup.policy":
        return True
    try:
        new, old = int(str(after)), int(str(before)) if before is not None else -1
    except ValueError:
        return after is None
    return new >= 0 and (old < 0 or new < old)


def _at(live: dict[str, Any] | None, planned: Planned) -> Any:
    """What has to be the same when the change is made: settings, and the offsets where something is lost."""
    return None if live is None else [_flat(live), live["offsets"] if planned.destroys else None]
