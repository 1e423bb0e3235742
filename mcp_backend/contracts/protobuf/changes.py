"""What changed between two revisions of protobuf files, by buf's rules of the category FILE: generated code and wire.

https://buf.build/docs/breaking/rules/
"""

from collections.abc import Iterator
from typing import Any

from mcp_backend.contracts.protobuf import extensions, features, fields
from mcp_backend.contracts.protobuf.compiling import Compiled
from mcp_backend.contracts.protobuf.features import CLOSED, Both, Features, inside
from mcp_backend.contracts.protobuf.fields import REQUIRED, Field
from mcp_backend.contracts.protobuf.names import Index, type_name
from mcp_backend.contracts.words import LEVELS, Change

_FILE_OPTIONS = (
    "go_package", "java_package", "java_outer_classname", "java_multiple_files",
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
    found += extensions.changes(old, new, indexes)
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

    @property
    def said(self) -> Both:
        """The features of the file in both revisions."""
        return features.of_file(self.old), features.of_file(self.new)

    def changes(self) -> Iterator[Change]:
        """What changed in the file."""
        old, new = self.old, self.new
        if old.package != new.package:
            yield Change("FILE_SAME_PACKAGE", "breaking", old.name, old.package, new.package)
        if (old.syntax or "proto2") != (new.syntax or "proto2"):
            yield Change("FILE_SAME_SYNTAX", "breaking", old.name, old.syntax or "proto2", new.syntax or "proto2")
        for option in _FILE_OPTIONS:
            before, after = getattr(old.options, option, None), getattr(new.options, option, None)
            if before != after:
                yield Change(f"FILE_SAME_{option.upper()}", "breaking", old.name, str(before), str(after))
        yield from self._enums(old.enum_type, new.enum_type, self._prefix, self.said)
        yield from self._messages(old.message_type, new.message_type, self._prefix, self.said)
        yield from self._services()

    def _moved(self, name: str, prefix: str) -> "_File | None":
        """The other file that what stood in this one went to: its full name, and so the wire, stayed."""
        index = self._indexes[1]
        place = index.enum_files.get(name) or (index.messages[name].file if name in index.messages else "")
        file = next((f for f in index.files if f.name == place), None)
        top = prefix == self._prefix and self.new.package == self.old.package
        return _File(self.old, file, self._indexes) if file is not None and top else None

    def _enums(self, old: Any, new: Any, prefix: str, said: Both) -> Iterator[Change]:
        after = {e.name: e for e in new}
        for enum in old:
            name = prefix + enum.name
            if enum.name not in after:
                yield Change("ENUM_NO_DELETE", "breaking", name, "there", "deleted")
                if moved := self._moved(name, prefix):
                    yield from moved._enum(enum, self._indexes[1].enums[name], name, moved.said)
                continue
            yield from self._enum(enum, after[enum.name], name, said)
        for added in sorted(after.keys() - {e.name for e in old}):
            yield Change("ENUM_ADDED", "safe", prefix + added, "not there", "added")

    def _enum(self, old: Any, new: Any, name: str, said: Both) -> Iterator[Change]:
        first, second = inside(said, old, new)
        if first.enum_type != second.enum_type:
            was, now = ("closed" if f.enum_type == CLOSED else "open" for f in (first, second))
            yield Change("ENUM_SAME_TYPE", "breaking", name, was, now)
        yield from _json_format("ENUM", first, second, name)
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
        for number in sorted(after.keys() - before.keys()):
            yield Change("ENUM_VALUE_ADDED", "safe", f"{name}.{after[number][0]}", "not there", str(number))
        yield from _reserved("RESERVED_ENUM_NO_DELETE", old, new, name, 0)

    def _messages(self, old: Any, new: Any, prefix: str, said: Both) -> Iterator[Change]:
        after = {m.name: m for m in new}
        for message in old:
            name = prefix + message.name
            if message.name not in after:
                yield Change("MESSAGE_NO_DELETE", "breaking", name, "there", "deleted")
                if moved := self._moved(name, prefix):
                    later = self._indexes[1].messages[name].proto
                    yield from moved._message(message, later, name, inside(moved.said, message, later))
            elif not message.options.map_entry:  # its fields are those of the map
                yield from self._message(message, after[message.name], name, inside(said, message, after[message.name]))
        for added in sorted(after.keys() - {m.name for m in old}):
            if not after[added].options.map_entry:
                yield Change("MESSAGE_ADDED", "safe", prefix + added, "not there", "added")

    def _message(self, old: Any, new: Any, name: str, said: Both) -> Iterator[Change]:
        yield from _json_format("MESSAGE", *said, name)
        after = {f.number: f for f in new.field}
        for field in old.field:
            where = f"{name}.{field.name}"
            if field.number not in after:
                yield Change("FIELD_NO_DELETE", "breaking", where, f"{field.name} = {field.number}", "deleted")
            else:
                pair = (Field(field, old, self.old, said[0]), Field(after[field.number], new, self.new, said[1]))
                yield from fields.compared(*pair, self._indexes, where)
        before = {f.number for f in old.field}
        for field in new.field:
            if field.number not in before and field.label != REQUIRED:
                said_now = f"{type_name(field)} = {field.number}"
                yield Change("FIELD_ADDED", "safe", f"{name}.{field.name}", "not there", said_now)
        demanded = [{f.number: f.name for f in m.field if f.label == REQUIRED} for m in (old, new)]
        for number in sorted(demanded[0].keys() ^ demanded[1].keys()):
            one, two = ("required" if number in side else "not required" for side in demanded)
            where = f"{name}.{demanded[0].get(number) or demanded[1][number]}"
            yield Change("MESSAGE_SAME_REQUIRED_FIELDS", "breaking", where, one, two)
        oneofs = {o.name for o in _oneofs(new)}
        for oneof in _oneofs(old):
            if oneof.name not in oneofs:
                yield Change("ONEOF_NO_DELETE", "breaking", f"{name}.{oneof.name}", "there", "deleted")
        if old.options.no_standard_descriptor_accessor != new.options.no_standard_descriptor_accessor:
            yield Change("MESSAGE_NO_REMOVE_STANDARD_DESCRIPTOR_ACCESSOR", "breaking", name, "there", "removed")
        for start, end in _uncovered(old.extension_range, new.extension_range, 1):
            yield Change("EXTENSION_MESSAGE_NO_DELETE", "breaking", name, f"extensions {start} to {end}", "deleted")
        yield from _reserved("RESERVED_MESSAGE_NO_DELETE", old, new, name, 1)
        yield from self._messages(old.nested_type, new.nested_type, f"{name}.", said)
        yield from self._enums(old.enum_type, new.enum_type, f"{name}.", said)

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
            for added in sorted(methods.keys() - {m.name for m in service.method}):
                yield Change("RPC_ADDED", "safe", f"{name}.{added}", "not there", "added")
        for added in sorted(after.keys() - {s.name for s in self.old.service}):
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


def _oneofs(message: Any) -> list[Any]:
    """The oneofs that are written; proto3's `optional` makes others."""
    made = {f.oneof_index for f in message.field if f.proto3_optional}
    return [o for i, o in enumerate(message.oneof_decl) if i not in made]


def _json_format(kind: str, old: Features, new: Features, name: str) -> Iterator[Change]:
    if old.json_format == 1 != new.json_format:
        yield Change(f"{kind}_SAME_JSON_FORMAT", "breaking", name, "ALLOW", "LEGACY_BEST_EFFORT")


def _uncovered(old: Any, new: Any, open_end: int) -> Iterator[tuple[int, int]]:
    """The ranges that are no longer there as a whole; the parts of one that was split count together."""
    later = sorted((r.start, r.end - open_end) for r in new)
    for start, end in sorted({(r.start, r.end - open_end) for r in old}):
        position = start
        for first, last in later:
            if first <= position <= last:
                position = last + 1
        if position <= end:
            yield start, end


def _reserved(identifier: str, old: Any, new: Any, name: str, open_end: int) -> Iterator[Change]:
    """Numbers and names that were reserved must stay so."""
    for start, end in _uncovered(old.reserved_range, new.reserved_range, open_end):
        yield Change(identifier, "breaking", name, f"{start} to {end} reserved", "no longer")
    for lost in set(old.reserved_name) - set(new.reserved_name):
        yield Change(identifier, "breaking", name, f"{lost!r} reserved", "no longer")
