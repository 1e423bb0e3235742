"""Splits a block into statements by PostgreSQL's own grammar, and refuses what a migration must not contain.

libpg_query decides where a statement ends and whether it is one; the keywords its scanner finds then tell what kind
it is, because in a valid statement they can mean only that. The syntax tree itself is not built: its serialised form
fails on expressions nested some fifty levels deep, and building it overflows the C stack on tens of thousands.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from postgast import PgQueryError, pg_query_pb2, scan, split

from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations.model import Block, Part

SHORT = 400
"""Characters of another session's statement that are shown."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, and the line (from 1) of its file on which it starts.

    `patient` tells that it lets reads and writes go on while it waits for other transactions (the CONCURRENTLY
    forms, VACUUM), so that it needs no short lock timeout. `index` is the name of an index it builds CONCURRENTLY.
    `alone` says in words what it is when it cannot run inside a transaction. `control` is `begin`, `end` or `back`
    when it opens, commits or rolls back one, `plain` tells that it does only that. `opaque`: it may commit by itself
    (CALL, DO), so that only PostgreSQL knows.
    """

    sql: str
    line: int
    patient: bool = False
    index: str = ""
    alone: str = ""
    control: Literal["", "begin", "end", "back"] = ""
    plain: bool = False
    opaque: bool = False


def statements(block: Block, where: str) -> tuple[Statement, ...]:
    """The statements of a block. Raises `InvalidArgument` naming file, line and column before anything runs."""
    try:
        parts = split(block.sql)
    except PgQueryError as error:
        raise InvalidArgument(_unparsed(block, where, error)) from None
    found: list[tuple[Statement, list[str]]] = []
    at = 0
    for part in parts:
        at = block.sql.index(part, at)
        line = block.line + block.sql.count("\n", 0, at)
        sql = part.rstrip()
        words = _words(sql)
        control = _control(words)
        statement = Statement(
            sql, line, _patient(words), _index(sql, words), _needs_no_transaction(words) or "", control,
            bool(control) and set(words[1:]) <= {"TRANSACTION", "WORK"}, _OPAQUE.match(sql) is not None,
        )  # fmt: skip
        found.append((statement, words))
        at += len(part)
    inside = bool(block.transaction) and not own(block, [statement for statement, _ in found])
    for statement, words in found:
        if problem := _refused(words, transaction=inside, mark=block.mark):
            raise InvalidArgument(f"{where}:{statement.line}: {problem}")
    return tuple(statement for statement, _ in found)


def own(block: Block, found: Sequence[Statement]) -> bool:
    """Whether the text and not its tool says where transactions begin and end."""
    return (block.transaction is None or block.ends) and any(statement.control for statement in found)


def part(block: Block, where: str) -> Part:
    """The statements of a block and how they run. Without a word from the file (`transaction` None) it is what a
    simple query would be: one transaction, or what the file itself begins and commits, or one statement alone. Where
    the tool lets a file do so, what the file begins and commits counts inside the tool's transaction, too.

    Raises `InvalidArgument` as `statements` does, and when such a block mixes what cannot be mixed.
    """
    found = statements(block, where)
    if block.transaction is not None and not own(block, found):
        return Part(found, block.transaction)
    controls = [s for s in found if s.control]
    wrapped = (
        len(controls) == 2 and found[0].control == "begin" and found[-1].control == "end"
        and found[0].plain and found[-1].plain
    )  # fmt: skip
    inner = found[1:-1] if wrapped else found
    alone = next((s for s in inner if s.alone), None)
    if controls and not wrapped:
        return Part(found, transaction=False)
    if alone is None:
        return Part(inner, transaction=True)
    if len(found) == 1:
        return Part(found, transaction=False)
    raise InvalidArgument(
        f"{where}:{alone.line}: {alone.alone} cannot run inside a transaction, and a file of several statements is "
        f"sent as one; {block.mark}"
    )


_OPAQUE = re.compile(r"(call|do)\b", re.IGNORECASE)


def _control(words: list[str]) -> Literal["", "begin", "end", "back"]:
    match words:
        case ["ROLLBACK", "TO", *_] | ["ROLLBACK", "TRANSACTION" | "WORK", "TO", *_]:
            return ""
        case ["BEGIN" | "START", *_]:
            return "begin"
        case ["COMMIT" | "END", *_]:
            return "end"
        case ["ROLLBACK" | "ABORT", *_]:
            return "back"
        case _:
            return ""


def place(line: int, sql: str, position: int) -> tuple[int, int]:
    """Line and column (from 1) in the file of a `position` (from 1, in characters) in `sql`, which starts in `line`."""
    before = sql[: max(position - 1, 0)]
    return line + before.count("\n"), len(before) - (before.rfind("\n") + 1) + 1


def without_literals(sql: str) -> str:
    """The beginning of a statement with its literals replaced: what another session runs is shown, its values not."""
    hidden = _replaced(sql[: 8 * SHORT], lambda kinds, i: kinds[i] in _LITERALS)
    if hidden is None:  # cut off inside a literal, or not SQL: the words before the first literal
        hidden = re.split(r"[^A-Za-z_ .\n]", sql, maxsplit=1)[0] + "…"
    text = " ".join(hidden.split())
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"


def without_passwords(sql: str) -> str:
    """A statement with the literal after each PASSWORD keyword replaced."""
    if not re.search("password", sql, re.IGNORECASE):
        return sql
    hidden = _replaced(sql, lambda kinds, i: i > 0 and kinds[i] in _STRINGS and kinds[i - 1] == "PASSWORD")
    return sql if hidden is None else hidden


_STRINGS = frozenset({"SCONST", "USCONST"})
_LITERALS = _STRINGS | {"ICONST", "FCONST", "BCONST", "XCONST"}
_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})


def _replaced(sql: str, hide: Callable[[list[str], int], bool]) -> str | None:
    try:
        tokens = scan(sql).tokens
    except PgQueryError:
        return None
    kinds = [token_kind(token.token) for token in tokens]
    source, out, last = sql.encode(), bytearray(), 0
    for index, token in enumerate(tokens):
        if hide(kinds, index) or kinds[index] in _COMMENTS:
            out += source[last : token.start] + (b"" if kinds[index] in _COMMENTS else b"?")
            last = token.end
    return (out + source[last:]).decode()


def token_kind(token: int) -> str:
    """The name of a token of the scanner."""
    return pg_query_pb2.Token.Name(token).removesuffix("_P")  # pyright: ignore[reportArgumentType]


_TRANSACTION = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"})
_LOOKED_AT = _TRANSACTION | frozenset(
    {"PREPARE", "COPY", "ALTER", "CREATE", "DROP", "LOAD", "DISCARD", "VACUUM", "REINDEX",
     "CLUSTER"}
)  # fmt: skip


def _words(sql: str) -> list[str]:
    """The kinds of the tokens of a statement whose first word matters, otherwise nothing."""
    first = re.match("[A-Za-z]+", sql)
    if first is None or first[0].upper() not in _LOOKED_AT:
        return []
    return [kind for token in scan(sql).tokens if (kind := token_kind(token.token)) not in _COMMENTS]


def _refused(words: list[str], *, transaction: bool, mark: str) -> str | None:
    match words:
        case ["PREPARE", "TRANSACTION", *_] | ["COMMIT" | "ROLLBACK", "PREPARED", *_]:
            return "a prepared transaction outlives the migration; use an ordinary one"
        case ["ROLLBACK", "TO", *_] | ["ROLLBACK", "TRANSACTION" | "WORK", "TO", *_]:
            return None
        case [first, *_] if first in _TRANSACTION:
            return f"{_OWN_TRANSACTION}{mark}" if transaction else None
        case ["COPY", *rest]:
            return _copy(rest)
        case ["ALTER", "SYSTEM", *_]:
            return "ALTER SYSTEM changes the whole database server; whoever runs the server does that"
        case ["CREATE" | "DROP" as verb, "DATABASE", *_]:
            return f"{verb} DATABASE acts outside the database that is migrated; create and drop databases elsewhere"
        case ["CREATE" | "DROP" | "ALTER" as verb, "TABLESPACE", *_]:
            return f"{verb} TABLESPACE changes the whole database server; whoever runs the server does that"
        case ["LOAD", *_]:
            return "LOAD loads code into the database server; use CREATE EXTENSION"
        case ["DISCARD", "ALL", *_]:
            return "DISCARD ALL would drop the lock that keeps two servers from migrating at once; remove it"
        case _:
            if transaction and (what := _needs_no_transaction(words)):
                return f"{what} cannot run inside a transaction; put it in a file of its own and {mark}"
            return None


_OWN_TRANSACTION = (
    "a migration runs in a transaction of its own together with its history row, so it must not open or end one; "
    "remove BEGIN and COMMIT, or, if it needs several transactions, "
)


def _copy(rest: list[str]) -> str | None:
    depth = 0
    for index, word in enumerate(rest):
        depth += {"ASCII_40": 1, "ASCII_41": -1}.get(word, 0)
        if depth or word not in ("FROM", "TO"):
            continue
        match rest[index + 1 : index + 2]:
            case ["PROGRAM"]:
                return "COPY … PROGRAM runs a program on the database server; a migration changes only the database"
            case ["STDIN"]:
                return "COPY … FROM STDIN needs data sent beside the SQL, which only psql does; use INSERT"
            case ["STDOUT"]:
                return "COPY … TO STDOUT sends rows to a client; a migration has no use for them, remove it"
            case _:
                return "COPY with a file reads or writes the disk of the database server; use INSERT"
    return None


def _needs_no_transaction(words: list[str]) -> str | None:
    match words:
        case ["VACUUM", *_]:
            return "VACUUM"
        case ["CREATE", "INDEX", "CONCURRENTLY", *_] | ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", *_]:
            return "CREATE INDEX CONCURRENTLY"
        case ["DROP", "INDEX", "CONCURRENTLY", *_]:
            return "DROP INDEX CONCURRENTLY"
        case ["REINDEX", *rest] if "CONCURRENTLY" in rest:
            return "REINDEX CONCURRENTLY"
        case ["REINDEX", *rest] if kind := next((w for w in rest if w in _WIDE), None):
            return f"REINDEX {kind}"
        case ["ALTER", "TABLE", *rest] if "DETACH" in rest and "CONCURRENTLY" in rest:
            return "DETACH PARTITION CONCURRENTLY"
        case ["CLUSTER"] | ["CLUSTER", "VERBOSE"]:
            return "CLUSTER of all tables"
        case _:
            return None


_WIDE = ("DATABASE", "SYSTEM", "SCHEMA")


def _patient(words: list[str]) -> bool:
    what = _needs_no_transaction(words)
    return what is not None and ("CONCURRENTLY" in what or (what == "VACUUM" and "FULL" not in words))


def _index(sql: str, words: list[str]) -> str:
    if _needs_no_transaction(words) != "CREATE INDEX CONCURRENTLY":
        return ""
    tail = sql[re.search("concurrently", sql, re.IGNORECASE).end() :]  # pyright: ignore[reportOptionalMemberAccess]
    named = re.match(r"\s+(?:if\s+not\s+exists\s+)?(?!on\b)(\"(?:[^\"]|\"\")+\"|[^\s(]+)", tail, re.IGNORECASE)
    if named is None:
        return ""
    return named[1] if named[1].startswith('"') else named[1].lower()


def _unparsed(block: Block, where: str, error: PgQueryError) -> str:
    at = max(error.cursorpos - 1, 0)
    line, column = place(block.line, block.sql, error.cursorpos)
    try:
        before = split(block.sql[:at], method="scanner")
    except PgQueryError:
        before = []
    if before:
        tokens = [token for token in scan(before[-1]).tokens if token_kind(token.token) not in _COMMENTS]
        words = [token_kind(token.token) for token in tokens]
        if words[:1] == ["COPY"] and "STDIN" in words and (problem := _copy(words[1:])):
            lead = before[-1].encode()[: tokens[0].start].decode()
            started = block.sql.rfind(before[-1]) + len(lead)
            return f"{where}:{block.line + block.sql.count(chr(10), 0, started)}: {problem}"
    if block.sql[at : at + 1] == "\\":
        command = block.sql[at:].split("\n", 1)[0].strip()[:40]
        return (
            f"{where}:{line}: {command} is a command of the psql program, not SQL; write out what it would do "
            "(a file it includes becomes a migration of its own)"
        )
    return f"{where}:{line}, column {column}: {error.message}; the file is not SQL that PostgreSQL 18 can parse"
