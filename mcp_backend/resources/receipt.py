"""receipt://{id}: what a test run showed, on which tree."""

import json
from collections.abc import Mapping

from mcp_backend.app import App
from mcp_backend.resources.base import Resource


async def _read(app: App, values: Mapping[str, str]) -> str:
    from mcp_backend.workspace import receipts

    receipt = await receipts.get(app.store, values["id"])
    return json.dumps(receipt.body, ensure_ascii=False)


async def _complete(app: App, name: str, values: Mapping[str, str]) -> list[str]:
    from mcp_backend.workspace import receipts

    return [receipt.id for receipt in await receipts.recent(app.store)]


RECEIPT = Resource(
    "receipt://{id}", "receipt", "Test receipt", "One test run: command, tree, counts, how many tests passed per file.",
    _read, complete=_complete,
)  # fmt: skip
