"""write_file: create or replace one file, after the guards have looked at path and content."""

import asyncio

from pydantic import Field

from mcp_backend.app import App
from mcp_backend.errors import Aborted, BackendError, InvalidArgument
from mcp_backend.tools import writing
from mcp_backend.tools.base import Plan, Result, Tool

LARGEST = 2_000_000


class WriteFile(Tool):
    """Create a file of the workspace, or replace all of it; edit_file changes parts.

    Written as UTF-8, whole or not at all; with expected_sha256 only if the file still has it. Missing folders are
    created. Frontend, specification and settings files are refused.
    """

    name = "write_file"
    title = "Write a file"
    toolset = "workspace"
    read_only = False
    destructive = True
    idempotent = True

    path: str
    content: str = Field(max_length=LARGEST)
    expected_sha256: str | None = None

    async def plan(self, app: App) -> Plan:
        from mcp_backend.people import decided

        return await decided.looked_up(app, await asyncio.to_thread(self._planned, app))

    def _planned(self, app: App) -> Plan:
        from mcp_backend.workspace import masking, naming, writer

        path = naming.writable(self.path, app.workspace.root)
        data = self.content.encode()
        try:
            target = writer.look(app.workspace, path)
            if self.expected_sha256 is not None and self.expected_sha256.lower() != target.sha256:
                now = f"has {target.sha256} now" if target.sha256 else "does not exist"
                raise Aborted(f"expected_sha256: {path} {now}; read it and plan the change anew")
            if self.content.count(masking.MASK) > (target.before or b"").count(masking.MASK.encode()):
                raise InvalidArgument(
                    f"content: has {masking.MASK}, which stands for a credential that was hidden from you; change the "
                    "other lines with edit_file"
                )
        except BackendError as error:
            return writing.refused(error, path, data, app)
        return writing.planned(target, data, app)

    async def run(self, app: App, plan: Plan) -> Result:
        return await writing.done(plan)
