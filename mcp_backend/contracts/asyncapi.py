"""AsyncAPI 2.x and 3.x: which messages a document declares for which address.

https://www.asyncapi.com/docs/reference/specification/v3.0.0 and v2.6.0
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from mcp_backend.contracts.documents import Broken, Documents, at, child, mapping
from mcp_backend.contracts.patterns import Pattern, address
from mcp_backend.contracts.schemas import DRAFTS, Place

_OWN = re.compile(r"application/vnd\.aai\.asyncapi(\+json|\+yaml)?($|;)")
_AVRO = re.compile(r"application/vnd\.apache\.avro(\+json|\+yaml)?($|;)")
_PROTOBUF = re.compile(r"application/vnd\.google\.protobuf($|;)")
_JSON_SCHEMA = re.compile(r"application/schema\+(json|yaml)($|;)")


Language: TypeAlias = Literal["json_schema", "avro", "protobuf"]
Envelope: TypeAlias = Literal["", "cloudevents", "structured", "binary"]
FOREIGN = (".avsc", ".proto")
"""Files with schemas of other languages."""


@dataclass(frozen=True, slots=True)
class MessageSchema:
    """One message: where it is declared, and the schemas of its payload and headers.

    `unchecked` says why the payload cannot be checked by this release; empty when it can. `payload` may be a schema of
    another `language`, whose values are `written` as JSON or in its own binary form. `envelope`: the message is a
    CloudEvent, in this mode or in either. `framed`: it begins with the id of its schema as Confluent's clients write
    it; `schema_id` is that id, where it is declared.
    """

    where: str
    name: str
    payload: Place | None
    headers: Place | None = None
    unchecked: str = ""
    language: Language = "json_schema"
    written: Literal["json", "binary"] = "json"
    envelope: Envelope = ""
    framed: bool = False
    schema_id: int | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a document. `sends` tells whether the application that the document describes sends to it, and
    `protocols` what its servers speak (empty: not said)."""

    where: str
    pattern: Pattern
    messages: tuple[MessageSchema, ...]
    sends: bool
    protocols: frozenset[str] = frozenset()


def channels(path: str, documents: Documents) -> tuple[Channel, ...]:
    """The channels with an address that the document declares. Raises `Broken`."""
    document = mapping(documents.load(path))
    version = str(document.get("asyncapi", ""))
    if version.startswith("3."):
        return tuple(_third(path, document, documents))
    if version.startswith("2."):
        return tuple(_second(path, document, documents))
    raise Broken(f"{path}: AsyncAPI {version or 'without a version'}: this release reads 2.x and 3.x")


def message_at(path: str, pointer: str, documents: Documents) -> MessageSchema:
    """The message object that `path#pointer` names. Raises `Broken`."""
    document = mapping(documents.load(path))
    return _message(path, pointer, str(document.get("defaultContentType", "")), documents)


def _third(path: str, document: dict[str, Any], documents: Documents) -> Iterator[Channel]:
    content_type = str(document.get("defaultContentType", ""))
    sending: set[tuple[str, str]] = set()
    for operation in mapping(document.get("operations")).values():
        if mapping(operation).get("action") == "send":
            with suppress(Broken):
                sending.add(documents.target(path, str(mapping(mapping(operation).get("channel")).get("$ref", ""))))
    for name in mapping(document.get("channels")):
        pointer = child("", "channels", name)
        home, inside, node = documents.follow(path, pointer)
        channel = mapping(node)
        if not isinstance(channel.get("address"), str):
            continue  # decided at run time: an address nobody can look up
        messages = tuple(
            _message(home, child(inside, "messages", key), content_type, documents)
            for key in mapping(channel.get("messages"))
        )
        yield Channel(
            f"{path}#{pointer}",
            address(channel["address"], _choices(home, inside, channel, documents)),
            messages,
            sends=(path, pointer) in sending or (home, inside) in sending,
            protocols=_protocols(path, document, documents),
        )


