"""Moving a consumer group of Kafka to other offsets of one topic, while nobody reads in it.

https://kafka.apache.org/documentation/#basic_ops_consumer_group and KIP-396 (AlterConsumerGroupOffsets)
"""

import re
from datetime import datetime
from typing import Any, cast

from mcp_backend.engines.configuring import Planned, Wanted
from mcp_backend.engines.kafka import Ended, Failed, Kafka
from mcp_backend.errors import FailedPrecondition, InvalidArgument, Json, NotFound, OutcomeUnknown

START = 'config.start: expected "oldest", "latest", an RFC 3339 time, or offsets by partition such as {"0": 42}'
_GROUP = re.compile(r"[\x21-\x7e]{1,249}")


async def plan(kafka: Kafka, wanted: Wanted) -> Planned:
    """Where the group stands in the topic `of` and where it would be moved. Raises `InvalidArgument`, `NotFound`,
    `FailedPrecondition` while it has members, `Unavailable`."""
    if wanted.verb not in ("set", "reset"):
        raise InvalidArgument("action: a group of Kafka is moved (reset); delete it with the broker's own tools")
    if not _GROUP.fullmatch(wanted.name):
        raise InvalidArgument("name: expected a group of visible ASCII characters without spaces")
    if unknown := wanted.config.keys() - {"start"}:
        raise InvalidArgument(f"config.{min(unknown)}: a group has start alone")
    if not wanted.of:
        raise InvalidArgument("of: expected the topic in which the group is moved")
    live = await _live(kafka, wanted)
    target = await _target(kafka, wanted, live["ends"])
    before: dict[str, int] = live["offsets"]
    diff: dict[str, tuple[Json, Json]] = {
        f"partition {number}": (before.get(number), offset)
        for number, offset in target.items()
        if before.get(number) != offset
    }
    if not before or not diff:
        return Planned(wanted, bool(before), diff, live, target, at=live)
    if wanted.verb != "reset":
        raise InvalidArgument(
            'action: the group stands at offsets of this topic already; moving it is "reset", which repeats or skips'
        )
    if live["members"]:
        raise FailedPrecondition(
            f"group {wanted.name} has {live['members']} members: a broker moves none that reads; stop them first"
        )
    repeated = sum(max(0, before.get(n, 0) - offset) for n, offset in target.items() if n in before)
    skipped = sum(max(0, offset - before.get(n, 0)) for n, offset in target.items() if n in before)
    lost = f"the position of the group in {wanted.of}: {repeated:,} messages are handled again, {skipped:,} never"
    impact: dict[str, Json] = {"repeated": repeated, "skipped": skipped, "partitions": len(diff)}
    unsure = live["members"] is None and (
        "members_unknown",
        "the broker does not say who reads: stop its members first",
    )
    return Planned(wanted, True, diff, live, target, lost, (unsure,) if unsure else (), impact=impact, at=live)


async def apply(kafka: Kafka, planned: Planned) -> dict[str, Json]:
    """Moves the group and reads it back. Raises `OutcomeUnknown`, `FailedPrecondition`, `Unavailable`."""
    wanted = planned.wanted
    try:
        told = await kafka.ask("move", group=wanted.name, topic=wanted.of, offsets=planned.desired)
    except (Ended, Failed) as error:
        raise OutcomeUnknown(f"whether to {wanted} happened is unknown: {error}; look before you repeat it") from error
    if "refused" in told:
        raise FailedPrecondition(f"the broker refuses to {wanted}: {told['text']} ({told['refused']})")
    now: dict[str, int] = (await _live(kafka, wanted))["offsets"]
    shown = {number: now.get(number) for number in planned.desired}
    return {"verified": shown == planned.desired, "offsets": cast("Json", shown)}


async def still(kafka: Kafka, planned: Planned) -> bool:
    """Whether the group and the topic are as they were planned on."""
    return await _live(kafka, planned.wanted) == planned.at


async def _live(kafka: Kafka, wanted: Wanted) -> dict[str, Any]:
    topics = await kafka.topics()
    if wanted.of not in topics:
        raise NotFound(f"topic {wanted.of} does not exist; message_topology lists what does")
    numbers = [part[0] for part in topics[wanted.of]]
    ends = (await kafka.read("offsets", topics={wanted.of: numbers}))["offsets"][wanted.of]
    told = await kafka.read("group", group=wanted.name, topic=wanted.of, partitions=numbers)
    return {"offsets": told["offsets"], "members": told["members"], "ends": ends}


async def _target(kafka: Kafka, wanted: Wanted, ends: dict[str, dict[str, int]]) -> dict[str, int]:
    start: Any = wanted.config.get("start")
    if isinstance(start, dict):
        given = cast("dict[str, Any]", start)
        for number, offset in given.items():
            place = ends.get(number)
            if place is None or not isinstance(offset, int) or not place["first"] <= offset <= place["last"]:
                held = f"{place['first']} to {place['last']}" if place else f"partitions {', '.join(ends)}"
                raise InvalidArgument(f"config.start.{number}: not in {wanted.of}, which has {held}")
        if given:
            return dict(given)
    if start == "oldest":
        return {number: place["first"] for number, place in ends.items()}
    if start == "latest":
        return {number: place["last"] for number, place in ends.items()}
    try:
        moment = datetime.fromisoformat(start if isinstance(start, str) else "")
    except ValueError:
        raise InvalidArgument(START) from None
    if moment.tzinfo is None:
        raise InvalidArgument(START)
    at = int(moment.timestamp() * 1000)
    if kafka.stand_in:
        raise InvalidArgument("config.start: the local stand-in has no index of times; give oldest, latest or offsets")
    numbers = [int(number) for number in ends]
    found = (await kafka.read("offsets", topics={wanted.of: numbers}, at_ms=at))["offsets"][wanted.of]
    return {number: found[number]["at"] if found[number]["at"] >= 0 else ends[number]["last"] for number in ends}
