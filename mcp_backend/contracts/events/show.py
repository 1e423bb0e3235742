# ruff: noqa: E501 - the questions are prose, one per rule, and read best beside the rule
"""An AsyncAPI document in brief: what the application sends and receives; one operation in full; its gaps."""

from collections.abc import Iterator

from mcp_backend.contracts.contract import Contract, Line
from mcp_backend.contracts.documents import Documents
from mcp_backend.contracts.events.model import Events, Message, Operation
from mcp_backend.contracts.openapi import schema_gaps
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.places import below
from mcp_backend.contracts.openapi.show import DEFINITIONS, Shown
from mcp_backend.contracts.words import Gap
from mcp_backend.errors import Json


def read(documents: Documents, path: str) -> Contract:
    """The document, read. Raises `Broken`."""
    events = Events(documents, path)
    flattener = Flattener(events)
    by_name = {_name(o): o for o in events.operations}
    servers: list[Json] = [
        f"{name}: {node.map.get('protocol') or '?'} {node.map.get('host') or node.map.get('url') or ''}"
        for name, node in list(events.servers.items())[:6]
    ]
    return Contract(
        path, "asyncapi", events.version, str(events.about.get("title") or "")[:120],
        tuple(_line(o) for o in by_name.values()), tuple(gaps(events, flattener)),
        lambda name: detail(flattener, by_name[name]),
        {"info_version": str(events.about.get("version") or ""), "servers": servers, "channels": len(events.channels)},
        documents.paths,
    )  # fmt: skip


def _name(operation: Operation) -> str:
    return f"{operation.action} {operation.channel.address or operation.channel.name}"


def _line(operation: Operation) -> Line:
    names = ", ".join(m.name for m in operation.messages[:6]) or "no message"
    said = str(operation.node.map.get("summary") or operation.node.map.get("description") or "").replace("\n", " ")
    text = f"{_name(operation)} ({names}) · {operation.name}" + (f" · {said[:60]}" if said else "")
    return Line(
        _name(operation),
        text,
        operation.action,
        f"{operation.name} {said} {names}",
        (operation.name, operation.channel.name),
    )


def detail(f: Flattener, operation: Operation) -> dict[str, Json]:
    """One operation with its messages."""
    shown = Shown(f)
    messages: list[Json] = []
    for message in operation.messages:
        entry: dict[str, Json] = {"name": message.name, "content_type": message.content_type or "not said"}
        entry["payload"] = shown.type(message.payload)
        if message.headers is not None:
            entry["headers"] = shown.type(message.headers)
        messages.append(entry)
    parameters: dict[str, Json] = {
        name: [*values] if values else "any" for name, values in operation.channel.parameters.items()
    }
    return {
        "operation": _name(operation), "id": operation.name, "channel": operation.channel.name,
        "address": operation.channel.address, "parameters": parameters, "messages": messages,
        "schemas": shown.definitions(DEFINITIONS),
    }  # fmt: skip


def gaps(events: Events, f: Flattener) -> Iterator[Gap]:
    """What an implementer would have to guess."""
    if not events.servers and events.channels:
        yield Gap("server-unspecified", "*", "No server is named. Over which protocol and broker do these messages travel?",
                  ("the one the repository already uses", "any: the document is about payloads alone"), "ask")  # fmt: skip
    for name, server in events.servers.items():
        if "security" not in server.map:
            yield Gap("auth-unspecified", name, f"Nothing says how a client authenticates at the server {name}. Does it?",
                      ("no: it is open to whoever reaches it", "yes, with credentials that have to be described"), "ask")  # fmt: skip
    used = {o.channel.name for o in events.operations}
    for channel in events.channels.values():
        if channel.name not in used:
            yield Gap("channel-direction-unspecified", channel.name, f"No operation uses the channel {channel.name}. Does the application send to it or receive from it?",
                      ("it sends", "it receives", "neither yet: it is planned"), "ask")  # fmt: skip
    seen: set[tuple[str, str]] = set()
    messages = {m.node.key: m for c in events.channels.values() for m in c.messages}
    for message in messages.values():
        yield from _message(f, message, seen)
    for reference, where in events.unresolved.items():
        yield Gap("unresolved-ref", reference, f"{reference} leads nowhere (used at {where}). What should be there?",
                  ("the reference is misspelt", "what it names was never written"), "block")  # fmt: skip


def _message(f: Flattener, message: Message, seen: set[tuple[str, str]]) -> Iterator[Gap]:
    if message.payload is None:
        yield Gap("message-payload-missing", message.name, f"The message {message.name} has no payload schema. What does it carry?",
                  ("nothing: its arrival is the information", "fields that have to be described"), "block")  # fmt: skip
    if not message.content_type:
        yield Gap("content-type-unspecified", message.name, f"Nothing says how {message.name} is encoded. JSON, Avro, protobuf?",
                  ("application/json", "the format that the broker's schema registry holds"), "ask")  # fmt: skip
    for schema, part in ((message.payload, "payload"), (message.headers, "headers")):
        if schema is not None:
            for place in below(f, schema, f"{message.name} {part}", "", None, seen):
                yield from schema_gaps.of(f, place)
