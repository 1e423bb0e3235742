"""The clients of one cluster."""

import threading
import uuid
from typing import Any

from confluent_kafka import Consumer, Producer
from confluent_kafka import admin as confluent_admin

ADMIN: Any = confluent_admin
Fields = dict[str, Any]


class Cluster:
    """The clients of one cluster, made on first use."""

    def __init__(self, settings: Fields) -> None:
        self.settings: Fields = {**settings, "log_level": 2, "error_cb": self._error}
        self.trouble = ""
        self._producer: Any = None
        self._admin: Any = None
        self._lock = threading.Lock()
        self.transacting = threading.Lock()
        """One transaction at a time."""
        self._transactional: Any = None

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

    def transactional(self, identifier: str, seconds: float) -> Any:
        """The producer of a transactional id, which nobody else has from here on. Raises `KafkaException`."""
        if self._transactional is None:
            made: Any = Producer({
                **self.settings, "transactional.id": identifier, "transaction.timeout.ms": 15000, "linger.ms": 0,
                "message.timeout.ms": 8000, "socket.timeout.ms": 3000, "allow.auto.create.topics": False,
            })  # fmt: skip
            made.init_transactions(seconds)
            self._transactional = made
        return self._transactional

    def forget_transactional(self) -> None:
        """The next transaction begins with a new producer."""
        self._transactional = None

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
