"""`TOOLS`: one tool, one file, one line. Nothing here imports an engine; that happens on first use."""

from mcp_backend.tools.api_contract import ApiContract
from mcp_backend.tools.base import TOOLSETS, Plan, Result, Tool, Toolset
from mcp_backend.tools.call_api import CallApi
from mcp_backend.tools.check_contract import CheckContract
from mcp_backend.tools.check_escalation import CheckEscalation
from mcp_backend.tools.configure_messaging import ConfigureMessaging
from mcp_backend.tools.db_query import DbQuery
from mcp_backend.tools.db_schema import DbSchema
from mcp_backend.tools.edit_file import EditFile
from mcp_backend.tools.escalate import Escalate
from mcp_backend.tools.find_symbol import FindSymbol
from mcp_backend.tools.git_branch import GitBranch
from mcp_backend.tools.git_commit import GitCommit
from mcp_backend.tools.git_push import GitPush
from mcp_backend.tools.git_rebase import GitRebase
from mcp_backend.tools.git_status import GitStatus
from mcp_backend.tools.message_topology import MessageTopology
from mcp_backend.tools.peek_messages import PeekMessages
from mcp_backend.tools.publish_message import PublishMessage
from mcp_backend.tools.read_file import ReadFile
from mcp_backend.tools.rehearse_migration import RehearseMigration
from mcp_backend.tools.run_command import RunCommand
from mcp_backend.tools.run_migration import RunMigration
from mcp_backend.tools.run_tests import RunTests
from mcp_backend.tools.search_code import SearchCode
from mcp_backend.tools.write_file import WriteFile

TOOLS: tuple[type[Tool], ...] = (
    Escalate,
    CheckEscalation,
    DbSchema,
    DbQuery,
    RehearseMigration,
    RunMigration,
    MessageTopology,
    PublishMessage,
    PeekMessages,
    ConfigureMessaging,
    ApiContract,
    CheckContract,
    CallApi,
    GitStatus,
    GitCommit,
    GitBranch,
    GitPush,
    GitRebase,
    RunTests,
    ReadFile,
    WriteFile,
    EditFile,
    SearchCode,
    FindSymbol,
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
