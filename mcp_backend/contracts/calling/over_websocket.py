"""WebSocket: one connection, one message at most, and what comes back until it is quiet, judged by AsyncAPI.

https://www.rfc-editor.org/rfc/rfc6455
"""

import json
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from mcp_backend import installing
from mcp_backend.contracts import specs
from mcp_backend.contracts.calling.asking import LIMIT, Asked, Got, Request, limited, split
from mcp_backend.contracts.calling.line import Line, lost
from mcp_backend.contracts.documents import Broken
from mcp_backend.contracts.events.model import Channel, Events, Message
from mcp_backend.contracts.openapi import fits
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.patterns import address
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.words import Deviation, Unverified
from mcp_backend.errors import InvalidArgument, NotFound, Unavailable

MISSING = installing.needs("WebSocket", "contracts")
MESSAGES = 20
QUIET = 0.5
"""Seconds without a message after which an exchange that has begun is over."""
SHOWN = 8
KINDS = {"required-field-missing": "missing", "field-extra": "extra", "enum-value-extra": "extra"}


@dataclass(frozen=True, slots=True)
class Contract:
    """A channel of a document, seen from the client: what it may send, and what it gets."""

    events: Events
    channel: Channel
    sent: tuple[Message, ...]
    received: tuple[Message, ...]


def prepare(asked: Asked) -> Request:
    """The request. Raises `InvalidArgument`, `NotFound`, `Unavailable` without the extra."""
    if find_spec("websockets") is None:
        raise Unavailable(MISSING)
    if asked.method:
        raise InvalidArgument("method: a WebSocket has none; leave it out")
    if asked.path and not asked.path.startswith("/"):
        raise InvalidArgument("path: expected to begin with /")
    path = asked.target.path + asked.path or "/"
    if any(ord(c) < 33 or ord(c) > 126 or c in "#\\" for c in path):
        raise InvalidArgument("path: expected no blanks, backslashes, # or control characters; percent-encode them")
    contract, why = _contract(asked.source, asked.operation, path.partition("?")[0])
    content = b"" if asked.body is None else _content(asked.body)
    secret_content = _content(asked.resolve(asked.body)) if content else b""
    problems = _problems(contract, content) if contract and content else []
    scheme = {"http": "ws", "https": "wss"}.get(asked.target.scheme, asked.target.scheme)
    url = f"{scheme}://{asked.target.authority}{path}"

    def send(line: Line) -> Got:
        got, messages = exchange(line, url, asked.headers.sent, secret_content)
        _judge(got, messages, contract, why)
        return got

    return Request(
        "websocket", url, content, not content, "a message may change something", send,
        contract.events.path if contract else "", contract.channel.name if contract else "", tuple(problems),
    )  # fmt: skip


def _content(body: Any) -> bytes:
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return limited(text.encode())


def exchange(
    line: Line, url: str, sent: Sequence[tuple[str, str]], content: bytes
) -> tuple[Got, list[str | bytes]]:  # fmt: skip
    """One connection: what is `sent` are its headers. `more["ended"]` tells how it ended. Raises `Unavailable`,
    `DeadlineExceeded`, `OutcomeUnknown`."""
    from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    offered = next((v for n, v in sent if n.lower() == "sec-websocket-protocol"), None)
    headers = [(n, v) for n, v in sent if n.lower() != "sec-websocket-protocol"]
    messages: list[str | bytes] = []
    size, ended = 0, ""
    reads = not content
    connection = line.open()
    secure = line.target.secure
    # The socket is ours, so nothing is looked up and no proxy is used; this client follows no redirect.
    try:
        opened = connect(
            url, sock=connection, additional_headers=headers, proxy=None, open_timeout=line.left, close_timeout=1,
            max_size=LIMIT, ping_interval=None, compression=None,
            ssl=ssl.create_default_context() if secure else None, server_hostname=line.target.host if secure else None,
            subprotocols=[Subprotocol(p.strip()) for p in offered.split(",")] if offered else None,
        )  # fmt: skip
    except InvalidStatus as error:
        answer = error.response
        got = Got(answer.status_code, {n.lower(): v for n, v in answer.headers.raw_items()})
        got.body = (answer.body or b"").decode("utf-8", "replace")
        return got, []
    except (OSError, InvalidHandshake, InvalidMessage, TimeoutError) as error:
        connection.close()
        line.late = line.late or isinstance(error, TimeoutError)
        other = "no TLS" if isinstance(error, ssl.SSLError) else "it does not speak WebSocket"
        raise lost(line, reads, "timeout_seconds passed" if line.late else other) from error
    with opened as socket:
        line.ends_by(lambda: socket.close(code=1000))
        status, subprotocol = 101, socket.subprotocol
        try:
            if content:
                line.sent = True
                socket.send(content.decode())
            deadline = time.monotonic() + line.left - 0.2
            while len(messages) < MESSAGES and size < LIMIT:
                wait = min(QUIET, deadline - time.monotonic()) if messages else deadline - time.monotonic()
                message = socket.recv(timeout=max(0.0, wait))
                messages.append(message)
                size += len(message)
            ended = "limit"
        except TimeoutError:
            ended = "quiet" if messages else "timeout"
        except ConnectionClosed as closed:
            if closed.rcvd is None and not messages:
                raise lost(line, reads, "the connection ended") from closed
            ended = f"closed {closed.rcvd.code} {closed.rcvd.reason}".strip() if closed.rcvd else "lost"
    got = Got(status, {}, None, size, ended != "limit")
    got.more["ended"] = ended
    if subprotocol:
        got.more["subprotocol"] = subprotocol
    return got, messages


