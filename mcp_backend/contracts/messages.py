"""Which contract a message has to fit: the policy's `[contracts]`, then AsyncAPI documents, then schema files.

A schema file speaks for a destination by its name: `schemas/orders/created.schema.json` (or `.json` with `$schema`, or
`.avsc`) below a folder `schemas`, `contracts`, `messages` or `events` is the contract of `orders.created`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mcp_backend.contracts import asyncapi
from mcp_backend.contracts.asyncapi import FOREIGN, Channel, Language, MessageSchema
from mcp_backend.contracts.documents import ASYNCAPI, SUFFIXES, Broken, Documents, at, mapping
from mcp_backend.contracts.patterns import Pattern, subject
from mcp_backend.contracts.payloads.codec import NOTHING_KNOWN, Codecs, Known, Read
from mcp_backend.contracts.payloads.misfit import Misfit
from mcp_backend.contracts.schemas import Place, Schemas
from mcp_backend.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable

HEAD = 65_536
"""Bytes of a file that are looked at to see what it is."""
_BY_NAME = re.compile(r"(?:^|/)(?:schemas?|contracts?|messages|events)/(.+?)(\.schema)?\.(?:json|ya?ml|avsc)$")
READ = (*SUFFIXES, *FOREIGN)
"""Endings of files that may hold contracts."""
_WRAPPED = re.compile(r"(?:(cloudevents):)?(?:(confluent):(?:(\d{1,10}):)?)?(.*)", re.DOTALL)
"""How the policy says that the messages of a schema come in an envelope or a frame."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What is declared for the destinations of a pattern. A message has to fit one of `messages`."""

    source: str
    pattern: Pattern
    origin: Literal["policy", "asyncapi", "json_schema", "avro", "registry", "argument"]
    messages: tuple[MessageSchema, ...]
    protocols: frozenset[str] = frozenset()  # what the servers of its document speak; empty: not said

    @property
    def unchecked(self) -> str:
        """Why this release cannot check it; empty when it can check at least one of its messages."""
        if any(not message.unchecked for message in self.messages):
            return ""
        return next((message.unchecked for message in self.messages), "it declares no message")


