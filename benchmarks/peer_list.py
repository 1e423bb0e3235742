"""`PEERS`: the servers that `python -m benchmarks.peers` measures, and how each is asked. One server, one line."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

Call: TypeAlias = tuple[str, dict[str, Any]]
"""A tool and its arguments, or a method of the protocol (with a slash) and its parameters."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One server. In `command`, `environment` and calls, `{home}` is the folder of the installed peers, `{url}` the
    database, `{work}` a git repository, `{port}` that of the Redis, and `{node}` the folder of a package of npm."""

    name: str
    command: tuple[str, ...]
    """What the host would spawn."""
    environment: dict[str, str] = field(default_factory=dict[str, str])
    one: Call | None = None
    """The cheapest honest read: `select 1`, or what comes next to it."""
    whole: tuple[Call, ...] = ()
    """The calls that together tell which tables there are."""
    table: Call | None = None
    """One table, in full."""


def _sql(tool: str, name: str = "sql") -> Call:
    return tool, {name: "select 1 as one"}


PEERS: tuple[Peer, ...] = (
    Peer("mcp-backend, all toolsets", ("{python}", "-m", "mcp_backend", "serve", "--workspace", "{work}"),
         {"BENCH_URL": "{url}"}, _sql("db_query"), (("db_schema", {}),), ("db_schema", {"table": "t7_entries"})),
    Peer("mcp-backend, database only",
         ("{python}", "-m", "mcp_backend", "serve", "--workspace", "{work}", "--toolsets", "database"),
         {"BENCH_URL": "{url}"}, _sql("db_query"), (("db_schema", {}),), ("db_schema", {"table": "t7_entries"})),
    Peer("postgres-mcp", ("{home}/py/postgres-mcp/bin/postgres-mcp", "--access-mode=restricted", "{url}"), {},
         _sql("execute_sql"), (("list_schemas", {}), ("list_objects", {"schema_name": "public"})),
         ("get_object_details", {"schema_name": "public", "object_name": "t7_entries"})),
    Peer("dbhub", ("node", "{home}/npm/_bytebase_dbhub/node_modules/.bin/dbhub", "--transport", "stdio", "--dsn",
                   "{url}?sslmode=disable"), {}, _sql("execute_sql"),
         (("search_objects", {"object_type": "table", "detail_level": "names", "limit": 1000}),),
         ("search_objects", {"object_type": "table", "schema": "public", "pattern": "t7_entries",
                             "detail_level": "full"})),
    Peer("server-postgres", ("node", "{home}/npm/_modelcontextprotocol_server-postgres/node_modules/.bin/"
                             "mcp-server-postgres", "{url}"), {}, _sql("query"), (("resources/list", {}),), None),
    Peer("mcp-clickhouse (chdb)", ("{home}/py/mcp-clickhouse/bin/mcp-clickhouse",),
         {"CLICKHOUSE_ENABLED": "false", "CHDB_ENABLED": "true"}, _sql("run_chdb_select_query", "query")),
    Peer("redis-mcp-server", ("{home}/py/redis-mcp-server/bin/redis-mcp-server", "--url", "redis://127.0.0.1:{port}/0"),
         {}, ("dbsize", {})),
    Peer("mcp-server-git", ("{home}/py/mcp-server-git/bin/mcp-server-git", "-r", "{work}"), {},
         ("git_status", {"repo_path": "{work}"})),
    Peer("server-filesystem", ("node", "{home}/npm/_modelcontextprotocol_server-filesystem/node_modules/.bin/"
                               "mcp-server-filesystem", "{work}"), {},
         ("read_text_file", {"path": "{work}/README.md"})),
)  # fmt: skip
