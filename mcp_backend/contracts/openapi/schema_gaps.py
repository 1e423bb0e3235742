# ruff: noqa: E501 - the questions are prose, one per rule, and read best beside the rule
"""What an implementer would have to guess about the schemas of an OpenAPI document."""

import re
from collections.abc import Iterator
from typing import Any, cast

from mcp_backend.contracts.openapi.fits import misfits
from mcp_backend.contracts.openapi.flat import Flat, Flattener
from mcp_backend.contracts.openapi.model import Api
from mcp_backend.contracts.openapi.places import Place, places
from mcp_backend.contracts.tree import Node
from mcp_backend.contracts.words import Gap

MONEY = frozenset(
    [
        "amount",
        "price",
        "total",
        "cost",
        "balance",
        "fee",
        "fees",
        "tax",
        "subtotal",
        "salary",
        "revenue",
        "money",
        "charge",
        "discount",
        "budget",
        "payout",
        "refund",
        "wage",
    ]
)
NOT_MONEY = frozenset(
    [
        "count",
        "percent",
        "percentage",
        "rate",
        "ratio",
        "tokens",
        "days",
        "hours",
        "minutes",
        "seconds",
        "bytes",
        "size",
        "items",
        "pages",
        "number",
        "index",
        "score",
        "time",
        "ms",
        "usage",
        "memory",
        "cpu",
        "weight",
        "qty",
        "quantity",
        "length",
        "duration",
        "records",
        "results",
    ]
)
STATES = frozenset(("status", "state"))
SORTS = frozenset(("kind", "type", "role", "level", "priority", "severity", "visibility", "mode"))
TIMES = frozenset(["date", "time", "datetime", "timestamp"])
SAID = re.compile(
    r"(?i)iso.?8601|rfc.?3339|rfc.?1123|rfc.?2822|unix|epoch|yyyy|timestamp in|seconds since|utc|hh:mm|\d{4}-\d{2}-\d{2}"
)
TODO = re.compile(
    r"\b(TBD|TODO|FIXME|XXX)\b|(?i:(?<!needs )(?<!need )(?<!has )(?<!have )(?<!required )\bto be (defined|decided|determined|documented|specified)\b)|\?\?\?"
)
LISTED = re.compile(r"(?i)[`'\"]|one of|either|can be|possible|values?:|\be\.g\.|\||\(\w+(, \w+)+(,? (or|and) \w+)?\)")
"""A text that names values."""
CODED = re.compile(r"(?i)countr|currenc|language|locale")
"""Names of values that a standard lists: ISO 3166, 4217, 639."""
PLACE = re.compile(r"(?i)address|location|province|county|territory|region|postal|\bzip|\bcit(y|ies)\b")
"""What makes a state part of an address."""
FREE = re.compile(
    r"(?i)arbitrary|key.?value|free.?form|any (json|value|key|object|parameter|field|data)|user.?defined|custom|metadata|json schema|opaque|dynamic|varies"
)


