"""contract://{path}: the first page of what a specification promises, as `api_contract` shows it."""

import asyncio
import json
from collections.abc import Mapping

from mcp_backend.app import App
from mcp_backend.resources.base import Resource
from mcp_backend.tools.api_contract import accepted, show


async def _read(app: App, values: Mapping[str, str]) -> str:
    from mcp_backend.workspace import naming

    path = naming.readable(values["path"], app.workspace.root) or "."
    return json.dumps(await asyncio.to_thread(show, app, path, await accepted(app)), ensure_ascii=False)


async def _complete(app: App, name: str, values: Mapping[str, str]) -> list[str]:
    from mcp_backend.contracts import sources, specs

    return await asyncio.to_thread(lambda: [s.path for s in specs.find(sources.work_tree(app.workspace))])


CONTRACT = Resource(
    "contract://{path}", "contract", "API contract",
    "What a specification promises and leaves open; `api_contract` searches and shows one operation.", _read,
    complete=_complete,
)  # fmt: skip
