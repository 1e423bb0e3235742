"""Whether the data of a GraphQL answer has the shape that the schema and the query promise.

https://spec.graphql.org/draft/#sec-Executing-Selection-Sets
"""

from collections.abc import Iterator
from typing import Any, cast

from mcp_backend.contracts.words import Deviation

MOST = 20
ITEMS = 100
_SCALARS: dict[str, tuple[type, ...]] = {
    "Int": (int,), "Float": (int, float), "String": (str,), "Boolean": (bool,), "ID": (str, int)
}  # fmt: skip


class Shape:
    """One operation of a document on a schema."""

    def __init__(self, schema: Any, document: Any, operation: Any) -> None:
        from graphql import FragmentDefinitionNode

        self._schema = schema
        self._root = schema.get_root_type(operation.operation)
        self._operation = operation
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}

    def look(self, data: Any, *, failed: bool) -> list[Deviation]:
        """What differs, at most `MOST`. Where the answer tells of errors, null is one of their consequences only where
        the schema allows it."""
        found: list[Deviation] = []
        if self._root is None or (data is None and failed):
            return found
        for deviation in self._object(self._root, [self._operation.selection_set], data):
            found.append(deviation)
            if len(found) >= MOST:
                break
        return found

    def _object(self, kind: Any, selections: list[Any], data: Any) -> Iterator[Deviation]:
        if not isinstance(data, dict):
            yield _different(kind.name, "an object", _kind(data))
            return
        value = cast("dict[str, Any]", data)
        fields: dict[str, list[Any]] = {}
        optional: set[str] = set()
        for selection in selections:
            self._collect(kind, selection, fields, optional, False)
        for key, nodes in fields.items():
            name = nodes[0].name.value
            if name == "__typename":
                continue
            definition = kind.fields.get(name)
            if definition is None:
                continue  # the request is wrong, which is told
            where = f"{kind.name}.{name}"
            if key not in value:
                if key not in optional:
                    yield Deviation("field-missing", "missing", where, "asked for", "missing")
                continue
            inner = [node.selection_set for node in nodes if node.selection_set is not None]
            yield from self._value(definition.type, inner, value[key], where)
        for key in sorted(value.keys() - fields.keys()):
            yield Deviation("field-extra", "extra", f"{kind.name}.{key}", "not asked for", _kind(value[key]))

    def _value(self, kind: Any, selections: list[Any], value: Any, where: str) -> Iterator[Deviation]:
        from graphql import (
            GraphQLEnumType,
            GraphQLInterfaceType,
            GraphQLList,
            GraphQLNonNull,
            GraphQLObjectType,
            GraphQLUnionType,
        )  # fmt: skip

        if isinstance(kind, GraphQLNonNull):
            if value is None:
                yield Deviation("nullability-mismatch", "different", where, "never null", "null")
                return
            kind = cast("Any", kind).of_type
        if value is None:
            return
        if isinstance(kind, GraphQLList):
            if not isinstance(value, list):
                yield _different(where, "a list", _kind(value))
                return
            for item in cast("list[Any]", value)[:ITEMS]:
                yield from self._value(cast("Any", kind).of_type, selections, item, where)
        elif isinstance(kind, GraphQLObjectType):
            yield from self._object(kind, selections, value)
        elif isinstance(kind, (GraphQLInterfaceType, GraphQLUnionType)):
            # Which type it is, is known where the query asks for it.
            abstract: Any = kind
            name = cast("dict[str, Any]", value).get("__typename") if isinstance(value, dict) else None
            real = self._schema.get_type(name) if isinstance(name, str) else None
            if isinstance(real, GraphQLObjectType) and self._schema.is_sub_type(abstract, real):
                yield from self._object(real, selections, value)
            elif name is not None:
                yield _different(where, f"a type of {abstract.name}", str(name)[:60])
        elif isinstance(kind, GraphQLEnumType):
            if not isinstance(value, str) or value not in kind.values:
                yield Deviation("enum-value-extra", "extra", where, ", ".join(list(kind.values)[:12]), str(value)[:60])
        elif (types := _SCALARS.get(kind.name)) and not _is(value, types):
            yield _different(where, kind.name, _kind(value))

    def _collect(
        self, kind: Any, selection: Any, fields: dict[str, list[Any]], optional: set[str], maybe: bool, depth: int = 0
    ) -> None:
        """The fields that a selection asks of an object type; those of directives may be left out."""
        from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode, is_abstract_type

        for node in selection.selections if depth < 20 else ():
            unsure = maybe or any(d.name.value in ("skip", "include", "defer") for d in node.directives or ())
            if isinstance(node, FieldNode):
                key = node.alias.value if node.alias else node.name.value
                if unsure and key not in fields:
                    optional.add(key)
                elif not unsure:
                    optional.discard(key)
                fields.setdefault(key, []).append(node)
                continue
            fragment = self._fragments.get(node.name.value) if isinstance(node, FragmentSpreadNode) else node
            if fragment is None or not isinstance(node, (FragmentSpreadNode, InlineFragmentNode)):
                continue
            condition = fragment.type_condition.name.value if fragment.type_condition else kind.name
            about = self._schema.get_type(condition)
            if condition == kind.name or (is_abstract_type(about) and self._schema.is_sub_type(about, kind)):
                self._collect(kind, fragment.selection_set, fields, optional, unsure, depth + 1)


def _is(value: Any, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _different(where: str, expected: str, actual: str) -> Deviation:
    return Deviation("type-mismatch", "different", where, expected, actual)


def _kind(value: Any) -> str:
    from mcp_backend.contracts.openapi.fits import kind_of

    return kind_of(value)
