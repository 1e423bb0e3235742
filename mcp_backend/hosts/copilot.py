"""GitHub Copilot's command line. It reads the hook and the agent that the editor reads, and a list of servers of its
own: https://docs.github.com/en/copilot/how-tos/copilot-cli/customize-copilot/add-mcp-servers"""

from mcp_backend.hosts import vscode
from mcp_backend.hosts.site import Rendered, Site


def files(site: Site) -> list[Rendered]:
    """The hook and the agent of `vscode`, and the server."""
    server = {"type": "local", **site.server(), "tools": ["*"]}
    kept = [file for file in vscode.files(site) if not file.path.startswith(".vscode/")]
    return [Rendered(".github/mcp.json", "json", {"mcpServers": {"backend": server}}), *kept]
