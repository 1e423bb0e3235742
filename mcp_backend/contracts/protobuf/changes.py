"""What changed between two revisions of protobuf files, by buf's rules of the category FILE: generated code and wire.

https://buf.build/docs/breaking/rules/
"""

from collections.abc import Iterator
from typing import Any

from mcp_backend.contracts.protobuf.compiling import Compiled
from mcp_backend.contracts.protobuf.names import Index, type_name
from mcp_backend.contracts.words import LEVELS, Change

_FILE_OPTIONS = (
    "go_package", "java_package", "java_outer_classname", "java_multiple_files", "java_string_check_utf8",
    "objc_class_prefix", "csharp_namespace", "swift_prefix", "php_class_prefix", "php_namespace",
    "php_metadata_namespace", "ruby_package", "optimize_for", "cc_generic_services", "java_generic_services",
    "py_generic_services", "cc_enable_arenas",
)  # fmt: skip


def changes(old: Compiled, new: Compiled) -> list[Change]:
    """All changes, the breaking ones first, each with the rpcs that carry it."""
    after = {f.name: f for f in new.files if f.name in new.own}
    found: list[Change] = []
    indexes = (Index(old.files, old.own), Index(new.files, new.own))
    for file in old.files:
        if file.name not in old.own:
            continue
        if file.name not in after:
            found.append(Change("FILE_NO_DELETE", "breaking", file.name, "there", "deleted"))
            continue
        found += _File(file, after[file.name], indexes).changes()
    for name in sorted(after.keys() - {f.name for f in old.files}):
        found.append(Change("FILE_ADDED", "safe", name, "not there", "added"))
    users = _users(indexes[0])
    reached = [Change(c.id, c.level, c.where, c.before, c.after, tuple(sorted(_using(users, c.where)))) for c in found]
    return sorted(reached, key=lambda c: LEVELS.index(c.level))


def _users(index: Index) -> dict[str, set[str]]:
    """The rpcs by the messages and enums that they carry."""
    found: dict[str, set[str]] = {}
    for _, service, rpc in index.rpcs():
        todo, seen = [rpc.input_type.lstrip("."), rpc.output_type.lstrip(".")], set[str]()
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            found.setdefault(name, set()).add(f"{service}.{rpc.name}")
            if name in index.messages:
                todo += [f.type_name.lstrip(".") for f in index.messages[name].proto.field if f.type_name]
        found.setdefault(f"{service}.{rpc.name}", set()).add(f"{service}.{rpc.name}")
    return found


def _using(users: dict[str, set[str]], where: str) -> set[str]:
    return users.get(where) or users.get(where.rpartition(".")[0], set())


