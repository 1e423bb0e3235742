"""persona://backend-engineer: who the engineer is."""

from collections.abc import Mapping

from mcp_backend import persona
from mcp_backend.app import App
from mcp_backend.resources.base import Resource


async def _read(app: App, values: Mapping[str, str]) -> str:
    return persona.render(app.persona.role, {}, app.persona)


PERSONA = Resource(
    "persona://backend-engineer", "backend-engineer", "The Backend Engineer",
    "The persona: role, personality, constraints, when to escalate.", _read, "text/markdown",
)  # fmt: skip
