"""A server that rehearses and is killed: `python -m tests.rehearsing FOLDER SQL`."""

import asyncio
import sys
from pathlib import Path

from mcp.client import Client

from mcp_backend.server import Options, build


async def main(folder: Path, sql: str) -> None:
    """One call."""
    async with Client(build(Options(folder))) as client:
        await client.call_tool("rehearse_migration", {"sql": sql})


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
