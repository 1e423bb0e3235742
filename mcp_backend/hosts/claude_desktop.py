"""Claude Desktop: no tools of its own for files and commands, so it gets all of ours; its settings are the person's."""

import json

from mcp_backend.hosts.site import Rendered, Site


def files(site: Site) -> list[Rendered]:
    """The entry for claude_desktop_config.json, to be added by hand."""
    server = site.server(workspace_tools=True, workspace=str(site.root))
    text = json.dumps({"mcpServers": {"backend": server}}, indent=2) + "\n"
    return [Rendered("claude_desktop_config.json (Settings, Developer, Edit Config)", "shown", text)]
