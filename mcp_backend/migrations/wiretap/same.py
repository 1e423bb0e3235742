"""Whether a statement is the one that was rehearsed: token by token, but for values that differ from run to run."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import cast

from postgast import PgQueryError, scan

from mcp_backend.migrations.statements import token_kind
from mcp_backend.migrations.wiretap.sent import Sent

NEAR = timedelta(days=1)
_STRINGS = frozenset({"SCONST", "USCONST"})
_LITERALS = _STRINGS | {"ICONST", "FCONST"}
_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)\s?(Z|[+-]\d\d(?::?\d\d)?)?)?"
)  # fmt: skip
_RANDOM = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[147][0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}", re.IGNORECASE)
"""A UUID that is made anew each time: version 1, 4 or 7. https://www.rfc-editor.org/rfc/rfc9562"""


def _tokens(sql: str) -> list[tuple[str, str]] | None:
    try:
        tokens = scan(sql).tokens
    except PgQueryError:
        return None
    source = sql.encode()
    found = [(token_kind(t.token), source[t.start : t.end].decode()) for t in tokens]
    found = [(k, text) for k, text in found if k not in _COMMENTS]
    return found[:-1] if found and found[-1][0] == "ASCII_59" else found


def same(rehearsed: str, sent: str, given_then: Collection[str], given_now: Collection[str]) -> bool:
    """Whether `sent` is `rehearsed`. A literal may be another one where both are the time of the run, both are random
    identifiers, or each is a number that the database itself returned before in that run (`given_then`,
    `given_now`): the key of a row that was just inserted."""
    if rehearsed == sent:
        return True
    one, other = _tokens(rehearsed), _tokens(sent)
    if one is None or other is None or len(one) != len(other):
        return False
    for (kind_then, then), (kind_now, now) in zip(one, other, strict=True):
        if then == now and kind_then == kind_now:
            continue
        if kind_then != kind_now or kind_now not in _LITERALS:
            return False
        before, after = _plain(then), _plain(now)
        number = before in given_then and after in given_now
        if not (number or (_now(before) and _now(after)) or (_random(before) and _random(after))):
            return False
    return True


def canonical(sql: str, known: str) -> str:
    """The statement with what differs from run to run named instead of written. What stands in the text `known` (the
    migrations' own) does not differ."""
    try:
        tokens = scan(sql).tokens
    except PgQueryError:
        return sql
    source, out, last = sql.encode(), bytearray(), 0
    for token in tokens:
        if token_kind(token.token) not in _STRINGS:
            continue
        text = _plain(source[token.start : token.end].decode())
        name = "the time of the run" if _now(text) else "a random identifier" if _random(text) else ""
        if name and text not in known:
            out += source[last : token.start] + f"'({name})'".encode()
            last = token.end
    return (out + source[last:]).decode()


def commute(one: Sent, other: Sent) -> bool:
    """Whether their order says nothing: both build an index of one table inside one transaction. SQLAlchemy keeps the
    indexes of a table in a set, so `op.create_table` makes them in another order each time."""
    indexes = one.node == other.node == "IndexStmt" and one.inside and other.inside
    return indexes and _table(one) == _table(other)


def _table(one: Sent) -> tuple[object, object]:
    about = cast("Mapping[str, object]", one.tree.get("relation") or {})
    return about.get("schemaname"), about.get("relname")


def ordered(sent: Sequence[Sent]) -> list[Sent]:
    """The statements with those whose order says nothing in that of their texts, the same on every run."""
    found = list[Sent]()
    for one in sent:
        place = len(found)
        while place and not one.failed and one.sql < found[place - 1].sql and commute(one, found[place - 1]):
            place -= 1
        found.insert(place, one)
    return found


def savepoint(sql: str) -> str:
    """The statement without the name, which drivers make up."""
    found = _tokens(sql) or []
    return " ".join("name" if token == "IDENT" else text.upper() for token, text in found)


def _plain(text: str) -> str:
    quoted = text.find("'")
    return text[quoted + 1 : -1].replace("''", "'") if quoted >= 0 else text


def _now(text: str) -> bool:
    found = _MOMENT.fullmatch(text)
    if found is None:
        return False
    try:
        if found[2] is None:
            return abs(date.fromisoformat(found[1]) - datetime.now(UTC).date()) <= NEAR
        zone = (found[3] or "+00").replace("Z", "+00")
        zone = zone if len(zone) > 3 else f"{zone}:00"
        return abs(datetime.fromisoformat(f"{found[1]}T{found[2]}{zone}") - datetime.now(UTC)) <= NEAR
    except ValueError:
        return False


def _random(text: str) -> bool:
    return _RANDOM.fullmatch(text) is not None
