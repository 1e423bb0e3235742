"""What two moments of a schema differ in, in words and as facts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mcp_backend.engines.ch import definition
from mcp_backend.migrations.clickhouse.language import Name
from mcp_backend.migrations.clickhouse.probing import bare, nullable
from mcp_backend.migrations.clickhouse.target import Column, Schema, Table


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of a schema. `renamed` tables keep their identity under another name."""

    made: tuple[Table, ...]
    gone: tuple[Table, ...]
    renamed: tuple[tuple[Table, Table], ...]
    replaced: tuple[tuple[Table, Table], ...]
    columns: tuple[tuple[Table, Column | None, Column | None], ...]


def changes(before: Schema, after: Schema) -> Changes:
    """Everything that is not the same; tables behind views are left to the views."""
    old, new = _shown(before), _shown(after)
    by_uuid = {t.uuid: t for t in new.values() if not t.uuid.startswith("00000000")}
    renamed = tuple((t, by_uuid[t.uuid]) for n, t in old.items() if t.uuid in by_uuid and by_uuid[t.uuid].name != n)
    was, now = {a.name for a, _ in renamed}, {b.name for _, b in renamed}
    both = [(old[n], new[n]) for n in old if n in new and n not in was]
    pairs = [*both, *renamed]
    return Changes(
        tuple(t for n, t in new.items() if n not in old and n not in now),
        tuple(t for n, t in old.items() if n not in new and n not in was),
        renamed,
        tuple((a, b) for a, b in both if a.uuid != b.uuid and a.stored),
        tuple(found for a, b in pairs for found in _columns(a, b)),
    )


def lines(before: Schema, after: Schema) -> tuple[str, ...]:
    """The difference for people, one line for each thing."""
    found = changes(before, after)
    said = [f"+ {_kind(t)} {shown(t.name)}: {_engine(t)}" for t in found.made]
    said += [f"- {_kind(t)} {shown(t.name)}" for t in found.gone]
    said += [f"~ {shown(a.name)} is now {shown(b.name)}" for a, b in found.renamed]
    said += [f"~ {shown(a.name)} was made anew" for a, _ in found.replaced]
    for table, old, new in found.columns:
        place = f"{shown(table.name)}.{(new or old).name}"  # type: ignore[union-attr]
        if old is None and new is not None:
            said.append(f"+ column {place} {new.type}")
        elif new is None and old is not None:
            said.append(f"- column {place} {old.type}")
        elif old is not None and new is not None:
            kinds = old.type != new.type
            said.append(f"~ column {place}: {f'{old.type} -> {new.type}' if kinds else 'default, codec or comment'}")
    old_tables, renamed = _shown(before), {b.name: a for a, b in found.renamed}
    for name, table in _shown(after).items():
        was = renamed.get(name) or old_tables.get(name)
        if was is not None and was.ddl != table.ddl:
            said += [f"~ {shown(name)}: {line}" for line in _clauses(was.ddl, table.ddl)]
    return tuple(said)


def shown(name: Name) -> str:
    """A name for people."""
    return ".".join(part for part in name if part)


def compatible(old: str, new: str) -> str:
    """How clients take the change of a type: `same` as before, `wider` when only NULL or a zone came, else `other`."""
    one, other = bare(old), bare(new)
    if one == other and nullable(old) == nullable(new):
        return "same"
    if one.startswith("Enum") and other.startswith("Enum") and _members(one).items() <= _members(other).items():
        return "same" if nullable(old) == nullable(new) else "wider"
    if one == other and nullable(new):
        return "wider"
    if one.startswith("DateTime") and re.sub(r"\(.*", "", one) == re.sub(r"\(.*", "", other):
        return "wider"
    return "other"


def _members(kind: str) -> Mapping[str, str]:
    return dict(re.findall(r"('(?:[^'\\]|\\.)*')\s*=\s*(-?\d+)", kind))


def _columns(old: Table, new: Table) -> Iterator[tuple[Table, Column | None, Column | None]]:
    for name in [*old.columns, *(n for n in new.columns if n not in old.columns)]:
        a, b = old.columns.get(name), new.columns.get(name)
        if a is None or b is None or (a.type, a.default_kind, a.about) != (b.type, b.default_kind, b.about):
            yield new, a, b


def _shown(schema: Schema) -> dict[Name, Table]:
    return {name: table for name, table in schema.tables.items() if not name[1].startswith(".inner")}


def _kind(table: Table) -> str:
    kinds = {"View": "view", "MaterializedView": "materialised view", "Dictionary": "dictionary"}
    return kinds.get(table.engine, "table")


def _engine(table: Table) -> str:
    found = definition.parse(table.ddl)
    parts = [found.clauses.get("ENGINE", table.engine)]
    parts += [f"{word} BY {found.clauses[word]}" for word in ("PARTITION", "ORDER") if word in found.clauses]
    parts += [f"TTL {found.clauses['TTL']}"] if "TTL" in found.clauses else []
    return " ".join(parts)


def _clauses(before: str, after: str) -> Iterator[str]:
    one, other = definition.parse(before), definition.parse(after)
    for word in sorted({*one.clauses, *other.clauses} - {"COMMENT"}):
        if one.clauses.get(word) != other.clauses.get(word):
            yield f"{word} {one.clauses.get(word, 'none')} -> {other.clauses.get(word, 'none')}"
    if one.clauses.get("COMMENT") != other.clauses.get("COMMENT"):
        yield "its comment"
    for item in sorted({*one.items} - {*other.items}):
        yield f"- {item[0].lower()} {item[1]}"
    for item in sorted({*other.items} - {*one.items}):
        yield f"+ {item[0].lower()} {item[1]} {item[2]}"