def words(name: str) -> list[str]:
    """The words of a name in any of the usual spellings."""
    return [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def looks_like_a_moment(name: str) -> bool:
    """Whether a name speaks of a date or a time of day: created_at, expiresOn, due_date."""
    parts = words(name)
    if not parts or "zone" in parts or "timezone" in parts:
        return False
    if parts[-1] in TIMES:
        return True
    return len(parts) > 1 and (parts[-1] == "at" or (parts[-1] == "on" and parts[-2].endswith(("ed", "es"))))


def looks_like_money(name: str) -> bool:
    """Whether a name speaks of an amount of money."""
    parts = words(name)
    return bool(MONEY & set(parts)) and not NOT_MONEY & set(parts)


def gaps(flattener: Flattener, api: Api) -> Iterator[Gap]:
    """The gaps of every schema that an operation reaches."""
    for place in places(flattener, api):
        yield from of(flattener, place)


def of(flattener: Flattener, place: Place) -> Iterator[Gap]:
    """The gaps of one schema."""
    yield from _said(place)
    yield from _types(place)
    yield from _choice(flattener, place)
    yield from _values(flattener, place)


def _said(place: Place) -> Iterator[Gap]:
    flat = place.flat
    lost = flat.required - flat.properties.keys() - place.beside
    if lost and flat.properties and not flat.options and not isinstance(flat.additional, Node):
        for name in sorted(lost):
            yield Gap("required-property-undefined", f"{place.where}.{name}", f"{name!r} is required in {place.where} but not described. What type is it?",
                      (f"a misspelling of one of {', '.join(list(flat.properties)[:5])}", "a field that still has to be described"), "block")  # fmt: skip
    text = _text(place)
    if found := TODO.search(text):
        start = max(found.start() - 30, 0)
        yield Gap("unresolved-todo", place.where, f"The text says {text[start : found.end() + 60].strip()!r}. What was decided?",
                  ("nothing yet: it must be decided before implementing", "it was decided and the note was left behind"), "ask")  # fmt: skip
    if (
        flat.enum
        and len(flat.enum) > 1
        and not text.strip()
        and all(map(_opaque, flat.enum))
        and not CODED.search(place.where)
        and "x-enum-varnames" not in flat.says
    ):
        values = ", ".join(map(str, flat.enum[:6]))
        yield Gap("enum-undocumented", place.where, f"What do the values {values} of {place.where} mean?",
                  ("they are codes of another system, passed on as they are", "each stands for a state that has to be described"), "ask")  # fmt: skip

    listed = LISTED.search(text) or ("state" in words(place.name) and PLACE.search(f"{place.where} {text}"))
    if (
        place.name
        and flat.types == frozenset({"string"})
        and flat.enum is None
        and not (flat.format or flat.pattern or listed)
    ):
        last = (words(place.name) or [""])[-1]
        if last in STATES or last in SORTS:
            yield Gap("enum-undocumented", place.where, f"Which values may {place.where} take? It is any string by the specification.",
                      ("a fixed set that has to be listed", "any text, chosen by whoever writes it"), "ask" if last in STATES else "note")  # fmt: skip


def _opaque(value: object) -> bool:
    return not isinstance(value, bool) and (
        isinstance(value, (int, float))
        or (
            isinstance(value, str)
            and (len(value) <= 2 or value.isdigit() or re.fullmatch(r"[A-Z]?\d+", value) is not None)
        )
    )


def _text(place: Place) -> str:
    own = place.node.map
    text = f"{own.get('title') or ''} {own.get('description') or ''}"
    if place.operation and place.name:
        for parameter in place.operation.parameters:
            if parameter.name == place.name and place.where.startswith(place.operation.name):
                text += f" {parameter.node.map.get('description') or ''}"
    return text


def _types(place: Place) -> Iterator[Gap]:
    flat, text = place.flat, _text(place)
    if (
        place.name
        and flat.types == frozenset({"number"})
        and looks_like_money(place.name)
        and flat.format not in ("decimal", "money")
        and "multipleOf" not in flat.says
    ):
        yield Gap("money-as-float", place.where, f"{place.where} is a floating-point number. Which currency and unit, how many decimals, and who rounds?",
                  ("major units with two decimals, rounded half up", "minor units (cents), always whole", "a decimal that must be sent as text"), "ask")  # fmt: skip
    if (
        place.name
        and flat.types == frozenset({"string"})
        and looks_like_a_moment(place.name)
        and not (flat.format or flat.pattern or flat.enum)
        and not SAID.search(text)
    ):
        yield Gap("date-without-format", place.where, f"{place.where} is a string without format. How is the moment written, and in which time zone?",
                  ("RFC 3339 with an offset (format date-time)", "a calendar date (format date)", "local time without an offset"), "ask")  # fmt: skip
    if (
        flat.types == frozenset({"object"})
        and not flat.properties
        and not flat.options
        and flat.enum is None
        and not isinstance(flat.additional, Node)
        and not flat.says.get("patternProperties")
    ):
        if flat.additional is False or flat.limits.get("maxProperties") == 0:
            return
        said = (
            FREE.search(f"{text} {place.name}")
            or flat.additional is True
            or (not place.name and "[" not in place.where and "body" not in place.where)
        )
        yield Gap("free-form-object", place.where, f"Which fields may {place.where} have, and is anything else kept, ignored or refused?",
                  ("anything: it is stored and returned as it came", "known fields that still have to be described"), "note" if said else "ask")  # fmt: skip


def _choice(f: Flattener, place: Place) -> Iterator[Gap]:
    flat = place.flat
    if not flat.exclusive or flat.discriminator or not 2 <= len(flat.options) <= 40:
        return
    kinds = [f.flat(option) for option in flat.options]
    for index, one in enumerate(kinds):
        for two in kinds[index + 1 :]:
            if _overlap(f, one, two):
                names = " and ".join(f.api.component(k.node) or f"alternative {kinds.index(k) + 1}" for k in (one, two))
                yield Gap("oneof-ambiguous", place.where, f"A value of {place.where} can fit both {names}, which oneOf forbids. How are they told apart?",
                          ("by a discriminator field that has to be added", "by the fields that are present: the first that fits wins"), "ask")  # fmt: skip
                return


def _overlap(f: Flattener, one: Flat, two: Flat) -> bool:
    """Whether a value can fit both: same type, no field that tells them apart."""
    if not (one.object and two.object):
        if one.object or two.object or one.options or two.options or one.anything or two.anything:
            return False
        apart = (
            one.types
            and two.types
            and not (one.types & two.types)
            and {*one.types, *two.types} != {"integer", "number"}
        )
        if apart or one.format != two.format or one.pattern != two.pattern:
            return False
        if one.items is not None and two.items is not None:
            return _overlap(f, f.flat(one.items), f.flat(two.items))
        return (
            not (
                one.enum is not None and two.enum is not None and not set(map(str, one.enum)) & set(map(str, two.enum))
            )
            and one.limits == two.limits
        )
    for name in sorted(one.properties.keys() & two.properties.keys()):
        first, second = f.flat(one.properties[name]), f.flat(two.properties[name])
        if (
            first.enum is not None
            and second.enum is not None
            and not set(map(str, first.enum)) & set(map(str, second.enum))
        ):
            return False
        if name in one.required & two.required and first.types and second.types and not first.types & second.types:
            return False
    return not (one.required - two.properties.keys() or two.required - one.properties.keys())


def _values(f: Flattener, place: Place) -> Iterator[Gap]:
    own = place.node.map
    if "default" in own and own["default"] is not None:
        yield from contradiction(f, place, "default", own["default"])
    if "example" in own:
        yield from contradiction(f, place, "example", own["example"])
    examples: Any = own.get("examples")
    for example in cast("list[Any]", examples)[:3] if isinstance(examples, list) else ():
        yield from contradiction(f, place, "example", example)


def contradiction(f: Flattener, place: Place, what: str, value: Any) -> Iterator[Gap]:
    """What of a value does not fit the schema of a place."""
    found = misfits(f, place.node, value, place.where, "response")
    real = [m for m in found if m.id != "required-field-missing" or what == "default"]
    if real:
        first = real[0]
        yield Gap(f"{what}-contradicts-schema", place.where, f"The {what} of {place.where} does not fit its schema ({first.where}: {first.actual}, expected {first.expected}). Which is right?",
                  (f"the schema; the {what} is outdated", f"the {what}; the schema is too narrow"), "ask" if what == "default" else "note")  # fmt: skip
