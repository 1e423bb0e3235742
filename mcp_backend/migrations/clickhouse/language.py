"""The statements of a migration, by the words of ClickHouse's own lexer: what they are, whom they touch.

Words only name the parts here; whether a statement is one at all is for the server's grammar to say (EXPLAIN AST on the
shadow), and what it does is observed when it runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from mcp_backend.errors import InvalidArgument
from mcp_backend.keeper.chdb.tokens import Token, tokens, unquoted
from mcp_backend.migrations.clickhouse import hiding

Name: TypeAlias = tuple[str, str]
"""Database, or `""` for the current one; and table."""

OBJECTS = (
    "TEMPORARY TABLE", "TABLE", "MATERIALIZED VIEW", "WINDOW VIEW", "LIVE VIEW", "VIEW", "DATABASE", "DICTIONARY",
    "FUNCTION", "USER", "ROLE", "ROW POLICY", "POLICY", "QUOTA", "SETTINGS PROFILE", "PROFILE", "NAMED COLLECTION",
    "WORKLOAD", "RESOURCE", "INDEX", "ALL TABLES FROM", "TABLES", "DICTIONARIES", "MASKING POLICY",
)  # fmt: skip
ACCESS = frozenset({"USER", "ROLE", "ROW POLICY", "POLICY", "QUOTA", "SETTINGS PROFILE", "PROFILE", "MASKING POLICY"})
_VERBS = frozenset(
    {"CREATE", "REPLACE", "DROP", "DETACH", "ATTACH", "TRUNCATE", "RENAME", "EXCHANGE", "ALTER", "UNDROP"}
)
_PLAIN = {"OPTIMIZE": ("TABLE",), "DELETE": ("FROM",), "INSERT": ("INTO", "TABLE"), "UPDATE": ()}
_COMMANDS = frozenset(
    {
        "ADD", "DROP", "CLEAR", "MODIFY", "ALTER", "RENAME", "COMMENT", "MATERIALIZE", "UPDATE", "DELETE", "ATTACH",
        "DETACH",
        "FREEZE", "UNFREEZE", "MOVE", "REPLACE", "FETCH", "RESET", "REMOVE", "FORGET", "APPLY", "REWRITE", "UNLOCK",
        "EXECUTE",
    }
)  # fmt: skip
_THINGS = frozenset(
    {
        "COLUMN", "INDEX", "PROJECTION", "CONSTRAINT", "STATISTICS", "PARTITION", "PART", "DETACHED", "ORDER",
        "SAMPLE", "TTL",
        "SETTING", "QUERY", "COMMENT", "REFRESH", "SQL", "DEFINER", "WHERE", "DELETED", "PARTS", "WITH",
    }
)  # fmt: skip
_AFTER_TYPE = frozenset(
    {
        "DEFAULT", "MATERIALIZED", "ALIAS", "EPHEMERAL", "CODEC", "COMMENT", "TTL", "STATISTICS", "FIRST", "AFTER",
        "REMOVE",
        "MODIFY", "RESET", "SETTINGS", "PRIMARY", "COLLATE", "NOT", "NULL",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Command:
    """One command of an ALTER TABLE: `kind` as `ADD COLUMN`, `name` what it is about, `body` the words after that."""

    kind: str
    name: str
    text: str
    words: tuple[Token, ...]
    body: tuple[Token, ...] = ()

    @property
    def type(self) -> str:
        """The type a MODIFY COLUMN gives, or nothing."""
        kept: list[Token] = []
        depth = 0
        for at, word in enumerate(self.body):
            if (depth == 0 and word.upper in _AFTER_TYPE) or (at == 0 and word.text == ","):
                break
            depth += (word.text == "(") - (word.text == ")")
            kept.append(word)
        joined = "".join(f"{word.text} " if word.kind == "word" else word.text for word in kept).strip()
        return joined.replace(" (", "(").replace(" )", ")").replace(" ,", ",").replace(",", ", ")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `verb` as `CREATE TABLE`, `ALTER TABLE`, `INSERT`; `names` are the objects it names, in order."""

    sql: str
    line: int
    words: tuple[Token, ...]
    verb: str
    names: tuple[Name, ...] = ()
    commands: tuple[Command, ...] = ()
    cluster: str = ""
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> Name | None:
        """The object it is about."""
        return self.names[0] if self.names else None

    @property
    def shown(self) -> str:
        """The statement for people and results: without passwords, and without what other systems are reached with."""
        return hiding.hidden(self.sql, self.words)

    @property
    def session(self) -> bool:
        """Whether it only sets something for the statements that follow."""
        return self.verb == "SET"

    def has(self, *phrase: str) -> bool:
        """Whether the words stand in it one after the other."""
        upper = [word.upper for word in self.words]
        return any(upper[at : at + len(phrase)] == [*phrase] for at in range(len(upper) - len(phrase) + 1))