def _second(path: str, document: dict[str, Any], documents: Documents) -> Iterator[Channel]:
    content_type = str(document.get("defaultContentType", ""))
    for name in mapping(document.get("channels")):
        pointer = child("", "channels", name)
        home, inside, node = documents.follow(path, pointer)
        channel = mapping(node)
        messages: list[MessageSchema] = []
        for operation in ("subscribe", "publish"):
            if "message" not in mapping(channel.get(operation)):
                continue
            base = child(inside, operation, "message")
            try:
                _, _, message = documents.follow(home, base)
            except Broken:
                message = None
            count = len(cast("list[Any]", mapping(message).get("oneOf") or []))
            places = [child(base, "oneOf", str(i)) for i in range(count)] or [base]
            messages += [_message(home, place, content_type, documents) for place in places]
        # In 2.x the document speaks to the others: they subscribe to what the application sends.
        yield Channel(
            f"{path}#{pointer}",
            address(name, _choices(home, inside, channel, documents)),
            tuple(messages),
            sends="subscribe" in channel,
            protocols=_protocols(path, document, documents),
        )


def _choices(path: str, pointer: str, channel: dict[str, Any], documents: Documents) -> dict[str, tuple[str, ...]]:
    """The values that parameters of the address are limited to: `enum` (3.x) or `schema.enum` (2.x)."""
    found: dict[str, tuple[str, ...]] = {}
    for name in mapping(channel.get("parameters")):
        try:
            home, inside, node = documents.follow(path, child(pointer, "parameters", name))
            parameter = mapping(node)
            if "schema" in parameter:
                parameter = mapping(documents.follow(home, child(inside, "schema"))[2])
        except Broken:
            continue  # an unknown limit is no limit
        values = parameter.get("enum")
        if isinstance(values, list):
            found[name] = tuple(str(value) for value in cast("list[Any]", values))
    return found


def _protocols(path: str, document: dict[str, Any], documents: Documents) -> frozenset[str]:
    found: set[str] = set()
    for name in mapping(document.get("servers")):
        try:
            server = mapping(documents.follow(path, child("/servers", name))[2])
        except Broken:
            return frozenset()
        found.add(str(server.get("protocol", "")).lower())
    return frozenset(found - {""})


def _message(path: str, pointer: str, default_type: str, documents: Documents) -> MessageSchema:
    """One message; a reference that leads nowhere makes this message one that cannot be checked, not the document."""
    try:
        return _read_message(path, pointer, default_type, documents)
    except Broken as error:
        return MessageSchema(f"{path}#{pointer}", pointer.rpartition("/")[2], None, None, str(error))


def _read_message(path: str, pointer: str, default_type: str, documents: Documents) -> MessageSchema:
    home, inside, node = documents.follow(path, pointer)
    message = mapping(node)
    merged = dict(message)
    headers = Place(home, child(inside, "headers"), "draft-07") if "headers" in message else None
    for index in range(len(cast("list[Any]", message.get("traits") or []))):
        trait_home, trait_inside, trait = documents.follow(home, child(inside, "traits", str(index)))
        for key, value in mapping(trait).items():
            merged.setdefault(key, value)
        if headers is None and "headers" in mapping(trait):
            headers = Place(trait_home, child(trait_inside, "headers"), "draft-07")
    where, name = f"{path}#{pointer}", str(merged.get("name") or inside.rpartition("/")[2])
    if "payload" not in message:
        return MessageSchema(where, name, None, headers, "it declares no payload")
    place, schema_format = _payload(home, child(inside, "payload"), str(message.get("schemaFormat", "")), documents)
    content_type = str(merged.get("contentType") or default_type or "").lower()
    language, draft, problem = _language(schema_format, place.path)
    envelope = _envelope(content_type, headers, documents)
    written = "json" if language == "json_schema" or ("json" in content_type and not envelope) else "binary"
    if not problem and not envelope and not _plausible(content_type, language):
        problem = f"its content type is {content_type}"
    framed, unreadable = _framed(home, child(inside, "bindings", "kafka"), merged, documents)
    place = Place(place.path, place.pointer, draft or place.draft)
    return MessageSchema(where, name, place, headers, problem or unreadable, language, written, envelope, framed)


