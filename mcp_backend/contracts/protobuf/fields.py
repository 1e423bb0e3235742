"""What changed in one field, by buf's rules of the category FILE: https://buf.build/docs/breaking/rules/"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mcp_backend.contracts.protobuf.features import Features, java_utf8, string_type
from mcp_backend.contracts.protobuf.names import Index, type_name
from mcp_backend.contracts.words import Change

REQUIRED, REPEATED = 2, 3
_STRING, _GROUP, _MESSAGE, _BYTES, _ENUM = 9, 10, 11, 12, 14
_WHOLE_64 = (3, 4, 6, 16, 18)
_DELIMITED = 2


@dataclass(frozen=True, slots=True)
class Field:
    """A field where it is declared. `holder` is its message, `None` for an extension; `around` the features there."""

    proto: Any
    holder: Any
    file: Any
    around: Features

    @property
    def features(self) -> Features:
        """Those in force for the field itself."""
        return self.around.inside(self.proto.options)

    @property
    def type(self) -> int:
        """Its type; a message that is delimited as a group is one."""
        delimited = self.proto.type == _MESSAGE and self.features.message_encoding == _DELIMITED
        return _GROUP if delimited else self.proto.type

    @property
    def type_name(self) -> str:
        """The type as it is written, the file's own package left out, whose change is a change of its own."""
        name = type_name(self.proto)
        if self.type == _GROUP != self.proto.type:
            name = f"{name} (delimited)"
        own = self.proto.type_name and self.file.package and name.startswith(f"{self.file.package}.")
        return f"~{name[len(self.file.package) :]}" if own else name

    @property
    def oneof(self) -> str:
        """The oneof it is in; proto3's `optional` makes others that nobody wrote."""
        if self.holder is None or self.proto.proto3_optional or not self.proto.HasField("oneof_index"):
            return ""
        return self.holder.oneof_decl[self.proto.oneof_index].name

    def cardinality(self, entry: Any) -> str:
        """How many values there are, and whether one that is not there can be told from zero."""
        field = self.proto
        if entry:
            return "map"
        if field.label == REPEATED:
            return "repeated"
        if field.label == REQUIRED or self.features.field_presence == 3:
            return "required"
        always = field.proto3_optional or field.type in (_GROUP, _MESSAGE) or field.HasField("oneof_index")
        explicit = always or self.holder is None or self.features.field_presence == 1
        return "optional with presence" if explicit else "optional without presence"


def compared(old: Field, new: Field, indexes: tuple[Index, Index], where: str) -> Iterator[Change]:
    """The changes between two revisions of the field of one number."""
    one, two = old.proto, new.proto
    if one.name != two.name:
        yield Change("FIELD_SAME_NAME", "breaking", where, one.name, two.name)
    if old.holder is not None and _json(one) != _json(two):
        yield Change("FIELD_SAME_JSON_NAME", "breaking", where, _json(one), _json(two))
    entries = (indexes[0].map_entry(one), indexes[1].map_entry(two))
    first, second = old.cardinality(entries[0]), new.cardinality(entries[1])
    if first != second:
        yield Change("FIELD_SAME_CARDINALITY", "breaking", where, first, second)
    elif entries[0] and entries[1]:
        for index in (0, 1):
            inner = [
                Field(entry.field[index], entry, side.file, side.features)
                for entry, side in zip(entries, (old, new), strict=True)
            ]
            yield from _types(inner[0], inner[1], where)
    yield from _types(old, new, where)
    if old.oneof != new.oneof:
        yield Change("FIELD_SAME_ONEOF", "breaking", where, old.oneof or "in no oneof", new.oneof or "in no oneof")
    if "repeated" not in (first, second) and not entries[0] and not entries[1]:
        yield from _defaults(one, two, indexes, where)
    if one.type in _WHOLE_64 and two.type in _WHOLE_64 and one.options.jstype != two.options.jstype:
        yield Change("FIELD_SAME_JSTYPE", "breaking", where, str(one.options.jstype), str(two.options.jstype))
    yield from _texts(old, new, where)


def _types(old: Field, new: Field, where: str) -> Iterator[Change]:
    if old.type_name != new.type_name or old.type != new.type:
        yield Change("FIELD_SAME_TYPE", "breaking", where, old.type_name, new.type_name)


def _defaults(one: Any, two: Any, indexes: tuple[Index, Index], where: str) -> Iterator[Change]:
    """A default that is written as the value that holds without one changes nothing."""
    if {one.type, two.type} & {_MESSAGE, _GROUP}:
        return
    before, after = (_value(field, index) for field, index in zip((one, two), indexes, strict=True))
    if before != after:
        yield Change("FIELD_SAME_DEFAULT", "breaking", where, one.default_value, two.default_value)


def _value(field: Any, index: Index) -> object:
    """The default as a value; `None` for zero."""
    written: str = field.default_value
    if field.type in (_STRING, _BYTES):
        return written or None
    if field.type == _ENUM and (enum := index.enums.get(field.type_name.lstrip("."))):
        written = next((str(v.number) for v in enum.value if v.name == written), str(enum.value[0].number))
    number = {"": "0", "false": "0", "true": "1"}.get(written, written)
    try:
        return str(float(number)) if float(number) else None  # not a number is equal to itself here
    except ValueError:
        return written


def _texts(old: Field, new: Field, where: str) -> Iterator[Change]:
    kinds, one, two = {old.type, new.type}, old.features, new.features
    if kinds == {_STRING}:
        for word, before, after in (
            ("UTF8", one.utf8_validation, two.utf8_validation),
            ("JAVA_UTF8", java_utf8(one), java_utf8(two)),
        ):
            if before != after:
                was, now = ({2: "VERIFY", 3: "NONE"}.get(value, str(value)) for value in (before, after))
                yield Change(f"FIELD_SAME_{word}_VALIDATION", "breaking", where, was, now)
    if kinds <= {_STRING, _BYTES}:
        before, after = string_type(old.proto, one), string_type(new.proto, two)
        if before != after and (before, after) != ("STRING_PIECE", "STRING"):
            yield Change("FIELD_SAME_CPP_STRING_TYPE", "breaking", where, before, after)


def _json(field: Any) -> str:
    """The name in JSON; descriptors that Python generated leave the usual one out."""
    if field.json_name:
        return field.json_name
    first, *rest = field.name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)
