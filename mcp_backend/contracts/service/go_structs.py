# ruff: noqa: E501 - conditions and notes of one rule stand together
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Compares structs of Go with the schemas that they are sent as: https://pkg.go.dev/encoding/json#Marshal"""

import re
from collections.abc import Mapping

from mcp_backend.contracts.openapi.flat import Flat, Flattener
from mcp_backend.contracts.service.generated import UNDESCRIBED
from mcp_backend.contracts.service.go_pointers import always_set
from mcp_backend.contracts.service.go_source import GoNode, Module, text, walk
from mcp_backend.contracts.words import Deviation, Unverified

_NUMBERS = re.compile(r"^u?int(8|16|32|64|ptr)?$|^byte$|^rune$")
_TAG = re.compile(r'(\w+):"([^"]*)"')


class Structs:
    """What structs of a module deviate in. `found` and `unverified` grow with each comparison."""

    def __init__(self, flattener: Flattener, module: Module) -> None:
        self._f = flattener
        self._module = module
        self.found: dict[tuple[str, str], Deviation] = {}
        self.unverified: list[Unverified] = []

    def struct(self, flat: Flat, kind: str, where: str, depth: int, near: str = "") -> None:
        """Compares a struct with the schema of what it is sent as. `near` is a file that speaks of it."""
        known = self._module.type_of(kind, near) if near else self._module.types.get(kind)
        if known is None or depth > 4:
            return
        near, kind = known[1], kind.rpartition(".")[2]
        fields, whole = self._fields(known, 0)
        if not fields:
            return
        for name, node in flat.properties.items():
            place, about = f"{where}.{name}", self._f.flat(node)
            if about.write:
                continue
            if name not in fields:
                if name in flat.required and whole:
                    self.add("required-field-missing", "missing", place, "always there", f"{kind} has no such field")
                elif name in flat.required:
                    self.unverified.append(Unverified(place, f"{kind} embeds what cannot be read"))
                continue
            written, options = fields[name]
            if name in flat.required and "omitempty" in options and not written.startswith(("[]byte",)):
                self.add(
                    "required-field-missing",
                    "missing",
                    place,
                    "always there",
                    f"{kind} leaves it out when empty (omitempty)",
                )
            self._field(
                place,
                about,
                written,
                options,
                depth,
                near,
                always_set(self._module, kind, name) if written.startswith("*") else False,
            )
        for name in sorted(fields.keys() - flat.properties.keys()):
            if flat.additional is False:
                self.add("field-extra", "extra", f"{where}.{name}", "no such field", f"{kind} has it")
            else:
                self.unverified.append(Unverified(f"{where}.{name}", UNDESCRIBED))

    def _field(self, place: str, about: Flat, written: str, options: str, depth: int, near: str, given: bool) -> None:
        pointer = written.startswith("*")
        kinds, enum = self._json(written.lstrip("*"), near, 0)
        if "string" in options.split(",")[1:]:
            kinds = frozenset({"string"})
        if not kinds or about.anything or about.options:
            return
        wanted = about.types | ({"integer"} if "number" in about.types else set())
        if wanted and not kinds & wanted:
            self.add("type-mismatch", "different", place, " or ".join(sorted(about.types)), written)
        if pointer and not about.nullable and "omitempty" not in options and not given:
            self.add("null-not-allowed", "different", place, "never null", written)
        if about.enum is not None and enum:
            for value in enum:
                if value not in about.enum:
                    self.add("enum-value-extra", "extra", place, ", ".join(map(str, about.enum[:10])), value)
        if about.items is not None and written.startswith("[") and self._f.flat(about.items).object:
            inner = re.sub(r"^(\[\d*\]|\*)+", "", written)
            self.struct(self._f.flat(about.items), inner, self._f.name(about.items) or f"{place}[]", depth + 1, near)
        elif about.properties:
            self.struct(about, written.lstrip("*"), self._f.name(about.node) or place, depth + 1, near)

    def _json(self, written: str, near: str, depth: int) -> tuple[frozenset[str], list[str]]:
        """What a Go type is in JSON, and the constants of a named text type. Empty where that is open."""
        if _NUMBERS.match(written):
            return frozenset({"integer"}), []
        simple = {"string": "string", "bool": "boolean", "float32": "number", "float64": "number", "time.Time": "string",
                  "uuid.UUID": "string", "[]byte": "string", "time.Duration": "integer"}  # fmt: skip
        if written in simple:
            return frozenset({simple[written]}), []
        if written.startswith("["):
            return frozenset({"array"}), []
        if written.startswith(("map[", "struct")):
            return frozenset({"object"}), []
        known = self._module.type_of(written, near)
        name = written.rpartition(".")[2]
        own = (f for word in ("MarshalJSON", "MarshalText") for f in self._module.functions.get(word, []))
        if known is None or depth > 4 or any(f.receiver == name for f in own):
            return frozenset(), []
        kinds, _ = self._json(text(known[0]) if known[0].type != "struct_type" else "struct", known[1], depth + 1)
        return kinds, [] if name in self._module.twice else self._module.typed.get(name, [])

    def _fields(self, known: tuple[GoNode, str], depth: int) -> tuple[Mapping[str, tuple[str, str]], bool]:
        """The JSON fields of a struct, name → Go type and the rest of its tag, and whether that is all of them.
        Embedded structs are taken in."""
        node, near = known
        found: dict[str, tuple[str, str]] = {}
        whole = True
        if node.type != "struct_type" or depth > 4:
            return found, False
        for declared in walk(node):
            if declared.type != "field_declaration" or declared.parent.parent.id != node.id:
                continue
            names = [text(n) for n in declared.children_by_field_name("name")]
            written = text(declared.child_by_field_name("type"))
            tags = dict(_TAG.findall(text(declared.child_by_field_name("tag"))))
            tag = tags.get("json", "")
            if tag == "-":
                continue
            own = tag.partition(",")[0]
            if not names and not own and not written.startswith("sync."):
                embedded = self._module.type_of(written.lstrip("*"), near)
                inner, all_of_it = self._fields(embedded, depth + 1) if embedded else ({}, False)
                whole = whole and all_of_it
                found |= {k: v for k, v in inner.items() if k not in found}
                continue
            for name in names or [written]:
                if own or name[:1].isupper():
                    found[own or name] = (written, tag)
        return found, whole

    def add(self, word: str, kind: str, where: str, expected: str, actual: str) -> None:
        """Notes a deviation."""
        self.found.setdefault((word, where), Deviation(word, kind, where, expected, actual, "static"))  # pyright: ignore[reportArgumentType]


def element(written: str, array: bool) -> str:
    """The named type of an expression's type, without pointers and package; of its elements for a list."""
    if array and not written.startswith("["):
        return ""
    return re.sub(r"^(\[\d*\]|\*)+", "", written).rpartition(".")[2]
