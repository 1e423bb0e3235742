# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""What editions made of the syntaxes: features with a default per edition, said again by files, messages and fields.

https://protobuf.dev/editions/features/
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

_CPP, _JAVA = 1000, 1001
"""The numbers of the extensions `pb.cpp` and `pb.java`: https://protobuf.dev/editions/features/#cpp"""
_EDITION_2024 = 1001
CLOSED, _VERIFY = 2, 2
_SUBJECT = 2
"""The field of both extensions that this is about."""


@dataclass(frozen=True, slots=True)
class Features:
    """The features in force at one place, by the numbers of their values. `string_type` is that of C++, `java_utf8`
    that of Java, where 2 means verified."""

    field_presence: int = 1
    enum_type: int = 1
    utf8_validation: int = 2
    message_encoding: int = 1
    json_format: int = 1
    string_type: int = 2
    java_utf8: int = 1

    def inside(self, options: Any) -> "Features":
        """Those of something whose options say some of them again."""
        if not options.HasField("features"):
            return self
        said = options.features
        found = {f.name: getattr(said, f.name) for f in fields(self)[:5] if said.HasField(f.name)}
        for number, name in ((_CPP, "string_type"), (_JAVA, "java_utf8")):
            for value in _extension(said, number):
                found[name] = value
        return replace(self, **found)


Both: TypeAlias = tuple[Features, Features]
"""Those of the same thing in two revisions."""


def inside(said: Both, old: Any, new: Any) -> Both:
    """Those of something inside, in both revisions."""
    return said[0].inside(old.options), said[1].inside(new.options)


def of_file(file: Any) -> Features:
    """The defaults of a file's syntax or edition, and what the file itself says."""
    if file.syntax == "editions":
        defaults = Features(string_type=1) if file.edition >= _EDITION_2024 else Features()
    elif file.syntax == "proto3":
        defaults = Features(field_presence=2)
    else:
        defaults = Features(enum_type=2, utf8_validation=3, json_format=2)
    if file.options.java_string_check_utf8:
        defaults = replace(defaults, java_utf8=_VERIFY)
    return defaults.inside(file.options)


def string_type(field: Any, features: Features) -> str:
    """What holds a text in C++, which `ctype` says before the feature of the same meaning."""
    if field.options.HasField("ctype"):
        return ("STRING", "CORD", "STRING_PIECE")[field.options.ctype]
    return {1: "VIEW", 2: "STRING", 3: "CORD"}.get(features.string_type, str(features.string_type))


def java_utf8(features: Features) -> int:
    """How Java validates texts: as everybody unless it is told to verify."""
    return _VERIFY if features.java_utf8 == _VERIFY else features.utf8_validation


def _extension(said: Any, number: int) -> Iterator[int]:
    """What an extension of features says of texts."""
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.unknown_fields import UnknownFieldSet

    for extension in UnknownFieldSet(said):
        if extension.field_number == number:
            for value in UnknownFieldSet(Empty.FromString(extension.data)):
                if value.field_number == _SUBJECT:
                    yield int(value.data)
