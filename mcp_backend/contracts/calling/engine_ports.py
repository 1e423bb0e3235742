"""Databases and messaging systems of the policy are not called as services: their own tools judge what is asked."""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from mcp_backend import settings
from mcp_backend.errors import InvalidArgument
from mcp_backend.policy import EngineSettings, Policy

PORTS = {
    "postgresql": (5432,), "clickhouse": (8123, 8443, 9000, 9440), "nats": (4222,), "kafka": (9092,), "redis": (6379,),
}  # fmt: skip
"""Where an engine listens when its URL names no port; ClickHouse takes SQL at each of its ports."""


def engine(policy: Policy, host: str, addresses: Sequence[str], port: int) -> str:
    """The name of the engine that listens at a host and port, empty when none of the policy does."""
    local = any(ipaddress.ip_address(address).is_loopback for address in addresses)
    for settings_ in policy.engines.values():
        for theirs, ports in _places(settings_):
            same = theirs == host or theirs in addresses or (local and _loopback(theirs))
            if same and port in ports:
                return settings_.name
    return ""


def _places(engine: EngineSettings) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Hosts and ports of a URL, which may list several hosts."""
    if engine.url.startswith("embedded:"):
        return
    try:
        url = settings.resolve(engine.url, field=engine.name)
    except InvalidArgument:
        return  # not set for this server: nothing to reach
    for one in re.split(r",", url.partition("://")[2].partition("/")[0]):
        try:
            parts = urlsplit(f"//{one}")
            port = parts.port
        except ValueError:
            continue
        usual = PORTS[engine.kind]
        ports = (port, *usual) if port and engine.kind == "clickhouse" else (port,) if port else usual
        if parts.hostname:
            yield parts.hostname.lower(), ports


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
