"""A CREATE statement as the server keeps it (system.tables.create_table_query), taken apart."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mcp_backend.keeper.chdb.tokens import Token, tokens

_CLAUSES = (
    ("ENGINE", "="), ("PARTITION", "BY"), ("PRIMARY", "KEY"), ("ORDER", "BY"), ("SAMPLE", "BY"), ("TTL", ""),
    ("SETTINGS", ""), ("COMMENT", ""), ("SOURCE", "("), ("LIFETIME", "("), ("LAYOUT", "("), ("AS", ""),
)  # fmt: skip
_ITEMS = ("INDEX", "PROJECTION", "CONSTRAINT")
_AFTER_TTL = ("COMMENT", "SETTINGS", "STATISTICS", "PRIMARY")


@dataclass(frozen=True, slots=True)
class Definition:
    """`items` are indexes, projections and constraints as (kind, name, text); `column_ttl` by column; `clauses` by
    keyword, without it; `target` is where a materialized view writes, `""` for a table of its own."""

    head: str
    columns: tuple[str, ...]
    items: tuple[tuple[str, str, str], ...]
    column_ttl: dict[str, str] = field(default_factory=dict[str, str])
    clauses: dict[str, str] = field(default_factory=dict[str, str])
    target: str = ""
    rest: str = ""


def parse(text: str) -> Definition:
    """The parts of a CREATE statement of a table, view or dictionary."""
    words = tokens(text)
    begin, end = _list(words)
    columns: list[str] = []
    items: list[tuple[str, str, str]] = []
    ttl: dict[str, str] = {}
    for item in _split(words[begin + 1 : end]):
        shown = text[item[0].start : item[-1].end]
        if item[0].upper in _ITEMS and len(item) > 1:
            items.append((item[0].upper, item[1].name, text[item[2].start : item[-1].end] if len(item) > 2 else ""))
        else:
            columns.append(shown)
            if found := _between(text, item, "TTL", _AFTER_TTL):
                ttl[item[0].name] = found
    head = words[:begin] if end > begin else words
    after = words[end + 1 :] if end > begin else words
    to = next((at for at, word in enumerate(head) if word.upper == "TO"), None)
    target = "".join(word.name or word.text for word in head[to + 1 : to + 4 : 1]) if to is not None else ""
    return Definition(
        text[: words[begin].start] if end > begin else text,
        tuple(columns),
        tuple(items),
        ttl,
        dict(_clauses(text, after)),
        target,
        text[words[end].end :] if end > begin else "",
    )


def canonical(text: str, database: str) -> str:
    """The statement in a form that is the same for the same object, whoever made it and in whatever order its indexes,
    projections and constraints were added; names in `database` without it."""
    text = re.sub(r" DEFINER = (?:`[^`]*`|\S+)(?= SQL SECURITY)| SQL SECURITY \w+", "", text)
    if re.search(r"[(,] ?(?:INDEX|PROJECTION|CONSTRAINT) ", text):
        found = parse(text)
        inside = [*found.columns, *(" ".join(item) for item in sorted(found.items))]
        text = f"{found.head}({', '.join(inside)}){found.rest}"
    plain = database if re.fullmatch(r"[A-Za-z_]\w*", database) else ""
    return re.sub(rf"(?<![\w`.])(?:`{re.escape(database)}`|{re.escape(plain or database)})\.", "", text)


def _list(words: Sequence[Token]) -> tuple[int, int]:
    """Where the list of columns begins and ends; twice the same when there is none."""
    for at, word in enumerate(words):
        if word.upper in ("ENGINE", "AS", "SOURCE", "PRIMARY"):
            break
        if word.text == "(":
            depth = 0
            for end in range(at, len(words)):
                depth += (words[end].text == "(") - (words[end].text == ")")
                if depth == 0:
                    return at, end
    return 0, 0


def _split(words: Sequence[Token]) -> Iterator[Sequence[Token]]:
    depth, start = 0, 0
    for at, word in enumerate(words):
        depth += (word.text == "(") - (word.text == ")")
        if word.text == "," and depth == 0:
            if at > start:
                yield words[start:at]
            start = at + 1
    if len(words) > start:
        yield words[start:]


def _between(text: str, words: Sequence[Token], first: str, ends: Sequence[str]) -> str:
    """The text between a keyword and the next of `ends`, at the same depth."""
    depth, begin = 0, -1
    for word in words:
        depth += (word.text == "(") - (word.text == ")")
        if depth == 0 and begin >= 0 and word.upper in ends:
            return text[begin : word.start].strip()
        if depth == 0 and begin < 0 and word.upper == first:
            begin = word.end
    return text[begin : words[-1].end].strip() if begin >= 0 else ""


def _clauses(text: str, words: Sequence[Token]) -> Iterator[tuple[str, str]]:
    depth, name, begin = 0, "", 0
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else None
        found = next((c for c in _CLAUSES if depth == 0 and word.upper == c[0]), None)
        if found and (not found[1] or (following and following.text.upper() == found[1])):
            if name:
                yield name, text[begin : word.start].strip()
            name, begin = found[0], following.end if following and found[1] not in ("", "(") else word.end
            if name == "AS":
                break
        depth += (word.text == "(") - (word.text == ")")
    if name:
        yield name, text[begin:].strip()
