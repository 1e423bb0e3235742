"""audit://recent: the latest records of the audit log."""

from collections.abc import Mapping

from mcp_backend.app import App
from mcp_backend.resources.base import Resource


async def _read(app: App, values: Mapping[str, str]) -> str:
    rows = await app.store.rows("audit_recent", limit=50)
    return "[" + ",".join(str(row["record"]) for row in rows) + "]"


RECENT = Resource("audit://recent", "audit", "Recent calls", "The latest 50 audit records, newest first.", _read)
