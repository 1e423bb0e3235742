"""Statements as a local server without keeper, cluster and other systems can run them, and what changed for it."""

import re
from collections.abc import Sequence

from mcp_backend.keeper.chdb.tokens import Token, identifier, tokens

OUTSIDE = frozenset(
    {
        "Kafka", "RabbitMQ", "NATS", "S3", "S3Queue", "GCS", "COSN", "OSS", "AzureBlobStorage", "AzureQueue", "HDFS",
        "MySQL",
        "PostgreSQL", "MongoDB", "Redis", "JDBC", "ODBC", "Distributed", "Hive", "Iceberg", "IcebergS3", "IcebergAzure",
        "IcebergHDFS", "DeltaLake", "DeltaLakeS3", "Hudi", "MaterializedPostgreSQL", "EmbeddedRocksDB", "KeeperMap",
        "YTsaurus",
        "ArrowFlight", "ExternalDistributed", "TimeSeries", "URL", "File", "FileLog", "Executable", "ExecutablePool",
        "SQLite",
    }
)  # fmt: skip
"""Engines whose rows are elsewhere: a table of the same columns that holds nothing stands for them."""
FILES = frozenset(
    {"File", "FileLog", "URL", "Executable", "ExecutablePool", "SQLite", "HDFS", "IcebergLocal", "DeltaLakeLocal"}
)
"""Engines that reach the server's files, its programs, or any address."""
_PLACES = re.compile(
    r"(?i),?\s*\b(?:storage_policy|disk)\s*=\s*(?:'(?:[^'\\]|\\.)*'|disk\((?:[^()]|\([^()]*\))*\)|\w+)"
)


def mapped(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement without ON CLUSTER, replication, storage policies and definers; and what was changed, in words."""
    notes: list[str] = []
    words = tokens(sql)
    cuts: list[tuple[int, int, str]] = []
    for at, word in enumerate(words):
        if word.upper == "ON" and at + 2 < len(words) and words[at + 1].upper == "CLUSTER":
            cuts.append((word.start, words[at + 2].end, ""))
            notes.append(f"ON CLUSTER {words[at + 2].text} was left out: a rehearsal has one server")
        if word.upper == "DEFINER" and at + 2 < len(words) and words[at + 1].text == "=":
            cuts.append((word.start, words[at + 2].end, ""))
        if word.upper == "SQL" and at + 2 < len(words) and words[at + 1].upper == "SECURITY":
            cuts.append((word.start, words[at + 2].end, ""))
    if (found := engine(words)) is not None:
        name, at, end = found
        if re.match(r"(?:Replicated|Shared)\w*MergeTree$", name):
            plain = re.sub("^(?:Replicated|Shared)", "", name)
            cuts.append((words[at].start, words[end].end, f"{plain}({_own_arguments(sql, words[at + 1 : end + 1])})"))
            notes.append(f"{name} was rehearsed as {plain}")
        elif name == "Replicated" or (name in ("Ordinary", "Lazy", "Shared") and _database(words)):
            cuts.append((words[at].start, words[end].end, "Atomic"))
        elif name in OUTSIDE:
            until = next((w.start for w in words[end + 1 :] if w.upper in ("COMMENT", "AS")), len(sql))
            cuts.append((words[at].start, until, "Null "))
            notes.append(f"{name} was rehearsed as an empty table of the same columns")
    for begin, end, text in sorted(cuts, reverse=True):
        sql = sql[:begin] + text + sql[end:]
    if _PLACES.search(sql) and engine(tokens(sql)) is not None:
        sql = re.sub(r"(?i)\bSETTINGS\s*(?:,\s*)?(?=$|COMMENT\b|AS\b)", "", _PLACES.sub("", sql))
        sql = re.sub(r"(?i)\bSETTINGS\s*,\s*", "SETTINGS ", sql)
        notes.append("its storage policy was left out")
    return sql, tuple(notes)


def engine(words: Sequence[Token]) -> tuple[str, int, int] | None:
    """The table engine that a CREATE names, where its name stands among the words and where its arguments end."""
    depth = 0
    for at, word in enumerate(words):
        depth += (word.text == "(") - (word.text == ")")
        if depth == 0 and word.upper == "ENGINE":
            name = at + 2 if at + 1 < len(words) and words[at + 1].text == "=" else at + 1
            if name >= len(words):
                return None
            end = name
            if name + 1 < len(words) and words[name + 1].text == "(":
                level = 0
                for end in range(name + 1, len(words)):
                    level += (words[end].text == "(") - (words[end].text == ")")
                    if level == 0:
                        break
            return words[name].text, name, end
    return None


def without_ttl(sql: str) -> str:
    """The definition of a table without its TTL, which may name disks that are not there."""
    words, depth, begin = tokens(sql), 0, -1
    for word in words:
        depth += (word.text == "(") - (word.text == ")")
        if depth == 0 and begin >= 0 and word.upper in ("SETTINGS", "COMMENT"):
            return sql[:begin] + sql[word.start :]
        if depth == 0 and word.upper == "TTL":
            begin = word.start
    return sql[:begin] if begin >= 0 else sql


def quoted(database: str, table: str) -> str:
    """A name as SQL."""
    return f"{identifier(database)}.{identifier(table)}"


def _own_arguments(sql: str, words: Sequence[Token]) -> str:
    """The arguments of a replicated engine but for the path and the replica, which are its first two when it has any
    strings."""
    inside = words[1:-1]
    arguments: list[str] = []
    depth, begin = 0, inside[0].start if inside else 0
    for word in inside:
        depth += (word.text in "([") - (word.text in ")]") if word.kind == "sign" else 0
        if depth == 0 and word.text == ",":
            arguments.append(sql[begin : word.start].strip())
            begin = word.end
    arguments += [sql[begin : inside[-1].end].strip()] if inside else []
    return ", ".join(arguments[2:] if arguments and arguments[0].startswith("'") else arguments)


def _database(words: Sequence[Token]) -> bool:
    return any(word.upper == "DATABASE" for word in words[:4])
