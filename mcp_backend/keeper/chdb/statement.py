"""From a statement as a client of a server sends it to what chdb has to be given."""

import re
from dataclasses import dataclass
from itertools import pairwise

from mcp_backend.keeper.chdb.changes import only_reads
from mcp_backend.keeper.chdb.tokens import Token, literal, statements, tokens

STREAMED = frozenset(
    [
        "Native",
        "RowBinary",
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "JSONEachRow",
        "JSONCompactEachRow",
    ]
)
"""Formats whose pieces, one after the other, are the whole."""
MOST_HEAD = 65_536
"""Bytes of an INSERT before its data."""


class Refused(Exception):
    """What ClickHouse says, with the code of src/Common/ErrorCodes.cpp that it names."""

    def __init__(self, text: str) -> None:
        found = re.search(r"Code: (\d+)", text)
        self.code = int(found[1]) if found else 1002
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement for chdb, the format of its answer, and whether that can come in pieces.

    An INSERT with `data` in `data_format` is its beginning only; `rest` is what follows the name of the file that will
    hold them.
    """

    sql: str
    format: str
    streamed: bool = False
    data: bytes | None = None
    data_format: str = ""
    rest: str = ""
    reads: bool = False
    """Whether it changes nothing for certain."""


def read(query: bytes, body: bytes, default_format: str) -> Statement:
    """The statement that `query` and `body` make together: in front the SQL, then what an INSERT inserts.

    Raises `Refused` when it is empty, not text, or several statements.
    """
    whole = query + b"\n" + body if query and body else query or body
    head = whole[:MOST_HEAD].decode("utf-8", "surrogateescape")
    words = tokens(head)
    if not words:
        raise Refused("Code: 62. DB::Exception: Syntax error: Empty query. (SYNTAX_ERROR)")
    if _inserts(words) and (data := _data_keyword(words)) is not None:
        return _insert(whole, head, words, data)
    try:
        sql = whole.decode()
    except UnicodeDecodeError:
        raise Refused("Code: 62. DB::Exception: Syntax error: the query is not UTF-8. (SYNTAX_ERROR)") from None
    words = tokens(sql)
    if statements(words) > 1:
        raise Refused("Code: 62. DB::Exception: Syntax error (Multi-statements are not allowed). (SYNTAX_ERROR)")
    chosen = next((b.text for a, b in reversed([*pairwise(words)]) if a.upper == "FORMAT" and b.kind == "word"), "")
    chosen = chosen or default_format
    streamed = chosen in STREAMED and words[0].upper in ("SELECT", "WITH", "FROM", "")
    return Statement(_adapted(sql, words), chosen, streamed, reads=only_reads(words))


def filled(statement: Statement, path: str, *, plain: bool) -> str:
    """The INSERT that reads its data from the file at `path` below the working folder.

    INFILE takes `*`, `?` and braces anywhere in the whole path for a pattern: where the folders above have some (not
    `plain`), the data come through the table function file(), which can be given another way to the folder.
    """
    begin, rest, form = statement.sql, statement.rest, statement.data_format
    if plain:
        return f"{begin} FROM INFILE {literal(path)} {rest} FORMAT {form}"
    return f"{begin} {rest} SELECT * FROM file({literal('/proc/self/cwd/' + path)}, {form})"


def _inserts(words: list[Token]) -> bool:
    return words[0].upper == "INSERT"


def _data_keyword(words: list[Token]) -> int | None:
    """The place of VALUES, or of FORMAT, after which the data of an INSERT begin; none when it has a SELECT."""
    depth = 0
    for at, word in enumerate(words):
        depth += (word.text == "(") - (word.text == ")")
        if depth == 0 and word.upper in ("SELECT", "WITH", "INFILE"):
            return None
        if depth == 0 and at > 1 and word.upper in ("VALUES", "FORMAT"):
            return at
    return None


def _insert(whole: bytes, head: str, words: list[Token], at: int) -> Statement:
    """Data that are in the text are taken out of it: to chdb they would end at the next semicolon."""
    keyword, named = words[at], words[at].upper == "FORMAT" and at + 1 < len(words)
    chosen = words[at + 1].text if named else "Values"
    end = (words[at + 1] if named else keyword).end
    data = whole[len(head[:end].encode("utf-8", "surrogateescape")) :]
    data = re.sub(rb"\A[ \t]*\r?\n", b"", data) if named else data
    settings = next((word.start for word in words[:at] if word.upper == "SETTINGS"), keyword.start)
    rest = head[settings : keyword.start]
    return Statement(head[:settings], "Null", data=data, data_format=chosen, rest=rest)


def _adapted(sql: str, words: list[Token]) -> str:
    first, last = words[0].upper, words[-1]
    if first == "KILL":
        # chdb makes up its own query ids, the client's is a comment; and it never notices the end of what it waits for.
        text = " ".join(word.text for word in words if word.upper not in ("SYNC", "ASYNC"))
        return re.sub(r"(?i)\bquery_id\b(?=\s*(?:=|in\b))", "Settings['log_comment']", text)
    default = [word.upper for word in words[1:2]] == ["DATABASE"] and any(word.name == "default" for word in words[2:5])
    if first in ("DROP", "DETACH", "RENAME") and default:
        raise Refused("Code: 48. DB::Exception: chdb cannot be without its database default. (NOT_IMPLEMENTED)")
    if first in ("DROP", "DETACH", "TRUNCATE") and last.upper == "SYNC":
        # The same: what is dropped is cleared away when chdb starts.
        return sql[: last.start]
    return sql
