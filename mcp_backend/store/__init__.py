"""Escalations, approvals, receipts and the audit chain: named queries on SQLite, or on PostgreSQL for many servers."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from mcp_backend import installing
from mcp_backend.errors import InvalidArgument, Unavailable
from mcp_backend.policy.store import LOCAL, Shared
from mcp_backend.settings import resolve
from mcp_backend.store.base import Row, Store
from mcp_backend.store.sqlite import open_sqlite

if TYPE_CHECKING:
    from mcp_backend.policy import EngineSettings

__all__ = ["STORES", "Row", "Store", "apart", "open_store"]


def _postgresql(url: str, workspace: str) -> Store:
    try:
        from mcp_backend.store.postgresql import Postgresql
    except ImportError as error:
        raise Unavailable(
            f"store: the package of its client is not installed ({error.name}): {installing.command('postgresql')}"
        ) from error
    return Postgresql(url, workspace)


STORES: Mapping[str, Callable[[str, str], Store]] = MappingProxyType(
    {"postgresql": _postgresql, "postgres": _postgresql}
)
"""Stores that several servers share, by the scheme of their URL: each made from that and the workspace's name."""


def open_store(folder: Path, shared: Shared = LOCAL) -> Store:
    """The store that the policy names, otherwise the file in the workspace's state folder.

    Raises `InvalidArgument` when what the policy refers to is missing or no URL of a store, `Unavailable` when the file
    cannot be used or a package is missing. A store on another machine is first talked to when it is used.
    """
    if not shared.url:
        return open_sqlite(folder)
    url = resolve(shared.url, field="store.url")
    scheme = url.partition("://")[0]
    if scheme not in STORES:
        raise InvalidArgument(f"store.url: expected {' or '.join(f'{known}://…' for known in STORES)} in {shared.url}")
    return STORES[scheme](url, shared.workspace)


def apart(shared: Shared, engines: "Iterable[EngineSettings]") -> None:
    """Raises `InvalidArgument` when an engine of the policy is the very database of the store: the engineer could write
    its own approvals there."""
    if not shared.url:
        return
    from mcp_backend.engines.pg.address import parse

    own = parse(resolve(shared.url, field="store.url"), where="store.url")
    for engine in engines:
        if engine.kind != "postgresql" or engine.url.startswith("embedded:"):
            continue
        try:
            theirs = parse(resolve(engine.url, field=""), where="")
        except InvalidArgument:
            continue  # Said when it is used.
        if (theirs.place, theirs.database) == (own.place, own.database):
            raise InvalidArgument(
                f"store: it is the database of engines.{engine.name}, where the engineer could write approvals of its "
                "own; give the store a database and a role of its own"
            )
