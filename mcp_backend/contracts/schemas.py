"""JSON Schema: whether a value fits, in words that say what was expected and never repeat the value."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urldefrag, urljoin

from mcp_backend.contracts import formats, swift
from mcp_backend.contracts.documents import Broken, Documents, child, mapping

SHOWN = 5
_WORDS = 120
_DOCUMENTS = 200
DRAFTS = {
    "draft-04": "http://json-schema.org/draft-04/schema#",
    "draft-06": "http://json-schema.org/draft-06/schema#",
    "draft-07": "http://json-schema.org/draft-07/schema#",
    "2019-09": "https://json-schema.org/draft/2019-09/schema",
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A schema: a document, a pointer into it, and the dialect where the schema names none."""

    path: str
    pointer: str = ""
    draft: str = "2020-12"

    def __str__(self) -> str:
        return f"{self.path}#{self.pointer}" if self.pointer else self.path


@dataclass(slots=True)
class _Validator:
    """A validator, the schema, and what resolves its references from where it stands in its document. `asked` counts
    the values it judged, and `swift` tells of many that they fit."""

    validator: Any
    schema: Any
    resolver: Any
    asked: int = 0
    swift: Callable[[Any], bool] | None = None


class Schemas:
    """Validators of the schemas of one workspace, each built once."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._validators: dict[Place, _Validator] = {}
        self._unchecked: dict[Place, tuple[str, ...]] = {}

    def problems(self, place: Place, value: Any, *, root: str = "$") -> list[str]:
        """What does not fit, at most `SHOWN` of it; empty when the value fits. Raises `Broken` for a schema that is
        wrong or refers to what is not in the workspace."""
        known = self._validators.get(place)
        if known and known.swift and known.swift(value):
            return []
        from jsonschema import exceptions
        from referencing.exceptions import Unresolvable

        try:
            known = known or self._build(place)
            errors: Any = list(known.validator.descend(value, known.schema, resolver=known.resolver))
        except exceptions.SchemaError as error:
            raise Broken(f"{place}: not a valid schema: {error.message[:_WORDS]}") from error
        except Unresolvable as error:
            raise Broken(f"{place}: {_cause(error)}") from error
        except RecursionError as error:
            raise Broken(f"{place}: references go in a circle") from error
        known.asked += 1
        if known.asked == swift.WORTH_IT:
            known.swift = self._compiled(place, known.validator)
        best: Any = exceptions.best_match  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        found = [_problem(best([error]) if error.context else error, root) for error in errors]
        return list(dict.fromkeys(found))[:SHOWN]

    def unchecked(self, place: Place) -> tuple[str, ...]:
        """The names of formats in the schema that nothing here checks."""
        if place not in self._unchecked:
            names: set[str] = set()
            self._formats(place.path, place.pointer, names, set())
            self._unchecked[place] = tuple(sorted(names - formats.known()))
        return self._unchecked[place]

    def empty(self, place: Place) -> bool:
        """Whether the schema accepts everything: it promises nothing."""
        _, _, schema = self._documents.follow(place.path, place.pointer)
        if schema is True:
            return True
        says = {"type", "properties", "required", "enum", "const", "allOf", "anyOf", "oneOf", "items", "pattern"}
        return isinstance(schema, dict) and not says & set(cast("dict[str, Any]", schema))

    def _build(self, place: Place) -> "_Validator":
        from jsonschema.validators import validator_for
        from jsonschema_specifications import REGISTRY  # pyright: ignore[reportMissingTypeStubs]
        from referencing import Registry

        path, pointer, schema = self._documents.follow(place.path, place.pointer)
        if not isinstance(schema, (dict, bool)):
            raise Broken(f"{place}: expected a schema, an object")
        dialect = DRAFTS.get(place.draft, DRAFTS["2020-12"])
        kind: Any = validator_for(mapping(schema), default=validator_for({"$schema": dialect}))
        kind.check_schema(schema, format_checker=formats.checker())
        # Everything reachable is put in beforehand: what is retrieved during a validation is not kept by it.
        registry: Any = REGISTRY.combine(Registry(retrieve=self._refused))  # pyright: ignore
        registry = registry.with_resources(self._reachable(path, dialect)).crawl()
        found = registry.resolver(self._documents.uri(path)).lookup(f"#{quote(pointer)}")
        validator = kind(found.contents, registry=registry, format_checker=formats.checker())
        self._validators[place] = _Validator(validator, found.contents, found.resolver)
        return self._validators[place]

    def _compiled(self, place: Place, validator: Any) -> Callable[[Any], bool]:
        path, pointer, _ = self._documents.follow(place.path, place.pointer)
        dialect = DRAFTS.get(place.draft, DRAFTS["2020-12"])
        reachable = [(uri, resource.contents) for uri, resource in self._reachable(path, dialect)]
        own = str(validator.META_SCHEMA["$schema"])
        return swift.compiled(own, dialect, self._documents.uri(path), pointer, reachable)

    def _reachable(self, path: str, dialect: str) -> list[tuple[str, Any]]:
        """The document and all that its references lead to, each under its file URI and every name it is called by.
        In an AsyncAPI document `$id` inside a schema is a name, and must not change what `#/components/…` means."""
        from referencing import Resource
        from referencing.jsonschema import UnknownDialect, specification_with

        found: list[tuple[str, Any]] = []
        todo, seen = [(self._documents.uri(path), path)], set[str]()
        while todo and len(seen) < _DOCUMENTS:
            uri, here = todo.pop()
            if uri in seen:
                continue
            seen.add(uri)
            try:
                content = self._documents.load(here)
            except Broken:
                continue  # named when a validation gets there
            if not isinstance(content, (dict, bool)):
                continue  # a schema of another language
            if mapping(content).keys() & {"asyncapi", "openapi"}:
                content = _without_ids(content, {})
            base = str(mapping(content).get("$id") or mapping(content).get("id") or uri)
            try:
                specification = specification_with(str(mapping(content).get("$schema", dialect)))
            except UnknownDialect:
                specification = specification_with(dialect)
            found.append((uri, Resource(contents=cast("Any", content), specification=specification)))
            for reference in _references(content, set()):
                # Some resolve against the document's `$id`, some against where it was found: both lead there.
                targets = [
                    urldefrag(urljoin(urljoin(uri, base), reference)).url,
                    urldefrag(urljoin(uri, reference)).url,
                ]
                leads = next(filter(None, map(self._existing, targets)), None)
                todo += [(target, leads) for target in targets if leads]
        return found

    def _existing(self, uri: str) -> str | None:
        with suppress(Broken):
            path = self._documents.path_of(uri)
            self._documents.load(path)
            return path
        return None

    def _refused(self, uri: str) -> Any:
        from referencing.exceptions import NoSuchResource

        raise NoSuchResource(ref=uri)

    def _formats(self, path: str, pointer: str, names: set[str], seen: set[tuple[str, str]]) -> None:
        try:
            path, pointer, schema = self._documents.follow(path, pointer)
        except Broken:
            return
        if (path, pointer) in seen or len(seen) > 2000:
            return
        seen.add((path, pointer))
        items: Iterable[tuple[str, Any]] = ()
        if isinstance(schema, dict):
            items = cast("dict[str, Any]", schema).items()
        elif isinstance(schema, list):
            items = ((str(i), item) for i, item in enumerate(cast("list[Any]", schema)))
        for key, value in items:
            if key == "format" and isinstance(value, str):
                names.add(value)
            elif key not in ("enum", "const", "examples", "default") and isinstance(value, (dict, list)):
                self._formats(path, child(pointer, key), names, seen)


def _references(node: Any, seen: set[int]) -> Iterator[str]:
    if isinstance(node, (dict, list)) and id(cast("object", node)) not in seen:
        seen.add(id(cast("object", node)))
        reference = mapping(node).get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            yield reference
        for child_ in mapping(node).values() if isinstance(node, dict) else cast("list[Any]", node):
            yield from _references(child_, seen)


def _without_ids(node: Any, seen: dict[int, Any]) -> Any:
    if id(node) in seen:
        return seen[id(node)]
    if isinstance(node, dict):
        result: dict[str, Any] = {}
        seen[id(cast("object", node))] = result
        for key, value in cast("dict[str, Any]", node).items():
            if not (key in ("$id", "id") and isinstance(value, str) and "://" in value):
                result[key] = _without_ids(value, seen)
        return result
    if isinstance(node, list):
        items: list[Any] = []
        seen[id(cast("object", node))] = items
        items.extend(_without_ids(item, seen) for item in cast("list[Any]", node))
        return items
    return node


def _cause(error: BaseException) -> str:
    reference = getattr(error, "ref", "")
    return f"the reference {reference!r} leads to nothing in this workspace, and references are not fetched"


def _problem(error: Any, root: str) -> str:
    """One error of the library in words about the schema: the value itself may be a secret."""
    where = root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    keyword, wanted, value = str(error.validator), error.validator_value, error.instance
    match keyword:
        case "required":
            missing = [name for name in cast("list[str]", wanted) if name not in value]
            text = f"{', '.join(map(repr, missing))} is required" if len(missing) == 1 else f"{missing} are required"
        case "type":
            text = f"expected {wanted if isinstance(wanted, str) else ' or '.join(wanted)}, got {_kind(value)}"
        case "additionalProperties" | "unevaluatedProperties":
            known = mapping(error.schema.get("properties"))
            patterns = mapping(error.schema.get("patternProperties"))
            extra = [n for n in mapping(value) if n not in known and not any(re.search(p, n) for p in patterns)]
            text = f"unknown field {', '.join(map(repr, extra[:5]))}; known: {', '.join(known) or 'none'}"
        case "enum" | "const":
            allowed = wanted if keyword == "enum" else [wanted]
            text = f"expected {' or '.join(json.dumps(v, ensure_ascii=False) for v in allowed)}"
        case "minimum" | "exclusiveMinimum":
            text = f"expected {'more than' if keyword != 'minimum' else 'at least'} {wanted}"
        case "maximum" | "exclusiveMaximum":
            text = f"expected {'less than' if keyword != 'maximum' else 'at most'} {wanted}"
        case "minLength" | "minItems" | "minProperties":
            text = f"expected at least {wanted} {_unit(keyword)}"
        case "maxLength" | "maxItems" | "maxProperties":
            text = f"expected at most {wanted} {_unit(keyword)}"
        case "format":
            text = f"not a {wanted}"
        case "pattern":
            text = f"does not match {wanted}"
        case "oneOf" | "anyOf":
            text = "fits none of the alternatives, or several where one is meant"
        case _:
            text = f"{keyword}: expected {json.dumps(wanted, ensure_ascii=False, default=str)}"
    return f"{where[:_WORDS]}: {text if len(text) <= 2 * _WORDS else text[: 2 * _WORDS] + '…'}"


def _kind(value: object) -> str:
    names: dict[type, str] = {
        bool: "boolean",
        int: "integer",
        float: "number",
        str: "string",
        list: "array",
        dict: "object",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _unit(keyword: str) -> str:
    return {"L": "characters", "I": "items"}.get(keyword[3], "fields")
