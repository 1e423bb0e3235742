"""Publishing: each message with what the broker says of it."""

import base64
import threading
import time
from typing import Any

from cluster import Cluster, Fields
from confluent_kafka import KafkaException


def publish(cluster: Cluster, asked: Fields) -> Fields:
    """Hands every message to librdkafka and waits for its report. `lanes` are lists of messages that keep their
    order: the next of a lane is sent when the one before is stored."""
    producer, lanes = cluster.producer(), asked["lanes"]
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
    return {"reports": reports, "trouble": cluster.trouble}


def _ended(lane: list[Fields], reports: dict[int, Fields]) -> bool:
    """Whether nothing more will be told of a lane: all stored, or one of them failed."""
    return any("error" in reports[m["n"]] for m in lane if m["n"] in reports) or lane[-1]["n"] in reports
