"""persona://backend-engineer: who the engineer is."""

from collections.abc import Mapping

from mcp_backend import persona
from mcp_backend.app import App
from mcp_backend.resources.base import Resource
from mcp_backend.tools import TOOLS


async def _read(app: App, values: Mapping[str, str]) -> str:
    return persona.agent_file(app.persona, [tool.name for tool in TOOLS])


PERSONA = Resource(
    "persona://backend-engineer", "backend-engineer", "The Backend Engineer",
    "Role, personality, tools, constraints, decision hierarchy, when to escalate.", _read, "text/markdown",
)  # fmt: skip
