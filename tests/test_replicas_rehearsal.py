"""What one replica rehearsed, another applies, shows and does not rehearse again."""

import json
from pathlib import Path
from typing import Any

import pytest
from mcp_types import TextResourceContents

from mcp_backend.policy.store import Shared
from mcp_backend.store import open_store
from tests.migration_fixtures import Project, call


@pytest.fixture
def shared(project: Project, shadow_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Shared:
    monkeypatch.setenv("STORE", store_url)
    project.shadow = shadow_url
    project.policy(unrehearsed_because="")
    name = f"rehearsals_{abs(hash(project.root)) % 10**9}"
    policy = project.root / "mcp-backend.toml"
    policy.write_text(f'store = {{url = "env:STORE", workspace = "{name}"}}\n{policy.read_text()}')
    return Shared("env:STORE", name)


async def test_a_rehearsal_on_one_replica_is_applied_and_shown_by_another(
    project: Project, shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("1_a", "create table a(id bigint primary key);", "drop table a;")
    monkeypatch.setenv("MCP_BACKEND_STATE", str(tmp_path / "first"))
    async with project.server() as client:
        answer = await client.call_tool("rehearse_migration", {})
        assert answer.structured_content is not None
        rehearsed: dict[str, Any] = answer.structured_content
    store = open_store(tmp_path, shared)
    before = await store.rows("rehearsals_newest", limit=9)
    monkeypatch.setenv("MCP_BACKEND_STATE", str(tmp_path / "second"))
    async with project.server() as client:
        found = (await client.read_resource(f"rehearsal://{rehearsed['digest']}")).contents[0]
        assert isinstance(found, TextResourceContents)
        seen = json.loads(found.text)
        assert (seen["verdict"], "second_opinion" in seen) == (rehearsed["verdict"], True), "as the other one kept it"
        applied = await call(client)
        again = (await client.read_resource(f"rehearsal://{rehearsed['digest']}")).contents[0]
        assert isinstance(again, TextResourceContents)
    assert applied["rehearsal"] == {
        "verdict": "safe", "digest": rehearsed["digest"], "schema_as_rehearsed": True
    }  # fmt: skip
    assert json.loads(again.text) == seen, "a second rehearsal would have taken its place"
    assert await store.rows("rehearsals_newest", limit=9) == before
    store.close()
