"""Runs one statement so that it can only read, and takes no more of its answer than is wanted.

In force at once: `readonly = 1`, verified by asking the server for it under the same settings; limits of time, memory,
rows and bytes that `readonly` keeps the statement from changing; one statement a request; and the end of the
connection, and of the statement with it, when enough has come.
https://clickhouse.com/docs/operations/settings/permissions-for-queries
"""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp_backend.engines.ch import errors, values
from mcp_backend.engines.ch.standing import Standing
from mcp_backend.errors import InvalidArgument, Json, Unavailable

MOST_CHARACTERS = 40_000
"""Of all rows together as JSON. Hosts put longer results aside or cut them."""
MOST_LINE = 1_000_000
"""Bytes of one row that are looked at."""
MOST_MEMORY = 4_000_000_000
MOST_RESULT = 100_000_000

ALWAYS: Mapping[str, str] = {
    "timeout_overflow_mode": "throw",
    "result_overflow_mode": "break",
    "max_result_bytes": str(MOST_RESULT),
    "cancel_http_readonly_queries_on_client_close": "1",
    "http_write_exception_in_output_format": "0",
    "date_time_output_format": "iso",
    "date_time_input_format": "best_effort",
    "output_format_json_quote_64bit_integers": "0",
    "output_format_json_quote_decimals": "1",
    "output_format_json_quote_denormals": "1",
    "output_format_json_named_tuples_as_objects": "1",
    "output_format_json_escape_forward_slashes": "0",
    "format_display_secrets_in_show_and_select": "0",
    "stream_like_engine_allow_direct_select": "0",
    "allow_introspection_functions": "0",
    "log_comment": "mcp-backend",
}
SHORT = ("Int", "UInt", "Float", "Decimal", "Date", "UUID", "Bool", "IP", "Enum")
"""Types whose values are short whatever they hold."""
LIMITS = frozenset({"limit", "max_execution_time", "max_memory_usage", "max_result_rows", "max_result_bytes"})
"""What a statement's own SETTINGS may lower and not raise."""


@dataclass(frozen=True, slots=True)
class Question:
    """One statement that was judged to read. `settings` are those of its SETTINGS. `rows`: whether it
    is a SELECT, which a limit ends; `totals`: whether it has a row of WITH TOTALS."""

    sql: str
    parameters: values.Parameters
    limit: int
    timeout_seconds: float
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    rows: bool = True
    totals: bool = False
    most_characters: int = MOST_CHARACTERS


