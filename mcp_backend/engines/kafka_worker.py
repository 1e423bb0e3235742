"""The process that holds librdkafka: run by its path, it answers one JSON line for each line it reads.

It is apart because librdkafka can abort a whole process. What it knows comes in the first line: no credential is on a
command line. Nothing of this package is imported here.
"""

import base64
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka import admin as confluent_admin

ADMIN: Any = confluent_admin
Fields = dict[str, Any]


class Worker:
    """The clients of one cluster, made on first use."""

    def __init__(self, settings: Fields) -> None:
        self.settings: Fields = {**settings, "log_level": 2, "error_cb": self._error}
        self.trouble = ""
        self._producer: Any = None
        self._admin: Any = None
        self._lock = threading.Lock()

    def _error(self, error: Any) -> None:
        self.trouble = f"{error.name()}: {error.str()}"

    def failed(self, name: str, text: str) -> Fields:
        """What went wrong, and what a client says of its connections when it is polled."""
        _ = self._admin and self._admin.poll(0)
        return {"failed": name, "text": text, "trouble": self.trouble}

    def producer(self) -> Any:
        """The one producer, idempotent, with a thread that polls it."""
        with self._lock:
            if self._producer is None:
                made: Any = Producer({
                    **self.settings, "enable.idempotence": True, "acks": "all", "linger.ms": 0,
                    "message.timeout.ms": 8000, "socket.timeout.ms": 3000, "allow.auto.create.topics": False,
                })  # fmt: skip
                self._producer = made
                threading.Thread(target=self._poll, args=(made,), daemon=True).start()
            return self._producer

    def _poll(self, producer: Any) -> None:
        while self._producer is producer:
            try:
                producer.poll(0.1)
            except:  # noqa: E722 - KafkaError is no exception class and is raised all the same
                with self._lock:
                    self._producer = None

    def admin(self) -> Any:
        """The one admin client."""
        with self._lock:
            if self._admin is None:
                self._admin = ADMIN.AdminClient({**self.settings, "socket.timeout.ms": 3000})
            return self._admin

    def consumer(self) -> Any:
        """A consumer that joins no group and commits nothing: partitions are assigned by hand."""
        return Consumer({
            **self.settings, "group.id": f"mcp-backend-peek-{uuid.uuid4()}", "enable.auto.commit": False,
            "enable.auto.offset.store": False, "enable.partition.eof": True, "allow.auto.create.topics": False,
            "isolation.level": "read_committed", "socket.timeout.ms": 3000,
        })  # fmt: skip

    def metadata(self, asked: Fields) -> Fields:
        """All topics with their partitions; never by name, which would create a missing one."""
        found = self.admin().list_topics(timeout=float(asked.get("seconds", 4)))
        topics: Fields = {}
        for name, topic in found.topics.items():
            partitions = sorted(topic.partitions.values(), key=lambda p: p.id)
            topics[name] = [[p.id, p.leader, len(p.replicas), len(p.isrs)] for p in partitions]
        return {"cluster": found.cluster_id, "brokers": len(found.brokers), "topics": topics}

    def publish(self, asked: Fields) -> Fields:
        """Hands every message to librdkafka and waits for its report. `lanes` are lists of messages that keep their
        order: the next of a lane is sent when the one before is stored."""
        producer, lanes = self.producer(), asked["lanes"]
        reports: dict[int, Fields] = {}
        changed, closed = threading.Condition(), threading.Event()

        def send(lane: list[Fields]) -> None:
            message = lane[0]

            def told(error: Any, stored: Any) -> None:
                with changed:
                    if error is None:
                        reports[message["n"]] = {"partition": stored.partition(), "offset": stored.offset()}
                        if lane[1:] and not closed.is_set():
                            send(lane[1:])
                    else:
                        reports[message["n"]] = {"error": error.name(), "text": error.str()}
                    changed.notify_all()

            headers = [(name, value.encode()) for name, value in message["headers"]]
            try:
                producer.produce(
                    asked["topic"], base64.b64decode(message["value"]), message["key"] and message["key"].encode(),
                    headers=headers, on_delivery=told,
                )  # fmt: skip
            except BufferError:
                reports[message["n"]] = {"error": "QUEUE_FULL", "text": "the queue of the client is full"}
            except KafkaException as error:
                reports[message["n"]] = {"error": "LOCAL", "text": error.args[0].str()}

        with changed:
            for lane in lanes:
                send(lane)
            until = time.monotonic() + float(asked["seconds"])
            wanted = sum(len(lane) for lane in lanes)
            while len(reports) < wanted and (left := until - time.monotonic()) > 0:
                if all(_ended(lane, reports) for lane in lanes):
                    break
                changed.wait(min(left, 0.5))
            closed.set()  # what was said not to be sent is not sent later
        return {"reports": reports, "trouble": self.trouble}

    def offsets(self, asked: Fields) -> Fields:
        """The first and the last offset of partitions, `{"topic": [partition, …]}`, and that of a time (-1: none)."""
        places = [(topic, number) for topic, numbers in asked["topics"].items() for number in numbers]
        found: Fields = {}
        specs = {"first": ADMIN.OffsetSpec.earliest(), "last": ADMIN.OffsetSpec.latest()}
        if "at_ms" in asked:
            specs["at"] = ADMIN.OffsetSpec.for_timestamp(int(asked["at_ms"]))
        for which, spec in specs.items():
            wanted: Any = {TopicPartition(topic, number): spec for topic, number in places}
            for place, future in self.admin().list_offsets(wanted, request_timeout=4).items():
                try:
                    offset = future.result(5).offset
                except KafkaException:
                    offset = -1
                found.setdefault(place.topic, {}).setdefault(str(place.partition), {})[which] = offset
        # The stand-in answers -1 here; there each partition is asked by itself.
        missing = [(t, p) for t, p in places if found[t][str(p)].get("last", -1) < 0]
        if missing:
            consumer = self.consumer()
            try:
                for topic, number in missing[:2000]:
                    first, last = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=3)
                    found[topic][str(number)] = {"first": first, "last": last}
            finally:
                consumer.close()
        return {"offsets": found}

    def read(self, asked: Fields) -> Fields:
        """Messages from given offsets to where each partition ends, or until `seconds` are over."""
        topic, count = asked["topic"], int(asked["count"])
        ends = {int(number): int(end) for number, end in asked["ends"].items()}
        consumer, found = self.consumer(), list[Fields]()
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
            consumer.assign([p for p in starts if p.partition in left])
            until = time.monotonic() + float(asked["seconds"])
            while left and len(found) < count and (wait := until - time.monotonic()) > 0:
                message = consumer.poll(min(wait, 0.2))
                if message is None:
                    continue
                if message.error():
                    if message.error().name() == "_PARTITION_EOF" and not follow:
                        left.discard(message.partition())
                    elif message.error().name() != "_PARTITION_EOF":
                        return {"messages": found, "trouble": f"{message.error().name()}: {message.error().str()}"}
                    continue
                found.append(_shown(message))
                if not follow and message.offset() + 1 >= ends[message.partition()]:
                    left.discard(message.partition())
        finally:
            consumer.close()
        return {"messages": found, "complete": not left}

    def groups(self, asked: Fields) -> Fields:
        """Consumer groups with members and committed offsets; `unsupported` where the broker cannot tell."""
        told = self.admin().list_consumer_groups(request_timeout=4).result(5)
        if told.errors and not told.valid:
            return {"unsupported": str(told.errors[0]), "groups": {}}
        names = [group.group_id for group in told.valid][:500]
        found: Fields = {name: {"members": 0, "offsets": {}} for name in names}
        if names:
            for name, future in self.admin().describe_consumer_groups(names, request_timeout=4).items():
                try:
                    told = future.result(5)
                    found[name] |= {"members": len(told.members), "state": told.state.name}
                except KafkaException:
                    continue
        for name in names:
            wanted = [ConsumerGroupTopicPartitions(name)]
            for future in self.admin().list_consumer_group_offsets(wanted, request_timeout=4).values():
                try:
                    for place in future.result(5).topic_partitions:
                        found[name]["offsets"].setdefault(place.topic, {})[str(place.partition)] = place.offset
                except KafkaException:
                    continue
        return {"groups": found}

    def group(self, asked: Fields) -> Fields:
        """Where one group stands in one topic, and how many members it has (`None` where the broker cannot tell)."""
        places: Any = [TopicPartition(asked["topic"], number) for number in asked["partitions"]]
        wanted = [ConsumerGroupTopicPartitions(asked["group"], places)]
        offsets: Fields = {}
        for future in self.admin().list_consumer_group_offsets(wanted, request_timeout=4).values():
            offsets = {str(p.partition): p.offset for p in future.result(5).topic_partitions if p.offset >= 0}
        members: int | None = None
        for future in self.admin().describe_consumer_groups([asked["group"]], request_timeout=4).values():
            try:
                members = len(future.result(5).members)
            except KafkaException:
                continue
        return {"offsets": offsets, "members": members}

    def move(self, asked: Fields) -> Fields:
        """Puts a group at offsets of one topic."""
        places: Any = [TopicPartition(asked["topic"], int(n), int(offset)) for n, offset in asked["offsets"].items()]
        wanted = [ConsumerGroupTopicPartitions(asked["group"], places)]
        for future in self.admin().alter_consumer_group_offsets(wanted, request_timeout=5).values():
            try:
                errors = [place.error for place in future.result(7).topic_partitions if place.error]
            except KafkaException as error:
                return {"refused": error.args[0].name(), "text": error.args[0].str()}
            if errors:
                return {"refused": errors[0].name(), "text": errors[0].str()}
        return {"done": True}

    def configs(self, asked: Fields) -> Fields:
        """The settings of topics that are not the broker's default."""
        resources: Any = [ADMIN.ConfigResource(ADMIN.ResourceType.TOPIC, name) for name in asked["topics"]]
        found: Fields = {}
        for resource, future in self.admin().describe_configs(resources, request_timeout=4).items():
            try:
                entries = future.result(5).values()
                found[resource.name] = {e.name: e.value for e in entries if not e.is_default and not e.is_sensitive}
            except KafkaException as error:
                found[resource.name] = {"unsupported": error.args[0].str()}
        return {"configs": found}

    def change(self, asked: Fields) -> Fields:
        """One change of a topic. `validate` asks the broker whether it would do it."""
        verb, name, validate = asked["verb"], asked["topic"], bool(asked.get("validate"))
        admin, limit = self.admin(), {"request_timeout": 5.0}
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