def _contract(source: Source, operation: str, path: str) -> tuple[Contract | None, str]:
    """The channel that a path, or its name or that of an operation, means; or why there is none."""
    spec_path, name = split(operation)
    documents = [s for s in specs.find(source, spec_path) if s.kind == "asyncapi"]
    if spec_path and not documents:
        raise NotFound(f"operation: {spec_path} is no AsyncAPI document")
    hits: list[Contract] = []
    names: list[str] = []
    broken = ""
    for spec in documents:
        try:
            events = Events(source.documents(), spec.path)
        except Broken as error:
            broken = str(error)[:300]
            continue
        names += events.channels
        for one in contracts(events):
            channel = one.channel
            own = {o.name for o in events.operations if o.channel.node.key == channel.node.key}
            if name in (channel.name, *own) if name else _at(events, channel, path):
                hits.append(one)
    if len(hits) == 1:
        return hits[0], ""
    if name and not hits:
        raise NotFound(f"operation: no channel is called {name!r}; there are {', '.join(names[:SHOWN]) or 'none'}")
    if name or hits:
        where = ", ".join(f"{h.events.path}#{h.channel.name}" for h in hits[:SHOWN])
        if name:
            raise InvalidArgument(f"operation: several channels are called {name!r}; name one of {where}")
        return None, f"several channels have {path}; name one as operation: {where}"
    if not documents:
        return None, "no AsyncAPI document is in this repository"
    return None, broken or f"no channel of {', '.join(s.path for s in documents[:SHOWN])} has {path}"


def _at(events: Events, channel: Channel, path: str) -> bool:
    if not channel.address:
        return False
    choices = {n: v for n, v in channel.parameters.items() if v}
    pattern = address(channel.address, choices)
    plain = path.strip("/")
    bases = {""} | {str(s.map.get("pathname") or "").strip("/") for s in events.servers.values()}
    bases |= {
        str(s.map.get("url") or "").partition("://")[2].partition("/")[2].strip("/") for s in events.servers.values()
    }
    return any(
        (not base or plain.startswith(f"{base}/") or plain == base)
        and pattern.matches(plain.removeprefix(base).strip("/").replace("/", "."))
        for base in bases
    )


def _misfits(contract: Contract, messages: tuple[Message, ...], data: str | bytes, direction: Any) -> list[fits.Misfit]:
    """What keeps a message from being one of these, by the one that it is nearest to; empty when it is one."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return [fits.Misfit("content-type-mismatch", contract.channel.name, "JSON", "no valid JSON")]
    best: list[fits.Misfit] | None = None
    for message in messages:
        if message.payload is None:
            return []
        found = fits.misfits(Flattener(contract.events), message.payload, value, message.name, direction)
        if not found:
            return []
        if best is None or len(found) < len(best):
            best = found
    return best or []


def _problems(contract: Contract, content: bytes) -> list[str]:
    if not contract.sent or any(opaque(m) for m in contract.sent):
        return []
    found = _misfits(contract, contract.sent, content, "request")
    return [f"{m.where}: expected {m.expected}, sent {m.actual}" for m in found[:5]]


def _judge(got: Got, messages: list[str | bytes], contract: Contract | None, why: str) -> None:
    got.body = [_shown(m) for m in messages]
    if got.status != 101:
        got.unverified.append(Unverified("*", f"the connection was refused with {got.status}"))
    elif contract is None:
        got.unverified.append(Unverified("*", why))
    elif not messages:
        got.unverified.append(Unverified(contract.channel.name, "no message came"))
    elif not contract.received:
        got.unverified.append(Unverified(contract.channel.name, "the contract says of no message that it is sent here"))
    elif any(opaque(m) for m in contract.received):
        got.unverified.append(Unverified(contract.channel.name, "a message has no JSON Schema that can be checked"))
    else:
        got.deviations += deviations(contract, messages, "response")


def deviations(contract: Contract, messages: Iterable[str | bytes], source: str) -> list[Deviation]:
    """In what the messages that a client got are none of those that the contract has for it."""
    found: dict[tuple[str, str], Deviation] = {}
    for message in messages:
        for m in _misfits(contract, contract.received, message, "response"):
            kind: Any = KINDS.get(m.id, "different")
            word = "type-mismatch" if m.id == "constraint-violated" else m.id
            found.setdefault((word, m.where), Deviation(word, kind, m.where, m.expected, m.actual, source))
    return [*found.values()]


def contracts(events: Events) -> Iterator[Contract]:
    """The channels of a document as a client sees them: what the application sends, it receives."""
    for channel in events.channels.values():
        own = [o for o in events.operations if o.channel.node.key == channel.node.key]
        said = {a: tuple(m for o in own if o.action == a for m in o.messages) for a in ("send", "receive")}
        yield Contract(events, channel, said["receive"], said["send"])


def opaque(message: Message) -> bool:
    """Whether a message is declared in a way that is not checked here."""
    said = message.node.map.get("schemaFormat") or (message.payload.map.get("schemaFormat") if message.payload else "")
    other = bool(said) and "json" not in str(said) and "asyncapi" not in str(said)
    return message.payload is None or other or ("json" not in (message.content_type or "json").lower())


def _shown(message: str | bytes) -> Any:
    if isinstance(message, bytes):
        return f"{len(message)} bytes"
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        return message
