"""What the policy says about the migrations of one engine, beside their folder. Standard library only."""

import re
from collections.abc import Mapping

from mcp_backend.errors import InvalidArgument
from mcp_backend.records import dataclass

KEYS = frozenset(
    ("migration_tool", "unrehearsed_because", "lock_deadline", "shadow", "blocking_budget", "migration_python")
)


@dataclass(frozen=True, slots=True)
class Migrating:
    """`tool`: whose form the folder is in, where that can't be told from it. `unrehearsed_because`: why migrations run
    that were not rehearsed. `lock_deadline`: seconds that one transaction may spend on getting its locks. `shadow`: a
    superuser's URL (or `env:NAME`, `file:PATH`) of a server for rehearsals alone, instead of a local one.
    `blocking_budget`: seconds that a migration may block readers or writers. `python`: the interpreter that runs
    migrations which are programs (Alembic, Django), instead of that of the workspace's `.venv`."""

    tool: str = ""
    unrehearsed_because: str = ""
    lock_deadline: float = 30.0
    shadow: str = ""
    blocking_budget: float = 0.5
    python: str = ""


def read(file: str, name: str, table: Mapping[str, object]) -> Migrating:
    """The keys of an engine's table. Raises `InvalidArgument` naming the key and what was expected."""
    tool, because = table.get("migration_tool", ""), table.get("unrehearsed_because", "")
    if not isinstance(tool, str):
        raise InvalidArgument(f'{file}: engines.{name}.migration_tool: expected the name of a tool, such as "goose"')
    if not isinstance(because, str) or ("unrehearsed_because" in table and len(because.strip()) < 10):
        raise InvalidArgument(
            f"{file}: engines.{name}.unrehearsed_because: expected the reason in words (10 characters or more)"
        )
    shadow = table.get("shadow", "")
    if not isinstance(shadow, str):
        raise InvalidArgument(f"{file}: engines.{name}.shadow: expected env:NAME, file:PATH or a URL")
    python = table.get("migration_python", "")
    if not isinstance(python, str):
        raise InvalidArgument(
            f'{file}: engines.{name}.migration_python: expected a program, such as ".venv/bin/python"'
        )
    deadline = _duration(file, name, table, "lock_deadline", "30s")
    budget = _duration(file, name, table, "blocking_budget", "500ms")
    return Migrating(tool.strip(), because.strip(), deadline, shadow.strip(), budget, python.strip())


def _duration(file: str, name: str, table: Mapping[str, object], key: str, default: str) -> float:
    """Seconds."""
    value = table.get(key, default)
    match = re.fullmatch(r"([0-9]{1,6})(ms|s|m)", value) if isinstance(value, str) else None
    if match is None:
        raise InvalidArgument(f"{file}: engines.{name}.{key}: expected a duration such as 500ms, 30s or 5m")
    return int(match[1]) * {"ms": 0.001, "s": 1, "m": 60}[match[2]]
