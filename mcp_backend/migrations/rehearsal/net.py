"""The net difference that a whole migration makes to the schema, and the functions that still use what is gone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mcp_backend.migrations.rehearsal.catalog import Catalog, Change, Changes, Doc, difference
from mcp_backend.migrations.rehearsal.effects import Effect, World
from mcp_backend.migrations.rehearsal.report import Hazard
from mcp_backend.migrations.rehearsal.words import hazard


@dataclass(frozen=True, slots=True)
class Net:
    """The world before, the catalog after, their difference, and the statements in between."""

    world: World
    end: Catalog
    changes: Changes
    effects: tuple[Effect, ...]

    def there(self, kind: str) -> list[tuple[int, Doc]]:
        """All objects of a kind that are there in the end."""
        return [(key[1], doc) for key, doc in self.end.items() if key[0] == kind]

    def name(self, oid: int) -> str:
        """The name of a relation, as it is in the end or was before."""
        doc = self.end.get(("rel", oid, 0)) or self.world.start.get(("rel", oid, 0))
        return str(doc["name"]) if doc else ""

    def statement(self, change: Change) -> int:
        """The number of the statement that made a change, 0 when it is none alone."""
        for effect in reversed(self.effects):
            if any((c.kind, c.oid, c.sub) == (change.kind, change.oid, change.sub) for c in effect.seen.changes.items):
                return effect.seen.number
        return 0


def net(world: World, end: Catalog, effects: tuple[Effect, ...]) -> Net:
    """What a rehearsal made of the schema."""
    return Net(world, end, difference(world.start, end), effects)


def bodies(net: Net, word: str, beside: str, number: int) -> Iterator[Hazard]:
    """Functions whose text still uses what is gone; PostgreSQL finds out when they are called."""
    changed = {c.oid for c in net.changes.items if c.kind == "proc"}
    for oid, doc in net.there("proc"):
        source = str(doc["source"] or "")
        if oid in changed or doc["sqlbody"] or doc["lang"] in ("c", "internal"):
            continue
        if _mentions(source, word) and (not beside or _mentions(source, beside) or "new." in source.lower()):
            what = f"{beside}.{word}" if beside else word
            yield hazard(
                "function_body_breakage", number, "warn",
                f"the function {doc['name']} still uses {what}: it fails when it is called",
                source="catalog",
            )  # fmt: skip


def _mentions(source: str, word: str) -> bool:
    return re.search(rf"(?<![\w$]){re.escape(word)}(?![\w$])", source, re.IGNORECASE) is not None
