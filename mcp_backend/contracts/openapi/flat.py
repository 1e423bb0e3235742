"""A schema made flat: `allOf` merged, the ways to write null, `const` and exclusive limits made one.

https://json-schema.org/draft/2020-12/json-schema-validation; for `nullable`,
https://github.com/OAI/OpenAPI-Specification/blob/main/proposals/2019-10-31_Clarify_Nullable.md
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from mcp_backend.contracts.tree import Node, Tree

LIMITS = (
    "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
)  # fmt: skip
_DEPTH = 40


@dataclass(frozen=True, slots=True)
class Flat:
    """What a schema says by itself. `types` without null; empty for any. `additional` is `None` where it is not said.
    `options` are the alternatives of `oneOf` and `anyOf`; `read` and `write` for `readOnly` and `writeOnly`."""

    node: Node
    types: frozenset[str] = frozenset()
    nullable: bool = False
    properties: Mapping[str, Node] = field(default_factory=dict[str, Node])
    required: frozenset[str] = frozenset()
    items: Node | None = None
    additional: Node | bool | None = None
    enum: tuple[Any, ...] | None = None
    options: tuple[Node, ...] = ()
    exclusive: bool = False
    discriminator: str = ""
    format: str = ""
    pattern: str = ""
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    read: bool = False
    write: bool = False
    says: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def anything(self) -> bool:
        """Whether it accepts everything."""
        return not (self.types or self.properties or self.enum is not None or self.options or self.items)

    @property
    def object(self) -> bool:
        """Whether it describes an object."""
        return "object" in self.types or bool(self.properties and not self.types)


class Flattener:
    """Flat schemas of one document, each made once."""

    def __init__(self, api: Tree) -> None:
        self.api = api
        self._made: dict[tuple[str, str], Flat] = {}

    def flat(self, node: Node) -> Flat:
        """The flat form of a schema."""
        if node.key not in self._made:
            self._made[node.key] = self._flat(node, 0)
        return self._made[node.key]

    def core(self, node: Node) -> Node:
        """The schema that a wrapper of one (`allOf` of one, a choice between one and null) is about, else the node."""
        for _ in range(5):
            if self.api.component(node) or node.map.get("properties"):
                break
            options, _ = self._options(node)
            parts = [self.api.child(node, "allOf", str(i)) for i in range(len(_list(node.map.get("allOf"))))]
            if len(options) + len(parts) != 1:
                break
            node = (*options, *parts)[0]
        return node

    def by_type(self, node: Node) -> tuple[Node, ...]:
        """A schema of several types as the alternatives that it stands for; the schema itself where it is of one."""
        flat = self.flat(node)
        if len(flat.types) < 2 or not isinstance(node.map.get("type"), list) or "allOf" in node.map:
            return (node,)
        found: list[Node] = []
        for kind in sorted(flat.types):
            one = Node(node.path, f"{node.pointer} {kind}", node.value)
            self._made[one.key] = _of_type(flat, one, kind)
            found.append(one)
        return tuple(found)

    def name(self, node: Node) -> str:
        """The name of the component that a schema is, or wraps; empty for an inline one."""
        return self.api.component(self.core(node))

    def _flat(self, node: Node, depth: int) -> Flat:
        says = node.map
        types, nullable = _types(says)
        enum = _enum(says)
        if enum is not None and None in enum:
            enum, nullable = tuple(v for v in enum if v is not None), True
        options, optional_null = self._options(node)
        merged = Flat(
            node,
            types,
            nullable or optional_null,
            {name: self.api.child(node, "properties", name) for name in _keys(says.get("properties"))},
            frozenset(str(n) for n in _list(says.get("required"))),
            self.api.child(node, "items") if isinstance(says.get("items"), dict) else None,
            self._additional(node),
            enum,
            options if len(options) != 1 else (),
            "oneOf" in says,
            str(cast("dict[str, Any]", says.get("discriminator") or {}).get("propertyName", ""))
            if isinstance(says.get("discriminator"), dict)
            else str(says.get("discriminator") or ""),
            str(says.get("format") or ""),
            str(says.get("pattern") or ""),
            _limits(says),
            says.get("readOnly") is True,
            says.get("writeOnly") is True,
            says,
        )
        parts = [self.api.child(node, "allOf", str(i)) for i in range(len(_list(says.get("allOf"))))]
        if len(options) == 1:  # a choice of one, or of one and null, is that one
            parts.append(options[0])
        if depth < _DEPTH:
            for part in parts:
                merged = _merged(merged, self._flat(part, depth + 1))
        return merged

    def _options(self, node: Node) -> tuple[tuple[Node, ...], bool]:
        found: list[Node] = []
        null = False
        for key in ("oneOf", "anyOf"):
            for index in range(len(_list(node.map.get(key)))):
                option = self.api.child(node, key, str(index))
                if option.map.get("type") == "null" or option.map.get("enum") == [None]:
                    null = True
                else:
                    found.append(option)
        return tuple(found), null

    def _additional(self, node: Node) -> Node | bool | None:
        said = node.map.get("additionalProperties", node.map.get("unevaluatedProperties"))
        if isinstance(said, bool):
            return said
        return self.api.child(node, "additionalProperties") if isinstance(said, dict) else None


def _merged(one: Flat, two: Flat) -> Flat:
    types = one.types & two.types if one.types and two.types else one.types or two.types
    enum = (
        one.enum if two.enum is None else two.enum if one.enum is None else tuple(v for v in one.enum if v in two.enum)
    )
    return Flat(
        one.node,
        types or one.types or two.types,
        one.nullable or (two.nullable and not one.types),
        {**two.properties, **one.properties},
        one.required | two.required,
        one.items or two.items,
        one.additional if one.additional is not None else two.additional,
        enum,
        one.options or two.options,
        one.exclusive or two.exclusive,
        one.discriminator or two.discriminator,
        one.format or two.format,
        one.pattern or two.pattern,
        _tightest(one.limits, two.limits),
        one.read or two.read,
        one.write or two.write,
        {**two.says, **one.says},
    )


_OWN = {
    "object": ("Properties",),
    "array": ("Items",),
    "string": ("Length",),
    "number": ("imum",),
    "integer": ("imum",),
}
"""How the limits end that a type has: https://json-schema.org/draft/2020-12/json-schema-validation#section-6"""


