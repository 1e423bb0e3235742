"""Where a Redis or Valkey server is: `redis://`, `rediss://`, `unix://`, and the same for clusters and sentinels.

https://www.iana.org/assignments/uri-schemes/prov/redis and redis-py's own query parameters for TLS.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from mcp_backend.errors import InvalidArgument
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import resolve

Topology = Literal["single", "unix", "cluster", "sentinel"]
EXPECTED = (
    "expected redis://[user:password@]host:port[/db], rediss:// for TLS, unix:///path, redis+cluster://host:port,… or "
    "redis+sentinel://host:port,…/master[/db]"
)
_SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")
_PARAMETERS = frozenset({
    "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname", "db", "password", "username",
    "sentinel_username", "sentinel_password",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect. Credentials are kept apart and never shown."""

    topology: Topology
    nodes: tuple[tuple[str, int], ...]
    db: int = 0
    tls: bool = False
    path: str = ""
    master: str = ""
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sentinel_user: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls_options: Mapping[str, str | bool] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.nodes)
        if self.topology == "unix":
            return self.path
        return f"{self.master} of {hosts}" if self.master else hosts


def address(url: str, *, field: str) -> Address:
    """The address a URL spells. Raises `InvalidArgument` naming the field, never the URL."""
    try:
        # urlsplit reads one host; the hosts are taken apart here, the port with each of them.
        scheme, _, rest = url.partition("://")
        parsed = urlsplit(f"{scheme}://{rest}")
        query = dict(parse_qsl(parsed.query, keep_blank_values=True))
        base, _, kind = scheme.lower().partition("+")
        credentials, _, hosts = parsed.netloc.rpartition("@")
        user, _, password = credentials.partition(":")
        nodes = tuple(_node(text, 26379 if kind == "sentinel" else 6379) for text in hosts.split(",") if text)
        parts = [unquote(part) for part in parsed.path.split("/") if part]
        master = parts.pop(0) if kind == "sentinel" and parts else ""
        db = int(query.get("db", "0")) if base == "unix" else int(parts[0]) if parts else int(query.get("db", "0"))
    except ValueError as error:
        raise InvalidArgument(f"{field}: {EXPECTED}") from error
    good = base in _SCHEMES and kind in ("", "cluster", "sentinel") and (bool(nodes) or base == "unix")
    if not good or (kind == "sentinel" and not master) or (base == "unix" and not parsed.path):
        raise InvalidArgument(f"{field}: {EXPECTED}")
    if unknown := query.keys() - _PARAMETERS:
        raise InvalidArgument(f"{field}: unknown parameter {min(unknown)!r}; known: {', '.join(sorted(_PARAMETERS))}")
    if not kind and len(nodes) > 1:
        kind = "cluster"
    topology: Topology = (
        "unix" if base == "unix" else "cluster" if kind == "cluster" else "sentinel" if kind else "single"
    )
    options: dict[str, str | bool] = {k: v for k, v in query.items() if k.startswith("ssl_")}
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = str(options["ssl_check_hostname"]).lower() in ("1", "true", "yes")
    return Address(
        topology=topology,
        nodes=nodes,
        db=db,
        tls=base in ("rediss", "valkeys"),
        path=unquote(parsed.path) if base == "unix" else "",
        master=master,
        user=unquote(user) or query.get("username"),
        password=unquote(password) or query.get("password"),
        sentinel_user=query.get("sentinel_username"),
        sentinel_password=query.get("sentinel_password"),
        tls_options=MappingProxyType(options),
    )


def of_settings(settings: EngineSettings, root: Path) -> Address:
    """The address of an engine of the policy; what stands beside the URL goes before credentials in the URL. Raises
    `InvalidArgument` naming the key, never what the reference stands for."""
    access, name = settings.access, settings.name
    field = f"engines.{name}.url"
    where = found = address(resolve(settings.url, field=field), field=field)
    if access.password:
        user = access.text("username", name) or where.user
        found = replace(found, user=user, password=access.text("password", name))
    elif access.username:
        found = replace(found, user=access.text("username", name))
    options = dict(where.tls_options)
    for key, option in (("tls_ca", "ssl_ca_certs"), ("tls_cert", "ssl_certfile"), ("tls_key", "ssl_keyfile")):
        if path := access.file(key, name, root):
            options[option] = path
    if options != dict(where.tls_options):
        found = replace(found, tls=True, tls_options=MappingProxyType(options))
    return found


def ended_early(where: Address, told: str) -> str:
    """Words for a server that ends a connection right after TLS came about: with TLS 1.3 it looks at the certificate of
    the client only then, and its reason is lost with the connection. Empty where that is not it."""
    ended = any(word in told.lower() for word in ("reset", "closed", "broken pipe", "eof"))
    if not where.tls or "ssl_certfile" in where.tls_options or not ended:
        return ""
    return "it ended the connection right after TLS came about: perhaps it demands a certificate (tls_cert, tls_key)"


def _node(text: str, default: int) -> tuple[str, int]:
    parsed = urlsplit(f"//{text}")
    if not parsed.hostname:
        raise ValueError(text)
    return parsed.hostname, parsed.port or default
