"""`PEERS`: the servers measured beside each other, where each comes from and how it is asked. `QUESTIONS`: what about.

In commands, environments and arguments `{home}` is the folder of the installed peers, `{work}` a git repository, and
the others name the engines of the run: see `benchmarks.stage.names`.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from benchmarks.host import Call

Asks: TypeAlias = dict[str, tuple[Call, ...]]

QUESTIONS = {
    "query": "`select 1` on PostgreSQL",
    "tables": "which tables there are, PostgreSQL",
    "table": "one table in full, PostgreSQL",
    "clickhouse": "`select 1` on ClickHouse",
    "publish": "one entry added to a stream of Redis",
    "peek": "ten entries of a stream of Redis",
    "status": "git status",
    "log": "the last ten commits",
    "read": "a file of 4 kB read",
    "search": "a string looked up in the files' contents",
    "names": "files looked up by their names",
}


@dataclass(frozen=True, slots=True)
class Package:
    """What is installed, and from which index."""

    index: str
    """`pypi` or `npm`."""
    name: str
    version: str
    more: tuple[str, ...] = ()
    """What it needs besides, where the newest of it would not do. With `bare` that is all that is installed with it."""
    bare: bool = False
    least: tuple[int, int] = (0, 0)
    """The Python or Node that it needs."""


@dataclass(frozen=True, slots=True, eq=False)
class Peer:
    """One server."""

    name: str
    command: tuple[str, ...]
    """What the host would spawn."""
    asks: Asks
    """By question, the calls that together answer it. The first of them is the server's first answer."""
    environment: dict[str, str] = field(default_factory=dict[str, str])
    note: str = ""
    """What it does differently for an answer, in one clause."""
    packages: tuple[Package, ...] = ()
    """The first that this machine can run is installed; none for what is here anyway."""
    http: tuple[str, ...] = ()
    """What serves the same over streamable HTTP at `/mcp` of `{port}`."""
    http_environment: dict[str, str] = field(default_factory=dict[str, str])


TABLE = "t7_entries"
WORD = "class Request"
SQL = "select 1 as one"


def _sql(tool: str, name: str = "sql") -> tuple[Call, ...]:
    return ((tool, {name: SQL}),)


OURS: Asks = {
    "query": (("db_query", {"engine": "main", "sql": SQL}),),
    "tables": (("db_schema", {"engine": "main"}),),
    "table": (("db_schema", {"engine": "main", "table": TABLE}),),
    "clickhouse": (("db_query", {"engine": "columns", "sql": SQL}),),
    "publish": (("publish_message", {"engine": "keys", "destination": "entries", "messages": [{"payload": {"n": 1}}],
                                     "justification": "one entry of a measurement"}),),
    "peek": (("peek_messages", {"engine": "keys", "destination": "letters", "from": "oldest"}),),
    "status": (("git_status", {"log": 0}),),
    "log": (("git_status", {"log": 10}),),
    "read": (("read_file", {"path": "README.md"}),),
    "search": (("search_code", {"query": WORD}),),
}  # fmt: skip
_URLS = {"BENCH_URL": "{url}", "BENCH_COLUMNS": "{columns}", "BENCH_KEYS": "{redis_url}"}
_SERVE = ("{python}", "-m", "mcp_backend", "serve", "--workspace", "{work}")
_GUARDED = "statement judged, pool, read-only transaction a call, two audit records; tables come by pages"
_NPM = "{home}/npm/"

