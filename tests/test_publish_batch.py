"""A large batch under way while its server is killed: what is said of each message stays true, on NATS and Redis."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from nats.aio.client import Client as NatsClient
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig

from mcp_backend.engines.outcomes import Message
from mcp_backend.engines.redis_publish import CHUNK, packed
from tests.conftest import Connect
from tests.natsd import Between, Natsd
from tests.redisd import Redisd

Body = dict[str, Any]
COUNT = 500
FILLER = "x" * 400
WHY = "messages of this test, read by the test alone"


class Tripwire(Between):
    """A TCP proxy that calls `trip` once it has passed on so many bytes of its client: in the middle of a batch."""

    def __init__(self, upstream: int, after: int, trip: Callable[[], None]) -> None:
        super().__init__(upstream)
        self._left, self._trip = after, trip
        self.tripped = asyncio.Event()
        self.armed = False

    async def _requests(self, reader: asyncio.StreamReader, up_writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(8192):
            up_writer.write(data)
            if self.armed and not self.tripped.is_set():
                self._left -= len(data)
                if self._left <= 0:
                    await up_writer.drain()
                    self._trip()
                    self.tripped.set()
        up_writer.close()


async def _in_nats(url: str) -> Counter[str]:
    client, found = NatsClient(), Counter[str]()
    await client.connect(url, allow_reconnect=False)
    try:
        stream = JetStreamContext(client)
        left = (await stream.stream_info("BATCH")).state.messages
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, inactive_threshold=5)
        reader = await stream.pull_subscribe("batch.>", stream="BATCH", config=config)
        while left:
            some = await reader.fetch(min(left, 500), timeout=60)
            found.update((m.headers or {})["Nats-Msg-Id"] for m in some)  # pyright: ignore
            left -= len(some)
    finally:
        await client.close()
    return found


async def _in_redis(url: str) -> Counter[str]:
    import redis.asyncio as redis_py

    client: Any = redis_py.Redis.from_url(url, decode_responses=True)  # pyright: ignore[reportUnknownMemberType]
    try:
        return Counter(fields["message_id"] for _, fields in await client.xrange("batch.a"))
    finally:
        await client.aclose()


async def _publish(client: Client, ids: list[str]) -> dict[str, str]:
    messages = [{"payload": {"id": name, "text": FILLER}, "message_id": name} for name in ids]
    arguments: Body = {"destination": "batch.a", "messages": messages, "justification": WHY}
    told: Body = (await client.call_tool("publish_message", arguments)).structured_content or {}
    error: Body = told.get("error") or {}
    results: list[Body] = told.get("results") or error.get("details", {}).get("results") or []
    said = {str(r["message_id"]): str(r["stored"]) for r in results}
    # Of a batch that failed as a whole only some are shown; `unknown` is said of the rest as long as it may be so.
    counts: Body = error.get("details", {}).get("counts") or {}
    unsaid = "no" if set(counts) == {"no"} or (error and not results) else "unknown"
    return {name: said.get(name, unsaid) for name in ids}


@pytest.mark.parametrize("part", [0.15, 0.6])
@pytest.mark.parametrize("kind", ["nats", "redis"])
async def test_a_server_killed_in_the_middle_of_a_batch_makes_no_statement_wrong(
    repository: Path, tmp_path: Path, connect: Connect, kind: str, part: float
) -> None:
    server = (Natsd if kind == "nats" else Redisd)(tmp_path / "server").start()
    stored = _in_nats if kind == "nats" else _in_redis
    ids = [f"m{number}" for number in range(COUNT)]
    try:
        async with Tripwire(server.port, int(COUNT * len(FILLER) * part), server.kill) as wire:
            url = f"{kind}://127.0.0.1:{wire.port}"
            (repository / "mcp-backend.toml").write_text(
                f'[engines.bus]\nkind = "{kind}"\nurl = "{url}"\nenvironment = "development"\n'
            )
            async with connect(repository) as client:
                change: Body = {"kind": "stream", "name": "batch.a"}
                if kind == "nats":
                    change = {"kind": "stream", "name": "BATCH", "config": {"subjects": ["batch.>"]}}
                made = await client.call_tool("configure_messaging", {"changes": [change], "apply": True})
                assert not made.is_error, made.structured_content
                wire.armed = True
                work = asyncio.create_task(_publish(client, ids))
                async with asyncio.timeout(60):
                    await wire.tripped.wait()
                await asyncio.to_thread(server.start)
                said = await work
                there = await stored(server.url)
                assert [name for name, told in said.items() if told == "yes" and there[name] != 1] == []
                assert [name for name, told in said.items() if told == "no" and there[name]] == []
                for _ in range(5):
                    if left := [name for name, told in said.items() if told != "yes"]:
                        said |= await _publish(client, left)
            assert set(said.values()) == {"yes"}
            assert await stored(server.url) == Counter(ids)
    finally:
        server.stop()


async def test_a_batch_is_stored_in_the_order_it_is_given_with_all_its_bytes(
    repository: Path, tmp_path: Path, connect: Connect
) -> None:
    """Through several scripts of Redis, with headers, other bytes than text, and an id that is used already."""
    server = Redisd(tmp_path / "server").start()
    import redis.asyncio as redis_py

    direct: Any = redis_py.Redis.from_url(server.url)  # pyright: ignore[reportUnknownMemberType]
    try:
        (repository / "mcp-backend.toml").write_text(
            f'[engines.bus]\nkind = "redis"\nurl = "{server.url}"\nenvironment = "development"\n'
        )
        await direct.xadd("batch.a", {"first": "1"})
        count = 2 * CHUNK + 3
        messages: list[Body] = [
            {"payload": {"n": n, "text": "ä\n\r☃"}, "message_id": f"m{n}", "headers": {"trace": f"t-{n}"}}
            for n in range(count)
        ]
        arguments: Body = {"destination": "batch.a", "messages": messages, "justification": WHY}
        async with connect(repository) as client:
            told = (await client.call_tool("publish_message", arguments)).structured_content
            again = (await client.call_tool("publish_message", arguments)).structured_content
            messages[7]["payload"] = {"n": "another"}
            reused = (await client.call_tool("publish_message", arguments)).structured_content
        entries = (await direct.xrange("batch.a"))[1:]
    finally:
        await direct.aclose()
        server.stop()
    assert told is not None
    assert again is not None
    assert reused is not None
    assert [r["entry_id"] for r in told["results"]] == [entry.decode() for entry, _ in entries]
    assert [fields[b"message_id"] for _, fields in entries] == [f"m{n}".encode() for n in range(count)]
    assert entries[3][1][b"payload"].decode() == '{"n":3,"text":"ä\\n\\r☃"}'
    assert entries[3][1][b"header:trace"] == b"t-3"
    assert {(r["stored"], r["duplicate"]) for r in again["results"]} == {("yes", True)}
    assert [r["message_id"] for r in reused["results"] if r["stored"] == "no"] == ["m7"]


def test_a_message_is_packed_with_every_word_after_its_length() -> None:
    message = Message("a", "id", {"h": "v"}, b"\x00\xff", None)
    data, words, at = packed([message]), list[bytes](), 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if len(words) == 3:  # how many words follow
            assert size == 2
            words.append(b"")
            at += 4
            continue
        words.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    assert words[1:] == [b"\x00\xff", b"id", b"", b"header:h", b"v"]
