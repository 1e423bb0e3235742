"""Parameters of statements as literals: a statement and its values become one text that can be compared and run."""

import struct
import uuid
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from postgast import PgQueryError, scan

from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations.history import literal
from mcp_backend.migrations.statements import token_kind

NAMES = {
    16: "bool", 17: "bytea", 18: '"char"', 19: "name", 20: "int8", 21: "int2", 23: "int4", 25: "text", 26: "oid",
    114: "json", 700: "float4", 701: "float8", 1005: "int2[]", 1007: "int4[]", 1009: "text[]", 1015: "varchar[]",
    1016: "int8[]", 1042: "bpchar", 1043: "varchar", 1082: "date", 1083: "time", 1114: "timestamp",
    1184: "timestamptz", 1186: "interval", 1700: "numeric", 2950: "uuid", 2951: "uuid[]", 3802: "jsonb",
}  # fmt: skip
"""https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat"""
_EPOCH = datetime(2000, 1, 1)
"""PostgreSQL's own, without a zone."""
_NUMBERS = {21: "!h", 23: "!i", 20: "!q", 26: "!I", 700: "!f", 701: "!d"}
_TEXTS = (18, 19, 25, 114, 1042, 1043)


def inlined(sql: str, values: Sequence[bytes | None], types: Sequence[int], formats: Sequence[int]) -> str:
    """The statement with `$1`, `$2` … replaced by literals of these types.

    Raises `InvalidArgument` when a value is in a binary form that is not known here.
    """
    if not values:
        return sql
    try:
        tokens = [token for token in scan(sql).tokens if token_kind(token.token) == "PARAM"]
    except PgQueryError:
        return sql
    source, out, last = sql.encode(), bytearray(), 0
    for token in tokens:
        index = int(source[token.start + 1 : token.end]) - 1
        if not 0 <= index < len(values):
            raise InvalidArgument(f"a statement of the command has no value for ${index + 1}")
        form = formats[index] if len(formats) > 1 else formats[0] if formats else 0
        oid = types[index] if index < len(types) else 0
        out += source[last : token.start] + _literal(values[index], oid, binary=form == 1).encode()
        last = token.end
    return (out + source[last:]).decode()


def _literal(value: bytes | None, oid: int, *, binary: bool) -> str:
    cast = f"::{NAMES[oid]}" if oid in NAMES else ""
    if value is None:
        return f"NULL{cast}"
    text = _decoded(value, oid) if binary else value.decode("utf-8", "replace")
    if "\0" in text:
        raise InvalidArgument("a value of the command holds NUL, which PostgreSQL does not accept")
    return literal(text).lstrip() + cast


def _decoded(value: bytes, oid: int) -> str:
    try:
        if oid in _NUMBERS:
            return str(struct.unpack(_NUMBERS[oid], value)[0])
        match oid:
            case 16:
                return "true" if value == b"\1" else "false"
            case 17:
                return "\\x" + value.hex()
            case 2950:
                return str(uuid.UUID(bytes=value))
            case 3802:
                return value[1:].decode()
            case 1082:
                return str(date(2000, 1, 1) + timedelta(days=struct.unpack("!i", value)[0]))
            case 1114 | 1184:
                moment = _EPOCH + timedelta(microseconds=struct.unpack("!q", value)[0])
                return moment.isoformat(" ") + ("+00" if oid == 1184 else "")
            case _ if oid in _TEXTS:
                return value.decode()
            case _:
                pass
    except (struct.error, ValueError, OverflowError):
        pass
    raise InvalidArgument(
        f"the command sent a value of type {NAMES.get(oid, f'number {oid}')} in binary form, which cannot be judged "
        "here: write it into the SQL of the migration, or use a driver that sends text (psycopg)"
    )
