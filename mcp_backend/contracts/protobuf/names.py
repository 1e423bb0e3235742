"""Descriptors by full name, with the comments of the source."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_TYPES = {
    1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 6: "fixed64", 7: "fixed32", 8: "bool", 9: "string",
    10: "group", 11: "message", 12: "bytes", 13: "uint32", 14: "enum", 15: "sfixed32", 16: "sfixed64", 17: "sint32",
    18: "sint64",
}  # fmt: skip
"""https://protobuf.dev/reference/cpp/api-docs/google.protobuf.descriptor.pb/#FieldDescriptorProto"""


@dataclass(frozen=True, slots=True)
class Message:
    """A message by its full name."""

    name: str
    proto: Any
    file: str


class Index:
    """Everything that descriptors of files declare. `own` are the names of the specification's own files."""

    def __init__(self, files: Iterable[Any], own: Iterable[str]) -> None:
        self.files = tuple(files)
        self.own = frozenset(own)
        self.messages: dict[str, Message] = {}
        self.enums: dict[str, Any] = {}
        self.enum_files: dict[str, str] = {}
        self.services: dict[str, Any] = {}
        self.service_files: dict[str, str] = {}
        self._comments: dict[str, str] = {}
        for file in self.files:
            prefix = f"{file.package}." if file.package else ""
            for message in file.message_type:
                self._add(prefix, message, file.name)
            for enum in file.enum_type:
                self.enums[prefix + enum.name] = enum
                self.enum_files[prefix + enum.name] = file.name
            for service in file.service:
                self.services[prefix + service.name] = service
                self.service_files[prefix + service.name] = file.name
            if file.name in self.own:
                self._comment(file, prefix)

    @property
    def own_messages(self) -> dict[str, Message]:
        """The messages of the specification itself, without those that stand for a map."""
        return {n: m for n, m in self.messages.items() if m.file in self.own and not m.proto.options.map_entry}

    @property
    def own_enums(self) -> dict[str, Any]:
        """The enums of the specification itself."""
        return {n: e for n, e in self.enums.items() if self.enum_files[n] in self.own}

    def rpcs(self) -> Iterator[tuple[str, str, Any]]:
        """File, full name of the service and rpc of the specification's own services."""
        for name, service in self.services.items():
            if self.service_files[name] in self.own:
                for rpc in service.method:
                    yield self.service_files[name], name, rpc

    def comment(self, name: str) -> str:
        """The comment before a declaration, in one line."""
        return self._comments.get(name, "")

    def map_entry(self, field: Any) -> Any:
        """The entry message of a map field, or `None`."""
        message = self.messages.get(field.type_name.lstrip(".")) if field.type == 11 else None
        return message.proto if message and message.proto.options.map_entry else None

    def _add(self, prefix: str, message: Any, file: str) -> None:
        name = prefix + message.name
        self.messages[name] = Message(name, message, file)
        for inner in message.nested_type:
            self._add(f"{name}.", inner, file)
        for enum in message.enum_type:
            self.enums[f"{name}.{enum.name}"] = enum
            self.enum_files[f"{name}.{enum.name}"] = file

    def _comment(self, file: Any, prefix: str) -> None:
        for location in file.source_code_info.location:
            text = " ".join((location.leading_comments or location.trailing_comments).split())
            if text and (name := _named(file, list(location.path), prefix)):
                self._comments[name] = text


def _named(file: Any, path: list[int], prefix: str) -> str:
    """The full name of what a path of source information leads to; empty for other places.

    https://protobuf.dev/reference/cpp/api-docs/google.protobuf.descriptor.pb/#SourceCodeInfo.Location
    """
    fields = {4: "message_type", 5: "enum_type", 6: "service"}
    inner = {"message": {2: "field", 3: "nested_type", 4: "enum_type"}, "service": {2: "method"}, "enum": {2: "value"}}
    if len(path) < 2 or path[0] not in fields:
        return ""
    kind = {4: "message", 5: "enum", 6: "service"}[path[0]]
    node, name = getattr(file, fields[path[0]])[path[1]], prefix
    name += node.name
    path = path[2:]
    while path:
        steps = inner.get(kind, {})
        if len(path) < 2 or path[0] not in steps:
            return ""
        node = getattr(node, steps[path[0]])[path[1]]
        name += f".{node.name}"
        kind = {"nested_type": "message", "enum_type": "enum"}.get(steps[path[0]], "")
        path = path[2:]
    return name


def type_name(field: Any) -> str:
    """The type of a field as it is written."""
    return field.type_name.lstrip(".") if field.type_name else _TYPES.get(field.type, str(field.type))


def simple(name: str) -> str:
    """The last part of a full name."""
    return name.rpartition(".")[2]
