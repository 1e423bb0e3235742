"""Compares schemas of two revisions, each pair of components once per direction, however many operations reach it.

Direction is part of every rule: what a client may send must not shrink, what it may receive must not grow. The ids are
oasdiff's where it has one: https://github.com/oasdiff/oasdiff/blob/main/docs/BREAKING-CHANGES.md
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from mcp_backend.contracts.openapi.fits import Direction
from mcp_backend.contracts.openapi.flat import Flat, Flattener, beside
from mcp_backend.contracts.openapi.rules import limits, null, others, scalars, types
from mcp_backend.contracts.tree import Node
from mcp_backend.contracts.words import Change, Level

Role: TypeAlias = Literal["property", "parameter", "body"]
Key: TypeAlias = tuple[tuple[str, str], tuple[str, str], Direction, Role]
_DEPTH = 60


@dataclass(slots=True)
class Pair:
    """Two schemas that were compared: what differs in them, and the pairs inside that stand by themselves."""

    changes: list[Change] = field(default_factory=list[Change])
    inside: list[Key] = field(default_factory=list[Key])


class Comparer:
    """Compares schemas of an old and a new document."""

    def __init__(self, old: Flattener, new: Flattener, named: Literal["old", "new"] = "new") -> None:
        self.old, self.new = old, new
        self._named = named
        self.pairs: dict[Key, Pair] = {}

    def compare(self, old: Node, new: Node, direction: Direction, where: str, role: Role = "body") -> Key:
        """Compares two schemas, and everything they reach; returns the key of the pair."""
        key: Key = (old.key, new.key, direction, role)
        if key not in self.pairs:
            pair = self.pairs[key] = Pair()
            name = self.new.api.component(new) if self._named == "new" else self.old.api.component(old)
            self._schema(pair, old, new, direction, name or where, role, 0)
        return key

    def reached(self, root: Key) -> Iterator[Key]:
        """The pair and all pairs inside it, each once."""
        seen, todo = {root}, [root]
        while todo:
            key = todo.pop()
            yield key
            for inner in self.pairs[key].inside:
                if inner not in seen:
                    seen.add(inner)
                    todo.append(inner)

    def breaks(self, old: Node, new: Node, direction: Direction) -> bool:
        """Whether going from one schema to the other breaks somebody."""
        key = self.compare(old, new, direction, "", "property")
        return any(c.level == "breaking" for k in self.reached(key) for c in self.pairs[k].changes)

    def _inner(
        self, pair: Pair, old: Node, new: Node, direction: Direction, where: str, depth: int, role: Role = "property"
    ) -> None:
        a, b = self.old.core(old), self.new.core(new)
        if self.old.api.component(a) or self.new.api.component(b) or depth > _DEPTH:
            if a is not old or b is not new:
                # What a wrapper adds is that there may be null; the rest is said once, about what it wraps.
                def say(identifier: str, level: Level, before: object, after: object) -> None:
                    pair.changes.append(Change(identifier, level, where, _short(before), _short(after)))

                null(self.old.flat(old), self.new.flat(new), direction, f"{direction}-property", say)
            pair.inside.append(self.compare(a, b, direction, where, role))
        else:
            self._schema(pair, old, new, direction, where, role, depth + 1)

    def _schema(
        self, pair: Pair, old: Node, new: Node, direction: Direction, where: str, role: Role, depth: int
    ) -> None:
        if old.broken or new.broken:
            return
        one, two = self.old.flat(old), self.new.flat(new)

        def say(identifier: str, level: Level, before: object, after: object, place: str = where) -> None:
            pair.changes.append(Change(identifier, level, place, _short(before), _short(after)))

        prefix = f"{direction}-{'parameter' if role == 'parameter' else 'property'}"
        if one.options or two.options:
            self._options(pair, one, two, direction, where, role, depth)
        elif not types(one, two, direction, prefix, say):
            return
        null(one, two, direction, prefix, say)
        scalars(one, two, direction, prefix, say)
        limits(one, two, direction, prefix, say)
        others(one, two, direction, prefix, say)
        self._properties(pair, *beside(one, two), direction, where, depth)
        if one.items is not None and two.items is not None:
            kept: Role = "parameter" if role == "parameter" else "property"
            self._inner(pair, one.items, two.items, direction, f"{where}[]", depth, kept)
        if isinstance(one.additional, Node) and isinstance(two.additional, Node):
            self._inner(pair, one.additional, two.additional, direction, f"{where}.*", depth)
        elif direction == "request" and two.additional is False and one.additional is not False and one.object:
            # A map whose keys are free has no other fields; elsewhere, few clients send what is not described.
            level: Level = "breaking" if isinstance(one.additional, Node) and not one.properties else "risky"
            say("request-property-additional-properties-forbidden", level, "unknown fields allowed", "refused")

    def _properties(self, pair: Pair, one: Flat, two: Flat, direction: Direction, where: str, depth: int) -> None:
        def say(identifier: str, level: Level, name: str, before: str, after: str) -> None:
            pair.changes.append(Change(identifier, level, f"{where}.{name}", before, after))

        for name, node in one.properties.items():
            about = self.old.flat(node)
            unseen = about.read if direction == "request" else about.write
            if name in two.properties:
                later = self.new.flat(two.properties[name])
                hidden = later.read if direction == "request" else later.write
                if unseen or hidden:
                    self._turned(pair, name, one, two, later, direction, where, unseen=unseen, hidden=hidden)
                else:
                    if direction == "request" and name in two.required and name not in one.required:
                        default = "-with-default" if "default" in later.says else ""
                        say(f"request-property-became-required{default}", "breaking", name, "optional", "required")
                    if direction == "request" and (word := _default(about, later)):
                        was, now = (_short(flat.says.get("default", "none")) for flat in (about, later))
                        say(f"request-property-default-value-{word}", "safe", name, was, now)
                    if direction == "response" and name in one.required and name not in two.required:
                        say("response-property-became-optional", "breaking", name, "always there", "optional")
                    self._inner(pair, node, two.properties[name], direction, f"{where}.{name}", depth)
            elif unseen:
                continue
            else:
                pair.changes.append(_gone(f"{where}.{name}", direction, name in one.required))
        for name, node in two.properties.items():
            if name in one.properties:
                continue
            about = self.new.flat(node)
            if direction == "request" and name in two.required and not about.read:
                default = "-with-default" if "default" in about.says else ""
                say(f"new-required-request-property{default}", "breaking", name, "not there", "required")
            elif not (about.read if direction == "request" else about.write):
                was = "forbidden" if one.additional is False else "not there"
                say(f"{direction}-property-added", "safe", name, was, "there" if name in two.required else "optional")

    def _turned(
        self, pair: Pair, name: str, one: Flat, two: Flat, later: Flat, direction: Direction, where: str,
        *, unseen: bool, hidden: bool,
    ) -> None:  # fmt: skip
        """A field that became `readOnly` is none of requests any more, a `writeOnly` one none of responses."""
        if hidden and not unseen:
            word = "read-only" if direction == "request" else "write-only"
            pair.changes.append(_gone(f"{where}.{name}", direction, name in one.required, word))
        elif unseen and not hidden and direction == "request" and name in two.required:
            word = f"new-required-request-property{'-with-default' if 'default' in later.says else ''}"
            pair.changes.append(Change(word, "breaking", f"{where}.{name}", "read-only", "required"))

    def _options(
        self, pair: Pair, one: Flat, two: Flat, direction: Direction, where: str, role: Role, depth: int
    ) -> None:
        def say(identifier: str, level: Level, before: object, after: object) -> None:
            pair.changes.append(Change(identifier, level, where, _short(before), _short(after)))

        first = one.options or self.old.by_type(one.node)
        second = two.options or self.new.by_type(two.node)
        if not one.options and role == "body" and direction == "request":
            say(
                "request-body-wrapped-in-one-of",
                "breaking",
                self._name(self.old, one.node),
                self._names(self.new, second),
            )
            return
        matched, gone, come, covered = self._matched(first, second, direction)
        for a, b in matched:
            if one.options and two.options:
                self._inner(pair, a, b, direction, where, depth)
        if not (one.options and two.options):
            for a, b in (*matched, *covered):
                self._narrowed(pair, a, b, direction, where, role, depth)
        f, side = (self.old, 0) if direction == "request" else (self.new, 1)
        alike = [both[side] for both in covered if f.api.component(both[side])]
        if one.options and two.options:
            if one.discriminator and two.discriminator and one.discriminator != two.discriminator:
                say(f"{direction}-property-discriminator-changed", "risky", one.discriminator, two.discriminator)
            for node in alike:
                word = "removed" if direction == "request" else "added"
                say(f"{direction}-property-one-of-{word}", "risky", self._name(f, node), f"{word}, like another one")
            fewer, more = ("breaking", "safe") if direction == "request" else ("safe", "breaking")
            for node in gone:
                say(f"{direction}-property-one-of-removed", fewer, self._name(self.old, node), "removed")
            for node in come:
                say(f"{direction}-property-one-of-added", more, "not there", self._name(self.new, node))
        elif direction == "request":
            if gone:
                word = "one-of-removed" if one.options else "type-changed"
                say(f"request-property-{word}", "breaking", self._names(self.old, gone), self._names(self.new, second))
        elif come:
            word = "one-of-added" if two.options and matched else "type-changed"
            say(f"response-property-{word}", "breaking", self._names(self.old, first), self._names(self.new, come))

    def _matched(
        self, first: tuple[Node, ...], second: tuple[Node, ...], direction: Direction
    ) -> tuple[list[tuple[Node, Node]], list[Node], list[Node], list[tuple[Node, Node]]]:
        """Alternatives that stand for each other: by name or mark first, then what goes over without breaking; those
        that are gone, that came, and those of these that one covers which stands for another."""
        left, right = list(first), list(second)
        matched: list[tuple[Node, Node]] = []
        for certain in (True, False):
            for a in list(left):
                for b in right:
                    if self._same(a, b) if certain else self._stands(a, b, direction):
                        matched.append((a, b))
                        left.remove(a)
                        right.remove(b)
                        break
        # What is left may still be covered by an alternative that already stands for another one.
        covered: list[tuple[Node, Node]] = []
        for one in list(left if direction == "request" else right):
            pairs = [(one, b) for b in second] if direction == "request" else [(a, one) for a in first]
            found = next((p for p in pairs if self._tells(*p) and self._covers(*p, direction)), None)
            if found is not None:
                covered.append(found)
                (left if direction == "request" else right).remove(one)
        return matched, left, right, covered

    def _narrowed(self, pair: Pair, a: Node, b: Node, direction: Direction, where: str, role: Role, depth: int) -> None:
        """What differs between a schema and the alternative that stands for it, where the other side has none."""
        if self.old.api.component(a) or self.new.api.component(b) or depth > _DEPTH:
            pair.inside.append(self.compare(a, b, direction, where, role))
            return
        inside = Pair()
        self._schema(inside, a, b, direction, where, role, depth + 1)
        pair.changes += [change for change in inside.changes if change.level != "safe"]
        pair.inside += inside.inside

    def _tells(self, a: Node, b: Node) -> bool:
        """Whether the later alternative describes every field of the earlier one: fields that are all optional are no
        reason to take any object for it."""
        return self.old.flat(a).properties.keys() <= self.new.flat(b).properties.keys()

    def _stands(self, a: Node, b: Node, direction: Direction) -> bool:
        """Whether an alternative stands for one of another name, or without one."""
        named = self.old.api.component(a) and self.new.api.component(b)
        return (not named or self._tells(a, b)) and self._covers(a, b, direction)

    def _covers(self, a: Node, b: Node, direction: Direction) -> bool:
        """Whether one alternative goes over into the other without breaking anybody: never where a field with one
        value, which is how clients tell alternatives apart, has another one."""
        one, two = (f.flat(node).properties for f, node in ((self.old, a), (self.new, b)))
        for name in one.keys() & two.keys():
            before, after = self.old.flat(one[name]).enum, self.new.flat(two[name]).enum
            if before and after and len(before) == len(after) == 1 and before != after:
                return False
        return not self.breaks(a, b, direction)

    def _same(self, a: Node, b: Node) -> bool:
        one, two = self.old.api.component(a), self.new.api.component(b)
        if one and two:
            return one == two
        mark = _mark(self.old, a)
        return mark is not None and mark == _mark(self.new, b)

    def _name(self, f: Flattener, node: Node) -> str:
        flat = f.flat(node)
        return f.api.component(node) or str(node.map.get("title") or " or ".join(sorted(flat.types)) or "a schema")

    def _names(self, f: Flattener, nodes: tuple[Node, ...] | list[Node]) -> str:
        return " | ".join(self._name(f, node) for node in nodes)


def _gone(where: str, direction: Direction, required: bool, now: str = "") -> Change:
    """A field that is not there any more for those who look from this side."""
    if direction == "request":
        return Change("request-property-removed", "risky", where, "accepted", now or "no longer described")
    if required:
        return Change("response-required-property-removed", "breaking", where, "always there", now or "removed")
    return Change("response-optional-property-removed", "risky", where, "optional", now or "removed")


def _default(one: Flat, two: Flat) -> str:
    """What happened to the default of a field; empty where nothing did."""
    before, after = one.says.get("default"), two.says.get("default")
    return "" if before == after else "added" if before is None else "removed" if after is None else "changed"


def _mark(f: Flattener, node: Node) -> tuple[object, ...] | None:
    """What tells an unnamed alternative from its neighbours: a field with one value, its title, its type."""
    flat = f.flat(node)
    for name in sorted(flat.properties):
        values = f.flat(flat.properties[name]).enum
        if values is not None and len(values) == 1:
            return name, str(values[0])
    if title := node.map.get("title"):
        return ("title", str(title))
    return ("type", *sorted(flat.types)) if flat.types and not flat.object else None


def _short(value: object) -> str:
    return str(value)[:160]
