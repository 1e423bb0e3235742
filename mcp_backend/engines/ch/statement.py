"""What a ClickHouse statement is made of: by the words of its lexer here, and by the server's own grammar there.

EXPLAIN AST only parses. It leaves out what some nodes hold (named windows, APPLY, conditions of SHOW), so functions,
settings and INTO OUTFILE are looked for among the words, of which nothing is left out.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Literal, TypeAlias

from mcp_backend.engines.ch import grammar
from mcp_backend.engines.ch.effects import OFF, SETTINGS
from mcp_backend.errors import InvalidArgument
from mcp_backend.keeper.chdb.tokens import Token, statements, tokens, unquoted

Name: TypeAlias = tuple[str, str]
"""Database, or `""` for the current one; and table."""
Kind: TypeAlias = Literal["select", "explain", "show"]

EXPLAINING = "EXPLAIN AST "
MOST_WORDS = 40_000


@dataclass(frozen=True, slots=True)
class Outline:
    """One statement by its words. `why` is empty when nothing in them shows that it does more than read.

    `parameters` are names and types of `{name:Type}`, in order of appearance; `settings` what SETTINGS sets.
    """

    text: str
    words: tuple[Token, ...]
    called: frozenset[str]
    parameters: Mapping[str, str]
    settings: Mapping[str, str]
    why: str = ""

    @property
    def totals(self) -> bool:
        """Whether it may have a row of totals."""
        return any(a.upper == "WITH" and b.upper == "TOTALS" for a, b in pairwise(self.words))


@dataclass(frozen=True, slots=True)
class Shape:
    """The same statement by the server's grammar. `hides`: a part of it is only known by its words."""

    kind: Kind
    outline: Outline
    tables: frozenset[Name]
    functions: frozenset[str]
    table_functions: frozenset[str]
    executes: bool
    hides: bool
    why: str = ""


def outline(sql: str) -> Outline:
    """The outline of the one statement in `sql`, without its semicolon and its FORMAT.

    Raises `InvalidArgument` when it is empty or several statements.
    """
    words = tokens(sql)
    if len(words) > MOST_WORDS:
        raise InvalidArgument(f"sql: has {len(words)} words; expected at most {MOST_WORDS}")
    if unknown := next((word for word in words if word.kind == "unknown"), None):
        begins = f"what begins at character {unknown.start + 1} ({unknown.text[:20]})"
        raise InvalidArgument(f"sql: {begins} has no end, or is no ClickHouse SQL")
    count = statements(words)
    if count == 0:
        raise InvalidArgument("sql: holds no statement; expected one SELECT, SHOW, DESCRIBE, EXISTS or EXPLAIN")
    if count > 1:
        guilty = [word.upper for word in _firsts(words) if word.upper not in grammar.BEGINNINGS]
        if not guilty:
            raise InvalidArgument(f"sql: holds {count} statements; expected one, so call once for each")
        return Outline(sql, (), frozenset(), {}, {}, f"it holds {count} statements, and one is {guilty[0]}")
    words = [word for word in words if word.text != ";"]
    text, words = _without_format(sql[words[0].start : words[-1].end], words, words[0].start)
    settings, why = _settings(words)
    why = why or _objection(words)
    return Outline(text, tuple(words), frozenset(_called(words)), _parameters(words), settings, why)


def shape(found: Outline, lines: Sequence[str]) -> Shape:
    """The shape of an outlined statement, of which the server's EXPLAIN AST says `lines`."""
    kind, executes, why = _root(lines[0])
    tables: set[Name] = set()
    functions: set[str] = set()
    table_functions: set[str] = set()
    parents: list[str] = []
    hides = kind == "show"
    for line in lines[1:] if kind != "select" else lines:
        depth = len(line) - len(line.lstrip(" "))
        node = line.split(maxsplit=1)[0] if line.strip() else ""
        del parents[depth:]
        above = parents[-1] if parents else ""
        parents += [""] * (depth - len(parents)) + [node]
        if not executes:
            continue
        if node not in grammar.PARTS:
            why = why or f"it contains {node or 'an empty node'}, which is not known to read only"
        if depth == 1 and kind == "select" and node == "Literal":
            why = why or "INTO OUTFILE writes a file"
        hides = hides or node in ("WindowListElement", "ColumnsApplyTransformer")
        if node == "TableIdentifier":
            tables.add(_name(_argument(line)))
        elif node == "Function":
            if _argument(line) == "lambda" and "lambda" not in found.called:
                continue  # x -> …, and no function of that name
            functions.add(_argument(line))
            if above == "TableExpression":
                table_functions.add(_argument(line))
    return Shape(
        kind,
        found,
        frozenset(tables),
        frozenset(functions),
        frozenset(table_functions),
        executes,
        hides,
        found.why or why,
    )


def _firsts(words: Iterable[Token]) -> Iterable[Token]:
    first = True
    for word in words:
        if first and word.text != ";":
            yield word
        first = word.text == ";"


