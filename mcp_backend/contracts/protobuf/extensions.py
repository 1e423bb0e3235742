"""Extensions of messages: fields that another file declares. https://protobuf.dev/programming-guides/proto2/#extensions"""

from collections.abc import Iterator
from typing import Any

from mcp_backend.contracts.protobuf import features, fields
from mcp_backend.contracts.protobuf.compiling import Compiled
from mcp_backend.contracts.protobuf.features import Features
from mcp_backend.contracts.protobuf.fields import Field
from mcp_backend.contracts.protobuf.names import Index
from mcp_backend.contracts.words import Change


def changes(old: Compiled, new: Compiled, indexes: tuple[Index, Index]) -> Iterator[Change]:
    """Extensions that are gone from their file, and what changed in those that are there."""
    before, after = _declared(old), _declared(new)
    names, files = {(file.name, name) for name, _, file in after}, {file.name for file in new.files}
    later = {(field.proto.extendee, field.proto.number): (name, field) for name, field, _ in after}
    for name, field, file in before:
        where = f"{file.package}.{name}" if file.package else name
        if file.name in files and (file.name, name) not in names:
            yield Change("EXTENSION_NO_DELETE", "breaking", where, f"extends {field.proto.extendee[1:]}", "deleted")
        if counterpart := later.get((field.proto.extendee, field.proto.number)):
            other, now = counterpart
            if name != other and field.proto.name == now.proto.name:  # the message around it is part of its name
                yield Change("FIELD_SAME_NAME", "breaking", where, name, other)
            yield from fields.compared(field, now, indexes, where)


def _declared(compiled: Compiled) -> list[tuple[str, Field, Any]]:
    """Every extension by its name in the file."""
    found: list[tuple[str, Field, Any]] = []
    for file in compiled.files:
        if file.name in compiled.own:
            found += [(name, field, file) for name, field in _inside(file, file, features.of_file(file), "")]
    return found


def _inside(holder: Any, file: Any, said: Features, prefix: str) -> Iterator[tuple[str, Field]]:
    for extension in holder.extension:
        yield prefix + extension.name, Field(extension, None, file, said)
    for message in getattr(holder, "message_type", None) or getattr(holder, "nested_type", ()):
        yield from _inside(message, file, said.inside(message.options), f"{prefix}{message.name}.")
