"""What the server is, and what our user may do on it: asked once, and again when that was a while ago."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcp_backend.engines.ch.effects import Function

PROBE = """
SELECT version(), timezone(), currentDatabase(), currentUser(), toString(getSetting('readonly')),
  (SELECT groupArray(name) FROM system.columns WHERE database = 'system' AND table = 'functions'),
  (SELECT groupArray(name) FROM system.settings WHERE readonly = 0),
  (SELECT groupArray((name, value)) FROM system.settings WHERE name = 'max_memory_usage')
"""


CATALOG = """
SELECT name, alias_to, toString(origin), toInt32(is_aggregate), {determinism}, create_query FROM system.functions
WHERE {which}
"""
TABLE_FUNCTIONS = "SELECT name FROM system.table_functions"


@dataclass(frozen=True, slots=True)
class Catalog:
    """The server's own functions and table functions by their names in lower case. They change with its version only:
    nobody can make a function of a name that is taken."""

    functions: Mapping[str, Function]
    table_functions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Standing:
    """`readonly` is what the user's profile says: 0 writes, 1 reads and sets nothing, 2 reads and may set.
    `may_set` are the settings that a request may bring; `memory` the profile's limit in bytes, 0 for none;
    `determinism` the column of system.functions that tells, if there is one."""

    version: str
    timezone: str
    database: str
    user: str
    readonly: int
    may_set: frozenset[str]
    memory: int
    determinism: str

    def catalog_query(self, which: str) -> str:
        """The query for the functions of system.functions that `which` tells."""
        determinism = f"ifNull(toInt32({self.determinism}), -1)" if self.determinism else "-1"
        return CATALOG.format(determinism=determinism, which=which)

    def layers(self) -> str:
        """Where read only comes from, for people."""
        if self.readonly == 0:
            return "readonly=1 for this statement, verified; the user itself may write"
        return f"readonly={self.readonly} by the user's own profile, verified"


def take(pieces: Iterator[bytes], headers: Mapping[str, str]) -> Standing:
    """The standing from the answer to `PROBE` in JSONCompactEachRow."""
    row = json.loads(b"".join(pieces))
    version, timezone, database, user, readonly, columns, may_set, memory = row
    level = int(readonly)
    return Standing(
        version,
        timezone,
        database,
        user,
        level,
        frozenset(may_set) if level != 1 else frozenset(),
        int(memory[0][1]) if memory else 0,
        next((name for name in ("deterministic", "is_deterministic") if name in columns), ""),
    )


def functions(rows: Iterable[Sequence[Any]]) -> dict[str, Function]:
    """The answer to `CATALOG`. An alias stands for what it is an alias of."""
    return {
        str(name).lower(): Function(
            str(alias or name), bool(aggregate), str(origin), None if determined < 0 else bool(determined), str(code)
        )
        for name, alias, origin, aggregate, determined, code in rows
    }
