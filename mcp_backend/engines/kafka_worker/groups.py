"""Consumer groups: where they stand, and putting one elsewhere."""

from typing import Any

from cluster import Cluster, Fields
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition


def groups(cluster: Cluster, asked: Fields) -> Fields:
    """Consumer groups with members and committed offsets; `unsupported` where the broker cannot tell."""
    told = cluster.admin().list_consumer_groups(request_timeout=4).result(5)
    if told.errors and not told.valid:
        return {"unsupported": str(told.errors[0]), "groups": {}}
    names = [group.group_id for group in told.valid][:500]
    found: Fields = {name: {"members": 0, "offsets": {}} for name in names}
    if names:
        for name, future in cluster.admin().describe_consumer_groups(names, request_timeout=4).items():
            try:
                told = future.result(5)
                found[name] |= {"members": len(told.members), "state": told.state.name}
            except KafkaException:
                continue
    for name in names:
        wanted = [ConsumerGroupTopicPartitions(name)]
        for future in cluster.admin().list_consumer_group_offsets(wanted, request_timeout=4).values():
            try:
                for place in future.result(5).topic_partitions:
                    found[name]["offsets"].setdefault(place.topic, {})[str(place.partition)] = place.offset
            except KafkaException:
                continue
    return {"groups": found}


def group(cluster: Cluster, asked: Fields) -> Fields:
    """Where one group stands in one topic, and how many members it has (`None` where the broker cannot tell)."""
    places: Any = [TopicPartition(asked["topic"], number) for number in asked["partitions"]]
    wanted = [ConsumerGroupTopicPartitions(asked["group"], places)]
    offsets: Fields = {}
    for future in cluster.admin().list_consumer_group_offsets(wanted, request_timeout=4).values():
        offsets = {str(p.partition): p.offset for p in future.result(5).topic_partitions if p.offset >= 0}
    members: int | None = None
    for future in cluster.admin().describe_consumer_groups([asked["group"]], request_timeout=4).values():
        try:
            members = len(future.result(5).members)
        except KafkaException:
            continue
    return {"offsets": offsets, "members": members}


def move(cluster: Cluster, asked: Fields) -> Fields:
    """Puts a group at offsets of one topic."""
    places: Any = [TopicPartition(asked["topic"], int(n), int(offset)) for n, offset in asked["offsets"].items()]
    wanted = [ConsumerGroupTopicPartitions(asked["group"], places)]
    for future in cluster.admin().alter_consumer_group_offsets(wanted, request_timeout=5).values():
        try:
            errors = [place.error for place in future.result(7).topic_partitions if place.error]
        except KafkaException as error:
            return {"refused": error.args[0].name(), "text": error.args[0].str()}
        if errors:
            return {"refused": errors[0].name(), "text": errors[0].str()}
    return {"done": True}
