"""Topics made, altered and deleted, and what their settings are."""

from typing import Any

from cluster import ADMIN, Cluster, Fields
from confluent_kafka import KafkaException, TopicPartition


def configs(cluster: Cluster, asked: Fields) -> Fields:
    """The settings of topics that are not the broker's default."""
    resources: Any = [ADMIN.ConfigResource(ADMIN.ResourceType.TOPIC, name) for name in asked["topics"]]
    found: Fields = {}
    for resource, future in cluster.admin().describe_configs(resources, request_timeout=4).items():
        try:
            entries = future.result(5).values()
            found[resource.name] = {e.name: e.value for e in entries if not e.is_default and not e.is_sensitive}
        except KafkaException as error:
            found[resource.name] = {"unsupported": error.args[0].str()}
    return {"configs": found}


def change(cluster: Cluster, asked: Fields) -> Fields:
    """One change of a topic. `validate` asks the broker whether it would do it."""
    verb, name, validate = asked["verb"], asked["topic"], bool(asked.get("validate"))
    admin, limit = cluster.admin(), {"request_timeout": 5.0}
    if verb == "create":
        topic = ADMIN.NewTopic(name, asked["partitions"], asked["replicas"], config=asked["config"])
        futures = admin.create_topics([topic], validate_only=validate, **limit)
    elif verb == "partitions":
        futures = admin.create_partitions(
            [ADMIN.NewPartitions(name, asked["partitions"])], validate_only=validate, **limit
        )
    elif verb == "alter":
        entries = [
            ADMIN.ConfigEntry(
                n,
                v,
                incremental_operation=ADMIN.AlterConfigOpType.DELETE if v is None else ADMIN.AlterConfigOpType.SET,
            )
            for n, v in asked["config"].items()
        ]
        resource: Any = ADMIN.ConfigResource(ADMIN.ResourceType.TOPIC, name, incremental_configs=entries)
        futures = admin.incremental_alter_configs([resource], validate_only=validate, **limit)
    elif verb == "delete":
        futures = admin.delete_topics([name], **limit)
    else:
        places: Any = [TopicPartition(name, int(n), int(offset)) for n, offset in asked["offsets"].items()]
        futures = admin.delete_records(places, **limit)
    for future in futures.values():
        try:
            future.result(7)
        except KafkaException as error:
            return {"refused": error.args[0].name(), "text": error.args[0].str()}
    return {"done": True}
