"""Checks WebSocket exchanges against an AsyncAPI document: https://www.asyncapi.com/docs/reference/specification/v3.0.0

What the application sends on a channel has to be one of the messages that it may send there, and each message that it
says it receives has to be taken. A running service is only listened to: a message may change something.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

from mcp_backend.contracts.calling import over_websocket
from mcp_backend.contracts.calling.addresses import Target
from mcp_backend.contracts.calling.line import Line
from mcp_backend.contracts.calling.over_websocket import Contract
from mcp_backend.contracts.documents import mapping
from mcp_backend.contracts.events.model import Events
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.service.checking import Checked
from mcp_backend.contracts.service.routing import plain
from mcp_backend.contracts.service.talking import Ask, Loaded, Talk
from mcp_backend.contracts.service.values import good
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.contracts.words import Deviation, Unverified
from mcp_backend.errors import DeadlineExceeded, InvalidArgument, Unavailable
from mcp_backend.threads import patiently

LISTENED = 3.0
"""Seconds that a running service has for its first message."""
REFUSALS = frozenset({1002, 1003, 1007, 1008, 1009, 1011})
"""Closing codes that say that a message was wrong: https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1"""


@dataclass(frozen=True, slots=True)
class Said:
    """What came on one connection. `status` is 101 where it was opened, `closed` the code of a closing by the other,
    `why` the reason where nothing is answered any more."""

    status: int
    messages: tuple[str | bytes, ...] = ()
    closed: int = 0
    why: str = ""


Exchange: TypeAlias = Callable[[str, Sequence[str]], Awaitable[Said]]
"""Opens a path, sends texts and listens until it is quiet."""


async def check_app(
    source: Source, spec: Spec, loaded: Loaded, talk: Talk, headers: Mapping[str, str], checked: Checked
) -> None:
    """Checks an application in the child. Raises `Broken`, `InvalidArgument`."""
    if loaded.kind not in ("fastapi", "starlette", "asgi"):
        raise InvalidArgument("implementation: only an ASGI application speaks WebSocket here; give the url of another")
    events = await asyncio.to_thread(lambda: Events(source.documents(), spec.path))

    async def exchange(path: str, texts: Sequence[str]) -> Said:
        checked.requests += 1
        answer = await talk.send(Ask("WEBSOCKET", path, (), dict(headers), json.dumps(list(texts)).encode()))
        said = mapping(answer.json()) if answer.body else {}
        return Said(answer.status, tuple(said.get("messages", ())), int(said.get("closed", 0)), talk.ended)

    served = {plain(str(r["path"])): str(r["place"]) for r in loaded.routes if r["method"] == "WEBSOCKET"}
    channels = [*over_websocket.contracts(events)]
    paths = {c.channel.name: _paths(events, c) for c in channels}
    if loaded.kind != "asgi":
        checked.sources.append("routes")
        wanted = {plain(p) for some in paths.values() for p in some[0]}
        for path in sorted(served.keys() - wanted):
            checked.deviations.append(
                Deviation("route-extra", "extra", f"WEBSOCKET {path}", "no such channel", served[path], "routes")
            )
        for one in channels:
            if not served.keys() & {plain(p) for p in paths[one.channel.name][0]}:
                checked.deviations.append(
                    Deviation(
                        "route-missing", "missing", one.channel.name, "a WebSocket route", "no route has it", "routes"
                    )
                )
        missing = {d.where for d in checked.deviations}
        channels = [c for c in channels if c.channel.name not in missing]
    await _Checks(events, exchange, checked, writes=True).run(channels)


def check_url(source: Source, spec: Spec, target: Target, headers: Mapping[str, str]) -> Checked:
    """Listens to a running service. Raises `Broken`, `Unavailable`."""
    if find_spec("websockets") is None:
        raise Unavailable(over_websocket.MISSING)
    events = Events(source.documents(), spec.path)
    checked = Checked(target.origin)
    scheme = "wss" if target.secure else "ws"

    def listened(path: str) -> Said:
        line = Line(target, LISTENED)
        url = f"{scheme}://{target.authority}{target.path}{path}"
        try:
            got, messages = over_websocket.exchange(line, url, [*headers.items()], b"")
        except DeadlineExceeded:
            return Said(0)
        code = re.match(r"closed (\d+)", str(got.more.get("ended", "")))
        return Said(int(str(got.status)), tuple(messages), int(code.group(1)) if code else 0)

    async def exchange(path: str, texts: Sequence[str]) -> Said:
        checked.requests += 1
        return await patiently(listened, path)

    asyncio.run(_Checks(events, exchange, checked, writes=False).run([*over_websocket.contracts(events)]))
    checked.unverified.append(Unverified("*", "channels beyond the specification cannot be seen from outside"))
    return checked


class _Checks:
    """One look at each channel."""

    def __init__(self, events: Events, exchange: Exchange, checked: Checked, *, writes: bool) -> None:
        self._events, self._exchange, self._checked, self._writes = events, exchange, checked, writes
        self._f = Flattener(events)

    async def run(self, channels: Sequence[Contract]) -> None:
        self._checked.sources.append("exchange")
        for contract in channels:
            await self._channel(contract)

    async def _channel(self, contract: Contract) -> None:
        name, unsure = contract.channel.name, self._checked.unverified
        path, said = "", Said(404)
        for path in _paths(self._events, contract)[1]:
            said = await self._exchange(path, ())
            if said.status == 101:
                break
        if said.status != 101:
            why = (
                f"the connection was refused with {said.status}" if said.status else said.why or "no WebSocket is there"
            )
            if said.status == 404:
                self._found(Deviation("route-missing", "missing", name, "a WebSocket", "404", "exchange"))
            else:
                unsure.append(
                    Unverified(name, why + (": give credentials in headers" if said.status in (401, 403) else ""))
                )
            return
        heard = [*said.messages]
        self._heard(contract, said)
        for message in contract.sent:
            if not self._writes:
                unsure.append(Unverified(f"{name} {message.name}", "a running service is only listened to"))
            elif over_websocket.opaque(message) or message.payload is None:
                unsure.append(Unverified(f"{name} {message.name}", "its payload is no JSON Schema"))
            else:
                text = json.dumps(good(self._f, message.payload))
                answer = await self._exchange(path, (text,))
                if answer.closed in REFUSALS and said.closed not in REFUSALS:
                    where = f"{name} {message.name}"
                    actual = f"closed with {answer.closed}" + (" (it failed)" if answer.closed == 1011 else "")
                    self._found(
                        Deviation(
                            "message-not-accepted",
                            "different",
                            where,
                            "a message that fits is taken",
                            actual,
                            "exchange",
                        )
                    )
                heard += answer.messages
                self._heard(contract, answer)
        if contract.received and not heard:
            unsure.append(Unverified(name, "no message came, so none of those that it sends was seen"))

    def _heard(self, contract: Contract, said: Said) -> None:
        if not said.messages:
            return
        name = contract.channel.name
        if not contract.received:
            shown = str(said.messages[0])[:80]
            self._found(Deviation("message-extra", "extra", name, "it sends nothing here", shown, "exchange"))
        elif any(over_websocket.opaque(m) for m in contract.received):
            self._checked.unverified.append(Unverified(name, "a message has no JSON Schema that can be checked"))
        else:
            for deviation in over_websocket.deviations(contract, said.messages, "exchange"):
                self._found(deviation)

    def _found(self, deviation: Deviation) -> None:
        self._checked.add([deviation], [])


def _paths(events: Events, contract: Contract) -> tuple[list[str], list[str]]:
    """The paths that a channel may have, below each server: with the names of parameters, and with values for them."""
    bases = {""}
    for server in events.servers.values():
        url = str(server.map.get("url") or "").partition("://")[2]
        bases.add("/" + str(server.map.get("pathname") or url.partition("/")[2]).strip("/"))
    address = contract.channel.address.strip("/")

    def value(match: re.Match[str]) -> str:
        return (contract.channel.parameters.get(match.group(1)) or ("1",))[0]

    raw = [f"{base.rstrip('/')}/{address}" for base in sorted(bases)]
    return raw, [re.sub(r"\{([^}]+)\}", value, path) for path in dict.fromkeys(raw)]


__all__ = ["Said", "check_app", "check_url"]