def _root(line: str) -> tuple[Kind, bool, str]:
    """Kind of statement, whether it is more than parsed, and why it is not a read."""
    text = re.sub(r" \(children \d+\)$", "", line)
    node = text.split(maxsplit=1)[0] if text.strip() else ""
    if node == "SelectWithUnionQuery":
        return "select", True, ""
    if node == "Explain":
        words = text.removeprefix("Explain ")
        known = words in {
            f"EXPLAIN{k}" for k in ("", " AST", " SYNTAX", " QUERY TREE", " PLAN", " PIPELINE", " ESTIMATE")
        }
        return "explain", words != "EXPLAIN AST", "" if known else f"it is {words}"
    if node in grammar.READS:
        return "show", True, ""
    if (found := re.fullmatch(r"SHOW (.*) query", text)) and found[1] in grammar.SHOWN:
        return "show", True, ""
    spoken = grammar.WORDS.get(node) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", node.removesuffix("Query")).upper()
    return "select", True, f"it is {spoken}"


def _argument(line: str) -> str:
    text = re.sub(r" \(children \d+\)$", "", line.strip())
    return re.sub(r" \(alias .*\)$", "", text).partition(" ")[2]


def _name(dotted: str) -> Name:
    database, _, table = dotted.rpartition(".")
    return database, table


def merges_anything(words: Sequence[Token]) -> bool:
    """Whether a call of merge() may mean tables of the database `system`: anything but the name of another database,
    currentDatabase(), or no database at all."""
    for at, word in enumerate(words):
        if word.name.lower() != "merge" or [w.text for w in words[at + 1 : at + 2]] != ["("]:
            continue
        first, *behind = words[at + 2 : at + 5]
        texts = [w.text for w in behind]
        if first.name.lower() == "currentdatabase" and texts == ["(", ")"]:
            continue
        named = first.name or (unquoted(first.text) if first.kind == "string" else "")
        if not named or texts[:1] not in ([","], [")"]) or (texts[0] == "," and named.lower() == "system"):
            return True
    return False


def _called(words: Sequence[Token]) -> Iterable[str]:
    """What stands before a parenthesis, and what APPLY names: functions, table functions, types, keywords."""
    for word, following in pairwise(words):
        if following.text == "(" and word.name:
            yield word.name
        if word.upper == "APPLY" and following.name:
            yield following.name
    for first, second, third in zip(words, words[1:], words[2:], strict=False):
        if first.upper == "APPLY" and second.text == "(" and third.name:
            yield third.name


def _objection(words: Sequence[Token]) -> str:
    for word, following in pairwise(words):
        if word.upper == "INTO" and following.upper == "OUTFILE":
            return "INTO OUTFILE writes a file"
    return ""


def _parameters(words: Sequence[Token]) -> dict[str, str]:
    found: dict[str, str] = {}
    for at, (first, second, third) in enumerate(zip(words, words[1:], words[2:], strict=False)):
        if first.text == "{" and second.kind == "word" and third.text == ":":
            kind = takewhile(lambda word: word.text != "}", words[at + 3 :])
            found.setdefault(second.text, "".join(word.text for word in kind))
    return found


def _without_format(text: str, words: list[Token], start: int) -> tuple[str, list[Token]]:
    """Without a FORMAT at the end, or before a SETTINGS at the end: the answer is JSON."""
    depth = 0
    for at in range(len(words) - 2, -1, -1):
        depth += (words[at].text == ")") - (words[at].text == "(")
        word, name = words[at], words[at + 1]
        behind = words[at + 2].upper if at + 2 < len(words) else "SETTINGS"
        if depth == 0 and word.upper == "FORMAT" and name.kind == "word" and behind == "SETTINGS" and at > 0:
            shown = text[: word.start - start] + text[name.end - start :]
            return shown.strip(), [*words[:at], *words[at + 2 :]]
    return text, words


def _settings(words: Sequence[Token]) -> tuple[dict[str, str], str]:
    """What SETTINGS clauses set, and why not everything in them is for a read to set."""
    found: dict[str, str] = {}
    at = 0
    while at < len(words) - 2:
        clause = words[at].upper == "SETTINGS" and words[at + 1].name and words[at + 2].text == "="
        at += 1
        while clause and at < len(words) - 2 and words[at].name and words[at + 1].text == "=":
            name, value = words[at].name, words[at + 2]
            at += 3
            text = value.text
            if text == "-" and at < len(words):
                text += words[at].text
                at += 1
            if value.kind not in ("number", "string", "word") and not text.startswith("-"):
                return found, f"SETTINGS {name} has a value that is not a number, a word or a string"
            if not (SETTINGS.fullmatch(name) or (OFF.fullmatch(name) and text in ("0", "false"))):
                return found, f"SETTINGS {name} is not for a read to set"
            found[name] = unquoted(text) if value.kind == "string" else text
            if at < len(words) and words[at].text == ",":
                at += 1
            else:
                break
    return found, ""
