"""The process of the mock cluster: `kafka_mock.py LIBRARY PORT`, in the engine's `data`; ctypes and nothing else.

It speaks Kafka's protocol on a port of its own. On PORT it takes lines of JSON, `{"secret", "topic", "partitions"}`,
and makes topics, for which the mock cluster has no request.
https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_mock.h
"""

import ctypes
import json
import socket
import sys


def main(library: str, port: int) -> None:
    """Serves until it is ended."""
    with open("../secrets.json", encoding="utf-8") as file:
        secret = json.load(file)["backend"]
    kafka = ctypes.CDLL(library)
    kafka.rd_kafka_version_str.restype = ctypes.c_char_p
    kafka.rd_kafka_conf_new.restype = ctypes.c_void_p
    kafka.rd_kafka_conf_set.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
    ]
    kafka.rd_kafka_new.restype = ctypes.c_void_p
    kafka.rd_kafka_new.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    kafka.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    kafka.rd_kafka_mock_cluster_new.argtypes = [ctypes.c_void_p, ctypes.c_int]
    kafka.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    kafka.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
    kafka.rd_kafka_mock_topic_create.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    configuration = kafka.rd_kafka_conf_new()
    kafka.rd_kafka_conf_set(configuration, b"log_level", b"2", None, 0)
    problem = ctypes.create_string_buffer(512)
    handle = kafka.rd_kafka_new(0, configuration, problem, 512)
    if not handle:
        sys.exit(problem.value.decode())
    cluster = kafka.rd_kafka_mock_cluster_new(handle, 1)
    with socket.create_server(("127.0.0.1", port)) as listener:
        version, where = kafka.rd_kafka_version_str(), kafka.rd_kafka_mock_cluster_bootstraps(cluster)
        print(f"mock cluster of librdkafka {version.decode()} at {where.decode()}", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb") as stream:
                try:
                    asked = json.loads(stream.readline(4096))
                    if asked.get("secret") != secret:
                        continue
                    name, partitions = str(asked["topic"]).encode(), int(asked["partitions"])
                    code = kafka.rd_kafka_mock_topic_create(cluster, name, partitions, 1)
                    stream.write(json.dumps({"code": code}).encode() + b"\n")
                except (OSError, ValueError, KeyError, TypeError, AttributeError):
                    continue


main(sys.argv[1], int(sys.argv[2]))
