"""Reads and writes the payload of a message as its contract declares it: language, envelope and framing."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, cast

from mcp_backend.contracts.asyncapi import MessageSchema
from mcp_backend.contracts.documents import Broken, Documents, at, mapping
from mcp_backend.contracts.payloads import avro, cloudevents, confluent
from mcp_backend.contracts.payloads.avro import Schema
from mcp_backend.contracts.payloads.cloudevents import Event
from mcp_backend.contracts.payloads.misfit import Misfit
from mcp_backend.contracts.schemas import Place, Schemas

NO_ID = "the id of its schema is not known: declare it (confluent:ID:PATH) or name a schema_registry of the engine"


_MEDIA = {"avro": "application/avro", "protobuf": "application/protobuf"}
"""What the data of an event is, where the event does not say it: without that it would be JSON."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of schema ids: of declared messages by their place, and the schemas of ids that were met. `why`
    says why others are unknown. `engine` is the kind, and `reading` tells that messages are looked at, not sent."""

    ids: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    writers: Mapping[int, MessageSchema] = field(default_factory=lambda: MappingProxyType({}))
    why: str = NO_ID
    engine: str = ""
    reading: bool = False


NOTHING_KNOWN = Known()


@dataclass(frozen=True, slots=True)
class Read:
    """A payload as its schema understands it: `value` as JSON, `data` as it is sent (`None`: as it was given), with
    `headers` beside it. `form` says how it is written, where that is not plain JSON, and `notes` what could not be
    checked."""

    value: Any
    data: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    form: str = ""


class Codecs:
    """The schemas of one workspace in every language, each read once. `files` are those that types are looked up in."""

    def __init__(self, documents: Documents, schemas: Schemas, files: Iterable[str]) -> None:
        self._documents, self._schemas = documents, schemas
        self._files = tuple(path for path in files if path.endswith((".avsc", ".proto")))
        self._avro: dict[Place, Schema] = {}
        self._protobuf: dict[Place, Any] = {}
        self._declared: dict[str, Any] | None = None

    def read(self, message: MessageSchema, payload: Any, headers: Mapping[str, str], known: Known) -> Read:
        """`payload` is a JSON value, or the bytes of a message. Raises `Misfit`, and `Broken` for a schema that cannot
        be used, `Unavailable` where the package that reads it is missing."""
        found = self._read(message, payload, headers, known)
        kind = message.language if message.written == "binary" else ""
        framing = "Confluent framing" if message.framed else ""
        envelope = "CloudEvent" if message.envelope else ""
        form = " in ".join(filter(None, (kind, framing, envelope)))
        return replace(found, form=form) if form else found

    def _read(self, message: MessageSchema, payload: Any, headers: Mapping[str, str], known: Known) -> Read:
        if message.payload is None:
            return Read(payload)
        if not message.envelope and not (headers and cloudevents.claimed(headers)):
            return self._body(message, payload, "$", known)
        event = cloudevents.opened(payload, headers, known.engine)
        problems = list(event.problems)
        if message.envelope in ("structured", "binary") and event.mode != message.envelope:
            problems.append(f"the contract wants the {message.envelope} mode of CloudEvents, this is the {event.mode}")
        if event.mode == "binary":
            found = self._body(message, event.data, "$", known)
            media = self._media(message, event, problems, "headers.content-type")
            added = {"content-type": media} if media and not cloudevents.content_type(headers) else {}
            return Read(found.value, found.data, added, (*problems, *found.problems), found.notes)
        if not message.envelope or self._describes_events(message):
            # The schema is one of the whole payload.
            found = self._body(message, payload, "$", known)
            added = _headers(headers, known) if message.envelope else {}
            return Read(found.value, found.data, added, (*problems, *found.problems), found.notes)
        return self._inside(message, payload, event, problems, headers, known)

    def _inside(
        self,
        message: MessageSchema,
        payload: Any,
        event: Event,
        problems: list[str],
        headers: Mapping[str, str],
        known: Known,
    ) -> Read:
        found = self._body(message, event.data, "$.data", known)
        media = self._media(message, event, problems, "$.datacontenttype")
        if media and event.carries and not isinstance(payload, bytes):
            event = replace(event, attributes={**event.attributes, "datacontenttype": media})
        value = {**event.attributes, "data": found.value} if event.carries else dict(event.attributes)
        data: bytes | None = None
        if not isinstance(payload, bytes) and found.data is not None:
            data = cloudevents.structured(event, found.data, as_json=message.written == "json" and not message.framed)
        return Read(value, data, _headers(headers, known), (*problems, *found.problems), found.notes)

    def _media(self, message: MessageSchema, event: Event, problems: list[str], where: str) -> str:
        """The media type of data in another form than JSON; one that contradicts it is a problem."""
        said = str(event.attributes.get("datacontenttype", ""))
        if message.written == "json" or not event.carries:
            return ""
        if "json" in said.lower():
            problems.append(f"{where}: the data is written as {message.language}, not as {said}")
        return said or _MEDIA[message.language]

    def _body(self, message: MessageSchema, body: Any, root: str, known: Known) -> Read:
        if isinstance(body, bytes):
            return self._decoded(message, body, root, known)
        raw, problems = self._encoded(message, body, root)
        if not message.framed or problems:
            return Read(body, raw, problems=problems)
        schema_id = message.schema_id if message.schema_id is not None else known.ids.get(message.where)
        if schema_id is None:
            raise Misfit(f"payload: {known.why}")
        index: tuple[int, ...] = self.protobuf(message).index if message.language == "protobuf" else ()
        return Read(body, confluent.framed(schema_id, raw or json_bytes(body), index))

    def _encoded(self, message: MessageSchema, value: Any, root: str) -> tuple[bytes | None, tuple[str, ...]]:
        assert message.payload
        if message.language == "json_schema":
            return None, tuple(self._schemas.problems(message.payload, value, root=root))
        if message.language == "avro":
            return avro.encode(self.avro(message.payload), value, root, text=message.written == "json"), ()
        from mcp_backend.contracts.payloads import protobuf

        return protobuf.encode(self.protobuf(message), value, root, text=message.written == "json"), ()

    def _decoded(self, message: MessageSchema, data: bytes, root: str, known: Known) -> Read:
        notes: tuple[str, ...] = ()
        writer: MessageSchema | None = None
        raw, index = data, ()
        if message.framed:
            frame = confluent.opened(data, protobuf=message.language == "protobuf")
            raw, index = frame.payload, frame.index
            own = {message.schema_id, known.ids.get(message.where)}
            writer = None if frame.schema_id in own else known.writers.get(frame.schema_id)
            if frame.schema_id not in own and writer is None:
                said = f"schema id {frame.schema_id} is not that of {message.where}"
                if not known.reading:
                    raise Misfit(f"payload: {said}, or is not known")
                notes = (f"{said}, or is not known: read by the declared schema",)
            if writer and writer.language != message.language:
                raise Misfit(f"payload: schema id {frame.schema_id} is {writer.language}, not {message.language}")
        value = self._value(message, raw, root, writer, index)
        problems: tuple[str, ...] = ()
        if message.language == "json_schema":
            assert message.payload
            problems = tuple(self._schemas.problems(message.payload, value, root=root))
        return Read(value, None, problems=problems, notes=notes)

    def _value(
        self, message: MessageSchema, raw: bytes, root: str, writer: MessageSchema | None, index: tuple[int, ...]
    ) -> Any:
        assert message.payload
        text = message.written == "json"
        if message.language == "json_schema":
            try:
                return json.loads(raw)
            except (ValueError, RecursionError) as error:
                raise Misfit("payload: not JSON, which the contract demands") from error
        if message.language == "avro":
            theirs = self.avro(writer.payload) if writer and writer.payload else None
            return avro.decode(self.avro(message.payload), raw, root, text=text, writer=theirs)
        from mcp_backend.contracts.payloads import protobuf

        own = self.protobuf(message)
        source = protobuf.at_index(self.protobuf(writer) if writer else own, index)
        if index and (source is None or source.name != own.name):
            raise Misfit(f"payload: the frame names another message type than {own.name}")
        return protobuf.decode(own, raw, root, text=text)

    def _describes_events(self, message: MessageSchema) -> bool:
        """Whether the schema is one of the whole event: it speaks of `specversion`."""
        assert message.payload
        return message.language == "json_schema" and _names(self._documents, message.payload, "specversion", 0)

    def avro(self, place: Place) -> Schema:
        """The Avro schema of a place. Raises `Broken`, `Unavailable` without the extra."""
        if place not in self._avro:
            content: Any
            if place.path.endswith(".avsc"):
                whole = self._documents.load(place.path)
                content = avro.declaration(whole, place.pointer) if place.pointer else whole
                if content is None:
                    told = ", ".join(avro.names(whole)[:20])
                    raise Broken(f"{place.path}: no type {place.pointer}; it has: {told}")
                if isinstance(content, list) and len(content) == 1:  # pyright: ignore[reportUnknownArgumentType]
                    content = content[0]  # pyright: ignore[reportUnknownVariableType]
            else:
                content = self._documents.follow(place.path, place.pointer)[2]
            self._avro[place] = avro.schema(content, str(place), self._lookup)
        return self._avro[place]

    def take_avro(self, place: Place, schema: Schema) -> None:
        """Keeps an Avro schema that is no file of the workspace."""
        self._avro[place] = schema

    def protobuf(self, message: MessageSchema) -> Any:
        """The protobuf type of a message. Raises `Broken`, `Unavailable` without the extra."""
        from mcp_backend.contracts.payloads import protobuf

        assert message.payload
        place = message.payload
        if place not in self._protobuf:
            if place.path.endswith(".proto"):
                found = self._named_or_only(place.path, place.pointer.strip("/"), message.name)
            else:
                content = at(self._documents.load(place.path), place.pointer, place.path)
                # What a registry gave has its imports with it.
                others: dict[str, str] = mapping(content).get("imports") or {}
                content = mapping(content).get("text", content)
                if not isinstance(content, str):
                    raise Broken(f"{place}: expected the text of a .proto file, or a reference to one")
                try:
                    found = protobuf.type_in(content, message.name, str(place), others, self._documents)
                except Broken:
                    found = protobuf.type_in(content, "", str(place), others, self._documents)
            self._protobuf[place] = found
        return self._protobuf[place]

    def _named_or_only(self, path: str, wanted: str, called: str) -> Any:
        from mcp_backend.contracts.payloads import protobuf

        if not wanted:
            try:
                return protobuf.type_of(path, called, self._files, self._documents)
            except Broken:
                pass  # the message has a name of its own: then the file has one type
        return protobuf.type_of(path, wanted, self._files, self._documents)

    def _lookup(self, name: str) -> Any:
        """The declaration of an Avro type in some file of the workspace."""
        if self._declared is None:
            self._declared = {}
            for path in self._files:
                if not path.endswith(".avsc"):
                    continue
                try:
                    whole = self._documents.load(path)
                except Broken:
                    continue
                for one in cast("list[Any]", whole) if isinstance(whole, list) else [whole]:
                    for declared in avro.names(one):
                        self._declared.setdefault(declared, one)
        return self._declared.get(name)


def json_bytes(value: Any) -> bytes:
    """A JSON value as publish_message sends it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _headers(headers: Mapping[str, str], known: Known) -> dict[str, str]:
    """A structured event says what it is; Redis has no binding that would say where."""
    if cloudevents.content_type(headers) or known.engine == "redis":
        return {}
    return {"content-type": f"{cloudevents.STRUCTURED}; charset=UTF-8"}


def _names(documents: Documents, place: Place, wanted: str, depth: int) -> bool:
    path, pointer, node = documents.follow(place.path, place.pointer)
    schema = mapping(node)
    if wanted in mapping(schema.get("properties")):
        return True
    parts = [(key, i) for key in ("allOf", "anyOf", "oneOf") for i in range(len(schema.get(key) or []))]
    return depth < 5 and any(
        _names(documents, Place(path, f"{pointer}/{key}/{i}", place.draft), wanted, depth + 1) for key, i in parts
    )
