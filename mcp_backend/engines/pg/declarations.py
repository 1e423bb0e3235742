"""What a PL/pgSQL function declares: the types that it converts to, and a text of it that the parser here can read.

That parser has no catalog: it takes a type it does not know for a record, leaves out the first value of one, and stops
at arrays of them and at schemas other than `public`.
https://www.postgresql.org/docs/current/plpgsql-declarations.html
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MARK = "/* retyped */"
"""Behind every changed type of a body: inside of an expression it would show that something else was changed."""
_LABEL_OR_STATEMENT = frozenset([";", ">>", "begin", "then", "else", "loop", "declare"])
"""What may stand before a block."""
_NO_TYPE = frozenset(["alias", "cursor", "scroll", "no"])
_ENDS_TYPE = frozenset(["collate", "not", "default", ":=", "=", ";"])


@dataclass(frozen=True, slots=True)
class Word:
    """A word of SQL in lower case unless it is quoted, and where it lies in the text, in bytes."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Declaration:
    """One variable: its name, its type as words, and whether it is given a first value."""

    name: str
    type: Sequence[Word]
    initialised: bool


def words(text: str) -> list[Word]:
    """The words of a text, without comments. Raises `PgQueryError`."""
    from postgast import scan

    raw = text.encode()
    found = (Word(raw[t.start : t.end].decode(errors="replace"), t.start, t.end) for t in scan(text).tokens)
    return [
        w if w.text[:1] in "\"'$" else Word(w.text.lower(), w.start, w.end)
        for w in found
        if not w.text.startswith(("--", "/*"))
    ]


def declarations(body: Sequence[Word]) -> Iterator[Declaration]:
    """The variables of every DECLARE section; also of what only looks like one."""
    at = 0
    while at < len(body):
        begins = body[at].text == "declare" and (at == 0 or body[at - 1].text in _LABEL_OR_STATEMENT)
        at += 1
        while begins and at + 1 < len(body) and body[at].text not in ("begin", "<<", "declare"):
            end = next((i for i in range(at, len(body)) if body[i].text == ";"), len(body))
            first = at + 1 + (body[at + 1].text == "constant")
            if first < end and body[first].text not in _NO_TYPE:
                stop = next((i for i in range(first, end) if body[i].text in _ENDS_TYPE), end)
                initialised = any(word.text in (":=", "=", "default") for word in body[stop:end])
                yield Declaration(body[at].text, body[first:stop], initialised)
            at = end + 1


def readable(head: str, body: str) -> tuple[str, str]:
    """The beginning of a CREATE FUNCTION and its body, both with types that the parser here can read."""
    changes: list[tuple[int, int, str]] = []
    for found in declarations(words(body)):
        texts = [word.text for word in found.type]
        if not texts or "%" in texts or texts == ["refcursor"]:
            continue
        if found.initialised or "[" in texts or (texts[1:2] == ["."] and texts[0] not in ("public", "pg_catalog")):
            kind = "text[]" if "[" in texts else "text" if found.initialised and texts != ["record"] else "record"
            changes.append((found.type[0].start, found.type[-1].end, f"{kind} {MARK}"))
    return _changed(head, _qualified(words(head))), _changed(body, changes)


def _qualified(head: Sequence[Word]) -> Iterator[tuple[int, int, str]]:
    """Schemas of the types of arguments and results, and arrays, as the parser knows them; without VARIADIC, which it
    does not take for one of an array that it knows."""
    at = 0
    while at < len(head):
        if head[at].text.lower() == "variadic":
            yield head[at].start, head[at].end, ""
            at += 1
            continue
        dotted = head[at + 1].text == "." if at + 1 < len(head) - 1 else False
        last = at + 2 if dotted else at
        array = [word.text for word in head[last + 1 : last + 3]] == ["[", "]"]
        if array:
            yield head[at].start, head[last].end, "text"
        elif dotted and head[at].text not in ("public", "pg_catalog"):
            yield head[at].start, head[at].end, "public"
        at = last + 1


def _changed(text: str, changes: "Iterator[tuple[int, int, str]] | list[tuple[int, int, str]]") -> str:
    raw, shown, at = text.encode(), bytearray(), 0
    for start, end, new in changes:
        shown += raw[at:start] + new.encode()
        at = end
    return bytes(shown + raw[at:]).decode()