def statements(sql: str, where: str, line: int = 1) -> tuple[Statement, ...]:
    """The statements of a block that begins in `line` of `where`. Raises `InvalidArgument` for what has no end."""
    words = tokens(sql)
    found: list[Statement] = []
    part: list[Token] = []
    for word in [*words, Token("sign", ";", len(sql), len(sql))]:
        if word.kind == "unknown":
            at = line + sql.count("\n", 0, word.start)
            raise InvalidArgument(
                f"{where}:{at}: what begins with {word.text[:20]!r} has no end, or is no ClickHouse SQL"
            )
        if word.text != ";" or word.kind != "sign":
            part.append(word)
        elif part:
            found.append(_statement(sql[part[0].start : part[-1].end], line + sql.count("\n", 0, part[0].start)))
            part = []
    return tuple(found)


def statement(sql: str) -> Statement:
    """The one statement that `sql` is."""
    return _statement(sql, 1)


def between(sql: str, words: Sequence[Token], keyword: str, *ends: str) -> str:
    """The text of `sql` after a keyword at the depth of the first word, to one of `ends` there or to the last word."""
    depth, begin = 0, -1
    for word in words:
        if depth == 0 and begin >= 0 and word.upper in ends:
            return sql[begin : word.start].strip()
        if depth == 0 and begin < 0 and word.upper == keyword:
            begin = word.end
        depth += (word.text == "(") - (word.text == ")")
    return sql[begin : words[-1].end].strip() if begin >= 0 else ""


def _statement(sql: str, line: int) -> Statement:
    words = tuple(tokens(sql))
    first = words[0].upper
    cluster, settings = _cluster(words), _settings(words)
    verb, at = _verb(words)
    names: list[Name] = []
    commands: tuple[Command, ...] = ()
    if first in _VERBS or first in _PLAIN:
        named, at = _name(words, at)
        names += [named] if named else []
    if first in ("RENAME", "EXCHANGE"):
        while at < len(words):
            separator = words[at].upper or words[at].text
            at += 1
            if separator in ("TO", "AND", ","):
                named, at = _name(words, at)
                names += [named] if named else []
    if verb == "ALTER TABLE":
        if at + 1 < len(words) and words[at].upper == "ON" and words[at + 1].upper == "CLUSTER":
            at += 3
        commands = tuple(_commands(sql, words[at:]))
    if verb == "CREATE INDEX":
        on = next((i for i, word in enumerate(words) if word.upper == "ON"), len(words) - 1)
        named, _ = _name(words, on + 1)
        commands = (Command("ADD INDEX", names[0][1] if names else "", sql, words),)
        names = [named] if named else []
        verb = "ALTER TABLE"
    return Statement(sql, line, words, verb, tuple(names), commands, cluster, settings)


