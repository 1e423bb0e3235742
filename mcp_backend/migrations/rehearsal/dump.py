"""From the target's schema to the shadow's: `pg_dump --schema-only`, which reads in a READ ONLY transaction.

https://www.postgresql.org/docs/current/app-pgdump.html
"""

import os
import re
import subprocess
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from mcp_backend.engines import binaries
from mcp_backend.errors import Unavailable
from mcp_backend.migrations.rehearsal.target import Target
from mcp_backend.settings import hide_credentials

SECONDS = 120
AT_ONCE = 60
"""Entries of the dump in one transaction."""
_META = re.compile(r"^\\(un)?restrict [A-Za-z0-9]+$", re.MULTILINE)
_ENTRY = re.compile(r"^--\n-- Name: ", re.MULTILINE)


def schema(target: dict[str, str]) -> str:
    """The schema as SQL. `target` are connection parameters; the password goes by the environment.

    Raises `Unavailable` with what pg_dump says.
    """
    program = binaries.find("postgresql").with_name("pg_dump")
    if not os.access(program, os.X_OK):
        raise Unavailable(f"{program} is missing: install PostgreSQL's client programs beside its server")
    known = {k: v for k, v in target.items() if k not in ("password", "application_name")}
    place = make_conninfo("", **known)
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PGPASSWORD": target.get("password", "")}
    environment |= {"PGAPPNAME": "mcp-backend rehearsal", "PGOPTIONS": "-c statement_timeout=60s"}
    command = [
        str(program), "--schema-only", "--no-tablespaces", "--no-subscriptions", "--no-security-labels", "--no-sync",
        "--lock-wait-timeout=3000", "--dbname", place,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"pg_dump did not end: {type(error).__name__}; nothing was rehearsed") from error
    if done.returncode:
        words = hide_credentials(" ".join(done.stderr.decode(errors="replace").split()))[-400:]
        raise Unavailable(f"the schema of the target cannot be read, nothing was rehearsed: {words}")
    return done.stdout.decode()


async def restore(admin: AsyncConnection[Any], text: str, target: Target, role: str) -> tuple[str, ...]:
    """Makes the schema in an empty database. What could not be made is returned in words."""
    text = _META.sub("", text)
    if role != target.role or target.superuser:  # nothing there may belong to the shadow's own superuser
        text = re.sub(r' OWNER TO "?postgres"?;$', f' OWNER TO "{role}";', text, flags=re.MULTILINE)
    missing = await _pieces(admin, text)
    await admin.execute(b"reset all")
    for name, definition in target.invalid:
        try:
            await admin.execute(definition.replace(" CONCURRENTLY ", " ").encode())
            await admin.execute(
                b"update pg_catalog.pg_index set indisvalid = false where indexrelid = %s::text::regclass", (name,)
            )
        except psycopg.Error as error:
            missing.append(f"the invalid index {name}: {error.diag.message_primary}")
    return tuple(missing)


async def _pieces(admin: AsyncConnection[Any], text: str) -> list[str]:
    """Some entries at a time, so that one transaction never holds too many locks; where one of them fails, each by
    itself, so that an extension that is not installed here takes along only what needs it."""
    missing: list[str] = []
    head, *entries = _ENTRY.split(text)
    await admin.execute(head.encode())
    for start in range(0, len(entries), AT_ONCE):
        some = [f"-- {entry}" for entry in entries[start : start + AT_ONCE]]
        try:
            await admin.execute("\n".join(some).encode())
        except psycopg.Error:
            missing += await _each(admin, some)
    if len(missing) > 10:
        missing[10:] = [f"and {len(missing) - 10} more objects that depend on these"]
    return missing


async def _each(admin: AsyncConnection[Any], entries: list[str]) -> list[str]:
    missing: list[str] = []
    for entry in entries:
        try:
            await admin.execute(entry.encode())
        except psycopg.Error as error:
            name = entry.partition("\n")[0].removeprefix("-- ").split(";")[0]
            said = hide_credentials(error.diag.message_primary or str(error))[:200]
            missing.append(f"{name} could not be made on the shadow ({said})")
    return missing
