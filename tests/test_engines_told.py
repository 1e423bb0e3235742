"""What is said of an engine that is silent, or not reached: which, and no more than is known."""

import socket
from pathlib import Path

import pytest

from mcp_backend.engines import clickhouse
from mcp_backend.engines.ch import transport
from tests.conftest import Connect

CLOSED = 1
"""A port of this machine on which nothing listens."""


async def test_a_silent_clickhouse_is_named_and_nothing_is_claimed_of_it(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((clickhouse, "LOOK_UP_SECONDS"), (clickhouse, "GRACE_SECONDS"), (transport, "KILL_SECONDS")):
        monkeypatch.setattr(module, name, 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # The system takes connections, nobody reads from them.
        port = silent.getsockname()[1]
        (repository / "mcp-backend.toml").write_text(
            f'[engines.clickhouse]\nurl = "clickhouse://u@127.0.0.1:{port}/d"\nenvironment = "development"\n'
        )
        async with connect(repository) as client:
            answer = await client.call_tool("db_query", {"sql": "select 1"})
    assert answer.structured_content is not None
    error = answer.structured_content["error"]
    assert error["code"] == "deadline_exceeded"
    assert f"engine clickhouse (clickhouse): 127.0.0.1:{port} gave no answer" in error["reason"]
    assert "whether it does is unknown" in error["reason"]


async def test_a_kafka_that_is_not_reached_is_no_matter_of_its_credentials(repository: Path, connect: Connect) -> None:
    (repository / "mcp-backend.toml").write_text(
        f'[engines.kafka]\nurl = "kafka://u:secret-word@127.0.0.1:{CLOSED}"\nenvironment = "development"\n'
    )
    async with connect(repository) as client:
        answer = await client.call_tool("message_topology", {})
    assert answer.structured_content is not None
    error = answer.structured_content["error"]
    assert (error["code"], error["details"]["cause"]) == ("unavailable", "unreachable")
    assert "credentials" not in error["reason"]
