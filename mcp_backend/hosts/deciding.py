"""What people decided about specification files, read from the store of this workspace. Standard library only."""

import json
import time
from contextlib import closing

from mcp_backend.hosts.known import Known
from mcp_backend.people.decided import about

LOOKED_AT = 200


def decided(here: Known, paths: list[str]) -> dict[str, str]:
    """The decisions that open these files for edits. Only what is certain: nothing where the store is shared, absent
    or cannot be read."""
    import sqlite3

    from mcp_backend import persona, policy
    from mcp_backend.policy.store import LOCAL

    database = here.workspace.state / "store.db"
    if not database.is_file():
        return {}
    if policy.load(policy.find(here.workspace.root), persona.load().constraints).store != LOCAL:
        return {}
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
            connection.row_factory = sqlite3.Row
            asked = "select id, kind, status, decided, details from escalation order by opened desc limit ?"
            return about(map(dict, connection.execute(asked, (LOOKED_AT,))), paths, time.time())
    except (sqlite3.Error, json.JSONDecodeError):
        return {}
