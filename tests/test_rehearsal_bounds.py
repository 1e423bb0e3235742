"""How many rows a statement changes at most, by its words."""

import pytest

from mcp_backend.migrations.rehearsal.bounded import most
from mcp_backend.migrations.rehearsal.kinds import split

UNIQUE = {"unique": True, "valid": True, "partial": False}
PLAIN = {"identity": "", "default": None}
CATALOG = {
    ("rel", 1, 0): {"name": "public.t"},
    ("col", 1, 1): {"name": "id", "type": "bigint", **PLAIN},
    ("col", 1, 2): {"name": "code", "type": "text", **PLAIN},
    ("col", 1, 3): {"name": "kind", "type": "integer", **PLAIN},
    ("col", 1, 4): {"name": "number", "type": "bigint", "identity": "d", "default": None},
    ("idx", 7, 0): {"rel": 1, "keys": [1], **UNIQUE},
    ("idx", 8, 0): {"rel": 1, "keys": [2], **UNIQUE},
    ("idx", 9, 0): {"rel": 1, "keys": [4], **UNIQUE},
}


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("update t set x = 1 where id between 11 and 60", 50),
        ("delete from t where t.id >= 10 and t.id < 20 and kind = 1", 11),
        ("delete from t where id in (4, 5, 6)", 3),
        ("update t set x = 1 where code = 'a'", 1),
        ("update t set x = 1 where id in (select id from t where x is null limit 500)", 500),
        ("update t set x = 1 where ctid = any(array(select ctid from t limit 70))", 70),
        ("with b as (select id from t limit 90) update t set x = 1 from b where t.id = b.id", 90),
        (
            "with gone as (delete from t where id in (select id from t limit 20) returning *) insert into u table gone",
            20,
        ),
        ("update t set x = (select y from u order by z limit 1)", None),
        ("update t set x = 1 where kind in (select id from u limit 5)", None),
        ("update t set x = 1 where kind between 1 and 2", None),
        ("update t set x = 1 where code between '1' and '2'", None),
        ("update t set x = 1 where id > 5", None),
        ("update t set x = 1 where id <= 1000", None),
        ("update t set x = 1 where number <= 1000", 1000),
        ("update t set x = 1 where id = 5 or kind = 1", None),
        ("update t set x = 1", None),
    ],
)
def test_only_a_batch_by_a_unique_key_bounds_what_a_statement_changes(sql: str, rows: int | None) -> None:
    (parsed,) = split(sql)
    assert most(parsed, CATALOG, 1) == rows
