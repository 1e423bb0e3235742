"""The stages that the code of a workspace has, read again only where a file changed."""

import re
import time
from dataclasses import replace
from functools import lru_cache

from mcp_backend.errors import Unavailable
from mcp_backend.pipelines import clients
from mcp_backend.pipelines.linking import Code, linked
from mcp_backend.pipelines.model import Source, Table
from mcp_backend.settings import Workspace

MOST_SECONDS = 8.0
"""How long the first look at a workspace may take; what was not read then is told."""
_ASIDE = re.compile(
    r"(?:^|/)(?:tests?|testdata|examples?|benchmarks?|vendor|third_party)/|(?:^|/)test_[^/]*\.py$|_test\.(?:py|go)$"
    r"|(?:^|/)conftest\.py$|\.pb\.go$|_pb2(?:_grpc)?\.py$"
)
"""Tests, examples and generated code take part in no pipeline."""
_CLICKHOUSE = re.compile(rb"(?i)engine\s*=\s*\w*(?:MergeTree|Kafka|NATS)|materialized\s+view\s+\S+\s+to\s")
LARGEST_SQL = 500_000
SUFFIXES = (".py", ".go", ".sql")


class Scan:
    """The code of one workspace. Thread-safe enough for its use: the worst of a race is that a file is read twice."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[str, tuple[str, Source | tuple[Table, ...] | None]] = {}
        self._seen: tuple[dict[str, str], Code, tuple[Table, ...]] | None = None
        self._last: tuple[float, Code] | None = None

    def recent(self, seconds: float) -> Code | None:
        """What the last look found, if that was so many seconds ago or less."""
        return self._last[1] if self._last and time.monotonic() - self._last[0] <= seconds else None

    def look(self, seconds: float = MOST_SECONDS) -> tuple[Code, tuple[Table, ...]]:
        """What the code says now, and the tables of ClickHouse that its statements create, as far as it can be read in
        `seconds`. Never raises: `Code.unread` tells why something could not be read."""
        code, tables = self._look(seconds)
        self._last = (time.monotonic(), code)
        return code, tables

    def _look(self, seconds: float) -> tuple[Code, tuple[Table, ...]]:
        from mcp_backend.workspace import listing
        from mcp_backend.workspace.symbols import table
        from mcp_backend.workspace.symbols.sources import Sources

        until, late = time.monotonic() + seconds, 0
        paths = [p for p in listing.files(self._workspace) if p.endswith(SUFFIXES) and not _ASIDE.search(p)]
        stamps = table.stamps(self._workspace.root, paths, time.time_ns())
        if self._seen and self._seen[0] == stamps:
            return self._seen[1:]
        with Sources(self._workspace) as sources:
            for path, stamp in stamps.items():
                if path in self._known and self._known[path][0] == stamp:
                    continue
                if time.monotonic() > until:
                    late += 1
                    continue
                try:
                    self._known[path] = (stamp, _read(path, sources.read(path) or b""))
                except Unavailable as error:
                    return Code(unread=error.reason), ()
        self._known = {path: known for path, known in self._known.items() if path in stamps}
        found = [self._known[path][1] for path in sorted(self._known)]
        code = linked([one for one in found if isinstance(one, Source)])
        tables = tuple(t for one in found if isinstance(one, tuple) for t in one)
        if late:
            return replace(code, unread=f"{late} more source files were not read in time"), tables
        self._seen = (stamps, code, tables)
        return code, tables


def _read(path: str, data: bytes) -> Source | tuple[Table, ...] | None:
    from mcp_backend.pipelines import go_code, python_code, tables
    from mcp_backend.workspace.symbols import parsing

    if path.endswith(".sql"):
        text = data.decode("utf-8", "replace") if len(data) <= LARGEST_SQL and _CLICKHOUSE.search(data) else ""
        return tuple(tables.of_statements("", text)) if text else None
    if len(data) > parsing.LARGEST or not clients.HINT.search(data):
        return None
    return python_code.read(path, data) if path.endswith(".py") else go_code.read(path, data)


@lru_cache(maxsize=16)
def scan(workspace: Workspace) -> Scan:
    """The one scan of a workspace."""
    return Scan(workspace)
