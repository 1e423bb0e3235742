# ruff: noqa: E501 - the questions are prose, one per rule, and read best beside the rule
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""A GraphQL schema in brief: its root fields, and one of them in full; its gaps."""

import re
from collections.abc import Iterator
from typing import Any

from mcp_backend.contracts.contract import Contract, Line
from mcp_backend.contracts.graphql.loading import default_of, schema_of
from mcp_backend.contracts.openapi.schema_gaps import SAID, looks_like_a_moment, words
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.contracts.words import Gap
from mcp_backend.errors import Json

TYPES = 30
HABIT = 10
"""Mutations without a place for errors from which on it is a question about all of them."""
_PAGING = re.compile(
    r"(?i)^(first|last|after|before|limit|offset|page|per_?page|page_?size|cursor|take|skip|pagination|paging|max\w*|count)$"
)
_FREE = frozenset(("json", "any", "object", "map", "mixed", "raw", "generic", "dictionary", "unknown"))
_KNOWN = frozenset(("upload", "uuid", "guid", "url", "uri", "email", "emailaddress", "bigint", "_fieldset", "_any"))
"""Names of scalars that say what a value is, and those of the specification of federation."""
_PLAIN = re.compile(
    r"(ErrorCode|Errors?|Direction|Order|OrderBy|Field|Sort|SortKey|Units?|Country\w*|Currency\w*|Language\w*|Locale\w*)(Enum)?$"
)
"""Enums whose values say all there is to say."""
_ERRORS = re.compile(r"(?i)error|problem|issue|violation|success|ok$|status|result|messages")


def read(source: Source, spec: Spec) -> Contract:
    """The schema, built. Raises `Broken`, `Unavailable`."""
    schema = schema_of(source, spec)
    lines = tuple(_line(kind, name, field) for kind, name, field in roots(schema))
    own = [t for n, t in schema.type_map.items() if not n.startswith("__")]
    about: dict[str, Json] = {"types": len(own), "root_types": [r.name for r in _root_types(schema)]}
    return Contract(
        spec.path, "graphql", "", (schema.description or "")[:120], lines, tuple(gaps(schema)),
        lambda name: detail(schema, name), about, spec.files,
    )  # fmt: skip


def _root_types(schema: Any) -> list[Any]:
    return [t for t in (schema.query_type, schema.mutation_type, schema.subscription_type) if t]


def roots(schema: Any) -> Iterator[tuple[str, str, Any]]:
    """Root type, name and field of every operation."""
    for root in _root_types(schema):
        for name, field in root.fields.items():
            yield root.name, name, field


def _line(kind: str, name: str, field: Any) -> Line:
    said = " ".join((field.description or "").split())
    text = f"{kind}.{name}{_arguments(field)}: {field.type}" + (f" · {said[:60]}" if said else "")
    return Line(f"{kind}.{name}", text, kind, said, (name,))


def _arguments(field: Any) -> str:
    shown: list[str] = []
    for name, argument in field.args.items():
        default = default_of(argument)
        shown.append(f"{name}: {argument.type}" + ("" if default is None else f" = {default}"))
    return f"({', '.join(shown)})" if shown else ""


def detail(schema: Any, name: str) -> dict[str, Json]:
    """One root field with the types it takes and returns."""
    from graphql import get_named_type, is_specified_scalar_type, print_type

    root, _, key = name.partition(".")
    field = schema.type_map[root].fields[key]
    todo = [get_named_type(field.type), *(get_named_type(a.type) for a in field.args.values())]
    shown: dict[str, Json] = {}
    left = 6000
    while todo and len(shown) < TYPES and left > 0:
        kind = todo.pop(0)
        if kind.name in shown or is_specified_scalar_type(kind):
            continue
        text = re.sub(r'(?s)""".*?"""\n?', "", print_type(kind))
        shown[kind.name] = " ".join(text.split())[:1500]
        left -= len(str(shown[kind.name]))
        todo += [get_named_type(f.type) for f in getattr(kind, "fields", {}).values()]
        todo += list(getattr(kind, "types", ()))
    result: dict[str, Json] = {"operation": name, "signature": f"{key}{_arguments(field)}: {field.type}"}
    result |= {"text": (field.description or "")[:800], "types": shown}
    if field.deprecation_reason:
        result["deprecated"] = field.deprecation_reason[:200]
    return result


def gaps(schema: Any) -> Iterator[Gap]:
    """What an implementer would have to guess."""
    from graphql import is_enum_type, is_scalar_type, is_specified_scalar_type

    for name, kind in sorted(schema.type_map.items()):
        if name.startswith("__"):
            continue
        if is_scalar_type(kind) and not is_specified_scalar_type(kind):
            yield from _scalar(name, kind)
        elif is_enum_type(kind):
            yield from _enum(name, kind)
        for field_name, field in getattr(kind, "fields", {}).items():
            yield from _field(f"{name}.{field_name}", field_name, field)
    yield from _operations(schema)


def _scalar(name: str, kind: Any) -> Iterator[Gap]:
    if name.lower() in _KNOWN:
        return
    if (parts := words(name)) and (parts[0] in _FREE or parts[-1] in _FREE):
        yield Gap("free-form-scalar", name, f"What may a {name} hold? Nothing limits it.",
                  ("any JSON: it is stored and returned as it came", "an object with known fields that have to be described"), "ask")  # fmt: skip
    elif not (kind.description or kind.specified_by_url):
        yield Gap("scalar-undocumented", name, f"How is a {name} written, and what is a valid one?",
                  ("as the usual text of that name (RFC 3339, RFC 4122, …)", "as a number or in a form of this service"), "ask")  # fmt: skip


def _enum(name: str, kind: Any) -> Iterator[Gap]:
    if not _PLAIN.search(name) and not kind.description and not any(v.description for v in kind.values.values()):
        values = ", ".join(list(kind.values)[:5])
        opaque = all(re.fullmatch(r"[A-Z]{1,2}|[A-Z]?_?\d+", v) for v in kind.values)
        yield Gap("enum-undocumented", name, f"What do the values of {name} ({values}) mean, and which follow each other?",
                  ("what their names say, in any order", "states with rules that have to be described"), "ask" if opaque else "note")  # fmt: skip
    for value, about in kind.values.items():
        yield from _deprecated(f"{name}.{value}", about)


def _deprecated(where: str, thing: Any) -> Iterator[Gap]:
    if thing.deprecation_reason is not None and thing.deprecation_reason.strip() in ("", "No longer supported"):
        yield Gap("deprecation-without-reason", where, f"{where} is deprecated without a reason. What replaces it, and until when does it have to work?",
                  ("it has a replacement that has to be named", "it goes away without one"), "note")  # fmt: skip


def _field(where: str, name: str, field: Any) -> Iterator[Gap]:
    from graphql import get_named_type

    yield from _deprecated(where, field)
    if (
        get_named_type(field.type).name == "String"
        and looks_like_a_moment(name)
        and not SAID.search(field.description or "")
    ):
        yield Gap("date-without-format", where, f"{where} is a String that speaks of a moment. How is it written, and in which time zone?",
                  ("RFC 3339 with an offset", "a calendar date", "it should be a DateTime scalar"), "ask")  # fmt: skip
    for argument_name, argument in getattr(field, "args", {}).items():
        yield from _deprecated(f"{where}({argument_name})", argument)


def _operations(schema: Any) -> Iterator[Gap]:
    from graphql import get_named_type, get_nullable_type, is_list_type

    for root, name, field in roots(schema):
        where, kind = f"{root}.{name}", get_named_type(field.type)
        if (
            root == (schema.query_type.name if schema.query_type else "")
            and is_list_type(get_nullable_type(field.type))
            and hasattr(kind, "fields")
            and not any(_PAGING.match(a) or re.search(r"(?i)ids?$|keys$|representations", a) for a in field.args)
        ):
            yield Gap("list-without-pagination", where, f"{where} returns a list and takes no first or after. How many items may it return?",
                          ("all of them: there are never many", "it is paginated like the other lists"), "ask")  # fmt: skip
    yield from _refusals(schema)


def _refusals(schema: Any) -> Iterator[Gap]:
    """How mutations say no: one question where hardly any of them has a place for it, as that is a habit."""
    from graphql import get_named_type, is_object_type, is_union_type

    root = schema.mutation_type
    silent: list[tuple[str, str]] = []
    for name, field in root.fields.items() if root else ():
        kind = get_named_type(field.type)
        says = (
            is_union_type(kind)
            or (is_object_type(kind) and any(_ERRORS.search(f) for f in kind.fields))
            or _ERRORS.search(kind.name)
        )
        if not says and not re.search(r"(?i)error|fail|throw|raise", field.description or ""):
            silent.append((f"{root.name}.{name}", kind.name))
    readings = ("as a GraphQL error with a code in its extensions", "as fields of a payload that has to be added")
    if root and len(silent) >= HABIT and len(silent) > 0.8 * len(root.fields):
        yield Gap("mutation-error-unspecified", root.name, f"How does a mutation say that the input was refused? {len(silent)} of {len(root.fields)} have no place for it ({silent[0][0]}, …).", readings, "ask")  # fmt: skip
        return
    for where, payload in silent:
        yield Gap("mutation-error-unspecified", where, f"How does {where} say that the input was refused? {payload} has no place for it.", readings, "ask")  # fmt: skip
