# pyright: reportUnknownMemberType=false
"""Parses SDL with graphql-core's parser and a lexer of regular expressions: its own looks at one character at a time,
which takes half the time of a schema of a megabyte.

https://spec.graphql.org/September2025/#sec-Language.Source-Text
"""

import re

from graphql.language import DocumentNode, Lexer, Source, Token, TokenKind
from graphql.language.parser import Parser

_IGNORED = r"(?:[ \t,\ufeff\n\r]++|#[^\n\r]*+)*+"
_NAME, _MARK = r"(?P<name>[A-Za-z_][A-Za-z_0-9]*)", r"(?P<mark>[!$&():=@\[\]{|}])"
_BLOCK = r'"""(?P<block>(?:[^"\\]++|\\"""|\\|"(?!""))*+)"""'
_NEXT = re.compile(f"{_IGNORED}(?:{_NAME}|{_MARK}|{_BLOCK})")
_SKIPPED = re.compile(_IGNORED)
_LINE = re.compile(r"\r\n|\n|\r")
_MARKS = {kind.value: kind for kind in TokenKind if len(kind.value) == 1}


def parsed(text: str) -> DocumentNode:
    """The document, without locations in its nodes. Raises `GraphQLSyntaxError`, `RecursionError`."""
    source = Source(text)
    return Parser(source, no_location=True, lexer=_Lexer(source)).parse_document()


class _Lexer(Lexer):
    """Reads names, punctuation and block strings quickly; numbers, strings and what is wrong as graphql-core does. Its
    tokens have no line and column: errors work them out from the position."""

    def read_next_token(self, start: int) -> Token:
        body = self.source.body
        found = _NEXT.match(body, start)
        if found is None:
            skipped = _SKIPPED.match(body, start)
            return super().read_next_token(skipped.end() if skipped else start)
        kind, end = found.lastgroup, found.end()
        value = found[kind] if kind else ""
        if kind == "name":
            return Token(TokenKind.NAME, end - len(value), end, 0, 0, value)
        if kind == "mark":
            return Token(_MARKS[value], end - 1, end, 0, 0)
        return Token(TokenKind.BLOCK_STRING, end - len(value) - 6, end, 0, 0, _dedented(value))


def _dedented(raw: str) -> str:
    """https://spec.graphql.org/September2025/#BlockStringValue()"""
    lines = _LINE.split(raw.replace('\\"""', '"""'))
    if len(lines) > 1:
        indents = [len(line) - len(rest) for line in lines[1:] if (rest := line.lstrip(" \t"))]
        common = min(indents, default=0)
        lines = [lines[0], *(line[common:] for line in lines[1:])]
    first, last = 0, len(lines)
    while first < last and not lines[first].strip(" \t"):
        first += 1
    while last > first and not lines[last - 1].strip(" \t"):
        last -= 1
    return "\n".join(lines[first:last])
