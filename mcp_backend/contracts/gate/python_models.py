"""Compares classes of Python (pydantic models, enums) with the schemas that they are sent or taken as."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from mcp_backend.contracts.gate.found import Placed
from mcp_backend.contracts.gate.python_project import Project
from mcp_backend.contracts.openapi.flat import Flat, Flattener
from mcp_backend.contracts.tree import Node
from mcp_backend.contracts.words import Deviation

Json: TypeAlias = Any
Side: TypeAlias = Literal["request", "response"]
ROOTS = frozenset({"BaseModel", "SQLModel", "RootModel", "GenericModel"})
_SIMPLE = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object",
    "UUID": "string", "UUID4": "string", "datetime": "string", "date": "string", "time": "string", "EmailStr": "string",
    "HttpUrl": "string", "AnyUrl": "string", "bytes": "string", "AwareDatetime": "string", "StrictStr": "string",
    "StrictInt": "integer", "StrictBool": "boolean", "PositiveInt": "integer", "NonNegativeInt": "integer",
}  # fmt: skip
_LISTS = frozenset({"list", "List", "Sequence", "Iterable", "set", "Set", "frozenset", "tuple", "Tuple"})
_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Typed:
    """What an annotation is in JSON. `kinds` empty: open. `items` of a list, `model` of an object."""

    kinds: frozenset[str] = frozenset()
    nullable: bool = False
    values: tuple[Json, ...] = ()
    items: "tuple[str, Json] | None" = None
    model: "tuple[str, str] | None" = None


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a model by their names in JSON, with the file of each. `whole`: every base is known. `plain`:
    nothing but the fields decides what is taken."""

    fields: Mapping[str, tuple[str, Mapping[str, Json]]]
    whole: bool
    plain: bool
    is_model: bool


