# ruff: noqa: E501 - conditions and notes of one rule stand together
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Compares structs of Go with the schemas that they are sent as: https://pkg.go.dev/encoding/json#Marshal"""

import re
from collections.abc import Mapping

from mcp_backend.contracts.openapi.flat import Flat, Flattener
from mcp_backend.contracts.service.generated import UNDESCRIBED
from mcp_backend.contracts.service.go_pointers import always_set
from mcp_backend.contracts.service.go_source import Module, text, walk
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

    def struct(self, flat: Flat, kind: str, where: str, depth: int) -> None:
        """Compares a struct with the schema of what it is sent as."""
        fields = self._fields(kind, 0)
        if not fields or depth > 4:
            return
        for name, node in flat.properties.items():
            place, about = f"{where}.{name}", self._f.flat(node)
            if about.write:
                continue
            if name not in fields:
                if name in flat.required:
                    self.add("required-field-missing", "missing", place, "always there", f"{kind} has no such field")
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
                always_set(self._module, kind, name) if written.startswith("*") else False,
            )
        for name in fields.keys() - flat.properties.keys():
            if flat.additional is False:
                self.add("field-extra", "extra", f"{where}.{name}", "no such field", f"{kind} has it")
            else:
                self.unverified.append(Unverified(f"{where}.{name}", UNDESCRIBED))

    def _field(self, place: str, about: Flat, written: str, options: str, depth: int, given: bool) -> None:
        pointer = written.startswith("*")
        kinds, enum = self._json(written.lstrip("*"), 0)
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
        inner = element(written, array=True)
        if about.items is not None and inner in self._module.types and self._f.flat(about.items).object:
            self.struct(self._f.flat(about.items), inner, self._f.name(about.items) or f"{place}[]", depth + 1)
        elif about.properties and written.lstrip("*") in self._module.types:
            self.struct(about, written.lstrip("*"), self._f.name(about.node) or place, depth + 1)

    def _json(self, written: str, depth: int) -> tuple[frozenset[str], list[str]]:
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
        known = self._module.types.get(written)
        if (
            known is None
            or depth > 4
            or (
                self._module.function("MarshalJSON", written)
                and any(f.receiver == written for f in self._module.functions.get("MarshalJSON", []))
            )
        ):
            return frozenset(), []
        kinds, _ = self._json(text(known[0]) if known[0].type != "struct_type" else "struct", depth + 1)
        return kinds, self._module.typed.get(written, [])

    def _fields(self, kind: str, depth: int) -> Mapping[str, tuple[str, str]]:
        """The JSON fields of a struct: name → Go type and the rest of its tag. Embedded structs are taken in."""
        node, _ = self._module.types.get(kind, (None, ""))
        found: dict[str, tuple[str, str]] = {}
        if node is None or node.type != "struct_type" or depth > 4:
            return found
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
            if not names and not own:
                found |= {
                    k: v
                    for k, v in self._fields(written.lstrip("*").rpartition(".")[2], depth + 1).items()
                    if k not in found
                }
            for name in names or [written]:
                if own or name[:1].isupper():
                    found[own or name] = (written, tag)
        return found

    def add(self, word: str, kind: str, where: str, expected: str, actual: str) -> None:
        """Notes a deviation."""
        self.found.setdefault((word, where), Deviation(word, kind, where, expected, actual, "static"))  # pyright: ignore[reportArgumentType]


def element(written: str, array: bool) -> str:
    """The named type of an expression's type, without pointers and package; of its elements for a list."""
    if array and not written.startswith("["):
        return ""
    return re.sub(r"^(\[\d*\]|\*)+", "", written).rpartition(".")[2]
