"""Connections that nobody uses are not kept for ever."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from mcp_backend.engines.pg import pool
from tests.test_postgresql import OURS, admin, gone, opened

__all__ = ["admin"]


async def test_an_idle_connection_is_given_up_after_a_while(
    tmp_path: Path, postgres_url: str, admin: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.2)
    async with opened(postgres_url, tmp_path) as engine:
        await engine.look_up([])
        assert admin.execute(f"select count(*) {OURS}".encode()).fetchone() == (1,)
        await gone(admin)
        assert await engine.look_up([]) == []