class Models:
    """Compares, and keeps what it found in `found`."""

    def __init__(self, project: Project, flattener: Flattener) -> None:
        self._project, self._f = project, flattener
        self.found: dict[tuple[str, str], Placed] = {}
        self._done: set[tuple[Any, ...]] = set()
        self._fields: dict[tuple[str, str], Fields] = {}

    def typed(self, file: str, kind: Json, depth: int = 0) -> Typed:
        """What a written type is."""
        if depth > _DEPTH:
            return Typed()
        match kind:
            case ["annotated", inner, _]:
                return self.typed(file, inner, depth + 1)
            case ["or", parts]:
                some = [self.typed(file, part, depth + 1) for part in parts if part != ["none"]]
                null = ["none"] in parts or any(t.nullable for t in some)
                if len(some) == 1:
                    return Typed(some[0].kinds, null, some[0].values, some[0].items, some[0].model)
                known = all(t.kinds for t in some)
                every = frozenset(kind for t in some for kind in t.kinds)
                return Typed(every if known else frozenset(), null)
            case ["literal", values]:
                return Typed(frozenset(_json_type(v) for v in values if v is not None), None in values, tuple(values))
            case ["of", name, [first, *_]] if name in _LISTS:
                return Typed(frozenset({"array"}), items=(file, first))
            case ["of", "dict" | "Dict" | "Mapping", _]:
                return Typed(frozenset({"object"}))
            case ["name", name]:
                return self._named(file, str(name), depth)
            case _:
                return Typed()

    def _named(self, file: str, name: str, depth: int) -> Typed:
        where = self._project.find(file, name)
        if where is None:
            last = name.rpartition(".")[2]
            # A name of our own may be one of these: what is imported or built in is what it says.
            if last in _LISTS:
                return Typed(frozenset({"array"}))
            return Typed(frozenset({_SIMPLE[last]})) if last in _SIMPLE else Typed()
        said = self._project.files[where[0]]
        if where[1] in said["aliases"]:
            return self.typed(where[0], said["aliases"][where[1]], depth + 1)
        if where[1] not in said["classes"]:
            return Typed()
        bases = set(self._bases(where, 0))
        if "RootModel" in bases:  # it is what its root is; a bare `RootModel[…]` is not read
            root = said["classes"][where[1]]["fields"].get("root")
            return Typed() if root is None else self.typed(where[0], root["type"], depth + 1)
        if bases & {"Enum", "StrEnum", "IntEnum"}:
            values = said["classes"][where[1]]["values"]
            return Typed(frozenset(_json_type(v) for v in values), values=tuple(values))
        return Typed(frozenset({"object"}), model=(where[0], where[1])) if bases & ROOTS else Typed()

    def _bases(self, where: tuple[str, str], depth: int) -> list[str]:
        """The last names of all bases."""
        said = self._project.files[where[0]]["classes"].get(where[1])
        found: list[str] = []
        for base in said["bases"] if said and depth < _DEPTH else ():
            found.append(base.rpartition(".")[2])
            if (inner := self._project.find(where[0], base)) is not None:
                found += self._bases(inner, depth + 1)
        return found

    def flat(self, node: Node) -> Flat:
        """A schema made flat."""
        return self._f.flat(node)

    def fields(self, where: tuple[str, str], depth: int = 0) -> Fields:
        """The fields of a model and of its bases."""
        if where not in self._fields:
            self._fields[where] = self._read(where, depth)
        return self._fields[where]

    def _read(self, where: tuple[str, str], depth: int) -> Fields:
        said = self._project.files[where[0]]["classes"].get(where[1])
        if said is None or depth > _DEPTH:
            return Fields({}, False, False, False)
        found: dict[str, tuple[str, Mapping[str, Json]]] = {}
        whole, plain, is_model = True, not said["unsure"], False
        for base in reversed(said["bases"]):
            if base.rpartition(".")[2] in ROOTS:
                is_model = True
                continue
            inner = self._project.find(where[0], base)
            if inner is None or inner[1] not in self._project.files[inner[0]]["classes"]:
                whole = whole and base.rpartition(".")[2] in ("Generic", "ABC", "Protocol")
                continue
            up = self.fields(inner, depth + 1)
            found |= up.fields
            whole, plain, is_model = whole and up.whole, plain and up.plain, is_model or up.is_model
        for name, field in said["fields"].items():
            if not name.startswith("_") and field["type"][:2] != ["of", "ClassVar"]:
                shown = self._project.text(where[0], field.get("name", name))
                found[shown or name] = (where[0], field)
                whole = whole and shown is not None
        return Fields(found, whole, plain, is_model)

    def compare(
        self,
        node: Node,
        file: str,
        kind: Json,
        where: str,
        operation: str,
        side: Side,
        line: int,
        *,
        loose: bool = False,
    ) -> None:
        """Compares a written type with a schema. `loose`: fields may be left out on sending."""
        self._compare(node, self.typed(file, kind), where, operation, side, (file, line), loose, 0)

    def _compare(
        self, node: Node, typed: Typed, where: str, operation: str, side: Side, place: tuple[str, int],
        loose: bool, depth: int,
    ) -> None:  # fmt: skip
        flat, where = self._f.flat(node), self._f.name(node) or where
        if node.broken or flat.anything or flat.options or depth > _DEPTH or not typed.kinds:
            return
        wanted = {*flat.types, *(["integer"] if "number" in flat.types else [])}
        if wanted and not typed.kinds & wanted and not (flat.object and "object" in typed.kinds):
            self.add("type-mismatch", "different", where, _or(flat.types), _or(typed.kinds), operation, place)
            return
        if typed.values and flat.enum is not None:
            for value in typed.values:
                if value is not None and value not in flat.enum:
                    self.add("enum-value-extra", "extra", where, _list(flat.enum), str(value), operation, place)
        elif flat.enum is not None and side == "request" and typed.kinds == frozenset({"string"}):
            self.add("constraint-not-enforced", "different", where, _list(flat.enum), "any text", operation, place)
        if typed.items is not None and flat.items is not None:
            inner = self.typed(*typed.items)
            self._compare(flat.items, inner, f"{where}[]", operation, side, place, loose, depth + 1)
        if typed.model is not None and (flat.object or flat.properties):
            self._model(flat, typed.model, where, operation, side, loose, depth)

    def _model(
        self, flat: Flat, model: tuple[str, str], where: str, operation: str, side: Side, loose: bool, depth: int
    ) -> None:
        if (flat.node.key, model, side, loose) in self._done:
            return
        self._done.add((flat.node.key, model, side, loose))
        known = self.fields(model)
        line = int(self._project.files[model[0]]["classes"][model[1]]["line"])
        for name, node in flat.properties.items():
            about, place = self._f.flat(node), f"{where}.{name}"
            if about.write if side == "response" else about.read:
                continue
            if name not in known.fields:
                if name in flat.required and known.whole and known.plain and side == "response":
                    actual = f"{model[1]} has no such field"
                    self.add(
                        "required-field-missing", "missing", place, "always there", actual, operation, (model[0], line)
                    )
                continue
            file, field = known.fields[name]
            at = (file, int(field["line"]))
            typed = self.typed(file, field["type"])
            open_ = about.nullable or about.anything or about.options or loose
            if side == "response" and typed.nullable and not open_:
                self.add("null-not-allowed", "different", place, "never null", "may be null", operation, at)
            if side == "request" and known.plain:
                self._taken(flat, about, name, field, typed, place, operation, at)
            self._compare(node, typed, place, operation, side, at, loose, depth + 1)
        for name in sorted(known.fields.keys() - flat.properties.keys()):
            file, field = known.fields[name]
            if side == "response" and flat.additional is False and known.plain:
                actual = f"{model[1]} has it"
                self.add("field-extra", "extra", f"{where}.{name}", "no such field", actual, operation,
                          (file, int(field["line"])))  # fmt: skip
            elif side == "request" and field["required"] and known.plain and known.whole and flat.properties:
                actual = f"{model[1]} refuses a request without it"
                at = (file, int(field["line"]))
                self.add("request-property-extra-required", "extra", f"{where}.{name}", "no such field", actual,
                         operation, at)  # fmt: skip

    def _taken(
        self, flat: Flat, about: Flat, name: str, field: Mapping[str, Json], typed: Typed, place: str, operation: str,
        at: tuple[str, int],
    ) -> None:  # fmt: skip
        if name in flat.required and not field["required"]:
            self.add("request-required-not-enforced", "different", place, "required", "optional", operation, at)
        elif name not in flat.required and field["required"]:
            self.add("request-property-extra-required", "extra", place, "optional", "required", operation, at)
        if typed.kinds and field["type"][0] in ("name", "or", "annotated") and not typed.values:
            self.limits(about, field, typed, place, operation, at)

    def limits(
        self, about: Flat, said: Mapping[str, Json], typed: Typed, place: str, operation: str, at: tuple[str, int]
    ) -> None:
        """Limits of the schema that a field or parameter of a plain type does not have."""
        bare = said["type"] if said["type"][0] == "name" else next(
            (p for p in (said["type"][1] if said["type"][0] == "or" else [said["type"][1]]) if p[0] == "name"), ["any"]
        )  # fmt: skip
        if bare[0] != "name" or bare[1] not in ("str", "int", "float"):
            return
        fitting = ("minLength", "maxLength") if "string" in typed.kinds else ("minimum", "maximum")
        for limit in fitting:
            wanted, has = about.limits.get(limit), said.get("limits", {})
            if wanted is None or (limit in has and has[limit] is None) or (limit == "minLength" and wanted == 0):
                continue
            mine = has.get(limit)
            looser = mine is None or (mine > wanted if limit.startswith("max") else mine < wanted - 1)
            if looser and "pattern" not in has:
                self.add("constraint-not-enforced", "different", place, f"{limit} {wanted:g}",
                          "no limit" if mine is None else f"{limit} {mine:g}", operation, at)  # fmt: skip

    def add(
        self, word: str, kind: Literal["missing", "extra", "different"], where: str, expected: str, actual: str,
        operation: str, place: tuple[str, int],
    ) -> None:  # fmt: skip
        """Notes a deviation."""
        found = Deviation(word, kind, where, expected, actual, "static")
        self.found.setdefault((word, where), Placed(found, operation, *place))


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "integer" if isinstance(value, int) else "number" if isinstance(value, float) else "string"


def _or(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))


def _list(values: tuple[Json, ...]) -> str:
    return ", ".join(map(str, values[:10]))