def _ended(lane: list[Fields], reports: dict[int, Fields]) -> bool:
    """Whether nothing more will be told of a lane: all stored, or one of them failed."""
    return any("error" in reports[m["n"]] for m in lane if m["n"] in reports) or lane[-1]["n"] in reports


def _shown(message: Any) -> Fields:
    kind, at = message.timestamp()
    headers = [[name, base64.b64encode(value or b"").decode()] for name, value in message.headers() or ()]
    key = message.key()
    return {
        "partition": message.partition(), "offset": message.offset(), "at": at if kind else None,
        "key": None if key is None else base64.b64encode(key).decode(), "headers": headers,
        "value": base64.b64encode(message.value() or b"").decode(),
    }  # fmt: skip


def main() -> None:
    """Answers until the other side is gone. What a library prints goes to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker, writing = Worker(json.loads(sys.stdin.readline())), threading.Lock()
    names = (
        "metadata", "publish", "offsets", "read", "groups", "group", "move", "configs", "change",
    )  # fmt: skip
    operations: dict[str, Callable[[Fields], Fields]] = {name: getattr(worker, name) for name in names}

    def answer(asked: Fields) -> None:
        try:
            told = operations[asked["do"]](asked)
        except KafkaException as error:
            told = worker.failed(error.args[0].name(), error.args[0].str())
        except (ValueError, TypeError, KeyError, TimeoutError, RuntimeError) as error:
            told = worker.failed(type(error).__name__, str(error))
        with writing:
            out.write(json.dumps({"id": asked["id"], **told}) + "\n")
            out.flush()

    for line in sys.stdin:
        threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()
    os._exit(0)


if __name__ == "__main__":
    main()
