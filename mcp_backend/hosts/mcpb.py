"""A bundle for Claude Desktop and other hosts that install MCPB files: https://github.com/modelcontextprotocol/mcpb

`npx @anthropic-ai/mcpb pack backend-engineer-mcpb` makes the file that a person opens; uv brings this package.
"""

from mcp_backend import __version__
from mcp_backend.hosts import icon
from mcp_backend.hosts.site import MARK, Rendered, Site

FOLDER = "backend-engineer-mcpb"
MAIN = f"""# {MARK}
import sys

from mcp_backend.__main__ import main

sys.argv[0] = "mcp-backend"
sys.exit(main())
"""


def files(site: Site) -> list[Rendered]:
    """The bundle's folder: manifest, icon, entry point, dependencies. The repository is chosen when installing."""
    role = site.persona.role
    manifest = {
        "manifest_version": "0.4",
        "name": "backend-engineer",
        "display_name": "Backend Engineer",
        "version": __version__,
        "description": role.description,
        "author": {"name": "mcp-backend"},
        "license": "MIT",
        "icon": "icon.png",
        "icons": [{"src": "icon.png", "size": f"{icon.SIDE}x{icon.SIDE}"}],
        "keywords": ["backend", "database", "migrations", "messaging", "git"],
        "server": {
            "type": "uv",
            "entry_point": "server/main.py",
            "mcp_config": {
                "command": "uv",
                "args": [
                    "run", "--directory", "${__dirname}", "server/main.py", "serve",
                    "--workspace", "${user_config.repository}",
                ],
            },
        },
        "tools_generated": True,
        "prompts_generated": True,
        "user_config": {
            "repository": {
                "type": "directory",
                "title": "Repository",
                "description": "The backend repository to work in",
                "required": True,
            }
        },
        "compatibility": {"platforms": ["linux", "darwin"], "runtimes": {"python": ">=3.11"}},
    }  # fmt: skip
    project = (
        f'# {MARK}\n[project]\nname = "backend-engineer-bundle"\nversion = "{__version__}"\n'
        f'requires-python = ">=3.11"\ndependencies = ["mcp-backend[all]=={__version__}"]\n'
    )
    return [
        Rendered(f"{FOLDER}/manifest.json", "json", manifest),
        Rendered(f"{FOLDER}/icon.png", "whole", icon.png()),
        Rendered(f"{FOLDER}/pyproject.toml", "whole", project),
        Rendered(f"{FOLDER}/server/main.py", "whole", MAIN),
    ]