class _File:
    """One file in both revisions. Names are compared without the package, whose change is a change of its own."""

    def __init__(self, old: Any, new: Any, indexes: tuple[Index, Index]) -> None:
        self.old, self.new = old, new
        self._indexes = indexes
        self._prefix = f"{old.package}." if old.package else ""

    def changes(self) -> Iterator[Change]:
        old, new = self.old, self.new
        if old.package != new.package:
            yield Change("FILE_SAME_PACKAGE", "breaking", old.name, old.package, new.package)
        if (old.syntax or "proto2") != (new.syntax or "proto2"):
            yield Change("FILE_SAME_SYNTAX", "breaking", old.name, old.syntax or "proto2", new.syntax or "proto2")
        for option in _FILE_OPTIONS:
            before, after = getattr(old.options, option, None), getattr(new.options, option, None)
            if before != after:
                yield Change(f"FILE_SAME_{option.upper()}", "breaking", old.name, str(before), str(after))
        yield from self._enums(old.enum_type, new.enum_type, self._prefix)
        yield from self._messages(old.message_type, new.message_type, self._prefix)
        yield from self._services()

    def _enums(self, old: Any, new: Any, prefix: str) -> Iterator[Change]:
        after = {e.name: e for e in new}
        for enum in old:
            name = prefix + enum.name
            if enum.name not in after:
                yield Change("ENUM_NO_DELETE", "breaking", name, "there", "deleted")
                continue
            yield from self._enum(enum, after[enum.name], name)
        for added in after.keys() - {e.name for e in old}:
            yield Change("ENUM_ADDED", "safe", prefix + added, "not there", "added")

    def _enum(self, old: Any, new: Any, name: str) -> Iterator[Change]:
        before, after = _numbered(old), _numbered(new)
        for number, names in before.items():
            if number not in after:
                yield Change(
                    "ENUM_VALUE_NO_DELETE", "breaking", f"{name}.{names[0]}", f"{names[0]} = {number}", "deleted"
                )
            elif set(names) - set(after[number]):
                yield Change(
                    "ENUM_VALUE_SAME_NAME", "breaking", f"{name}.{names[0]}", ", ".join(names), ", ".join(after[number])
                )
        for number in after.keys() - before.keys():
            yield Change("ENUM_VALUE_ADDED", "safe", f"{name}.{after[number][0]}", "not there", str(number))
        yield from _reserved("RESERVED_ENUM_NO_DELETE", old, new, name, 0)

    def _messages(self, old: Any, new: Any, prefix: str) -> Iterator[Change]:
        after = {m.name: m for m in new}
        for message in old:
            name = prefix + message.name
            if message.options.map_entry:
                continue
            if message.name not in after:
                yield Change("MESSAGE_NO_DELETE", "breaking", name, "there", "deleted")
                continue
            yield from self._message(message, after[message.name], name)
        for added in after.keys() - {m.name for m in old}:
            if not after[added].options.map_entry:
                yield Change("MESSAGE_ADDED", "safe", prefix + added, "not there", "added")

    def _message(self, old: Any, new: Any, name: str) -> Iterator[Change]:
        after = {f.number: f for f in new.field}
        for field in old.field:
            where = f"{name}.{field.name}"
            if field.number not in after:
                yield Change("FIELD_NO_DELETE", "breaking", where, f"{field.name} = {field.number}", "deleted")
            else:
                yield from self._field(field, after[field.number], old, new, where)
        for field in new.field:
            if field.number not in {f.number for f in old.field}:
                level = "breaking" if field.label == 2 else "safe"
                yield Change(
                    "MESSAGE_SAME_REQUIRED_FIELDS" if field.label == 2 else "FIELD_ADDED",
                    level,
                    f"{name}.{field.name}",
                    "not there",
                    f"{type_name(field)} = {field.number}",
                )
        oneofs = {o.name for o in _oneofs(new)}
        for oneof in _oneofs(old):
            if oneof.name not in oneofs:
                yield Change("ONEOF_NO_DELETE", "breaking", f"{name}.{oneof.name}", "there", "deleted")
        if old.options.no_standard_descriptor_accessor != new.options.no_standard_descriptor_accessor:
            yield Change("MESSAGE_NO_REMOVE_STANDARD_DESCRIPTOR_ACCESSOR", "breaking", name, "there", "removed")
        if _ranges(old.extension_range, 0) - _ranges(new.extension_range, 0):
            yield Change("EXTENSION_MESSAGE_NO_DELETE", "breaking", name, "extension range", "deleted")
        yield from _reserved("RESERVED_MESSAGE_NO_DELETE", old, new, name, 1)
        yield from self._messages(old.nested_type, new.nested_type, f"{name}.")
        yield from self._enums(old.enum_type, new.enum_type, f"{name}.")

    def _field(self, old: Any, new: Any, message: Any, later: Any, where: str) -> Iterator[Change]:
        if old.name != new.name:
            yield Change("FIELD_SAME_NAME", "breaking", where, old.name, new.name)
        if _json(old) != _json(new):
            yield Change("FIELD_SAME_JSON_NAME", "breaking", where, _json(old), _json(new))
        entries = (self._indexes[0].map_entry(old), self._indexes[1].map_entry(new))
        first, second = _cardinality(old, self.old, entries[0]), _cardinality(new, self.new, entries[1])
        if first != second:
            yield Change("FIELD_SAME_CARDINALITY", "breaking", where, first, second)
        elif entries[0] and entries[1]:
            for index in (0, 1):
                one, two = entries[0].field[index], entries[1].field[index]
                if self._type(one, self.old) != self._type(two, self.new):
                    yield Change(
                        "FIELD_SAME_TYPE", "breaking", where, self._type(one, self.old), self._type(two, self.new)
                    )
        both = bool(entries[0] and entries[1])  # their entries have names of their own
        if not both and self._type(old, self.old) != self._type(new, self.new):
            yield Change("FIELD_SAME_TYPE", "breaking", where, self._type(old, self.old), self._type(new, self.new))
        if (before := _oneof(old, message)) != (after := _oneof(new, later)):
            yield Change("FIELD_SAME_ONEOF", "breaking", where, before or "in no oneof", after or "in no oneof")
        if old.default_value != new.default_value:
            yield Change("FIELD_SAME_DEFAULT", "breaking", where, old.default_value, new.default_value)
        if old.options.jstype != new.options.jstype:
            yield Change("FIELD_SAME_JSTYPE", "breaking", where, str(old.options.jstype), str(new.options.jstype))

    def _type(self, field: Any, file: Any) -> str:
        name = type_name(field)
        return (
            f"~{name[len(file.package) :]}"
            if field.type_name and file.package and name.startswith(f"{file.package}.")
            else name
        )

    def _services(self) -> Iterator[Change]:
        after = {s.name: s for s in self.new.service}
        for service in self.old.service:
            name = self._prefix + service.name
            if service.name not in after:
                yield Change("SERVICE_NO_DELETE", "breaking", name, "there", "deleted")
                continue
            methods = {m.name: m for m in after[service.name].method}
            for rpc in service.method:
                where = f"{name}.{rpc.name}"
                if rpc.name not in methods:
                    yield Change("RPC_NO_DELETE", "breaking", where, "there", "deleted")
                    continue
                yield from self._rpc(rpc, methods[rpc.name], where)
            for added in methods.keys() - {m.name for m in service.method}:
                yield Change("RPC_ADDED", "safe", f"{name}.{added}", "not there", "added")
        for added in after.keys() - {s.name for s in self.old.service}:
            yield Change("SERVICE_ADDED", "safe", self._prefix + added, "not there", "added")

    def _rpc(self, old: Any, new: Any, where: str) -> Iterator[Change]:
        for word, attribute in (("REQUEST", "input_type"), ("RESPONSE", "output_type")):
            before, after = (
                self._plain(getattr(old, attribute), self.old),
                self._plain(getattr(new, attribute), self.new),
            )
            if before != after:
                yield Change(f"RPC_SAME_{word}_TYPE", "breaking", where, before, after)
        for word in ("client", "server"):
            if (before := getattr(old, f"{word}_streaming")) != (after := getattr(new, f"{word}_streaming")):
                yield Change(f"RPC_SAME_{word.upper()}_STREAMING", "breaking", where, _stream(before), _stream(after))
        if old.options.idempotency_level != new.options.idempotency_level:
            yield Change(
                "RPC_SAME_IDEMPOTENCY_LEVEL",
                "breaking",
                where,
                str(old.options.idempotency_level),
                str(new.options.idempotency_level),
            )

    def _plain(self, name: str, file: Any) -> str:
        name = name.lstrip(".")
        return f"~{name[len(file.package) :]}" if file.package and name.startswith(f"{file.package}.") else name


