"""Protobuf by its own library and protoc: whether a value fits a message of a `.proto` file, its bytes, what bytes say.

https://protobuf.dev/programming-guides/json/ and https://protobuf.dev/programming-guides/encoding/
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from mcp_backend.contracts.documents import Broken, Documents, mapping
from mcp_backend.contracts.payloads.misfit import SHOWN, Misfit
from mcp_backend.contracts.protobuf import compiling, staging
from mcp_backend.contracts.sources import Source

INLINE = "inline.proto"
_UNKNOWN_FIELD = re.compile(r'has no field named "([^"]{1,100})"')
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_PART = re.compile(r"Failed to parse (\S+) field: ")


@dataclass(frozen=True, slots=True)
class Type:
    """One message type. `index` is its place among the types of its file, from the outside in, as Confluent's framing
    writes it; `file` the declaration of the whole file."""

    name: str
    index: tuple[int, ...]
    make: Any
    pool: Any
    file: Any


def type_of(path: str, wanted: str, files: Iterable[str], documents: Documents) -> Type:
    """The message type of a file in the repository: `wanted` is its name, which may be left out where the file has
    one. Raises `Broken`, `Unavailable` without the extra."""
    from mcp_backend.contracts import specs

    text = documents.text(path)
    known = tuple(sorted(f for f in files if f.endswith(".proto")))
    source = Source(documents.root, known, lambda: documents, "", frozenset(known))
    spec = next((spec for spec in specs.find(source, path) if spec.kind == "protobuf"), None)
    root = spec.roots[0] if spec and spec.roots else ""
    return _compiled(_staged(path, text, root, source), wanted, path)


def type_in(text: str, wanted: str, where: str, others: Mapping[str, str], documents: Documents) -> Type:
    """The message type of a text: of a document, or of a registry. `others` are the files it imports, by name."""
    source = Source(documents.root, (), lambda: documents)
    return _compiled(_staged(INLINE, text, "", source, others), wanted, where)


Staged = tuple[tuple[tuple[str, str], ...], frozenset[str], frozenset[str]]


def _staged(path: str, text: str, root: str, source: Source, others: Mapping[str, str] | None = None) -> Staged:
    given = {path: text, **(others or {})}

    def texts(paths: Iterable[str]) -> Mapping[str, str]:
        wanted = list(paths)
        return {**source.texts([p for p in wanted if p not in given]), **{p: given[p] for p in wanted if p in given}}

    bundled = compiling._bundled()  # pyright: ignore[reportPrivateUsage]
    included = frozenset(p.relative_to(bundled).as_posix() for p in bundled.rglob("*.proto"))
    found = staging.stage([path], root, [*source.files, *(others or {})], texts, included)
    return tuple(sorted(found.texts.items())), frozenset(found.own), frozenset(found.missing)


@lru_cache(maxsize=64)
def _pool(staged: Staged) -> tuple[Any, Any]:
    """A pool with what the texts declare, and the declaration of the file that was asked for."""
    from google.protobuf import descriptor_pool

    texts, own, missing = staged
    bundled = compiling._bundled()  # pyright: ignore[reportPrivateUsage]
    done = compiling.compile_stage(staging.Stage(dict(texts), set(own), set(missing)), bundled)
    pool: Any = descriptor_pool.DescriptorPool()
    for file in done.files:
        pool.Add(file)
    return pool, next(file for file in done.files if file.name in own)


def _compiled(staged: Staged, wanted: str, where: str) -> Type:
    from google.protobuf import message_factory

    pool, file = _pool(staged)
    every = dict(_types(file.message_type, file.package))
    fitting = [name for name in every if name == wanted or name.endswith(f".{wanted}")] if wanted else []
    if not wanted:
        fitting = [name for name, index in every.items() if len(index) == 1]
    if wanted in every:
        fitting = [wanted]
    if len(fitting) != 1:
        told = ", ".join(list(every)[:20]) or "none"
        raise Broken(
            f"{where}: {f'no message {wanted}' if wanted else 'name one message'}, as PATH#NAME; it has: {told}"
        )
    (name,) = fitting
    make: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    return Type(name, every[name], make, pool, file)


def _types(messages: Any, package: str, above: tuple[int, ...] = ()) -> Iterable[tuple[str, tuple[int, ...]]]:
    for number, message in enumerate(messages):
        if message.options.map_entry:
            continue
        name, index = f"{package}.{message.name}" if package else message.name, (*above, number)
        yield name, index
        yield from _types(message.nested_type, name, index)


def at_index(known: Type, index: tuple[int, ...]) -> Type | None:
    """The type of the same file with that place, `None` where there is none."""
    from google.protobuf import message_factory

    name = next((n for n, place in _types(known.file.message_type, known.file.package) if place == index), None)
    if name is None:
        return None
    make: Any = message_factory.GetMessageClass(known.pool.FindMessageTypeByName(name))
    return Type(name, index, make, known.pool, known.file)


def encode(known: Type, value: Any, root: str = "$", *, text: bool = False) -> bytes:
    """The bytes of a JSON value (`text`: as ProtoJSON). Raises `Misfit`."""
    from google.protobuf import json_format

    message: Any = known.make()
    if not isinstance(value, dict) and not known.name.startswith("google.protobuf."):
        raise Misfit(f"{root}: expected object, got something else")
    try:
        json_format.ParseDict(cast("dict[str, Any]", value), message, descriptor_pool=known.pool)
    except json_format.ParseError as error:
        raise Misfit(_words(str(error), message.DESCRIPTOR, root)) from error
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise Misfit(f"{root}: does not fit {known.name} ({type(error).__name__})") from error
    if wrong := list(_bytes(message.DESCRIPTOR, value, root)):
        raise Misfit(*wrong[:SHOWN])
    if missing := message.FindInitializationErrors():
        raise Misfit(*(f"{root}.{name}: is required" for name in missing))
    if text:
        return json.dumps(_plain(known, message), ensure_ascii=False, separators=(",", ":")).encode()
    return bytes(message.SerializeToString(deterministic=True))


def decode(known: Type, data: bytes, root: str = "$", *, text: bool = False) -> Any:
    """What the bytes say, as ProtoJSON; fields that the type does not have are a misfit. Raises `Misfit`."""
    from google.protobuf.message import DecodeError

    if text:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Misfit(f"{root}: not JSON") from error
        encode(known, value, root)
        return value
    message: Any = known.make()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise Misfit(f"{root}: not a message of type {known.name}") from error
    if unknown := list(_unknown(message, root)):
        raise Misfit(*unknown[:SHOWN])
    if missing := message.FindInitializationErrors():
        raise Misfit(*(f"{root}.{name}: is required" for name in missing))
    return _plain(known, message, root)


def _plain(known: Type, message: Any, root: str = "$") -> Any:
    from google.protobuf import json_format

    try:
        return json_format.MessageToDict(message, descriptor_pool=known.pool)
    except (ValueError, TypeError, json_format.SerializeToJsonError) as error:
        raise Misfit(f"{root}: cannot be shown as JSON ({type(error).__name__})") from error


def _unknown(message: Any, where: str) -> Iterable[str]:
    from google.protobuf import unknown_fields

    for field in unknown_fields.UnknownFieldSet(message):
        yield f"{where}: unknown field number {field.field_number} of {message.DESCRIPTOR.full_name}"
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                for key in value:
                    yield from _unknown(value[key], f"{where}.{field.json_name}")
        else:
            for one in value if field.is_repeated else [value]:
                yield from _unknown(one, f"{where}.{field.json_name}")


def _bytes(descriptor: Any, value: Any, where: str) -> Iterable[str]:
    """Bytes that are no base64: the library passes over the characters that don't belong, and sends other bytes."""
    for name, one in mapping(value).items():
        field = descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)
        if field is None:
            continue
        place, inside = f"{where}.{name}", field.message_type
        every = cast("list[Any]", one) if isinstance(one, list) else [one]
        if inside is not None and inside.GetOptions().map_entry:
            field, every = inside.fields_by_name["value"], [*mapping(one).values()]
        for part in every:
            if field.message_type is not None:
                yield from _bytes(field.message_type, part, place)
            elif field.type == field.TYPE_BYTES and isinstance(part, str) and not _BASE64.fullmatch(part):
                yield f"{place}: expected bytes as base64"


