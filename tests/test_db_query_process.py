"""A server in a process of its own: what its host calls off, and what it leaves when it dies, ends in the database."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from mcp import StdioServerParameters
from mcp.client import Client

from tests.conftest import ERAS, Era
from tests.test_db_query import seen_running

ENDLESS = "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) as cancel_me from t"


def server(workspace: Path) -> StdioServerParameters:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "MCP_BACKEND_STATE")}
    return StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_backend", "serve", "--workspace", str(workspace)], env=kept
    )


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_the_host_cancels_ends_in_the_database(
    shop: Path, owner: psycopg.Connection[Any], era: Era
) -> None:
    async with Client(server(shop), mode=era) as client:
        call = asyncio.create_task(client.call_tool("db_query", {"sql": ENDLESS, "timeout_seconds": 100}))
        await seen_running(owner, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await seen_running(owner, 0)
        again = await client.call_tool("db_query", {"sql": "select 1"})
        assert again.structured_content is not None
        assert again.structured_content["rows"] == [[1]]


async def test_the_query_of_a_host_that_goes_away_ends_in_the_database(
    shop: Path, owner: psycopg.Connection[Any]
) -> None:
    async with Client(server(shop)) as client:
        call = asyncio.create_task(client.call_tool("db_query", {"sql": ENDLESS, "timeout_seconds": 100}))
        await seen_running(owner, 1)
    await seen_running(owner, 0)
    with pytest.raises(BaseException):  # noqa: B017, PT011 - however the client says that its server is gone
        await call
