"""The SQL of a user that can only read, and whether the user of a connection is one.

With it, nothing depends on any analysis of the statement. https://clickhouse.com/docs/operations/access-rights
"""

from collections.abc import Iterable, Sequence
from typing import Any

from mcp_backend.keeper.chdb.tokens import identifier, tokens

DATABASES = "SELECT name FROM system.databases WHERE name NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')"
GRANTS = "SHOW GRANTS"
READING = frozenset(["SELECT", "SHOW", "DICTGET", "USAGE", "CHECK"])
"""First words of the privileges that change nothing and reach nothing outside."""

LIMITS = {
    "readonly": "1", "max_execution_time": "60", "max_memory_usage": "4000000000", "max_result_bytes": "100000000",
    "result_overflow_mode": "'break'", "timeout_overflow_mode": "'throw'", "allow_introspection_functions": "0",
    "cancel_http_readonly_queries_on_client_close": "1", "format_display_secrets_in_show_and_select": "0",
}  # fmt: skip
"""Under `readonly = 1` no request can bring settings, so the limits are the profile's."""


CATALOG = ("parts", "mutations", "dictionaries")
"""System tables that db_schema shows something of; each shows a user only what is about tables it may see. Servers
whose `select_from_system_db_requires_grant` is on, as it is by default, keep them back."""


def script(user: str, databases: Iterable[str]) -> str:
    """For an administrator, to run with clickhouse-client --multiquery: makes the user, lets it read, nothing else."""
    name = identifier(user)
    settings = ", ".join(f"{setting} = {value}" for setting, value in LIMITS.items())
    grants = [f"SELECT, SHOW, dictGet ON {identifier(database)}.*" for database in databases]
    grants += [f"SELECT ON system.{table}" for table in CATALOG]
    granted = "\n".join(f"GRANT {grant} TO {name};" for grant in grants)
    return f"""CREATE SETTINGS PROFILE IF NOT EXISTS {name} SETTINGS {settings};
CREATE USER IF NOT EXISTS {name} IDENTIFIED WITH sha256_password BY '{{its password}}' SETTINGS PROFILE {name};
ALTER USER {name} SETTINGS PROFILE {name};
REVOKE ALL ON *.* FROM {name};
{granted}
"""


def faults(readonly: int, grants: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    """What the user could do besides reading: `readonly` of its profile, and the rows of SHOW GRANTS."""
    found: list[str] = [] if readonly else ["readonly is 0 in its profile"]
    for row in grants:
        given: set[str] = set()
        words, depth = tokens(str(row[0]))[1:], 0
        for at, word in enumerate(words):
            if word.upper in ("ON", "TO"):
                break
            depth += (word.text == "(") - (word.text == ")")
            if depth == 0 and (at == 0 or words[at - 1].text == ","):
                given.add(word.upper)
        if beyond := sorted(given - READING - {""}):
            found.append(f"was granted {', '.join(beyond)}")
    return tuple(found)
