"""Statements without what only their author should read."""

from collections.abc import Sequence

from mcp_backend.keeper.chdb.tokens import Token


def hidden(sql: str, words: Sequence[Token]) -> str:
    """`sql` with the strings after BY and PASSWORD, and all but the first of an engine or function that reaches another
    system, replaced."""
    secret: list[Token] = []
    depth, inside, strings = 0, -1, 0
    for at, word in enumerate(words):
        before = words[at - 1].upper if at else ""
        if word.text == "(":
            if inside < 0 and at and words[at - 1].name.lower() in _REACHING:
                inside, strings = depth, 0
            depth += 1
        elif word.text == ")":
            depth -= 1
            inside = -1 if depth <= inside else inside
        elif word.kind == "string":
            strings += 1
            if before in ("BY", "PASSWORD", "SALT") or (inside >= 0 and strings > 1):
                secret.append(word)
    for word in reversed(secret):
        sql = f"{sql[: word.start]}'***'{sql[word.end :]}"
    return sql


_REACHING = frozenset(
    """
    s3 s3cluster s3queue gcs oss cosn azureblobstorage azureblobstoragecluster azurequeue mysql postgresql mongodb redis
    remote remotesecure hdfs iceberg icebergs3 icebergazure deltalake deltalakes3 hudi rabbitmq nats jdbc odbc ytsaurus
    materializedpostgresql arrowflight
    """.split()  # noqa: SIM905 - a list of words
)
