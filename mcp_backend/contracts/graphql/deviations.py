# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Compares a GraphQL schema with the one that an application serves."""

from collections.abc import Iterator
from typing import Any

from mcp_backend.contracts.graphql.loading import default_of
from mcp_backend.contracts.words import Deviation

SOURCE = "introspection"


def compare(spec: Any, served: Any) -> list[Deviation]:
    """Everything in which the served schema is not the specified one. A type that nothing leads to any more (or only
    what is extra) is no deviation of its own."""
    found = list(_types(spec, served))
    gone = {d.where.partition("(")[0] for d in found if d.kind == "missing" or d.id == "type-mismatch"}
    more = {d.where.partition("(")[0] for d in found if d.kind == "extra" or d.id == "type-mismatch"}
    return [
        d for d in found
        if not (d.id == "type-missing" and _only_from(spec, d.where, gone))
        and not (d.id == "type-extra" and _only_from(served, d.where, more))
    ]  # fmt: skip


def _only_from(schema: Any, name: str, places: set[str]) -> bool:
    """Whether a type is reached, and from these types and fields alone."""
    from graphql import get_named_type

    users = [
        (holder, key)
        for holder, about in schema.type_map.items() if not holder.startswith("__")
        for key, field in getattr(about, "fields", {}).items()
        if any(get_named_type(f.type).name == name for f in (field, *getattr(field, "args", {}).values()))
    ]  # fmt: skip
    return bool(users) and all(holder in places or f"{holder}.{key}" in places for holder, key in users)


def _types(spec: Any, served: Any) -> Iterator[Deviation]:
    from graphql import is_enum_type, is_input_object_type, is_union_type

    for name, mine in sorted(spec.type_map.items()):
        if name.startswith("__"):
            continue
        theirs = served.type_map.get(name)
        if theirs is None:
            if not _standard(name):
                yield Deviation("type-missing", "missing", name, type(mine).__name__, "no such type", SOURCE)
            continue
        if type(mine) is not type(theirs):
            yield Deviation("type-mismatch", "different", name, _kind(mine), _kind(theirs), SOURCE)
        elif is_enum_type(mine):
            yield from _values(name, mine, theirs)
        elif is_union_type(mine):
            yield from _members(name, mine, theirs)
        elif hasattr(mine, "fields"):
            yield from _fields(name, mine, theirs, given=is_input_object_type(mine))
    for name in sorted(served.type_map.keys() - spec.type_map.keys()):
        if not name.startswith("__") and not _standard(name):
            yield Deviation("type-extra", "extra", name, "no such type", _kind(served.type_map[name]), SOURCE)


def _standard(name: str) -> bool:
    return name in ("Int", "Float", "String", "Boolean", "ID", "_Any", "_Service", "_Entity", "FieldSet", "_FieldSet")


def _kind(kind: Any) -> str:
    return type(kind).__name__.removeprefix("GraphQL").removesuffix("Type").lower()


def _values(name: str, mine: Any, theirs: Any) -> Iterator[Deviation]:
    for value in sorted(theirs.values.keys() - mine.values.keys()):
        yield Deviation("enum-value-extra", "extra", f"{name}.{value}", "no such value", "served", SOURCE)
    for value in sorted(mine.values.keys() - theirs.values.keys()):
        yield Deviation("enum-value-missing", "missing", f"{name}.{value}", "a value", "not served", SOURCE)


def _members(name: str, mine: Any, theirs: Any) -> Iterator[Deviation]:
    before, after = {t.name for t in mine.types}, {t.name for t in theirs.types}
    for member in sorted(before ^ after):
        gone = member in before
        yield Deviation(
            f"union-member-{'missing' if gone else 'extra'}",
            "missing" if gone else "extra",
            f"{name}.{member}",
            "",
            "",
            SOURCE,
        )


def _fields(name: str, mine: Any, theirs: Any, *, given: bool) -> Iterator[Deviation]:
    from graphql import is_required_input_field

    for key, field in mine.fields.items():
        where = f"{name}.{key}"
        other = theirs.fields.get(key)
        if other is None:
            yield Deviation("field-missing", "missing", where, str(field.type), "no such field", SOURCE)
            continue
        yield from _type(where, field.type, other.type)
        if given:
            yield from _default(where, field, other)
        else:
            yield from _arguments(where, field, other)
    for key in sorted(theirs.fields.keys() - mine.fields.keys()):
        where, field = f"{name}.{key}", theirs.fields[key]
        required = given and is_required_input_field(field)
        word = "input-field-extra-required" if required else "field-extra"
        yield Deviation(word, "extra", where, "no such field", str(field.type), SOURCE)


def _arguments(where: str, mine: Any, theirs: Any) -> Iterator[Deviation]:
    from graphql import is_required_argument

    for key, argument in mine.args.items():
        place, other = f"{where}({key})", theirs.args.get(key)
        if other is None:
            yield Deviation("argument-missing", "missing", place, str(argument.type), "no such argument", SOURCE)
            continue
        yield from _type(place, argument.type, other.type)
        yield from _default(place, argument, other)
    for key in sorted(theirs.args.keys() - mine.args.keys()):
        argument = theirs.args[key]
        word = "argument-extra-required" if is_required_argument(argument) else "argument-extra"
        yield Deviation(word, "extra", f"{where}({key})", "no such argument", str(argument.type), SOURCE)


def _type(where: str, mine: Any, theirs: Any) -> Iterator[Deviation]:
    one, two = str(mine), str(theirs)
    if one == two:
        return
    word = "nullability-mismatch" if one.replace("!", "") == two.replace("!", "") else "type-mismatch"
    yield Deviation(word, "different", where, one, two, SOURCE)


def _default(where: str, mine: Any, theirs: Any) -> Iterator[Deviation]:
    one, two = default_of(mine) or "none", default_of(theirs) or "none"
    if one != two and {one, two} != {"none", "null"}:
        yield Deviation("argument-default-mismatch", "different", where, one, two, SOURCE)
