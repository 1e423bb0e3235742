"""Rehearsals over replicas: a shared store keeps each, too, and a replica that lacks one takes it from there.

What was rehearsed stands for these statements at this state of the schema, whichever server rehearsed it: a decision
that rests on it, and the page that a person reads, are the same everywhere.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from mcp_backend.errors import NotFound, Unavailable
from mcp_backend.settings import Workspace
from mcp_backend.store import Row, Store
from mcp_backend.web import kept


async def share(store: Store, workspace: Workspace, digest: str) -> None:
    """Puts what this server kept of a rehearsal into a shared store. One that is away gets nothing: the others rehearse
    by themselves then."""
    if not store.shared:
        return
    from mcp_backend.migrations import rehearsed  # its client of PostgreSQL is that of the store

    decided = rehearsed.text(workspace, digest)
    report = json.dumps(kept.read(workspace, digest), ensure_ascii=False)
    at_version = str(json.loads(report)["at_version"])
    with suppress(Unavailable):
        await store.run("rehearsal_keep", digest=digest, at_version=at_version, decided=decided, report=report)
        await store.run("rehearsals_forget", limit=kept.KEPT)


async def bring(store: Store, workspace: Workspace, digest: str, at_version: str = "") -> None:
    """Keeps here, too, what another server of the store rehearsed under a digest or its beginning, at a state if one is
    given; nothing when it is here or nowhere."""
    if not store.shared or _here(workspace, digest, at_version):
        return
    found: Row | None = None
    with suppress(Unavailable):
        found = await store.row("rehearsal_find", digest=digest)
    if found is None or (at_version and found["at_version"] != at_version):
        return
    if found["decided"]:
        from mcp_backend.migrations import rehearsed

        rehearsed.put(workspace, str(found["digest"]), str(found["decided"]))
    kept.put(workspace, str(found["digest"]), cast("Mapping[str, Any]", json.loads(found["report"])))


async def newest(store: Store, workspace: Workspace) -> list[str]:
    """The digests that can be read, the newest first."""
    if not store.shared:
        return kept.newest(workspace)
    return [str(row["digest"]) for row in await store.rows("rehearsals_newest", limit=kept.KEPT)]


def _here(workspace: Workspace, digest: str, at_version: str) -> bool:
    if at_version:
        from mcp_backend.migrations import rehearsed

        return rehearsed.find(workspace, digest, at_version) is not None
    try:
        return bool(kept.read(workspace, digest))
    except NotFound:
        return not kept.is_digest(digest)
