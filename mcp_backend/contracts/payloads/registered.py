"""What a registry knows of the messages of a destination: the ids of their schemas, and the schemas of ids that are
met in messages. Schemas of the repository go first; nothing is ever registered."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from mcp_backend.contracts.asyncapi import MessageSchema
from mcp_backend.contracts.documents import Broken, mapping
from mcp_backend.contracts.messages import Contract, Index
from mcp_backend.contracts.patterns import subject as exactly
from mcp_backend.contracts.payloads import avro, confluent
from mcp_backend.contracts.payloads.codec import NO_ID, Known
from mcp_backend.contracts.payloads.registry import Entry, Registry, registry
from mcp_backend.contracts.schemas import Place
from mcp_backend.errors import Unavailable
from mcp_backend.policy import EngineSettings

LANGUAGES = {"AVRO": "avro", "JSON": "json_schema", "PROTOBUF": "protobuf"}
IDS = 20
"""Ids that one call asks for."""


def known(
    settings: EngineSettings,
    index: Index,
    contract: Contract | None,
    destination: str,
    payloads: Iterable[bytes],
    *,
    reading: bool,
) -> tuple[Contract | None, Known]:
    """The contract of a destination, framed where the registry has its subject, or that of the registry alone; and what
    is known of ids. `payloads` are bytes in which ids are looked for. Asks the registry, so it belongs in a thread.

    Raises `Unavailable` when the registry does not answer, unless `reading`.
    """
    nothing = Known(engine=settings.kind, reading=reading)
    url = settings.access.text("schema_registry", settings.name)
    if not url:
        return contract, nothing
    client = registry(url, f"engines.{settings.name}.schema_registry")
    try:
        return _asked(client, index, contract, destination, payloads, nothing)
    except Unavailable as error:
        if not reading:
            raise
        return contract, replace(nothing, why=error.reason)


def _asked(
    client: Registry,
    index: Index,
    contract: Contract | None,
    destination: str,
    payloads: Iterable[bytes],
    nothing: Known,
) -> tuple[Contract | None, Known]:
    newest = client.latest(f"{destination}-value")
    if contract is None:
        if newest is None:
            return None, nothing
        message = _message(index, newest, newest.schema_id)
        source = f"registry:{newest.subject or destination}/versions/{newest.version}"
        contract = Contract(source, exactly(destination), "registry", (replace(message, where=source, framed=True),))
    elif newest is not None and not any(message.framed for message in contract.messages):
        # Readers of a topic with a subject expect the frame.
        contract = replace(contract, messages=tuple(replace(m, framed=not m.envelope) for m in contract.messages))
    ids: dict[str, int] = {}
    why = NO_ID
    for message in contract.messages:
        if message.framed and message.schema_id is None and not message.unchecked:
            found = _id(client, index, message, destination)
            if isinstance(found, int):
                ids[message.where] = found
            else:
                why = found
    writers: dict[int, MessageSchema] = {}
    if any(message.framed for message in contract.messages):
        met = {found for payload in payloads if (found := confluent.schema_id(payload)) is not None}
        for schema_id in sorted(met - set(ids.values()))[:IDS]:
            entry = client.schema(schema_id)
            if entry is not None:
                writers[schema_id] = _message(index, entry, schema_id)
    return contract, replace(nothing, ids=ids, writers=writers, why=why)


def _id(client: Registry, index: Index, message: MessageSchema, destination: str) -> int | str:
    """The id of a declared schema, or why there is none."""
    try:
        text, record = _text(index, message)
    except Broken as error:
        return str(error)
    kind = next(kind for kind, language in LANGUAGES.items() if language == message.language)
    seen = ""
    for name in (f"{destination}-value", *([record, f"{destination}-{record}"] if record else [])):
        newest = client.latest(name)
        if newest is None:
            continue
        if newest.kind == kind and _equal(index, message, _message(index, newest, newest.schema_id)):
            return newest.schema_id
        if (older := client.id_of(name, kind, text)) is not None:
            return older
        seen = seen or f"{name} of the registry has another schema (version {newest.version})"
    told = seen or f"the registry has no subject {destination}-value"
    return f"{told} than {message.where}: a person registers it first; publishing registers nothing"


def _text(index: Index, message: MessageSchema) -> tuple[str, str]:
    """The schema as text and the name of its record."""
    assert message.payload
    place = message.payload
    if message.language == "avro":
        schema = index.codecs.avro(place)
        content: Any = index.documents.load(place.path) if not place.pointer else schema.parsed
        return json.dumps(content), schema.name
    if message.language == "protobuf":
        found = index.codecs.protobuf(message)
        return index.documents.text(place.path) if place.path.endswith(".proto") else "", found.name
    content = index.documents.follow(place.path, place.pointer)[2]
    return json.dumps(content), str(mapping(content).get("title", ""))


def _equal(index: Index, ours: MessageSchema, theirs: MessageSchema) -> bool:
    assert ours.payload
    assert theirs.payload
    try:
        if ours.language == "avro":
            return avro.equal(index.codecs.avro(ours.payload), index.codecs.avro(theirs.payload))
        if ours.language == "protobuf":
            return _declared(index.codecs.protobuf(ours)) == _declared(index.codecs.protobuf(theirs))
        one, other = (index.documents.follow(m.payload.path, m.payload.pointer)[2] for m in (ours, theirs) if m.payload)
        return bool(one == other)
    except Broken:
        return False


def _declared(found: Any) -> bytes:
    """A file's declarations without its name and the places in its text."""
    copy = type(found.file)()
    copy.CopyFrom(found.file)
    for field in ("name", "source_code_info", "options"):
        copy.ClearField(field)
    return bytes(copy.SerializeToString(deterministic=True))


def _message(index: Index, entry: Entry, schema_id: int) -> MessageSchema:
    """A schema of the registry as a document beside those of the workspace."""
    place = Place(f"registry:ids/{schema_id}")
    language = LANGUAGES.get(entry.kind)
    where = f"registry:ids/{schema_id}"
    if language is None:
        return MessageSchema(where, "", None, None, f"its schema is {entry.kind}, which this release cannot check")
    try:
        if language == "protobuf":
            index.documents.keep(place.path, {"text": entry.text, "imports": dict(entry.references)})
            return MessageSchema(where, "", place, language="protobuf", written="binary")
        content = json.loads(entry.text)
        index.documents.keep(place.path, content)
        if language == "avro":
            others = {name: json.loads(text) for name, text in entry.references}
            declared = {name: one for one in others.values() for name in avro.names(one)}
            index.codecs.take_avro(place, avro.schema(content, where, {**declared, **others}.get))
            return MessageSchema(where, "", place, language="avro", written="binary")
        if entry.references:
            return MessageSchema(where, "", place, None, f"{where} refers to other schemas of the registry")
    except (ValueError, Broken, Unavailable) as error:
        return MessageSchema(where, "", None, None, f"{where}: {error}")
    return MessageSchema(where, "", place)