PEERS: tuple[Peer, ...] = (
    Peer("mcp-backend", _SERVE, OURS, _URLS, _GUARDED,
         http=(*_SERVE, "--transport", "http", "--port", "{port}"), http_environment=_URLS),
    Peer("mcp-backend, database only", (*_SERVE, "--toolsets", "database"),
         {name: OURS[name] for name in ("query", "tables", "table")}, _URLS, _GUARDED),
    Peer("bare server of the Python SDK", ("{python}", "-I", "{bare}"), {"query": _sql("db_query")}, {"DSN": "{url}"},
         "one tool, pool, read-only transaction a call",
         http=("{python}", "-I", "{bare}", "{port}"), http_environment={"DSN": "{url}"}),
    Peer("postgres-mcp", ("{home}/py/postgres-mcp/bin/postgres-mcp", "--access-mode=restricted", "{url}"),
         {"query": _sql("execute_sql"),
          "tables": (("list_schemas", {}), ("list_objects", {"schema_name": "public"})),
          "table": (("get_object_details", {"schema_name": "public", "object_name": TABLE}),)},
         note="statement parsed, pool, read-only transaction a call; installed with another release of its parser",
         packages=(Package("pypi", "postgres-mcp", "0.3.0", (
             "mcp[cli]<2", "pglast>=7", "psycopg[binary]>=3.2.6", "psycopg-pool>=3.2.6", "attrs>=25.3", "humanize>=4.8",
             "instructor>=1.7.9"), bare=True, least=(3, 12)),)),
    Peer("toolbox (googleapis)", ("{home}/py/toolbox-server/bin/toolbox-server", "--prebuilt", "postgres", "--stdio"),
         {"query": _sql("execute_sql"),
          "tables": (("list_tables", {"table_names": "", "output_format": "simple"}),),
          "table": (("list_tables", {"table_names": TABLE, "output_format": "detailed"}),)},
         {"POSTGRES_HOST": "{host}", "POSTGRES_PORT": "{pg_port}", "POSTGRES_DATABASE": "{database}",
          "POSTGRES_USER": "{user}", "POSTGRES_PASSWORD": "{password}"},
         "compiled from Go, started by its wheel's Python, pool", (Package("pypi", "toolbox-server", "1.15.0"),),
         http=("{home}/py/toolbox-server/bin/toolbox-server", "--prebuilt", "postgres", "--port", "{port}"),
         http_environment={"POSTGRES_HOST": "{host}", "POSTGRES_PORT": "{pg_port}", "POSTGRES_DATABASE": "{database}",
                           "POSTGRES_USER": "{user}", "POSTGRES_PASSWORD": "{password}"}),
    Peer("dbhub", ("node", _NPM + "_bytebase_dbhub/node_modules/.bin/dbhub", "--transport", "stdio", "--dsn",
                   "{url}?sslmode=disable"),
         {"query": _sql("execute_sql"),
          "tables": (("search_objects", {"object_type": "table", "detail_level": "names", "limit": 1000}),),
          "table": (("search_objects", {"object_type": "table", "schema": "public", "pattern": TABLE,
                                        "detail_level": "full"}),)},
         note="Node, pool; lists 1,000 tables at most",
         packages=(Package("npm", "@bytebase/dbhub", "1.4.0", ("pg",), least=(22, 5)),
                   Package("npm", "@bytebase/dbhub", "0.21.2", ("pg",), least=(20, 0))),
         http=("node", _NPM + "_bytebase_dbhub/node_modules/.bin/dbhub", "--transport", "http", "--host", "127.0.0.1",
               "--port", "{port}", "--dsn", "{url}?sslmode=disable")),
    Peer("server-postgres", ("node", _NPM + "_modelcontextprotocol_server-postgres/node_modules/.bin/"
                             "mcp-server-postgres", "{url}"),
         {"query": _sql("query"), "tables": (("resources/list", {}),)},
         note="Node, pool, read-only transaction a call; tables are resources",
         packages=(Package("npm", "@modelcontextprotocol/server-postgres", "0.6.2"),)),
    Peer("@henkey/postgres-mcp-server", ("node", _NPM + "_henkey_postgres-mcp-server/node_modules/.bin/postgres-mcp",
                                         "--connection-string", "{url}"),
         {"query": (("pg_execute_query", {"operation": "select", "query": SQL}),),
          "tables": (("pg_manage_schema", {"operation": "get_info"}),),
          "table": (("pg_manage_schema", {"operation": "get_info", "tableName": TABLE}),)},
         note="Node, pool", packages=(Package("npm", "@henkey/postgres-mcp-server", "1.0.7"),)),
    Peer("mcp-alchemy", ("{home}/py/mcp-alchemy/bin/mcp-alchemy",),
         {"query": _sql("execute_query", "query"), "tables": (("all_table_names", {}),),
          "table": (("schema_definitions", {"table_names": [TABLE]}),)},
         {"DB_URL": "{alchemy_url}"}, "SQLAlchemy, a pool of one",
         (Package("pypi", "mcp-alchemy", "2026.10.15.202659", ("psycopg2-binary>=2.9",)),)),
    Peer("mcp-clickhouse", ("{home}/py/mcp-clickhouse/bin/mcp-clickhouse",),
         {"clickhouse": _sql("run_query", "query")},
         {"CLICKHOUSE_HOST": "{host}", "CLICKHOUSE_PORT": "{ch_port}", "CLICKHOUSE_USER": "{ch_user}",
          "CLICKHOUSE_PASSWORD": "{ch_password}", "CLICKHOUSE_DATABASE": "default", "CLICKHOUSE_SECURE": "false"},
         "client kept, read only by a setting", (Package("pypi", "mcp-clickhouse", "0.7.0"),)),
    Peer("redis-mcp-server", ("{home}/py/redis-mcp-server/bin/redis-mcp-server", "--url", "{redis_url}"),
         {"publish": (("xadd", {"key": "entries", "fields": {"payload": '{"n": 1}'}}),),
          "peek": (("xrange", {"key": "letters", "count": 10}),)},
         note="connection kept", packages=(Package("pypi", "redis-mcp-server", "0.5.1"),)),
    Peer("mcp-server-git", ("{home}/py/mcp-server-git/bin/mcp-server-git", "-r", "{work}"),
         {"status": (("git_status", {"repo_path": "{work}"}),),
          "log": (("git_log", {"repo_path": "{work}", "max_count": 10}),)},
         note="GitPython, a git a call", packages=(Package("pypi", "mcp-server-git", "2026.10.19"),)),
    Peer("@cyanheads/git-mcp-server", ("node", _NPM + "_cyanheads_git-mcp-server/node_modules/.bin/git-mcp-server"),
         {"status": (("git_status", {"path": "{work}"}),), "log": (("git_log", {"path": "{work}", "maxCount": 10}),)},
         {"MCP_LOG_LEVEL": "error", "LOGS_DIR": "{state}/logs"}, "Node, a git a call",
         (Package("npm", "@cyanheads/git-mcp-server", "2.15.3", least=(20, 0)),)),
    Peer("server-filesystem", ("node", _NPM + "_modelcontextprotocol_server-filesystem/node_modules/.bin/"
                               "mcp-server-filesystem", "{work}"),
         {"read": (("read_text_file", {"path": "{work}/README.md"}),),
          "names": (("search_files", {"path": "{work}", "pattern": "**/*base.py"}),)},
         note="Node; its search_files looks at names, not at contents",
         packages=(Package("npm", "@modelcontextprotocol/server-filesystem", "2026.8.31"),)),
    Peer("mcp-ripgrep", ("node", _NPM + "mcp-ripgrep/node_modules/.bin/mcp-ripgrep"),
         {"search": (("search", {"pattern": WORD, "path": "{work}", "maxResults": 50}),)},
         {"PATH": "{ripgrep}:{path}"}, "Node, a ripgrep a call", (Package("npm", "mcp-ripgrep", "0.4.0"),)),
)  # fmt: skip

PROGRAMS = {
    "status": ("git", "status", "--porcelain=v2", "--branch"),
    "log": ("git", "log", "-10"),
    "search": ("{ripgrep}/rg", "--hidden", "--glob=!.git", "-nF", "-e", WORD, "./"),
    "names": ("{ripgrep}/rg", "--files", "--glob", "*base.py"),
}
"""What the bare program takes to answer the same."""

LEFT_OUT = (
    ("@supabase/mcp-server-supabase, @neondatabase/mcp-server-neon", "their list needs an account of the service"),
    ("awslabs.postgres-mcp-server", "needs credentials of AWS"),
    (
        "servers for Kafka",
        "no Kafka can be installed here: ours is tried on librdkafka's mock, which others cannot use",
    ),
    ("servers for NATS", "none was found in the package indexes"),
    ("toolbox on ClickHouse", "speaks the native protocol; the local ClickHouse of this run speaks HTTP alone"),
)
"""Servers that cannot be measured here, and why."""
