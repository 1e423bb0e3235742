"""A batch as one transaction: stored whole or not at all, for readers of what is committed.

https://cwiki.apache.org/confluence/display/KAFKA/KIP-98+-+Exactly+Once+Delivery+and+Transactional+Messaging
"""

import base64
import time
from contextlib import suppress
from typing import Any

from cluster import Cluster, Fields
from confluent_kafka import KafkaException

FENCED = ("_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH")


def transact(cluster: Cluster, asked: Fields) -> Fields:
    """Sends `records` within one transaction. `ended` is `committed`, with the report of each; `aborted`: a commit was
    never asked for, so nothing is stored; `final`: what it came to is decided, and is to be looked up; or `unknown`."""
    until = time.monotonic() + float(asked["seconds"])
    with cluster.transacting:
        told = _once(cluster, asked, until)
        if told["ended"] == "aborted" and told["error"] in FENCED:  # another server used the id since
            told = _once(cluster, asked, until)
        return told


def _once(cluster: Cluster, asked: Fields, until: float) -> Fields:
    try:
        producer = cluster.transactional(asked["transactional_id"], _left(until))
        producer.begin_transaction()
    except KafkaException as error:
        cluster.forget_transactional()
        return {"ended": "aborted", **_said(error.args[0])}
    reports, failed = _sent(producer, asked, until)
    if failed:
        _abort(cluster, producer)  # the others are given back with it: what went wrong is among all of them
        return {"ended": "aborted", **next((one for one in failed if not one["error"].startswith("_PURGE")), failed[0])}
    try:
        _commit(producer, until)
    except KafkaException as error:
        told = error.args[0]
        if told.txn_requires_abort() and _abort(cluster, producer):
            return {"ended": "aborted", **_said(told)}
        cluster.forget_transactional()
        # Whoever took the id over waited until this transaction had ended.
        return {"ended": "final" if told.name() in FENCED else "unknown", **_said(told)}
    return {"ended": "committed", "reports": reports}


def settle(cluster: Cluster, asked: Fields) -> Fields:
    """Waits until the last transaction of the id has ended, in one way or the other: a new producer of the id begins
    with that."""
    with cluster.transacting:
        cluster.forget_transactional()
        cluster.transactional(asked["transactional_id"], float(asked["seconds"]))
    return {"ended": "final"}


def _sent(producer: Any, asked: Fields, until: float) -> tuple[Fields, list[Fields]]:
    """The reports of all records, and what is wrong with those that have none."""
    reports: Fields = {}
    failed: list[Fields] = []

    def report(number: int) -> Any:
        def told(error: Any, stored: Any) -> None:
            if error is None:
                reports[str(number)] = {"partition": stored.partition(), "offset": stored.offset()}
            else:
                failed.append(_said(error))

        return told

    for record in asked["records"]:
        headers = [(name, value.encode()) for name, value in record["headers"]]
        key = record["key"] and record["key"].encode()
        try:
            producer.produce(
                asked["topic"], base64.b64decode(record["value"]), key, headers=headers,
                on_delivery=report(record["n"]),
            )  # fmt: skip
        except (KafkaException, BufferError) as error:
            text = error.args[0].str() if isinstance(error, KafkaException) else "the queue of the client is full"
            return reports, [{"error": "LOCAL", "text": text}]
    while not failed and len(reports) < len(asked["records"]):
        if time.monotonic() >= until:
            return reports, [{"error": "_TIMED_OUT", "text": "no report within the time of the call"}]
        producer.poll(0.1)
    return reports, failed


def _commit(producer: Any, until: float) -> None:
    while True:
        try:
            producer.commit_transaction(_left(until))
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() >= until:
                raise
        else:
            return


def _abort(cluster: Cluster, producer: Any) -> bool:
    """Aborts; where that fails the producer is given up, and the broker aborts when its time is over."""
    with suppress(KafkaException):
        producer.abort_transaction(3.0)
        return True
    cluster.forget_transactional()
    return False


def _left(until: float) -> float:
    return max(0.1, until - time.monotonic())


def _said(error: Any) -> Fields:
    return {"error": error.name(), "text": error.str()}
