"""Where a ClickHouse server is, as a URL.

`clickhouse://user:password@host:8123/database` speaks HTTP, `https+clickhouse://` or `?secure=true` HTTPS. URLs that
other drivers read are understood as well, because they are what a repository's settings hold: `clickhouse+http://`,
`clickhouses://`, `http://…?database=`, and the ports of the native protocol, beside which HTTP listens.
"""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from mcp_backend.errors import InvalidArgument

SECURE = {
    "clickhouse": False,
    "clickhousedb": False,
    "http+clickhouse": False,
    "clickhouse+http": False,
    "clickhouse+native": False,
    "http": False,
    "https+clickhouse": True,
    "clickhouse+https": True,
    "clickhouses": True,
    "https": True,
}
NATIVE = {9000: (False, 8123), 9440: (True, 8443)}
"""Ports of the native protocol: whether TLS is spoken there, and where HTTP listens by default."""


@dataclass(frozen=True, slots=True)
class Address:
    """How a server is reached. `place` names it to people, never with the password."""

    host: str
    port: int
    secure: bool
    user: str
    password: str = field(repr=False)
    database: str
    verify: bool = True
    ca_cert: str | None = None

    @property
    def place(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def hide(self, text: str) -> str:
        """`text` without the password."""
        return text.replace(self.password, "***") if len(self.password) > 2 else text


def parse(url: str, *, where: str) -> Address:
    """The address that `url` names. Raises `InvalidArgument` naming `where`, never the URL, which may hold a secret."""
    try:
        parts = urlsplit(url.strip())
        given = {name.lower(): value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
        host, port = parts.hostname, parts.port
        secure = SECURE[parts.scheme] or _on(given.get("secure") or given.get("tls") or given.get("ssl") or "")
    except (ValueError, KeyError):
        host, port, secure, given, parts = None, None, False, {}, urlsplit("")
    if not host:
        raise InvalidArgument(
            f"{where}: expected a ClickHouse URL: clickhouse://user:password@host:8123/database, or https+clickhouse://"
        )
    if port in NATIVE:
        secure, port = secure or NATIVE[port][0], NATIVE[port][1] if not secure else 8443
    secure = secure or port in (443, 8443)
    return Address(
        host=host,
        port=port or (8443 if secure else 8123),
        secure=secure,
        user=unquote(parts.username or "") or given.get("user") or given.get("username") or "default",
        password=unquote(parts.password or "") or given.get("password") or "",
        database=unquote(parts.path.strip("/")) or given.get("database") or "default",
        verify=not _off(given.get("verify") or "") and not _on(given.get("skip_verify") or ""),
        ca_cert=given.get("ca_cert") or given.get("sslrootcert") or None,
    )


def _on(word: str) -> bool:
    return word.lower() in ("1", "true", "yes", "on", "require", "verify-full", "verify-ca")


def _off(word: str) -> bool:
    return word.lower() in ("0", "false", "no", "off")
