"""One table in full, and finding it by the name a model gives."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, cast

from psycopg import AsyncConnection

from mcp_backend.engines import listing
from mcp_backend.engines.pg.asking import ask
from mcp_backend.engines.pg.overview import KINDS
from mcp_backend.errors import InvalidArgument, Json, NotFound

NEARLY_USED_UP = 0.5
ALWAYS = ("columns", "primary_key", "foreign_keys", "referenced_by", "constraints", "indexes")
"""Sections that are shown also when they are empty: that there is none is worth knowing."""
MOST_REFERENCES = 60


@cache
def _query() -> str:
    return Path(__file__).with_suffix(".sql").read_text("utf-8")


_NAMED = """
select c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text,
  n.nspname = any ($3::name[]),
  (select i.indrelid::pg_catalog.regclass::text from pg_catalog.pg_index i where i.indexrelid = c.oid)
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'i', 'I', 'S') and pg_catalog.lower(c.relname) = pg_catalog.lower($1)
  and ($2 = '' and n.nspname !~ '^pg_toast' or pg_catalog.lower(n.nspname) = pg_catalog.lower($2))"""

_ALL = """
select case when n.nspname = 'public' then pg_catalog.quote_ident(c.relname)
  else pg_catalog.format('%I.%I', n.nspname, c.relname) end
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1"""


async def find(conn: AsyncConnection[Any], name: str, path: str) -> int:
    """The OID of the relation that `name` means: `table`, `schema.table`, either quoted.

    An exact name wins over one that differs in case, the search path (`path`, an array literal) over other schemas.
    Raises `NotFound` naming what is near, `InvalidArgument` when several fit.
    """
    schema, table = _parts(name)
    (rows,) = await ask(conn, (_NAMED, (table, schema, path)))
    relations = [row for row in rows if row[3] in ("r", "p", "v", "m", "f")]
    for fits in (
        [r for r in relations if r[2] == table and r[4]],
        [r for r in relations if r[2] == table],
        [r for r in relations if r[4]],
        relations,
    ):
        if len(fits) == 1:
            return int(fits[0][0])
        if fits:
            raise InvalidArgument(f"table: {name} can mean {', '.join(f'{r[1]}.{r[2]}' for r in fits[:10])}; name one")
    if rows:
        what = f"an index of {_short(rows[0][5])}" if rows[0][5] else "a sequence"
        raise NotFound(f"table: {name} is {what}, not a table")
    there, close = await instead(conn, table)
    raise NotFound(f"table: there is no {name}; {there}", details={"near": [*close]})


def _parts(name: str) -> tuple[str, str]:
    """Schema, or `""`, and table."""
    parts = re.findall(r'"((?:[^"]|"")+)"|([^."\s]+)', name.strip())
    given = [quoted.replace('""', '"') or plain for quoted, plain in parts]
    rest = re.sub(r'"(?:[^"]|"")+"|[^."\s]+', "x", name.strip())
    if rest not in ("x", "x.x", "x.x.x"):
        raise InvalidArgument(f'table: expected "table" or "schema.table", got {name!r}')
    return (given[-2] if len(given) > 1 else "", given[-1])


async def names(conn: AsyncConnection[Any]) -> list[str]:
    """The names of all relations, as a model would write them."""
    (rows,) = await ask(conn, (_ALL, ()))
    return [str(row[0]) for row in rows]


async def instead(conn: AsyncConnection[Any], table: str) -> tuple[str, list[str]]:
    """What there is where no relation is called `table`, in words, and the names that somebody may have meant."""
    return listing.instead(await names(conn), table)


async def describe(conn: AsyncConnection[Any], oid: int, after: str | None) -> tuple[dict[str, Json], str | None]:
    """Everything about a relation, and the column to go on after when there are too many for one answer."""
    (rows,) = await ask(conn, (_query(), (str(oid),)))
    if not rows:
        raise NotFound("table: it was dropped just now")
    found = cast("dict[str, Any]", _short(json.loads(rows[0][0])))
    columns = [_dense(column) for column in cast("list[dict[str, Any]]", found["columns"] or [])]
    shown, following = listing.paged(columns, after)
    if after is not None:
        return {"name": found["name"], "columns": [*shown]}, following
    found["kind"] = KINDS.get(found["kind"], "table")
    found["columns"] = shown
    found["sequences"] = _nearly_used_up(found["sequences"] or [])
    references = cast("list[dict[str, Any]]", found["referenced_by"] or [])
    for reference in references:
        if reference["to"] == found["primary_key"]:
            del reference["to"]
    if len(references) > MOST_REFERENCES:
        found["referenced_by"] = references[:MOST_REFERENCES]
        found["referenced_by_total"] = len(references)
    return _sections(found), following


def _nearly_used_up(sequences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sequences that need a larger type, with how much is used."""
    return [
        {**sequence, "used": f"{sequence['last'] / sequence['max']:.0%}"}
        for sequence in sequences
        if (sequence["last"] or 0) > sequence["max"] * NEARLY_USED_UP
    ]


def _short(value: Any) -> Any:
    """Names without the schema that goes without saying."""
    if isinstance(value, dict):
        return {k: _short(v) for k, v in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_short(v) for v in cast("list[Any]", value)]
    plain = isinstance(value, str) and re.fullmatch(r'public\.("[^"]+"|\w+)(\[\])?', value)
    return value.removeprefix("public.") if plain else value


def _sections(found: dict[str, Any]) -> dict[str, Json]:
    shown: dict[str, Json] = {}
    for name, value in found.items():
        if isinstance(value, list):
            entries = cast("list[Any]", value)
            value = [_dense(entry) if isinstance(entry, dict) else entry for entry in entries]  # pyright: ignore[reportUnknownArgumentType]
        if name in ALWAYS and found["kind"] in ("table", "partitioned"):
            shown[name] = value or []
        elif value not in (None, [], {}, 0) or name == "rows":
            shown[name] = value
    if "children" in shown and "partition_key" in shown:
        shown["partition_count"] = shown.pop("children")
    return shown


def _dense(entry: dict[str, Any]) -> dict[str, Json]:
    """Without what is not there."""
    return {name: value for name, value in entry.items() if value is not None}
