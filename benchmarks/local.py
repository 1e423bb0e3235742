"""A workspace of its own for a benchmark, and local engines that end with it."""

import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from mcp_backend.engines import embedded
from mcp_backend.settings import Workspace, workspace


@asynccontextmanager
async def served(*kinds: str) -> AsyncGenerator[tuple[Path, list[str]]]:
    """The folder of a workspace whose policy names an engine of each kind, and the urls of these engines."""
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        root = Path(name, "work")
        root.mkdir()
        (root / "mcp-backend.toml").write_text("".join(f"[engines.{kind}]\n" for kind in kinds))
        place = workspace(root)
        yield root, [await stack.enter_async_context(engine(kind, place)) for kind in kinds]


@asynccontextmanager
async def engine(kind: str, place: Workspace) -> AsyncGenerator[str]:
    """The url of a local engine, which is stopped afterwards."""
    lease = await embedded.lease(kind, place)
    try:
        yield lease.url
    finally:
        lease.close()
        await embedded.stop(kind, place, force=True)


async def restarted(kind: str, place: Workspace, lease: embedded.Lease) -> embedded.Lease:
    """A lease on the engine after it was stopped and started, at the address it had."""
    lease.close()
    await embedded.stop(kind, place, force=True)
    fresh = await embedded.lease(kind, place)
    assert fresh.url == lease.url, "somebody took the port"
    return fresh
