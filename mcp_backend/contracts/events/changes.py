"""What changed between two revisions of an AsyncAPI document: what the application receives must not shrink, what it
sends must not grow."""

import re
from itertools import zip_longest
from typing import Protocol, cast

from mcp_backend.contracts.events.model import Channel, Events, Operation
from mcp_backend.contracts.openapi.comparing import Comparer
from mcp_backend.contracts.openapi.fits import Direction
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.tree import Node
from mcp_backend.contracts.words import LEVELS, Change, Level


class Say(Protocol):
    """Notes a change."""

    def __call__(
        self, identifier: str, level: Level, where: str, before: str, after: str, operation: str = ""
    ) -> None: ...


def changes(old: Events, new: Events) -> list[Change]:
    """All changes, the breaking ones first."""
    comparer = Comparer(Flattener(old), Flattener(new))
    found: dict[tuple[str, str, str, str, str], list[str]] = {}

    def say(identifier: str, level: Level, where: str, before: str, after: str, operation: str = "") -> None:
        found.setdefault((level, identifier, where, before[:160], after[:160]), []).append(operation)

    _servers(old, new, say)
    channels = _channels(old, new)
    for name, channel in old.channels.items():
        later = channels.get(name)
        if later is None:
            say("channel-removed", "breaking", name, channel.address, "removed")
        else:
            _channel(channel, later, say)
    for name in sorted(new.channels.keys() - {c.name for c in channels.values() if c}):
        say("channel-added", "safe", name, "not there", "added")
    later_operations = {o.name: o for o in new.operations}
    places = {(o.action, o.channel.name): o for o in new.operations}
    for operation in old.operations:
        counterpart = channels.get(operation.channel.name)
        two = later_operations.get(operation.name) or (
            places.get((operation.action, counterpart.name)) if counterpart else None
        )
        if two is None and counterpart:
            two = next(
                (
                    o
                    for o in new.operations
                    if o.channel.name == counterpart.name
                    and o.name not in {x.name for x in old.operations}
                    and not new.second
                ),
                None,
            )
        if two is None:
            say(
                "operation-removed",
                "breaking",
                operation.name,
                f"{operation.action} {operation.channel.address}",
                "removed",
            )
            continue
        if two.action != operation.action:
            say("operation-action-changed", "breaking", operation.name, operation.action, two.action)
            continue
        _messages(comparer, operation, two, say)
    for operation in new.operations:
        if operation.name not in {o.name for o in old.operations}:
            say("operation-added", "safe", operation.name, "not there", operation.action)
    made = [
        Change(i, cast("Level", level), where, before, after, tuple(dict.fromkeys(o for o in operations if o)))
        for (level, i, where, before, after), operations in found.items()
    ]
    return sorted(made, key=lambda c: LEVELS.index(c.level))


def _servers(old: Events, new: Events, say: Say) -> None:
    """Notes which servers speak something else now, or stand elsewhere: by name, else by where they are."""
    places = {name: _place(node) for name, node in new.servers.items()}
    for name, node in old.servers.items():
        was = _place(node)
        now = places.get(name)
        if now is None and was not in places.values():
            say("server-removed", "risky", name, "://".join(was), "removed")
        elif now is not None and was[0] != now[0]:
            say("server-protocol-changed", "breaking", name, was[0], now[0])
        elif now is not None and was != now:
            say("server-address-changed", "risky", name, was[1], now[1])


def _place(node: Node) -> tuple[str, str]:
    says = node.map
    written = str(says.get("url") or f"{says.get('host') or ''}{says.get('pathname') or ''}")
    return str(says.get("protocol") or ""), written.rpartition("://")[2].rstrip("/")


def _channels(old: Events, new: Events) -> dict[str, Channel | None]:
    """The new channel of each old one: by name, else by address."""
    by_address = {_plain(c.address): c for c in new.channels.values()}
    return {name: new.channels.get(name) or by_address.get(_plain(c.address)) for name, c in old.channels.items()}


def _names(address: str) -> list[str]:
    """The parameters in the order of the address: how they are called is seen by nobody."""
    return re.findall(r"\{([^}]*)\}", address)


def _plain(address: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", address)


def _channel(one: Channel, two: Channel, say: Say) -> None:
    if _plain(one.address) != _plain(two.address):
        say("channel-address-changed", "breaking", one.name, one.address, two.address)
    renamed = dict(zip(_names(one.address), _names(two.address), strict=False))
    for name, values in one.parameters.items():
        later = two.parameters.get(renamed.get(name, name))
        gone = [] if later is None else [v for v in values or () if v not in later]
        if gone:
            say("channel-parameter-enum-value-removed", "breaking", f"{one.name} {name}", ", ".join(gone), "removed")
        elif later is not None and values is None:
            say("channel-parameter-became-enum", "breaking", f"{one.name} {name}", "any value", ", ".join(later))


def _messages(comparer: Comparer, one: Operation, two: Operation, say: Say) -> None:
    direction: Direction = "request" if one.action == "receive" else "response"
    by_name = {m.name: m for m in two.messages}
    pairs = [(m, by_name[m.name]) for m in one.messages if m.name in by_name]
    gone = [m for m in one.messages if m.name not in by_name]
    come = [m for m in two.messages if m.name not in {m.name for m in one.messages}]
    if len(gone) == len(come):  # renamed: names of messages are seen by nobody
        pairs += list(zip(gone, come, strict=True))
        gone, come = [], []
    if direction == "request":
        for lost in gone:
            say("receive-message-removed", "breaking", f"{one.name} {lost.name}", "accepted", "removed", one.name)
    else:
        for added in come:
            say("send-message-added", "risky", f"{one.name} {added.name}", "not there", "sent", one.name)
    for old, new in pairs:
        if _media(old.content_type) != _media(new.content_type):
            say(
                "content-type-changed",
                "breaking",
                old.name,
                old.content_type or "not said",
                new.content_type or "not said",
                one.name,
            )
        added = zip_longest(old.more, new.more)
        both = [(old.payload, new.payload, False), (old.headers, new.headers, True), *((*pair, True) for pair in added)]
        for before, after, header in both:
            if before is not None and after is not None:
                root = comparer.compare(before, after, direction, new.name + (" headers" if header else ""), "property")
                for key in comparer.reached(root):
                    for change in comparer.pairs[key].changes:
                        identifier = _word(change.id, header)
                        say(identifier, change.level, change.where, change.before, change.after, one.name)
            elif before is not None and header and direction == "response" and (names := before.map.get("required")):
                say(
                    "send-required-header-removed",
                    "breaking",
                    f"{old.name} headers",
                    ", ".join(map(str, names)),
                    "removed",
                    one.name,
                )
            elif after is not None and header and direction == "request" and (names := after.map.get("required")):
                say(
                    "receive-new-required-header",
                    "breaking",
                    f"{new.name} headers",
                    "none",
                    ", ".join(map(str, names)),
                    one.name,
                )


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower() or "application/json"


def _word(identifier: str, header: bool) -> str:
    """The word for the same change of a message: received instead of request, sent instead of response."""
    word = identifier.replace("new-required-request-property", "receive-new-required-property")
    word = word.replace("response-required-property-removed", "send-required-property-removed")
    word = word.replace("response-property-enum-value-added", "send-enum-value-added")
    word = re.sub(r"^request-", "receive-", re.sub(r"^response-", "send-", word))
    return word.replace("property", "header") if header else word
