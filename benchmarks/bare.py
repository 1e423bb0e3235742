"""What the others are measured against: a server of the SDK with one tool, and nothing else.

`python benchmarks/bare.py [PORT]` answers `db_query` from the database of the variable `DSN`, through a pool, in a
read-only transaction a call; over stdio, or over streamable HTTP at `/mcp` of a port of this machine.
"""

import os
import sys
from typing import Any

from mcp.server import MCPServer
from psycopg_pool import AsyncConnectionPool

server = MCPServer("bare")
pool = AsyncConnectionPool(os.environ["DSN"], min_size=1, kwargs={"autocommit": True}, open=False)


@server.tool()
async def db_query(sql: str, limit: int = 100) -> dict[str, Any]:
    """Asks the database."""
    await pool.open()
    async with pool.connection() as connection:
        await connection.execute("begin read only")
        rows = await (await connection.execute(sql.encode())).fetchmany(limit)
        await connection.execute("rollback")
        return {"rows": [list(row) for row in rows]}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run()
