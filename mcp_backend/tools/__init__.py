"""`TOOLS`: one tool, one file, one line. Nothing here imports an engine; that happens on first use."""

from mcp_backend.tools.base import TOOLSETS, Plan, Result, Tool, Toolset
from mcp_backend.tools.check_escalation import CheckEscalation
from mcp_backend.tools.db_query import DbQuery
from mcp_backend.tools.db_schema import DbSchema
from mcp_backend.tools.escalate import Escalate
from mcp_backend.tools.git_commit import GitCommit
from mcp_backend.tools.git_status import GitStatus
from mcp_backend.tools.message_topology import MessageTopology
from mcp_backend.tools.publish_message import PublishMessage
from mcp_backend.tools.run_command import RunCommand
from mcp_backend.tools.run_migration import RunMigration
from mcp_backend.tools.run_tests import RunTests

TOOLS: tuple[type[Tool], ...] = (
    Escalate,
    CheckEscalation,
    DbSchema,
    DbQuery,
    RunMigration,
    MessageTopology,
    PublishMessage,
    GitStatus,
    GitCommit,
    RunTests,
    RunCommand,
)

__all__ = ["TOOLS", "TOOLSETS", "Plan", "Result", "Tool", "Toolset", "enabled"]


def enabled(toolsets: frozenset[str], *, read_only: bool) -> dict[str, type[Tool]]:
    """The tools of these toolsets by name; escalation is always on. A read-only server hides what changes things."""
    return {
        tool.name: tool
        for tool in TOOLS
        if (tool.toolset in toolsets or tool.toolset == "escalation")
        and (tool.read_only or tool.toolset == "escalation" or not read_only)
    }