def _verb(words: Sequence[Token]) -> tuple[str, int]:
    first = words[0].upper
    if first in _PLAIN:
        at = 1
        while at < len(words) and words[at].upper in _PLAIN[first]:
            at += 1
        if first == "INSERT" and at < len(words) and words[at].upper == "FUNCTION":
            return "INSERT FUNCTION", len(words)
        return first, at
    if first not in _VERBS:
        following = words[1].upper if len(words) > 1 else ""
        return (f"SET {following}", 2) if first == "SET" and following in ("ROLE", "DEFAULT") else (first, 1)
    at = 1
    while at < len(words) and words[at].upper in ("OR", "REPLACE", "UNIQUE", "IF", "EMPTY"):
        at += 1
    for thing in OBJECTS:
        parts = thing.split()
        if [word.upper for word in words[at : at + len(parts)]] == parts:
            verb = "CREATE" if first in ("REPLACE", "CREATE") else first
            return f"{verb} {thing}", at + len(parts)
    return f"{first} TABLE", at


def _name(words: Sequence[Token], at: int) -> tuple[Name | None, int]:
    """The name that begins at `at`, after IF (NOT) EXISTS, and where it ends."""
    while at < len(words) and words[at].upper in ("IF", "NOT", "EXISTS"):
        at += 1
    if at >= len(words) or not words[at].name:
        return None, at
    first = words[at].name
    if at + 2 < len(words) and words[at + 1].text == "." and words[at + 2].name:
        return (first, words[at + 2].name), at + 3
    return ("", first), at + 1


def _cluster(words: Sequence[Token]) -> str:
    for at, (word, following) in enumerate(pairwise(words)):
        if word.upper == "ON" and following.upper == "CLUSTER" and at + 2 < len(words):
            name = words[at + 2]
            return unquoted(name.text) if name.kind in ("string", "quoted") else name.text
    return ""


def _settings(words: Sequence[Token]) -> dict[str, str]:
    """Everything that SETTINGS clauses, SET and MODIFY SETTING set."""
    found: dict[str, str] = {}
    inside = False
    for at, word in enumerate(words):
        if word.upper in ("SETTINGS", "SETTING") or (at == 0 and word.upper == "SET"):
            inside = True
        elif inside and word.text == "=" and at + 1 < len(words) and words[at - 1].name:
            value = words[at + 1]
            found[words[at - 1].name] = unquoted(value.text) if value.kind == "string" else value.text
    return found


def _commands(sql: str, words: Sequence[Token]) -> list[Command]:
    parts: list[list[Token]] = [[]]
    depth = 0
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else None
        if depth == 0 and word.text == "," and following and _begins(words, at + 1):
            parts.append([])
            continue
        depth += (word.text == "(") - (word.text == ")")
        parts[-1].append(word)
    return [_command(sql, part) for part in parts if part]


def _begins(words: Sequence[Token], at: int) -> bool:
    """Whether a command of ALTER begins here, and not one more assignment, TTL rule or setting of the last one."""
    if words[at].text == "(":
        at += 1
    if at >= len(words) or words[at].upper not in _COMMANDS:
        return False
    following = words[at + 1] if at + 1 < len(words) else None
    return following is not None and (
        following.upper in _THINGS or (words[at].upper == "UPDATE" and bool(following.name))
    )


def _command(sql: str, part: list[Token]) -> Command:
    if part[0].text == "(" and part[-1].text == ")":
        part = part[1:-1]
    upper = [word.upper for word in part]
    text = sql[part[0].start : part[-1].end]
    kind, at = upper[0], 1
    if kind not in ("UPDATE", "DELETE") and len(upper) > 1:
        kind, at = f"{kind} {upper[1]}", 2
        if kind in ("MODIFY ORDER", "MODIFY SAMPLE", "REMOVE SAMPLE", "DROP DETACHED", "APPLY DELETED", "MODIFY SQL"):
            kind, at = f"{kind} {upper[2] if len(upper) > 2 else ''}".strip(), 3
        if kind == "ALTER COLUMN":
            kind = "MODIFY COLUMN"
    if kind.rpartition(" ")[2] in ("PARTITION", "PART"):
        return Command(kind, between(sql, part, upper[at - 1]), text, tuple(part), tuple(part[at:]))
    named, end = _name(part, at)
    name = ".".join(word for word in named if word) if named else ""
    if kind == "MODIFY COLUMN" and end < len(part) and part[end].upper == "TYPE":
        end += 1
    return Command(kind, name, text, tuple(part), tuple(part[end:]))
