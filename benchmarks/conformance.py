"""The conformance suite of the protocol against our own server over streamable HTTP, with the suite's fixtures in it.

`python -m benchmarks.conformance COMMAND…`, where COMMAND starts the suite, such as `npx
@modelcontextprotocol/conformance@0.2.0-alpha.12` (Node 22 or newer). Transport, middleware, lists, subscriptions and
every method are those of `serve --transport http`; only what has a name of the suite is answered by a fixture. The same
requirement sets run against the server without fixtures show what the fixtures alone bring.
"""

import asyncio
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity

from benchmarks import conformance_fixtures as fixtures
from benchmarks.conformance_schemas import DRAFT
from mcp_backend.app import App
from mcp_backend.policy.serving import Http
from mcp_backend.server import Options, build
from mcp_backend.serving.over_http import streamable_http

REVISIONS = ("2025-11-25", "2026-07-28")
OWN = re.compile(r"test[_:]|json_schema_2020_12")
"""What a fixture answers, by the start of its name or address."""
LISTS = {"tools/list": "tools", "resources/list": "resources", "resources/templates/list": "resource_templates",
         "prompts/list": "prompts"}  # fmt: skip
NAMED: dict[str, Callable[[Any], str]] = {
    "tools/call": lambda params: params.name,
    "prompts/get": lambda params: params.name,
    "resources/read": lambda params: str(params.uri),
}


def with_fixtures(server: Server[App]) -> Server[App]:
    """`server`, which also answers for what the suite names."""
    theirs = fixtures.low(fixtures.server())
    for method in (*LISTS, *NAMED, "subscriptions/listen"):
        _join(server, theirs, method)
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, fixtures.level)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))
    return server


def _join(server: Server[App], theirs: Server[Any], method: str) -> None:
    our, other = server.get_request_handler(method), theirs.get_request_handler(method)
    assert our is not None
    assert other is not None

    async def joined(ctx: Any, params: Any) -> Any:
        if field := LISTS.get(method):
            mine: Any = await our.handler(ctx, params)
            more = await other.handler(ctx, params)
            found = [*getattr(mine, field), *(_shown(one) for one in getattr(more, field))]
            return mine.model_copy(update={field: found})
        if method in NAMED:
            return await (other if OWN.match(NAMED[method](params)) else our).handler(ctx, params)
        lists = params.notifications.tools_list_changed or params.notifications.prompts_list_changed
        return await (other if lists else our).handler(ctx, params)  # Ours never change: the fixtures' do.

    server.add_request_handler(method, our.params_type, joined)


def _shown(one: Any) -> Any:
    """A fixture as the suite wants it listed: described, and one with a schema that nothing generates."""
    changed: dict[str, Any] = {"description": "A fixture of the conformance suite."}
    if one.name == "json_schema_2020_12_tool":
        changed["input_schema"] = DRAFT
    return one.model_copy(update=changed)


@asynccontextmanager
async def serving(*, fixed: bool) -> AsyncGenerator[str]:
    """The address of a server of an empty workspace."""
    with tempfile.TemporaryDirectory() as name:
        server = build(Options(Path(name)))
        app = streamable_http(with_fixtures(server) if fixed else server, Http(), (), shared=False)
        running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        task = asyncio.create_task(running.serve())
        while not running.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}/mcp"
        running.should_exit = True
        await task


async def measure(command: list[str], folder: Path) -> list[str]:
    """Pass counts of each requirement set, with fixtures and without, and what failed with them."""
    lines = list[str]()
    for revision in REVISIONS:
        for fixed in (True, False):
            output = folder / f"{revision}-{'fixtures' if fixed else 'bare'}"
            async with serving(fixed=fixed) as url:
                process = await asyncio.create_subprocess_exec(
                    *command, "server", "--url", url, "--requirements", revision, "--output-dir", str(output),
                    stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                printed, _ = await process.communicate()
            lines += _counted(output, printed.decode(), process.returncode, listed=fixed)
    return lines


def _counted(output: Path, printed: str, code: int | None, *, listed: bool) -> list[str]:
    """The suite runs more than the revision requires, and says which of it does not count."""
    unscored = dict(re.findall(r"^  [✓✗] (\S+) \((\S+)\)$", printed, flags=re.MULTILINE))
    counts, failures = Counter[str](), list[str]()
    for path in sorted(output.glob("*/checks.json")):
        scenario = path.parent.name.removeprefix("server-").rpartition("-20")[0]
        for check in json.loads(path.read_text()):
            kind = f"{check['status']} ({unscored[scenario]})" if scenario in unscored else check["status"]
            counts[kind] += 1
            if check["status"] in ("FAILURE", "WARNING") and unscored.get(scenario) != "extension":
                failures.append(f"  {scenario} {check['id']} {kind}: {check.get('errorMessage', '')[:160]}")
    shown = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return [f"{output.name}: exit {code}; {shown}", *(failures if listed else ())]


async def main() -> None:
    """Prints the counts."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as name:
        print("\n".join(await measure(sys.argv[1:], Path(name))))


if __name__ == "__main__":
    asyncio.run(main())
