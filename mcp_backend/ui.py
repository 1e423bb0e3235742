"""What hosts are told of a tool beside its schema. Standard library only.

MCP Apps (SEP-1865, 2026-01-26): a view is a `ui://` document that a host shows beside the result of a call, in a
sandbox of its own. Claude Code hides the tools of servers until the model searches for them, but for those that ask
otherwise: https://code.claude.com/docs/en/mcp
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` takes longer to import than all of this.
    from typing import Any

EXTENSION = "io.modelcontextprotocol/ui"
MIME = "text/html;profile=mcp-app"
REHEARSAL, ESCALATION = "ui://mcp-backend/rehearsal.html", "ui://mcp-backend/escalation.html"
LINKS = {"rehearse_migration": REHEARSAL, "escalate": ESCALATION, "check_escalation": ESCALATION}
"""The view of a tool's results."""
ALWAYS = ("escalate", "check_escalation")
"""Tools that a model must know before it looks for one: whom to ask, and whether there is an answer."""


def about(tool: str, *, views: bool) -> "dict[str, Any] | None":
    """The `_meta` of a tool."""
    told: dict[str, Any] = {"anthropic/alwaysLoad": True} if tool in ALWAYS else {}
    if views and tool in LINKS:
        told["ui"] = {"resourceUri": LINKS[tool]}
    return told or None


def wanted(extensions: "dict[str, Any] | None") -> bool:
    """Whether a client that declared these extensions shows views."""
    settings: dict[str, Any] | None = (extensions or {}).get(EXTENSION)
    kinds = settings.get("mimeTypes") if settings else None
    return isinstance(kinds, (list, tuple)) and MIME in kinds
