"""What a repository uses: engines and frameworks, read from manifests, compose files and names of variables.

Values of environment files are never read: a line is cut at its `=`.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcp_backend.workspace import listing, manifests
from mcp_backend.workspace.kinds import evidence

MOST_FILES = 40
"""Manifests that are read; those nearest to the root come first."""
HEAD = 128_000
"""Bytes of a manifest that are read."""
_IMAGES: Mapping[str, re.Pattern[str]] = {
    "postgresql": re.compile(r"postgres|postgis|timescaledb|pgvector|citus|supavisor"),
    "clickhouse": re.compile(r"clickhouse"),
    "nats": re.compile(r"(^|/)nats(-streaming)?$|nats-server"),
    "kafka": re.compile(r"kafka|redpanda"),
    "redis": re.compile(r"redis|valkey|keydb|dragonfly"),
}
_PACKAGES: Mapping[str, re.Pattern[str]] = {
    "postgresql": re.compile(
        r"\b(psycopg2?(-binary)?|psycopg-pool|asyncpg|pg8000|aiopg|django-postgres[\w-]*|jackc/pgx|lib/pq|go-pg/pg"
        r"|driver/postgres|postgrex)\b|sqlalchemy\[postgresql|\"pg\""
    ),
    "clickhouse": re.compile(
        r"\b(clickhouse-(driver|connect|sqlalchemy)|clickhouse-go|ch-go|asynch)\b|@clickhouse/client"
    ),
    "nats": re.compile(
        r"\b(nats-py|nats-io/nats\.go|asyncio-nats-client|faststream\[[^]]*nats)|\"nats\"|@nats-io/[\w-]+"
    ),
    "kafka": re.compile(
        r"\b(kafka-python(-ng)?|confluent-kafka|aiokafka|segmentio/kafka-go|(ibm|shopify)/sarama|twmb/franz-go"
        r"|confluent-kafka-go|kafkajs)\b"
    ),
    "redis": re.compile(
        r"(^|[\s\"'\[,])(redis|aioredis|valkey|django-redis|redis-py|hiredis|ioredis|rq|huey)([\s\"'=<>~!\[,;]|$)"
        r"|go-redis/|redis/go-redis|gomodule/redigo|redis/rueidis|celery\[[^]]*redis",
        re.MULTILINE,
    ),
}
_NAMES: Mapping[str, re.Pattern[str]] = {
    "postgresql": re.compile(r"(POSTGRES|POSTGRESQL|PG|PSQL)(_\w+|HOST|PORT|USER|DATABASE|PASSWORD)?"),
    "clickhouse": re.compile(r"CLICKHOUSE_\w+"),
    "nats": re.compile(r"NATS_\w+"),
    "kafka": re.compile(r"KAFKA_\w+"),
    "redis": re.compile(r"(REDIS|VALKEY)_\w+"),
}
_ADDRESSES: Mapping[str, re.Pattern[str]] = {
    "postgresql": re.compile(r"postgres(?:ql)?(?:\+\w+)?://|django\.db\.backends\.postgresql|DriverName.*postgres"),
    "clickhouse": re.compile(r"clickhouse(?:\+\w+)?://"),
    "nats": re.compile(r"\bnats://"),
    "kafka": re.compile(r"\bkafka://|bootstrap[._]servers"),
    "redis": re.compile(r"\b(?:rediss?|valkey)://"),
}
_FRAMEWORKS = re.compile(
    r"(?:^|[\s\"'/\[,])(fastapi|django|flask|starlette|litestar|aiohttp|tornado|sanic|quart|falcon|grpcio|celery|"
    r"sqlalchemy|strawberry-graphql|graphene|faststream|gin-gonic/gin|labstack/echo|go-chi/chi|gofiber/fiber|"
    r"gorilla/mux|google\.golang\.org/grpc|99designs/gqlgen|connectrpc\.com/connect|gorm\.io/gorm|sqlc-dev/sqlc)"
    r"(?=[\s\"'=<>~!\[,;/@]|$)",
    re.MULTILINE,
)
_SERVERS: Mapping[str, str] = {
    "@nestjs/core": "nestjs", "@hapi/hapi": "hapi", "@apollo/server": "apollo-server", "express": "express",
    "fastify": "fastify", "koa": "koa", "hono": "hono",
}  # fmt: skip
"""Frameworks of servers in JavaScript, by their packages."""
_COMPOSE = re.compile(r"(docker-)?compose([.-][\w.-]+)?\.ya?ml")
_DOTENV = re.compile(r"\.env([.-][\w.-]+)?|[\w-]+\.env(\.[\w-]+)?")
DEPENDENCIES = re.compile(
    r"requirements([.-].*)?\.(txt|in)|pyproject\.toml|pipfile|setup\.(py|cfg)|go\.mod|package\.json"
)
_SETTINGS_FILES = re.compile(r"(settings|config|database|db)\.(py|go)|settings_?\w*\.py|alembic\.ini")
_TELLS = re.compile("|".join(f"(?:{p.pattern})" for p in (_COMPOSE, _DOTENV, DEPENDENCIES, _SETTINGS_FILES)))
_IMAGE_LINE = re.compile(r"^\s*image:\s*[\"']?(?:\$\{\w+:?-)?([^\s\"'#}]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Use:
    """An engine the repository uses, and the file that shows it."""

    kind: str
    because: str


def engines(root: Path, files: Sequence[str], kinds: Collection[str] = ()) -> tuple[Use, ...]:
    """The kinds of engine the repository uses (of `kinds` where given), each with the first evidence found."""
    wanted = tuple(kinds) or tuple(_IMAGES)
    found: dict[str, Use] = {}
    for path, name in _near(files):
        if _COMPOSE.fullmatch(name):
            images = [i.rpartition("@")[0] or i for i in _IMAGE_LINE.findall(listing.text(root, path, HEAD) or "")]
            subjects, rules = [image.split(":")[0].lower() for image in images], _IMAGES
        elif _DOTENV.fullmatch(name):
            subjects, rules = list(_variables(listing.text(root, path, HEAD) or "")), _NAMES
        elif DEPENDENCIES.fullmatch(name) or name.endswith((".txt", ".in")):
            subjects, rules = [(listing.text(root, path, HEAD) or "").lower()], _PACKAGES
        else:
            subjects, rules = [listing.text(root, path, HEAD) or ""], _ADDRESSES
        for kind in wanted:
            fits = rules[kind].fullmatch if rules is _NAMES else rules[kind].search
            if kind not in found and (hit := next((m for m in map(fits, subjects) if m), None)):
                found[kind] = Use(kind, f"{path}: {_said(hit, rules is _IMAGES)}")
        if len(found) == len(wanted):
            break
    return tuple(found[kind] for kind in _IMAGES if kind in found)


def frameworks(root: Path, files: Sequence[str]) -> tuple[str, ...]:
    """The frameworks and libraries of note among the dependencies."""
    found: set[str] = set()
    for path, name in _near(files):
        if name == "package.json":
            named = manifests.dependencies(listing.text(root, path, HEAD) or "") or ()
            found.update(_SERVERS[one] for one in named if one in _SERVERS)
        elif DEPENDENCIES.fullmatch(name) or name.endswith((".txt", ".in")):
            text = (listing.text(root, path, HEAD) or "").lower()
            found.update(hit.removeprefix("google.golang.org/").rpartition("/")[2] for hit in _FRAMEWORKS.findall(text))
    return tuple(sorted(found))


def _near(files: Sequence[str]) -> list[tuple[str, str]]:
    """The files that tell what is used, those nearest to the root first, and their names in lower case."""
    told: list[tuple[str, str]] = []
    for path in files:
        folder, _, name = path.rpartition("/")
        name = name.lower()
        listed = name.endswith((".txt", ".in", ".py")) and folder.endswith(("requirements", "settings"))
        if (listed or _TELLS.fullmatch(name)) and evidence(path):
            told.append((path, name))
    return sorted(told, key=lambda one: (one[0].count("/"), one[0]))[:MOST_FILES]


def _variables(text: str) -> Iterator[str]:
    for line in text.splitlines():
        name, separator, _ = line.strip().removeprefix("export ").lstrip("# ").partition("=")
        if separator and re.fullmatch(r"[A-Z][A-Z0-9_]*", name.strip()):
            yield name.strip()


def _said(hit: re.Match[str], image: bool) -> str:
    return f"image {hit.string}" if image else hit[0].strip(" \t\r\n\"'[,=<>~!;")
