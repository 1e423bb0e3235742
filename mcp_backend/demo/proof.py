"""What the session really left behind, looked at without the server."""

from typing import Any, cast

from mcp_backend import audit
from mcp_backend.demo import setting
from mcp_backend.demo.setting import Setting
from mcp_backend.demo.stage import Stage
from mcp_backend.store import open_store


async def show(stage: Stage, place: Setting) -> None:
    """Prints each fact; a fact that is not as told ends the demo."""
    root = place.root
    committed = setting.git(root, "show", "--name-only", "--format=", "HEAD").splitlines()
    stage.expect("web/src/App.tsx" not in committed, "no frontend file in the commit", committed)
    stage.say("proof", f"HEAD changes {', '.join(committed)}: no frontend file")
    pending = setting.git(root, "status", "--porcelain")
    stage.expect(pending.split() == ["M", "web/src/App.tsx"], "the frontend change untouched in the work tree", pending)
    stage.say("proof", "web/src/App.tsx is still the host's uncommitted change, byte for byte")
    counts = await _database(place.database_url)
    stage.expect(counts == (0, 2), "no row from the refused insert, two migrations", counts)
    stage.say("proof", "development: 0 orders (the refused insert left nothing), 2 migrations in schema_migrations")
    counts = await _database(place.staging_url)
    stage.expect(counts == (0, 2), "both migrations on staging after one approval", counts)
    stage.say("proof", "staging: 2 migrations, after one approval")
    stored = await _messages(place.nats_url)
    stage.expect(stored == 1, "one stored message of three publishes", stored)
    stage.say("proof", "stream ORDERS holds 1 message: the misfit was refused, the repeat deduplicated")
    store = open_store(place.workspace.state)
    try:
        records, breaks = await audit.verify(store)
    finally:
        store.close()
    stage.expect(records > 20 and not breaks, "an unbroken audit chain", breaks)
    stage.say("proof", f"audit: {records} records, the chain holds")


async def _database(url: str) -> tuple[int, int]:
    import psycopg

    async with await psycopg.AsyncConnection.connect(url) as connection:
        counted: Any = await (
            await connection.execute(
                "select (select count(*) from orders)::int, (select count(*) from schema_migrations)::int"
            )
        ).fetchone()
    return counted[0], counted[1]


async def _messages(url: str) -> int:
    import nats

    client = await cast("Any", nats).connect(url)
    try:
        return int((await client.jetstream().stream_info(setting.STREAM)).state.messages)
    finally:
        await client.close()
