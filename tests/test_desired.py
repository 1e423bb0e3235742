"""What the repository says that streams and consumers should be: drift is told, and made good from the file."""

from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from tests.conftest import ERAS, Connect, Era
from tests.natsd import Natsd, policy

Body = dict[str, Any]
DESIRED = """
engine = "nats"
[streams.ORDERS]
subjects = ["orders.>"]
max_age = "7d"
[consumers."ORDERS/billing"]
max_deliver = 5
"""


@pytest.fixture
def place(repository: Path, broker: Natsd) -> Path:
    """A workspace with a file of what should be."""
    (repository / "messaging").mkdir()
    (repository / "messaging" / "nats.toml").write_text(DESIRED)
    return policy(repository, broker.url)


async def _call(client: Client, tool: str, **arguments: Any) -> Body:
    answer = await client.call_tool(tool, arguments)
    assert answer.structured_content is not None
    return answer.structured_content


async def _drift(client: Client) -> list[str]:
    body = await _call(client, "message_topology")
    return [where for finding in body["findings"] if finding["id"] == "drift" for where in finding["where"]]


@pytest.mark.parametrize("era", ERAS)
async def test_drift_is_told_until_it_is_made_good_from_the_file(place: Path, connect: Connect, era: Era) -> None:
    file = "messaging/nats.toml"
    async with connect(place, mode=era) as client:
        assert await _drift(client) == [
            f"{file}: stream ORDERS does not exist", f"{file}: consumer ORDERS/billing does not exist",
        ]  # fmt: skip
        planned = await _call(client, "configure_messaging", file=file)
        assert [(c["name"], c["action"]) for c in planned["changes"]] == [("ORDERS", "create")]
        assert "consumer ORDERS/billing" in planned["notes"][0]
        made = await _call(client, "configure_messaging", file=file, apply=True, at_version=planned["at_version"])
        assert [c["verified"] for c in made["changes"]] == [True]
        assert await _drift(client) == [f"{file}: consumer ORDERS/billing does not exist"]
        made = await _call(client, "configure_messaging", file=file, apply=True)
        assert [c["action"] for c in made["changes"]] == ["none", "create"]
        assert await _drift(client) == []
        change = {"kind": "stream", "name": "ORDERS", "config": {"max_age": "9d"}}
        await _call(client, "configure_messaging", changes=[change], apply=True)
        (drifted,) = await _drift(client)
        assert drifted.startswith(f"{file}: stream ORDERS: max_age ")
        back = await _call(client, "configure_messaging", file=file)
        assert [c["action"] for c in back["changes"]] == ["set", "none"]
        for name in ("billing", "ORDERS"):  # leave the server as it was
            gone = {"kind": "consumer", "name": name, "of": "ORDERS", "action": "delete"}
            if name == "ORDERS":
                gone = {"kind": "stream", "name": name, "action": "delete"}
            await _call(client, "configure_messaging", changes=[gone], apply=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"file": "messaging/none.toml"}, "expected one of messaging/broken.toml, messaging/link.toml"),
        ({"file": "../secret.toml"}, "expected one of"),
        ({"file": "messaging/broken.toml"}, "broken.toml: stream: expected engine or tables streams, topics"),
        ({}, "expected one change or more, or file instead"),
    ],
)
async def test_a_file_that_is_none_is_named_with_what_was_expected(
    place: Path, connect: Connect, arguments: Body, words: str
) -> None:
    (place / "messaging" / "broken.toml").write_text("[stream.X]\n")
    (place.parent / "outside.toml").write_text(DESIRED)
    (place / "messaging" / "outside.toml").symlink_to(place.parent / "outside.toml")
    (place / "messaging" / "link.toml").symlink_to("nats.toml")
    async with connect(place) as client:
        told = await _call(client, "configure_messaging", **arguments)
        body = await _call(client, "message_topology")
    assert words in told["error"]["reason"]
    unreadable = next(f["where"] for f in body["findings"] if f["id"] == "desired_unreadable")
    assert [where.partition(":")[0] for where in unreadable] == ["messaging/broken.toml"]
