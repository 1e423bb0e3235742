"""Logs that a program can read: `MCP_BACKEND_LOG=json` writes each record as one line of JSON, and one for each call.

They hold no value of an argument, no row and no secret. docs/serving.md names the fields.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime

from mcp_backend.settings import hide_credentials
from mcp_backend.telemetry import ids

log = logging.getLogger("mcp_backend")


class Lines(logging.Formatter):
    """One line of JSON for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """Time in UTC, level, logger, message, and what the record says of a call."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = hide_credentials(record.getMessage())
        found = {"at": at, "level": record.levelname.lower(), "logger": record.name, "message": message}
        if record.exc_info:
            found["trace"] = hide_credentials(self.formatException(record.exc_info))
        return json.dumps({**found, **ids(), **getattr(record, "call", {})}, ensure_ascii=False)


def write() -> None:
    """Logs go to stderr, never to stdout."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if os.environ.get("MCP_BACKEND_LOG") == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(Lines())
        log.setLevel(logging.INFO)
