"""Reads a specification of any kind, and remembers what was read as long as its files stay as they are."""

import hashlib
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from mcp_backend.contracts.contract import Contract
from mcp_backend.contracts.sources import Source, stamped
from mcp_backend.contracts.specs import Spec

if TYPE_CHECKING:
    from mcp_backend.contracts.openapi.model import Api

_KEPT = 12
_read: "OrderedDict[tuple[Path, Spec], tuple[dict[str, tuple[int, int] | None], Contract]]" = OrderedDict()
_apis: "OrderedDict[tuple[Path, str], Api]" = OrderedDict()
_lock = Lock()


def contract(source: Source, spec: Spec) -> Contract:
    """The contract of a specification. Raises `Broken`, `Unavailable`."""
    key = (source.root, spec)
    if source.commit:
        return _fresh(source, spec)
    with _lock:
        known = _read.get(key)
        if known and all(stamped(source.root, path) == stamp for path, stamp in known[0].items()):
            _read.move_to_end(key)
            return known[1]
        before = {path: stamped(source.root, path) for path in spec.files}
        found = _fresh(source, spec)
        # Of the files that were found by references only the time after reading is known, which is soon enough.
        _read[key] = ({path: stamped(source.root, path) for path in found.sources} | before, found)
        while len(_read) > _KEPT:
            _read.popitem(last=False)
        return found


def api(source: Source, path: str) -> "Api":
    """An OpenAPI document of the work tree, parsed again only when a file of it changed. Raises `Broken`."""
    from mcp_backend.contracts.openapi.model import Api

    key = (source.root, path)
    with _lock:
        known = _apis.get(key)
        if known is None or any(_digest(source.root, p) != d for p, d in known.documents.digests.items()):
            known = Api(source.documents(), path)
        _apis[key] = known
        _apis.move_to_end(key)
        while len(_apis) > _KEPT:
            _apis.popitem(last=False)
        return known


def _fresh(source: Source, spec: Spec) -> Contract:
    if spec.kind == "openapi":
        from mcp_backend.contracts.openapi import show

        return show.read(source.documents(), spec.path)
    if spec.kind == "asyncapi":
        from mcp_backend.contracts.events import show as events

        return events.read(source.documents(), spec.path)
    if spec.kind == "graphql":
        from mcp_backend.contracts.graphql import show as graphql

        return graphql.read(source, spec)
    from mcp_backend.contracts.protobuf import show as protobuf

    return protobuf.read(source, spec)


def _digest(root: Path, path: str) -> bytes:
    try:
        return hashlib.sha256((root / path).read_bytes()).digest()
    except (OSError, ValueError):
        return b""
