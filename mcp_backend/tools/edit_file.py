"""edit_file: replace quoted pieces of one file, all of them or none."""

import asyncio
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from mcp_backend.app import App
from mcp_backend.errors import BackendError, InvalidArgument, NotFound
from mcp_backend.tools import writing
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.workspace.writer import Target

MOST = 200


class Edit(BaseModel):
    """One replacement."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    old: str
    new: str
    all: bool = False


class EditFile(Tool):
    """Replace pieces of a file, quoted exactly as read_file shows them; all edits are made, or none.

    Each `old` must be there once, unless `all`. Edits apply in order, each to the result of the ones before. Encoding,
    line ends and permissions are kept.
    """

    name = "edit_file"
    title = "Edit a file"
    toolset = "workspace"
    read_only = False
    destructive = True

    path: str
    edits: tuple[Edit, ...] = Field(min_length=1, max_length=MOST)

    async def plan(self, app: App) -> Plan:
        from mcp_backend.people import decided

        return await decided.looked_up(app, await asyncio.to_thread(self._planned, app))

    def _planned(self, app: App) -> Plan:
        from mcp_backend.workspace import naming, writer

        path = naming.writable(self.path, app.workspace.root)
        try:
            target = writer.look(app.workspace, path)
            data = self._edited(app, target)
        except BackendError as error:
            return writing.refused(error, path, "".join(edit.new for edit in self.edits).encode(), app)
        return writing.planned(target, data, app)

    def _edited(self, app: App, target: "Target") -> bytes:
        from mcp_backend.workspace import edits, reading, textfile

        if target.before is None:
            found = reading.missing(app.workspace, target.path)
            raise NotFound(f"{found.reason}. write_file creates a new one")
        source = textfile.decode(target.before)
        if source is None:
            raise InvalidArgument(f"path: {target.path} is {textfile.binary(target.before)}, not text")
        chosen = [edits.Edit(edit.old, edit.new, edit.all) for edit in self.edits]
        return source.encode(edits.apply(target.path, source, chosen), field="edits")

    async def run(self, app: App, plan: Plan) -> Result:
        return await writing.done(plan)
