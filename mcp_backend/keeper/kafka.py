"""librdkafka's mock cluster as a local Kafka: a stand-in that keeps nothing; `kafka_mock.py` is its process."""

import os
import re
import sys

from mcp_backend.keeper.engine import Engine

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kafka_mock.py")


class Kafka(Engine):
    """One broker on the loopback interface, without passwords; `port` is where topics are made, with a secret."""

    brokers = ""

    def command(self) -> list[str]:
        """`program` is the library of the client's wheel. The secret is read from the folder above."""
        return [sys.executable, "-I", "-S", SERVER, self.program, str(self.port)]

    def ready(self) -> bool:
        """Whether the server has said where its broker listens."""
        found = re.search(r"^mock cluster of librdkafka (\S+) at (\S+)$", self.log(), re.MULTILINE)
        if found:
            self.version, self.brokers = f"mock of librdkafka {found[1]}", found[2]
        return found is not None

    def urls(self) -> dict[str, str]:
        """The broker's URL, and where topics are made."""
        control = f"mock://:{self.secrets['backend']}@127.0.0.1:{self.port}"
        return {"url": f"kafka://{self.brokers}", "superuser_url": control}
