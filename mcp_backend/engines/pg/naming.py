"""The names of the columns' types, as people write them."""

from collections.abc import Sequence

from mcp_backend.engines.pg import values
from mcp_backend.engines.pg.wire import Column, Reply, Step


def known(column: Column) -> tuple[str, int] | None:
    """The name of a common type and the type of its elements, which is 0 when it is no array."""
    element = values.ARRAYS.get(column.oid, 0)
    name = values.NAMES.get(element or column.oid)
    return (f"{name}[]" if element else name, element) if name and column.modifier == -1 else None


def read(reply: Reply) -> list[tuple[str, int]]:
    """The answer to `lookup`."""
    return [((row[0] or "").removeprefix("public."), int(row[1] or 0)) for row in reply.rows]


def lookup(columns: Sequence[Column]) -> Step:
    """The lookup of what `known` tells for common types. It runs with the session's own search path: every operator
    says where it comes from."""
    return Step(
        "select pg_catalog.format_type(q.t, q.m), coalesce(("
        "with recursive base(t) as (select e.typelem from pg_catalog.pg_type e "
        "where e.oid operator(pg_catalog.=) q.t and e.typcategory operator(pg_catalog.=) 'A' union all "
        "select d.typbasetype from base join pg_catalog.pg_type d on d.oid operator(pg_catalog.=) base.t "
        "where d.typtype operator(pg_catalog.=) 'd') "
        "select b.t::pg_catalog.int8 from base b join pg_catalog.pg_type d on d.oid operator(pg_catalog.=) b.t "
        "where d.typtype operator(pg_catalog.<>) 'd'), 0) "
        "from rows from (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.int4[])) q(t, m)",
        [f"{{{','.join(str(getattr(column, field)) for column in columns)}}}" for field in ("oid", "modifier")],
    )
