"""A tool of the tests that changes a database, and a program that calls it: `python -m tests.migrating FOLDER`.

The program prints `ready`, waits for a line, calls the tool, and prints `ran` or the code of the refusal.
"""

import asyncio
import sys
from pathlib import Path
from typing import ClassVar

from mcp_backend.actions import ExecuteSql
from mcp_backend.app import App, open_app
from mcp_backend.call import call
from mcp_backend.errors import BackendError
from mcp_backend.facts import Facts, Rehearsal
from mcp_backend.settings import private
from mcp_backend.tools.base import Plan, Result, Tool


class Migrate(Tool):
    """Write the statements to a file beside the workspace, as a database that can be looked at afterwards would."""

    name = "migrate"
    title = "Migrate"
    toolset = "database"
    read_only = False
    world: ClassVar[str] = "version-1"

    sql: str = "CREATE TABLE t (id int)"
    environment: str = "production"
    hold: bool = False

    async def plan(self, app: App) -> Plan:
        action = ExecuteSql("main", self.environment, (self.sql,), type(self).world)
        facts = Facts(rehearsal=Rehearsal("main", "safe"))
        return Plan((action,), facts, preview=f"runs {self.sql}", at_version=type(self).world)

    async def run(self, app: App, plan: Plan) -> Result:
        with (private(app.workspace.state) / "executed").open("a") as file:
            file.write(self.sql + "\n")
        if self.hold:
            print("running", flush=True)
            await asyncio.Event().wait()
        return {"applied": self.sql}


def executed(app: App) -> list[str]:
    """The statements that ran in this workspace."""
    path = app.workspace.state / "executed"
    return path.read_text().splitlines() if path.exists() else []


async def main(folder: Path, *, hold: bool) -> None:
    """Calls the tool once it is told to."""
    async with open_app(folder) as app:
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            await call(app, Migrate, {"hold": hold, "environment": "development" if hold else "production"})
            print("ran")
        except BackendError as error:
            print(error.code)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), hold="hold" in sys.argv))
