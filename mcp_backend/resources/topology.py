"""topology://{engine}: the first page of what a messaging engine holds, and the data pipelines through it."""

import json
from collections.abc import Mapping

from mcp_backend.app import App
from mcp_backend.engines.publishing import KINDS
from mcp_backend.resources.base import Resource
from mcp_backend.tools.message_topology import page


async def _read(app: App, values: Mapping[str, str]) -> str:
    engine = app.engines.choose(values["engine"], KINDS).name
    return json.dumps(await page(app, engine, None, None, whole=True), ensure_ascii=False)


async def _complete(app: App, name: str, values: Mapping[str, str]) -> list[str]:
    return [settings.name for settings in app.policy.engines.values() if settings.kind in KINDS]


TOPOLOGY = Resource(
    "topology://{engine}", "topology", "Messaging topology",
    "Streams, consumers, contracts, pipelines from code to tables; `message_topology` searches and pages.", _read,
    complete=_complete,
)  # fmt: skip
