"""The process that holds librdkafka: run by the path of this folder, it answers one JSON line for each line it reads.

It is apart because librdkafka can abort a whole process. What it knows comes in the first line: no credential is on a
command line. Nothing of the package around it is imported here.
"""

import json
import os
import sys
import threading
from collections.abc import Callable

from cluster import Cluster, Fields
from confluent_kafka import KafkaException
from groups import group, groups, move
from publishing import publish
from reading import metadata, offsets, read
from settings import change, configs
from transacting import settle, transact

OPERATIONS: dict[str, Callable[[Cluster, Fields], Fields]] = {
    "metadata": metadata, "publish": publish, "offsets": offsets, "read": read, "groups": groups, "group": group,
    "move": move, "configs": configs, "change": change,
    "transact": transact, "settle": settle,
}  # fmt: skip


def main() -> None:
    """Answers until the other side is gone. What a library prints goes to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    cluster, writing = Cluster(json.loads(sys.stdin.readline())), threading.Lock()

    def answer(asked: Fields) -> None:
        try:
            told = OPERATIONS[asked["do"]](cluster, asked)
        except KafkaException as error:
            told = cluster.failed(error.args[0].name(), error.args[0].str())
        except (ValueError, TypeError, KeyError, TimeoutError, RuntimeError) as error:
            told = cluster.failed(type(error).__name__, str(error))
        with writing:
            out.write(json.dumps({"id": asked["id"], **told}) + "\n")
            out.flush()

    for line in sys.stdin:
        threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()
    os._exit(0)


if __name__ == "__main__":
    main()
