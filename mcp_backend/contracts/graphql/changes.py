# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""What changed between two GraphQL schemas: graphql-core's own judgement, with the operations a change reaches."""

import re
from collections.abc import Iterator
from typing import Any

from mcp_backend.contracts.graphql.show import roots
from mcp_backend.contracts.words import LEVELS, Change

REACH = 40
"""Types from a root field on that count as reached by it."""


def changes(old: Any, new: Any) -> list[Change]:
    """All changes, the breaking ones first."""
    from graphql.utilities import BreakingChange, DangerousChange, find_schema_changes

    users = _users(old)
    found: list[Change] = []
    for change in find_schema_changes(old, new):
        level = (
            "breaking"
            if isinstance(change, BreakingChange)
            else "risky"
            if isinstance(change, DangerousChange)
            else "safe"
        )
        named = re.search(r"[A-Za-z_]\w*(?:\.\w+)?(?:\(\w+:?\))?", _place(change.description))
        where = named.group(0) if named else "*"
        operations = tuple(sorted(users.get(where.partition(".")[0], ())))
        found.append(Change(change.type.name, level, where, after=change.description[:240], operations=operations))
    found += _one_of(old, new, users)
    return sorted(found, key=lambda c: (LEVELS.index(c.level), c.id, c.where))


def _one_of(old: Any, new: Any, users: dict[str, set[str]]) -> Iterator[Change]:
    """Input objects of which exactly one field may be given now: https://spec.graphql.org/September2025/#sec-OneOf-Input-Objects"""
    for name, kind in old.type_map.items():
        later = new.type_map.get(name)
        if not getattr(kind, "is_one_of", False) and getattr(later, "is_one_of", False):
            reached = tuple(sorted(users.get(name, ())))
            yield Change("INPUT_OBJECT_BECAME_ONE_OF", "breaking", name, "any fields", "exactly one field", reached)


def _place(description: str) -> str:
    """The first name in a description that is a coordinate rather than an English word."""
    names = re.findall(r"(?<![\w@])@?[A-Za-z_]\w*(?:\.\w+)?", description)
    dotted = [n for n in names if "." in n]
    capital = [n for n in names if n[:1].isupper() and n not in ("Standard", "Input", "The", "A", "An")]
    return (dotted or capital or names or ["*"])[0].lstrip("@")


def _users(schema: Any) -> dict[str, set[str]]:
    """The root fields by the types they reach."""
    from graphql import get_named_type

    found: dict[str, set[str]] = {}
    for root, name, field in roots(schema):
        found.setdefault(root, set())
        todo, seen = [get_named_type(field.type), *(get_named_type(a.type) for a in field.args.values())], set[str]()
        while todo and len(seen) < REACH:
            kind = todo.pop(0)
            if kind.name in seen:
                continue
            seen.add(kind.name)
            found.setdefault(kind.name, set()).add(f"{root}.{name}")
            todo += [get_named_type(f.type) for f in getattr(kind, "fields", {}).values()]
    return found
