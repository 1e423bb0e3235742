"""ClickHouse as chdb has it, its tables in `data`; `mcp_backend.keeper.chdb` is the process."""

import os
import re
import sys

from mcp_backend.keeper.engine import Engine

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chdb", "server.py")


class Clickhouse(Engine):
    """One server with one user, behind a fence of the kernel's: no network, no programs, no files but `data`.

    It does not start where the kernel cannot keep that fence.
    """

    fence = ""

    def command(self) -> list[str]:
        """`program` is chdb's extension module, which our own server loads."""
        return [sys.executable, "-I", "-S", SERVER, self.program, str(self.port)]

    def ready(self) -> bool:
        """Whether the server has said so."""
        found = re.search(r"^serving ClickHouse (\S+) behind a fence \((.*)\)$", self.log(), re.MULTILINE)
        if found:
            self.version, self.fence = found[1], found[2]
        return found is not None

    def urls(self) -> dict[str, str]:
        """The user's URL, and what the fence is made of."""
        url = f"clickhouse://backend:{self.secrets['backend']}@127.0.0.1:{self.port}/default"
        return {"url": url, "fence": self.fence}
