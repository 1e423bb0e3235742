"""An AsyncAPI document as what the application sends and receives, whatever its version.

https://www.asyncapi.com/docs/migration/migrating-to-v3: in 2.x `subscribe` is what the application sends.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

from mcp_backend.contracts.documents import Broken, Documents, mapping
from mcp_backend.contracts.tree import Node, Tree


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its payload and headers where they are declared; `content_type` is empty where nothing says it.
    `more` are the headers that its traits add."""

    name: str
    payload: Node | None
    headers: Node | None
    content_type: str
    node: Node
    more: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel by its name in the document."""

    name: str
    address: str
    parameters: Mapping[str, tuple[str, ...] | None]
    messages: tuple[Message, ...]
    node: Node


@dataclass(frozen=True, slots=True)
class Operation:
    """What the application does on a channel."""

    name: str
    action: Literal["send", "receive"]
    channel: Channel
    messages: tuple[Message, ...]
    node: Node


class Events(Tree):
    """An AsyncAPI document. Raises `Broken` when it cannot be read."""

    def __init__(self, documents: Documents, path: str) -> None:
        super().__init__(documents, path)
        self.version = str(self.root.map.get("asyncapi") or "")
        if self.version[:2] not in ("2.", "3."):
            raise Broken(f"{path}: AsyncAPI {self.version or 'without a version'}: this release reads 2.x and 3.x")
        self.second = self.version.startswith("2.")

    @cached_property
    def channels(self) -> Mapping[str, Channel]:
        """The channels by name."""
        holder = self.child(self.root, "channels")
        return {name: self._channel(name, self.child(holder, name)) for name in holder.map}

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """All operations."""
        return tuple(self._second() if self.second else self._third())

    @cached_property
    def servers(self) -> Mapping[str, Node]:
        """The servers by name."""
        holder = self.child(self.root, "servers")
        return {name: self.child(holder, name) for name in holder.map}

    def _channel(self, name: str, node: Node) -> Channel:
        address = node.map.get("address", name if self.second else "")
        parameters: dict[str, tuple[str, ...] | None] = {}
        for key in self.child(node, "parameters").map:
            about = self.child(node, "parameters", key)
            values: Any = about.map.get("enum", self.child(about, "schema").map.get("enum"))
            parameters[key] = tuple(map(str, cast("list[Any]", values))) if isinstance(values, list) else None
        if self.second:
            messages = tuple(m for key in ("subscribe", "publish") for m in self._spoken(self.child(node, key)))
        else:
            messages = tuple(
                self.message(self.child(node, "messages", key), key) for key in self.child(node, "messages").map
            )
        return Channel(name, str(address or ""), parameters, messages, node)

    def _second(self) -> Iterator[Operation]:
        for channel in self.channels.values():
            for key, action in (("subscribe", "send"), ("publish", "receive")):
                node = self.child(channel.node, key)
                if key in channel.node.map:
                    name = str(node.map.get("operationId") or f"{action} {channel.name}")
                    yield Operation(name, action, channel, tuple(self._spoken(node)), node)  # pyright: ignore[reportArgumentType]

    def _spoken(self, operation: Node) -> Iterator[Message]:
        if "message" not in operation.map:
            return
        node = self.child(operation, "message")
        options: Any = node.map.get("oneOf")
        if isinstance(options, list):
            for index in range(len(cast("list[Any]", options))):
                yield self.message(self.child(node, "oneOf", str(index)), "")
        else:
            yield self.message(node, "")

    def _third(self) -> Iterator[Operation]:
        by_key = {c.node.key: c for c in self.channels.values()}
        holder = self.child(self.root, "operations")
        for name in holder.map:
            node = self.child(holder, name)
            channel = by_key.get(self.child(node, "channel").key)
            action = node.map.get("action")
            if channel is None or action not in ("send", "receive"):
                continue
            listed: Any = node.map.get("messages")
            if isinstance(listed, list):
                chosen = [self.child(node, "messages", str(i)) for i in range(len(cast("list[Any]", listed)))]
                wanted = {c.key for c in chosen}
                messages = tuple(m for m in channel.messages if m.node.key in wanted)
            else:
                messages = channel.messages
            yield Operation(name, action, channel, messages, node)

    def message(self, node: Node, key: str) -> Message:
        """The message at a node, its traits taken in."""
        holders = [node]
        traits: Any = node.map.get("traits")
        if isinstance(traits, list):
            holders += [self.child(node, "traits", str(i)) for i in range(len(cast("list[Any]", traits)))]
        payload: Node | None = None
        more: list[Node] = []
        content_type = ""
        for holder in holders:
            if payload is None and "payload" in holder.map:
                payload = self.child(holder, "payload")
                if "schemaFormat" in payload.map and "schema" in payload.map:
                    payload = self.child(payload, "schema")
            if "headers" in holder.map:
                more.append(self.child(holder, "headers"))
            content_type = content_type or str(holder.map.get("contentType") or "")
        default = str(self.root.map.get("defaultContentType") or "")
        name = str(self.component(node) or node.map.get("name") or node.map.get("messageId") or key or "message")
        headers = more.pop(0) if more else None
        return Message(name, payload, headers, content_type or default, node, tuple(more))

    @property
    def about(self) -> dict[str, Any]:
        """The `info` object."""
        return mapping(self.root.map.get("info"))