def _stream(value: bool) -> str:
    return "stream" if value else "one message"


def _numbered(enum: Any) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for value in enum.value:
        found.setdefault(value.number, []).append(value.name)
    return found


def _json(field: Any) -> str:
    """The name in JSON; descriptors that Python generated leave the usual one out."""
    if field.json_name:
        return field.json_name
    first, *rest = field.name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def _cardinality(field: Any, file: Any, entry: Any) -> str:
    if entry:
        return "map"
    if field.label == 3:
        return "repeated"
    if field.label == 2:
        return "required"
    explicit = (
        field.proto3_optional or file.syntax != "proto3" or field.type in (10, 11) or field.HasField("oneof_index")
    )
    return "optional with presence" if explicit else "optional without presence"


def _oneofs(message: Any) -> list[Any]:
    """The oneofs that are written; proto3's `optional` makes others."""
    made = {f.oneof_index for f in message.field if f.proto3_optional}
    return [o for i, o in enumerate(message.oneof_decl) if i not in made]


def _oneof(field: Any, message: Any) -> str:
    if field.proto3_optional or not field.HasField("oneof_index"):
        return ""
    return message.oneof_decl[field.oneof_index].name


def _ranges(ranges: Any, open_end: int) -> set[tuple[int, int]]:
    return {(r.start, r.end - open_end) for r in ranges}


def _reserved(identifier: str, old: Any, new: Any, name: str, open_end: int) -> Iterator[Change]:
    """Numbers and names that were reserved must stay so."""
    later = sorted(_ranges(new.reserved_range, open_end))
    for start, end in _ranges(old.reserved_range, open_end):
        position = start
        for first, last in later:
            if first <= position <= last:
                position = last + 1
        if position <= end:
            yield Change(identifier, "breaking", name, f"{start} to {end} reserved", "no longer")
    for lost in set(old.reserved_name) - set(new.reserved_name):
        yield Change(identifier, "breaking", name, f"{lost!r} reserved", "no longer")
