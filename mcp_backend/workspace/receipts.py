"""Receipts of test runs: what ran, on which tree, how it ended. Signed with a key of the store, so that nobody who can
only write to the repository can make one up.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from mcp_backend.errors import Json, NotFound
from mcp_backend.store import Row, Store

Scope: TypeAlias = Literal["all", "selection", "affected"]
LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.txt", "go.sum", "package-lock.json")
RECENT = 40
"""How many of the newest receipts a commit looks at."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One run. `tree` is the tree of the whole work tree, equal before and after the run, or empty when it was not.

    Only a receipt of scope `all` that passed speaks for a commit; the others are kept because a failure on the same
    content speaks against it. `files` counts the tests that passed, by file.
    """

    id: str
    tree: str
    command: str
    scope: Scope
    passed: bool
    body: Mapping[str, Any]
    created: float

    @property
    def files(self) -> Mapping[str, int]:
        return cast("Mapping[str, int]", self.body.get("files", {}))


async def add(
    store: Store,
    *,
    tree: str,
    command: str,
    scope: Scope,
    passed: bool,
    body: Mapping[str, Json],
    now: float,
) -> Receipt:
    """Signs and keeps the receipt of a run that has just ended."""
    identifier = f"r_{secrets.token_hex(5)}"
    text = json.dumps({**body, "id": identifier, "tree": tree, "command": command, "scope": scope, "passed": passed,
                       "at": now}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))  # fmt: skip
    mac = _mac(await store.key(), text)
    async with store.transaction():
        await store.run(
            "receipt_add",
            id=identifier,
            tree=tree,
            command=command,
            passed=int(passed),
            body=text,
            mac=mac,
            created=now,
        )
    return Receipt(identifier, tree, command, scope, passed, json.loads(text), now)


async def recent(store: Store, limit: int = RECENT) -> list[Receipt]:
    """The newest genuine receipts, newest first."""
    key = await store.key()
    rows = await store.rows("receipts_recent", limit=limit)
    return [receipt for row in rows if (receipt := _read(row, key)) is not None]


async def get(store: Store, identifier: str) -> Receipt:
    """One receipt. Raises `NotFound` when there is none of that id, or its signature does not fit."""
    row = await store.row("receipt_get", id=identifier)
    receipt = _read(row, await store.key()) if row else None
    if receipt is None:
        raise NotFound(f"no receipt {identifier[:40]!r}; run_tests makes one, git_status names the newest")
    return receipt


def locks(root: Path) -> str:
    """A digest of the lock files at the root: which versions the tests ran with, as far as they tell."""
    digest = hashlib.sha256()
    for name in LOCKS:
        with suppress(OSError):
            digest.update(f"{name}\0".encode() + (root / name).read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _read(row: Row, key: bytes) -> Receipt | None:
    text = str(row["body"])
    if not hmac.compare_digest(_mac(key, text), str(row["mac"])):
        return None
    body = cast("dict[str, Any]", json.loads(text))
    # Only what was signed counts: the columns are for finding it.
    return Receipt(body["id"], body["tree"], body["command"], body["scope"], body["passed"], body, body["at"])


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