@dataclass(frozen=True, slots=True)
class Fit:
    """How one message relates to its contract: `against` is what it fits. `unchecked` says what could not be judged:
    a message that fits nothing checkable may still be one of those, so nothing is known then. `read` is the payload as
    the schema that it fits understands it."""

    against: str | None = None
    problems: tuple[str, ...] = ()
    unchecked: str = ""
    read: Read | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """All contracts of a workspace as its files are now. `broken` are documents that could not be read."""

    documents: Documents
    schemas: Schemas
    codecs: Codecs
    declared: Mapping[str, str]
    channels: tuple[Channel, ...]
    by_name: Mapping[str, str]
    broken: Mapping[str, str] = field(default_factory=dict[str, str])
    judged: set[tuple[str, str | None]] = field(default_factory=set[tuple[str, str | None]])
    """Destinations that were judged for, with the schema a caller named: what that needs is compiled."""

    def contract_for(self, destination: str) -> Contract | None:
        """The contract of a destination. Raises `FailedPrecondition` when the policy names one that cannot be read."""
        for pattern in sorted(map(subject, self.declared), key=lambda p: p.rank):
            if pattern.matches(destination):
                reference = self.declared[pattern.text]
                try:
                    return self._named(reference, destination, "policy", pattern)
                except (Broken, NotFound, InvalidArgument) as error:
                    problem = error if isinstance(error, Broken) else error.reason
                    raise FailedPrecondition(f"contracts.{pattern.text!r} in the policy: {problem}") from error
        fitting = [channel for channel in self.channels if channel.pattern.matches(destination)]
        if fitting:
            best = min(fitting, key=lambda c: (c.pattern.rank, not c.messages, not c.sends, c.where))
            return Contract(best.where, best.pattern, "asyncapi", best.messages)
        if path := self.by_name.get(destination):
            return self._by_name(path, destination)
        return None

    def _by_name(self, path: str, destination: str) -> Contract:
        if path.endswith(".avsc"):
            message = MessageSchema(path, destination, Place(path), language="avro", written="binary")
            return Contract(path, subject(destination), "avro", (message,))
        return Contract(path, subject(destination), "json_schema", (MessageSchema(path, destination, Place(path)),))

    def contracts(self) -> Iterator[Contract]:
        """Every contract, one for each pattern, as `contract_for` would choose. Unreadable ones are left out."""
        seen: set[str] = set()
        for pattern, reference in self.declared.items():
            seen.add(pattern)
            try:
                yield self._named(reference, pattern, "policy", subject(pattern))
            except (Broken, NotFound, InvalidArgument):
                continue
        for channel in sorted(self.channels, key=lambda c: (not c.messages, not c.sends, c.where)):
            if channel.pattern.text not in seen:
                seen.add(channel.pattern.text)
                yield Contract(channel.where, channel.pattern, "asyncapi", channel.messages, channel.protocols)
        for destination, path in self.by_name.items():
            if destination not in seen:
                yield self._by_name(path, destination)

    def declared_differently(self) -> dict[str, list[str]]:
        """Addresses that several channels declare with different payloads, and where."""
        places: dict[str, dict[tuple[str, ...], str]] = {}
        for channel in self.channels:
            payloads = tuple(sorted(str(message.payload) for message in channel.messages))
            places.setdefault(channel.pattern.text, {}).setdefault(payloads, channel.where)
        return {text: sorted(found.values()) for text, found in places.items() if len(found) > 1}

    def forced(self, reference: str, destination: str) -> Contract:
        """The contract a caller names: `path` or `path#fragment`. Raises `NotFound`, `InvalidArgument`."""
        try:
            contract = self._named(reference, destination, "argument", subject(destination))
            for message in contract.messages:
                plain = message.language == "json_schema"
                if plain and message.payload and not message.unchecked and self.schemas.empty(message.payload):
                    raise InvalidArgument(f"schema: {message.where} accepts everything, so it is no contract")
        except Broken as error:
            raise NotFound(f"schema: {error}; known: {', '.join(self.files()[:10]) or 'none'}") from error
        return contract

    def files(self) -> list[str]:
        """The files that hold contracts."""
        found = {channel.where.partition("#")[0] for channel in self.channels} | set(self.by_name.values())
        return sorted(found | {_unwrapped(reference)[0].partition("#")[0] for reference in self.declared.values()})

    def fit(self, contract: Contract, payload: Any, headers: Mapping[str, str], known: Known = NOTHING_KNOWN) -> Fit:
        """Whether a message fits. `payload` is a JSON value, or the bytes of a message that is not given as JSON.
        Raises `Unavailable` where the package that reads its schema is missing."""
        unchecked = (
            [m.unchecked for m in contract.messages if m.unchecked] or [] if contract.messages else ["no message"]
        )
        best: tuple[str, ...] | None = None
        closest: Read | None = None
        for message in contract.messages:
            if message.unchecked:
                continue
            try:
                read, problems = self._read(message, payload, headers, known)
                plain = message.language == "json_schema"
                ignored = self.schemas.unchecked(message.payload) if message.payload and plain else ()
            except Broken as error:
                unchecked.append(str(error))
                continue
            if not problems:
                notes = (f"formats that nothing here checks: {', '.join(ignored)}",) if ignored else ()
                return Fit(message.where, (), "; ".join((*notes, *read.notes)), read)
            if best is None or len(problems) < len(best):
                closest = read
                best = tuple(f"{message.name}: {p}" for p in problems) if len(contract.messages) > 1 else problems
        if unchecked:
            return Fit(None, (), f"{contract.source}: {unchecked[0]}")
        return Fit(None, best or (), "", closest)

    def _read(
        self, message: MessageSchema, payload: Any, headers: Mapping[str, str], known: Known
    ) -> tuple[Read, tuple[str, ...]]:
        try:
            read = self.codecs.read(message, payload, headers, known)
        except Misfit as error:
            read = Read(payload, problems=error.problems)
        found = list(read.problems)
        if message.headers:
            sent = {**headers, **read.headers}
            found += self.schemas.problems(message.headers, self._typed(message.headers, sent), root="headers")
        return read, tuple(found)

    def _typed(self, place: Place, headers: Mapping[str, str]) -> dict[str, Any]:
        """Headers travel as text; a schema that wants a number gets the number that the text spells."""
        properties = mapping(mapping(self.documents.follow(place.path, place.pointer)[2]).get("properties"))
        result: dict[str, Any] = {}
        for name, text in headers.items():
            result[name] = text
            if mapping(properties.get(name)).get("type") in ("integer", "number", "boolean"):
                try:
                    result[name] = json.loads(text)
                except ValueError:
                    continue
        return result

    def _named(
        self, reference: str, destination: str, origin: Literal["policy", "argument"], pattern: Pattern
    ) -> Contract:
        """The contract of `path` or `path#fragment`, where the fragment is a JSON pointer or the name of a channel, of
        a message or of a type. Raises `Broken`, `NotFound`, `InvalidArgument`."""
        inner, change = _unwrapped(reference)
        if inner != reference:
            bare = self._named(inner, destination, origin, pattern)
            wrapped = tuple(replace(message, **change) for message in bare.messages)
            return replace(bare, source=reference, messages=wrapped)
        path, _, fragment = reference.partition("#")
        if path.endswith(FOREIGN):
            return self._foreign(path, fragment, destination, origin, pattern)
        document = mapping(self.documents.load(path))
        if "asyncapi" not in document:
            place = Place(path, fragment)
            at(self.documents.load(path), fragment, path)
            return Contract(str(place), pattern, origin, (MessageSchema(str(place), destination, place),))
        channels = asyncapi.channels(path, self.documents)
        if fragment and not fragment.startswith("/"):
            inside = [m for c in channels for m in c.messages if m.name == fragment]
            wanted = [c for c in channels if c.where.endswith(f"/channels/{fragment}")]
            if not inside and not wanted:
                names = sorted({m.name for c in channels for m in c.messages})
                raise NotFound(f"{path} has no channel or message {fragment!r}; messages: {', '.join(names[:20])}")
            return Contract(reference, pattern, origin, wanted[0].messages if wanted else (inside[0],))
        if fragment.startswith("/channels/") and fragment.count("/") == 2:
            messages = next((c.messages for c in channels if c.where == f"{path}#{fragment}"), None)
            if messages is None:
                raise NotFound(f"{path} has no channel {fragment!r} with an address")
            return Contract(reference, pattern, origin, messages)
        if fragment:
            return Contract(reference, pattern, origin, (self._object(path, fragment),))
        fitting = [c for c in channels if c.pattern.matches(destination)]
        if fitting:
            best = min(fitting, key=lambda c: (c.pattern.rank, c.where))
            return Contract(best.where, pattern, origin, best.messages)
        every = {m.name: m for c in channels for m in c.messages}
        if len(every) != 1:
            raise InvalidArgument(
                f"{path} has no channel for {destination}; name a message as {path}#NAME: {', '.join(list(every)[:20])}"
            )
        return Contract(path, pattern, origin, tuple(every.values()))

    def _foreign(
        self, path: str, name: str, destination: str, origin: Literal["policy", "argument"], pattern: Pattern
    ) -> Contract:
        """The contract of a type in an Avro or protobuf file. Raises `Broken` where it cannot be compiled."""
        language: Language = "avro" if path.endswith(".avsc") else "protobuf"
        where = f"{path}#{name}" if name else path
        message = MessageSchema(where, name or destination, Place(path, name), language=language, written="binary")
        try:
            _ = self.codecs.avro(Place(path, name)) if language == "avro" else self.codecs.protobuf(message)
        except Unavailable as error:
            raise Broken(error.reason) from error
        return Contract(where, pattern, origin, (message,))

    def _object(self, path: str, pointer: str) -> MessageSchema:
        """A message object, or a bare schema, of an AsyncAPI document."""
        _, _, node = self.documents.follow(path, pointer)
        if mapping(node).keys() & {"payload", "headers", "schemaFormat", "contentType", "traits"}:
            return asyncapi.message_at(path, pointer, self.documents)
        return MessageSchema(f"{path}#{pointer}", pointer.rpartition("/")[2], Place(path, pointer, "draft-07"))


