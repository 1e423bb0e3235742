"""A plugin for Claude Code: https://code.claude.com/docs/en/plugins-reference"""

from mcp_backend import __version__
from mcp_backend.hosts import icon
from mcp_backend.hosts.claude_code import agent, before
from mcp_backend.hosts.site import MARK, Rendered, Site, skills

FOLDER = "backend-engineer-plugin"
README = f"""# Backend Engineer

A backend engineer with guarded tools for databases, migrations, messaging, git, tests and API contracts, as a plugin
for Claude Code. It brings the MCP server `backend`, the agent `backend-engineer`, skills, and a hook that judges
Claude's own edits and shell lines by the same promises: no frontend code, no specification without its architect, no
commit without a test run.

It needs the program: `uv tool install 'mcp-backend[all]'`. Run `mcp-backend init` in the repository and read the policy
that it writes; `mcp-backend doctor` says what is missing.

<!-- {MARK} -->
"""


def files(site: Site) -> list[Rendered]:
    """The plugin's folder: manifest, icon, what a catalog shows, server, agent, skills, hook."""
    manifest = {
        "name": "backend-engineer", "version": __version__, "description": site.persona.role.description,
        "author": {"name": "mcp-backend"}, "license": "MIT",
    }  # fmt: skip
    return [
        Rendered(f"{FOLDER}/.claude-plugin/plugin.json", "json", manifest),
        Rendered(f"{FOLDER}/.claude-plugin/icon.png", "whole", icon.png()),
        Rendered(f"{FOLDER}/README.md", "whole", README),
        Rendered(f"{FOLDER}/.mcp.json", "json", {"mcpServers": {"backend": site.server()}}),
        Rendered(f"{FOLDER}/hooks/hooks.json", "json", {"hooks": {"PreToolUse": [before(site.hook("claude-code"))]}}),
        Rendered(f"{FOLDER}/agents/backend-engineer.md", "whole", agent(site)),
        *skills(f"{FOLDER}/skills"),
    ]