@dataclass(frozen=True, slots=True)
class Answer:
    """Columns as (name, type), rows as JSON. `truncated` says what was hit: `rows`, `bytes` or nothing."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Json, ...], ...]
    truncated: str
    cut_values: int
    elapsed_ms: float
    totals: tuple[Json, ...] | None = None


def settings(question: Question, standing: Standing) -> dict[str, str]:
    """What is sent with the statement: everything that this user may set. Raises `InvalidArgument` when a SETTINGS of
    the statement would loosen a limit."""
    wanted = {
        **ALWAYS,
        "max_execution_time": str(math.ceil(question.timeout_seconds)),
        "max_memory_usage": str(min(MOST_MEMORY, standing.memory or MOST_MEMORY)),
    }
    if question.rows:
        wanted["limit"] = str(question.limit + 1)
    for name, value in question.settings.items():
        if name in LIMITS and name in wanted:
            value = _lower(name, value, wanted[name])
        wanted[name] = value
    if standing.readonly == 0:
        wanted["readonly"] = "1"
    return {name: value for name, value in wanted.items() if name in standing.may_set}


def _lower(name: str, value: str, ours: str) -> str:
    if not value.isdigit() or int(value) > int(ours) or int(value) == 0:
        raise InvalidArgument(
            f"sql: SETTINGS {name} = {value}: expected at most {ours}; leave it out, or use limit and timeout_seconds"
        )
    return value


@dataclass(slots=True)
class Taker:
    """Takes rows from the pieces of an answer until there are enough. `form` is the format it reads; `at` the start."""

    question: Question
    at: float = field(default_factory=time.monotonic)

    @property
    def form(self) -> str:
        """Totals only come in a document that has to be read as a whole."""
        return "JSONCompact" if self.question.totals else "JSONCompactEachRowWithNamesAndTypes"

    def __call__(self, pieces: Iterator[bytes], headers: Mapping[str, str]) -> Answer:
        totals: list[Any] | None = None
        if self.question.totals:
            try:
                document = values.document(b"".join(pieces))
            except ValueError:
                # Some servers write the totals of no groups before the document begins.
                raise InvalidArgument("sql: WITH TOTALS: the answer cannot be read; ask for the totals alone") from None
            names, types = ([column[key] for column in document["meta"]] for key in ("name", "type"))
            rows, totals = iter(document["data"]), document.get("totals")
        else:
            coming = lines(pieces)
            names, types = values.parsed(next(coming, b"[]")), values.parsed(next(coming, b"[]"))
            if not names:
                raise Unavailable("the server broke its answer off; nothing changed, repeat the call once it is back")
            rows = (_row(line, len(names)) for line in coming)
        return self._answer(names, types, rows, totals)

    def _answer(
        self, names: Sequence[str], types: Sequence[str], rows: Iterator[list[Any]], totals: list[Any] | None
    ) -> Answer:
        shown = _Shown([values.reader(kind) for kind in types], longest_cell(types, self.question.most_characters))
        kept: list[tuple[Json, ...]] = []
        truncated, characters = "", 0
        for row in rows:
            if len(kept) >= self.question.limit:
                truncated = "rows"
                break
            before, values_shown = shown.cut, shown.row(row)
            characters += len(json.dumps(values_shown, ensure_ascii=False))
            if characters > self.question.most_characters and kept:
                truncated, shown.cut = "bytes", before
                break
            kept.append(values_shown)
        last = shown.row(totals) if totals else None
        elapsed = round((time.monotonic() - self.at) * 1000, 1)
        return Answer(tuple(zip(names, types, strict=True)), tuple(kept), truncated, shown.cut, elapsed, last)


@dataclass(slots=True)
class _Shown:
    """Values as JSON, those that are too long cut and counted."""

    readers: Sequence[values.Reader]
    longest: int
    cut: int = 0

    def row(self, row: Sequence[Any]) -> tuple[Json, ...]:
        shown: list[Json] = []
        for read, value in zip(self.readers, row, strict=True):
            short, was_cut = values.shortened(values.shown(value, read), self.longest)
            self.cut += was_cut
            shown.append(short)
        return tuple(shown)


def longest_cell(types: Sequence[Any], most_characters: int) -> int:
    """Characters of one value that are shown: the more columns may be long, the fewer."""
    long_columns = sum(not str(kind).startswith(SHORT) for kind in types)
    return max(500, most_characters // (2 * max(1, long_columns)))


def lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines, of which one that never seems to end comes cut. Raises `errors.ServerError` for what a server writes
    when it fails midway."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if not line.startswith(b"["):
                raise errors.read((line + b" " + rest).decode(errors="replace"))
            yield line
        if len(rest) > MOST_LINE:
            yield rest[:MOST_LINE]
            return
    if rest.strip():
        if not rest.startswith(b"["):
            raise errors.read(rest.decode(errors="replace"))
        yield rest


def _row(line: bytes, columns: int) -> list[Any]:
    try:
        return values.parsed(line)
    except ValueError:
        return _mended(line, columns)


def _mended(line: bytes, columns: int) -> list[Any]:
    """The values of a row that was cut, as far as they came; the last one as its text, the others missing."""
    text = line.decode("utf-8", "replace")[1:]
    row: list[Any] = []
    decoder = json.JSONDecoder()
    while len(row) < columns and text:
        try:
            value, end = decoder.raw_decode(text)
        except ValueError:
            row.append(text.lstrip('"'))
            break
        row.append(value)
        text = text[end:].lstrip(" ,")
    return row + [None] * (columns - len(row))