def read(documents: Documents, paths: list[str], declared: Mapping[str, str]) -> Index:
    """The contracts in these files. What cannot be read is in `broken`, and does not hide the others."""
    channels: list[Channel] = []
    by_name: dict[str, str] = {}
    broken: dict[str, str] = {}
    for path in paths:
        named = _BY_NAME.search(path)
        if path.endswith(".avsc") and named:
            by_name.setdefault(named.group(1).replace("/", "."), path)
        if not path.endswith(SUFFIXES) or documents.leads_nowhere(path):
            continue
        try:
            head = documents.text(path)[:HEAD]
            if ASYNCAPI.search(head):
                if mapping(documents.load(path)).get("asyncapi"):
                    channels += asyncapi.channels(path, documents)
                continue
            if '"$schema"' not in head and "$schema:" not in head and not (named and named.group(2)):
                continue
            content = mapping(documents.load(path))
            if identifier := content.get("$id"):
                documents.known_as(str(identifier), path)
            if named and (named.group(2) or "json-schema.org" in str(content.get("$schema", ""))):
                by_name.setdefault(named.group(1).replace("/", "."), path)
        except Broken as error:
            broken[path] = str(error)
    schemas = Schemas(documents)
    codecs = Codecs(documents, schemas, paths)
    return Index(documents, schemas, codecs, dict(declared), tuple(channels), by_name, broken)


def _unwrapped(reference: str) -> tuple[str, dict[str, Any]]:
    """`cloudevents:PATH`, `confluent:PATH` or `confluent:ID:PATH` without what stands before the path, and that."""
    found = _WRAPPED.fullmatch(reference)
    assert found
    change: dict[str, Any] = {}
    if found[1]:
        change["envelope"] = "cloudevents"
    if found[2]:
        change |= {"framed": True, "schema_id": int(found[3]) if found[3] else None}
    return found[4], change
