"""A plugin for Claude Code: https://code.claude.com/docs/en/plugins-reference"""

from mcp_backend import __version__
from mcp_backend.hosts.claude_code import agent, before
from mcp_backend.hosts.site import Rendered, Site, skills

FOLDER = "backend-engineer-plugin"


def files(site: Site) -> list[Rendered]:
    """The plugin's folder: manifest, server, agent, skills, hook."""
    manifest = {
        "name": "backend-engineer", "version": __version__, "description": site.persona.role.description,
        "author": {"name": "mcp-backend"}, "license": "MIT",
    }  # fmt: skip
    return [
        Rendered(f"{FOLDER}/.claude-plugin/plugin.json", "json", manifest),
        Rendered(f"{FOLDER}/.mcp.json", "json", {"mcpServers": {"backend": site.server()}}),
        Rendered(f"{FOLDER}/hooks/hooks.json", "json", {"hooks": {"PreToolUse": [before(site.hook("claude-code"))]}}),
        Rendered(f"{FOLDER}/agents/backend-engineer.md", "whole", agent(site)),
        *skills(f"{FOLDER}/skills"),
    ]
