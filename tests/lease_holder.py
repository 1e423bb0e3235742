"""A process that holds a lease: `lease_holder.py KIND STATE` prints what it got, and ends when its stdin does."""

import asyncio
import json
import os
import sys
from pathlib import Path

from mcp_backend.engines import embedded
from mcp_backend.errors import Unavailable
from mcp_backend.settings import Workspace


def main(kind: str, state: str) -> None:
    try:
        lease = asyncio.run(embedded.lease(kind, Workspace(Path(state), Path(state), False)))
    except Unavailable as error:
        print(json.dumps({"error": error.reason}), flush=True)
        return
    print(json.dumps({"url": lease.url, "engine": lease.pid, "uid": os.geteuid()}), flush=True)
    sys.stdin.read()
    lease.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