def _payload(path: str, pointer: str, schema_format: str, documents: Documents) -> tuple[Place, str]:
    """Where the schema of a payload is, and its language: references are followed as far as they lead to documents."""
    for _ in range(20):
        node = mapping(at(documents.load(path), pointer, path))
        if isinstance(node.get("schemaFormat"), str) and "schema" in node:  # 3.x: a schema of another language
            schema_format, pointer = str(node["schemaFormat"]), child(pointer, "schema")
            continue
        reference = node.get("$ref")
        if not isinstance(reference, str):
            break
        if not reference.partition("#")[0].endswith(FOREIGN) and _language(schema_format, "")[0] == "json_schema":
            target, inside = documents.target(path, reference)
            if "schemaFormat" not in mapping(at(documents.load(target), inside, target)):
                break  # a schema's own references are followed by the one who checks values
            path, pointer = target, inside
            continue
        path, pointer = documents.target(path, reference)
        if path.endswith(FOREIGN):
            documents.text(path)
            break
    return Place(path, pointer), schema_format


def _language(schema_format: str, path: str) -> tuple[Language, str, str]:
    """The language, the dialect of JSON Schema, or why this release cannot check it."""
    text = schema_format.replace(" ", "").lower()
    if _AVRO.match(text) or path.endswith(".avsc"):
        return "avro", "", ""
    if _PROTOBUF.match(text) or path.endswith(".proto"):
        return "protobuf", "", ""
    if not text or _OWN.match(text):
        return "json_schema", "draft-07", ""  # an AsyncAPI schema is a superset of draft 7
    if _JSON_SCHEMA.match(text):
        draft = next((name for name in DRAFTS if name.removeprefix("draft-") in text), "draft-07")
        return "json_schema", draft, ""
    return "json_schema", "", f"its schema is {schema_format}, which this release cannot check"


def _plausible(content_type: str, language: Language) -> bool:
    """Whether messages of that content type can be written in that language."""
    names = {"json_schema": ("json",), "avro": ("avro", "json"), "protobuf": ("protobuf", "json")}[language]
    others = ("octet-stream", "binary") if language != "json_schema" else ()
    return not content_type or any(name in content_type for name in (*names, *others))


def _envelope(content_type: str, headers: Place | None, documents: Documents) -> Envelope:
    """CloudEvents by their media type (structured), or by headers that are called so (binary)."""
    if content_type.startswith("application/cloudevents+json"):
        return "structured"
    if headers is None:
        return ""
    names = mapping(mapping(documents.follow(headers.path, headers.pointer)[2]).get("properties"))
    return "binary" if {name.lower() for name in names} & {"ce_specversion", "ce-specversion"} else ""


def _framed(path: str, pointer: str, message: dict[str, Any], documents: Documents) -> tuple[bool, str]:
    """Whether Kafka's binding says that the id of the schema stands before the payload, or why it cannot be read.

    https://github.com/asyncapi/bindings/tree/master/kafka#message-binding-object
    """
    if "kafka" not in mapping(message.get("bindings")) or "bindings" not in mapping(message):
        return False, ""
    try:
        binding = mapping(documents.follow(path, pointer)[2])
    except Broken:
        binding = mapping(mapping(message["bindings"]).get("kafka"))
    location, encoding = str(binding.get("schemaIdLocation", "")), str(binding.get("schemaIdPayloadEncoding", ""))
    if not location:
        return False, ""
    if location != "payload" or encoding.lower() not in ("", "confluent", "4"):
        return False, f"the id of its schema is in the {location}{f', as {encoding} writes it' * bool(encoding)}"
    return True, ""
