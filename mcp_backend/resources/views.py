"""ui://mcp-backend/…: the views of MCP Apps, empty documents that fill themselves from the result beside them.

They only show. What a person sees in them comes from `rehearsal://{digest}/page` and `escalation://{id}/page`, read
through the host: drawn and escaped by this server, as for the inbox. `resources/list` leaves them out, as the extension
allows: hosts that show views find them by the tools.
"""

from collections.abc import Mapping
from pathlib import Path

from mcp_backend import ui
from mcp_backend.app import App
from mcp_backend.resources.base import Resource

_NOWHERE: dict[str, list[str]] = {
    "connectDomains": [], "resourceDomains": [], "frameDomains": [], "baseUriDomains": []
}  # fmt: skip
META = {"ui": {"csp": _NOWHERE, "prefersBorder": True}}
"""Nothing from anywhere, and no permission."""


async def _rehearsal(app: App, values: Mapping[str, str]) -> str:
    from mcp_backend.web import page

    return _shell("Rehearsal", page.STYLE)


async def _escalation(app: App, values: Mapping[str, str]) -> str:
    from mcp_backend.web import one

    return _shell("Question", one.style())


def _shell(title: str, style: str) -> str:
    from mcp_backend.web import page

    script = (Path(page.__file__).parent / "view.js").read_text("utf-8")
    return page.framed(title, "<p role='status'>Waiting for the result…</p>", style, script)


VIEWS: tuple[Resource, ...] = (
    Resource(ui.REHEARSAL, "rehearsal-view", "Rehearsal", "Shows a rehearsal.", _rehearsal, ui.MIME, meta=META),
    Resource(ui.ESCALATION, "escalation-view", "Question", "Shows a question.", _escalation, ui.MIME, meta=META),
)
