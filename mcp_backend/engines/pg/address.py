"""Where a PostgreSQL server is: a URL, or `key=value` pairs, as connection parameters.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING governs the forms. URLs that other
drivers read (`postgresql+asyncpg://`, `?pgbouncer=true`, `?ssl=require`) are understood as well, because they are
what a repository's `DATABASE_URL` holds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from psycopg import ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict

from mcp_backend.errors import InvalidArgument

CONNECT_SECONDS = 3
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True)
class Address:
    """Connection parameters, and how to name the server to people (never with the password)."""

    parameters: Mapping[str, str] = field(repr=False)
    place: str
    database: str

    def hide(self, text: str) -> str:
        """`text` without the password."""
        secret = self.parameters.get("password")
        return text.replace(secret, "***") if secret and len(secret) > 2 else text


def parse(url: str, *, where: str) -> Address:
    """The address that `url` names. Raises `InvalidArgument` naming `where`, never the URL, which may hold a secret."""
    try:
        found = {k: str(v) for k, v in conninfo_to_dict(_for_libpq(url)).items() if v is not None}
    except (ProgrammingError, ValueError):
        raise InvalidArgument(
            f"{where}: expected a PostgreSQL URL (postgresql://user:password@host:5432/database) or key=value pairs"
        ) from None
    defaults = {
        "connect_timeout": str(CONNECT_SECONDS),
        "application_name": "mcp-backend",
        "client_encoding": "UTF8",
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "30000",
    }
    parameters = {**defaults, **found}
    host = parameters.get("host") or parameters.get("hostaddr") or "the local socket"
    port = parameters.get("port", "5432")
    pairs = zip(host.split(","), (port.split(",") * len(host.split(",")))[: len(host.split(","))], strict=False)
    place = ", ".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in pairs)
    return Address(MappingProxyType(parameters), place, parameters.get("dbname", ""))


def _for_libpq(url: str) -> str:
    if "://" not in url:
        return url
    url = re.sub(r"^postgres(ql)?\+\w+://", "postgresql://", url.strip())
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("not a PostgreSQL URL")
    parts = urlsplit(url)
    if "," not in parts.netloc and parts.port is not None and not parts.port:
        raise ValueError("port 0")
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    query = [(k, v) for k, v in parse_qsl(parts.query) if k in known]
    asked = dict(parse_qsl(parts.query)).get("ssl", "")
    if asked and "sslmode" not in dict(query):
        mode = asked if asked in SSL_MODES else "require" if asked.lower() in ("true", "1", "on") else ""
        query += [("sslmode", mode)] if mode else []
    if path := dict(parse_qsl(parts.query)).get("search_path"):
        # Go's driver takes settings of the session as parameters; with this one, projects say where their tables are.
        options = [value for key, value in query if key == "options"]
        words = " ".join([*options, "-csearch_path=" + re.sub(r"([\\ ])", r"\\\1", path)])
        query = [*((key, value) for key, value in query if key != "options"), ("options", words)]
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))
