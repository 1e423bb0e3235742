"""MCP Apps (SEP-1865, 2026-01-26): which tools have a view, and for which hosts. Standard library only.

A view is a `ui://` document that a host shows beside the result of a call, in a sandbox of its own.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` takes longer to import than all of this.
    from typing import Any

EXTENSION = "io.modelcontextprotocol/ui"
MIME = "text/html;profile=mcp-app"
REHEARSAL, ESCALATION = "ui://mcp-backend/rehearsal.html", "ui://mcp-backend/escalation.html"
LINKS = {"rehearse_migration": REHEARSAL, "escalate": ESCALATION, "check_escalation": ESCALATION}
"""The view of a tool's results."""


def wanted(extensions: "dict[str, Any] | None") -> bool:
    """Whether a client that declared these extensions shows views."""
    settings: dict[str, Any] | None = (extensions or {}).get(EXTENSION)
    kinds = settings.get("mimeTypes") if settings else None
    return isinstance(kinds, (list, tuple)) and MIME in kinds
