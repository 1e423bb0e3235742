"""ClickHouse SQL as the words its own lexer sees, which decide where strings, comments and statements end.

src/Parsers/Lexer.cpp of ClickHouse governs. Standard library only.
"""

import re
from dataclasses import dataclass
from typing import Literal, cast

Kind = Literal["word", "quoted", "string", "number", "sign", "unknown"]

_PARTS = re.compile(
    r"""
      (?P<space>\s++ | --[^\n]*+ | \#[ !][^\n]*+ | /\*.*?\*/)
    | (?P<string>'(?:[^'\\]++|\\.|'')*+' | ‘[^’]*+’)
    | (?P<quoted>`(?:[^`\\]++|\\.|``)*+` | "(?:[^"\\]++|\\.|"")*+" | “[^”]*+”)
    | (?P<number>0[xX][0-9a-fA-F_]++ | 0[bB][01_]++ | (?:\d[\d_]*+\.?[\d_]*+|\.\d[\d_]*+)(?:[eE][+-]?\d++)?(?![\w$]))
    | (?P<heredoc>\$\w*+\$)
    | (?P<word>[A-Za-z0-9_$][\w$]*+)
    | (?P<unclosed>/\*.* | ['"`‘“].*)
    | (?P<sign>-> | :: | \|\| | @@ | <=> | [<>!=]= | <> | \\G | [][(){},;.+*/%=<>?:@|^-])
    | (?P<unknown>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One significant word: its kind, its text as written, and where it begins and ends in the statement."""

    kind: Kind
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """The word in capitals when it can be a keyword, else nothing."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """The identifier that a word or a quoted name stands for, else nothing."""
        if self.kind == "quoted":
            return unquoted(self.text)
        return self.text if self.kind == "word" else ""


def tokens(sql: str) -> list[Token]:
    """The significant words of `sql`: no white space, no comments. What is not closed is `unknown`, to the end."""
    found: list[Token] = []
    at = 0
    while match := _PARTS.match(sql, at):
        kind, at = str(match.lastgroup), match.end()
        if kind == "space":
            continue
        if kind == "heredoc":
            closing = sql.find(match[0], at)
            kind, at = ("string", closing + len(match[0])) if closing >= 0 else ("unknown", len(sql))
        found.append(
            Token(cast("Kind", kind if kind != "unclosed" else "unknown"), sql[match.start() : at], match.start(), at)
        )
    return found


def statements(words: list[Token]) -> int:
    """How many statements there are; empty ones between semicolons do not count."""
    texts = "".join(";" if word.text == ";" else "x" for word in words)
    return sum(1 for part in texts.split(";") if part)


_ESCAPES = {"b": "\b", "f": "\f", "r": "\r", "n": "\n", "t": "\t", "0": "\0", "a": "\a", "v": "\v", "e": "\x1b"}


def unquoted(text: str) -> str:
    """The value of a quoted string or name."""
    quote = text[0]
    if quote == "$":
        return text[text.index("$", 1) + 1 : -(text.index("$", 1) + 1)]
    inner = text[1:-1].replace(quote * 2, f"\\{quote}") if quote in "'\"`" else text[1:-1]
    return re.sub(r"\\(x[0-9A-Fa-f]{2}|.)", _escape, inner, flags=re.DOTALL)


def _escape(match: "re.Match[str]") -> str:
    word = match[1]
    return chr(int(word[1:], 16)) if len(word) > 1 else _ESCAPES.get(word, word)


def literal(text: str) -> str:
    """`text` as a string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(text: str) -> str:
    """`text` as a quoted name."""
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"
