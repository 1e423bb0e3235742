"""Topics, offsets and messages, read without a trace."""

import base64
import time
from typing import Any

from cluster import ADMIN, Cluster, Fields
from confluent_kafka import KafkaException, TopicPartition


def metadata(cluster: Cluster, asked: Fields) -> Fields:
    """All topics with their partitions; never by name, which would create a missing one."""
    found = cluster.admin().list_topics(timeout=float(asked.get("seconds", 4)))
    topics: Fields = {}
    for name, topic in found.topics.items():
        partitions = sorted(topic.partitions.values(), key=lambda p: p.id)
        topics[name] = [[p.id, p.leader, len(p.replicas), len(p.isrs)] for p in partitions]
    return {"cluster": found.cluster_id, "brokers": len(found.brokers), "topics": topics}


def offsets(cluster: Cluster, asked: Fields) -> Fields:
    """The first and the last offset of partitions, `{"topic": [partition, …]}`, and that of a time (-1: none)."""
    places = [(topic, number) for topic, numbers in asked["topics"].items() for number in numbers]
    found: Fields = {}
    specs = {"first": ADMIN.OffsetSpec.earliest(), "last": ADMIN.OffsetSpec.latest()}
    if "at_ms" in asked:
        specs["at"] = ADMIN.OffsetSpec.for_timestamp(int(asked["at_ms"]))
    for which, spec in specs.items():
        wanted: Any = {TopicPartition(topic, number): spec for topic, number in places}
        for place, future in cluster.admin().list_offsets(wanted, request_timeout=4).items():
            try:
                offset = future.result(5).offset
            except KafkaException:
                offset = -1
            found.setdefault(place.topic, {}).setdefault(str(place.partition), {})[which] = offset
    # The stand-in answers -1 here; there each partition is asked by itself.
    missing = [(t, p) for t, p in places if found[t][str(p)].get("last", -1) < 0]
    if missing:
        consumer = cluster.consumer()
        try:
            for topic, number in missing[:2000]:
                first, last = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=3)
                found[topic][str(number)] = {"first": first, "last": last}
        finally:
            consumer.close()
    return {"offsets": found}


def read(cluster: Cluster, asked: Fields) -> Fields:
    """Messages from given offsets to where each partition ends, or until `seconds` are over. `whole`: everything up to
    `ends` was seen, and no transaction hides what lies behind it."""
    topic, count = asked["topic"], int(asked["count"])
    ends = {int(number): int(end) for number, end in asked["ends"].items()}
    consumer, found = cluster.consumer(), list[Fields]()
    try:
        starts = [TopicPartition(topic, int(n), int(offset)) for n, offset in asked["starts"].items()]
        if asked.get("at_ms") is not None:
            wanted = [TopicPartition(topic, p.partition, int(asked["at_ms"])) for p in starts]
            told = consumer.offsets_for_times(wanted, timeout=4)
            starts = [
                TopicPartition(topic, p.partition, p.offset if p.offset >= 0 else ends[p.partition]) for p in told
            ]
        follow = bool(asked.get("follow"))
        left = {p.partition for p in starts if follow or p.offset < ends[p.partition]}
        behind = set(left)
        consumer.assign([p for p in starts if p.partition in left])
        until = time.monotonic() + float(asked["seconds"])
        while left and len(found) < count and (wait := until - time.monotonic()) > 0:
            message = consumer.poll(min(wait, 0.2))
            if message is None:
                continue
            if message.error():
                if message.error().name() == "_PARTITION_EOF" and not follow:
                    left.discard(message.partition())
                    if message.offset() >= ends[message.partition()]:
                        behind.discard(message.partition())
                elif message.error().name() != "_PARTITION_EOF":
                    return {"messages": found, "trouble": f"{message.error().name()}: {message.error().str()}"}
                continue
            found.append(_shown(message))
            if not follow and message.offset() + 1 >= ends[message.partition()]:
                left.discard(message.partition())
                behind.discard(message.partition())
    finally:
        consumer.close()
    return {"messages": found, "whole": not behind}


def _shown(message: Any) -> Fields:
    kind, at = message.timestamp()
    headers = [[name, base64.b64encode(value or b"").decode()] for name, value in message.headers() or ()]
    key = message.key()
    return {
        "partition": message.partition(), "offset": message.offset(), "at": at if kind else None,
        "key": None if key is None else base64.b64encode(key).decode(), "headers": headers,
        "value": base64.b64encode(message.value() or b"").decode(),
    }  # fmt: skip