def _words(text: str, descriptor: Any, root: str) -> str:
    """The library's complaint without the value in it."""
    where, field = root, cast("Any", None)
    for part in _PART.findall(text):
        found = descriptor.fields_by_name.get(part) or descriptor.fields_by_camelcase_name.get(part)
        if found is None:
            break
        where, field = f"{where}.{found.json_name}", found
        if found.message_type is None:
            break
        descriptor = found.message_type
    if field is not None and field.message_type is None:
        if field.enum_type is not None:
            known = [value.name for value in field.enum_type.values][:20]
            return f"{where}: expected {' or '.join(known)}"
        return f"{where}: expected {_kind(field)}"
    if unknown := _UNKNOWN_FIELD.search(text):
        return (
            f"{where}: unknown field {unknown[1]!r}; known: {', '.join(f.json_name for f in descriptor.fields)[:300]}"
        )
    if descriptor.GetOptions().map_entry:
        return f"{where}: expected an object whose keys and values fit"
    if "oneof" in text:
        return f"{where}: more than one field of a oneof"
    return f"{where}: expected {descriptor.full_name}{' in a list' if field is not None and field.is_repeated else ''}"


def _kind(field: Any) -> str:
    names = {1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 6: "fixed64", 7: "fixed32", 8: "bool",
             9: "string", 12: "bytes as base64", 13: "uint32", 15: "sfixed32", 16: "sfixed64", 17: "sint32",
             18: "sint64"}  # fmt: skip
    name = names.get(field.type, "another type")
    return f"a list of {name}" if field.is_repeated else name