def _of_type(flat: Flat, node: Node, kind: str) -> Flat:
    """What a schema of several types says of the values of one of them."""
    shown = flat if kind == "object" else replace(flat, properties={}, required=frozenset[str](), additional=None)
    limits = {key: value for key, value in flat.limits.items() if key.endswith(_OWN.get(kind, ()))}
    return replace(
        shown, node=node, types=frozenset({kind}), nullable=False, items=flat.items if kind == "array" else None,
        limits=limits, pattern=flat.pattern if kind == "string" else "",
    )  # fmt: skip


def beside(one: Flat, two: Flat) -> tuple[Flat, Flat]:
    """The fields to compare: where one side alone has alternatives, those beside them, as the others are in these."""
    if one.options and not two.options:
        two = replace(two, properties={n: p for n, p in two.properties.items() if n in one.properties})
    elif two.options and not one.options:
        one = replace(one, properties={n: p for n, p in one.properties.items() if n in two.properties})
    return one, two


def _types(says: Mapping[str, Any]) -> tuple[frozenset[str], bool]:
    said: Any = says.get("type")
    names = (
        {str(t) for t in cast("list[Any]", said)}
        if isinstance(said, list)
        else {said}
        if isinstance(said, str)
        else set[str]()
    )
    nullable = "null" in names or says.get("nullable") is True or says.get("x-nullable") is True
    return frozenset(names - {"null"}), nullable


def _enum(says: Mapping[str, Any]) -> tuple[Any, ...] | None:
    if "const" in says:
        return (says["const"],)
    return tuple(_list(says["enum"])) if isinstance(says.get("enum"), list) else None


def _tightest(one: Mapping[str, float], two: Mapping[str, float]) -> dict[str, float]:
    """What is left when both have to be kept."""
    closest = {key: min if key.startswith("max") else max for key in one.keys() & two.keys()}
    return {**two, **one} | {key: choose(one[key], two[key]) for key, choose in closest.items()}


def shown(key: str, limit: float | None) -> object:
    """A limit as people read it: `below 10` for the number that comes right before 10."""
    if not isinstance(limit, float) or limit.is_integer() or not math.isfinite(limit):
        return limit
    upper = key.startswith("max")
    bound = math.nextafter(limit, math.inf if upper else -math.inf)
    return f"{'below' if upper else 'above'} {bound:g}" if len(repr(bound)) + 6 < len(repr(limit)) else limit


def _limits(says: Mapping[str, Any]) -> dict[str, float]:
    """The limits, the exclusive ones as the next integer, or number, that is allowed."""
    found = {key: says[key] for key in LIMITS if _number(says.get(key))}
    whole = "integer" in (kinds := _types(says)[0]) and "number" not in kinds
    for key, exclusive, closest, step in (
        ("minimum", "exclusiveMinimum", max, 1), ("maximum", "exclusiveMaximum", min, -1),
    ):  # fmt: skip
        said: Any = says.get(exclusive)
        if _number(said):
            bound = _next(said, step, whole=whole)
            found[key] = closest(found[key], bound) if key in found else bound
        elif said is True and key in found:  # version 3.0: a mark beside the limit
            found[key] = _next(found[key], step, whole=whole)
    return found


def _next(limit: float, step: int, *, whole: bool) -> float:
    if whole:
        return limit + step
    return math.nextafter(limit, math.inf * step)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _keys(value: Any) -> list[str]:
    return list(cast("dict[str, Any]", value)) if isinstance(value, dict) else []
