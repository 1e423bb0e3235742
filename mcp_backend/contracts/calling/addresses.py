"""Where a request may go: this machine and the services of the policy. A name is looked up once; what was found is
checked, and the connection goes to that address and to no other."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from mcp_backend import settings
from mcp_backend.contracts.calling import engine_ports
from mcp_backend.errors import InvalidArgument, Unavailable
from mcp_backend.policy import Environment, Policy
from mcp_backend.policy.services import Service

Ip: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "grpc": 80, "grpcs": 443}
SECURE = frozenset({"https", "wss", "grpcs"})
SPOKEN = {
    "rest": ("http", "https"), "graphql": ("http", "https"), "grpc": ("grpc", "grpcs", "http", "https"),
    "websocket": ("ws", "wss", "http", "https"),
}  # fmt: skip
METADATA = frozenset(
    ipaddress.ip_address(text) for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)
"""Where clouds give credentials to whoever asks: AWS, Google and Azure, AWS over IPv6, Alibaba, Azure's wire server."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_BARE = re.compile(r"(?:\[[0-9a-fA-F:.%\w]+\]|[A-Za-z0-9._-]+):\d{1,5}(?:/.*)?")
_RANK: dict[Environment, int] = {"development": 0, "staging": 1, "production": 2}


@dataclass(frozen=True, slots=True)
class Target:
    """A service: its address as it was named, and the checked addresses in the order they are tried. `refused` says
    why it may not be called; there are no addresses then."""

    scheme: str
    host: str
    port: int
    path: str
    query: str
    environment: Environment
    service: Service | None
    addresses: tuple[str, ...] = ()
    refused: str = ""

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return self.scheme in SECURE

    @property
    def authority(self) -> str:
        """Host and port as a `Host` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The URL without path."""
        return f"{self.scheme}://{self.authority}"


def place(text: str, policy: Policy, protocol: str) -> Target:
    """The target of a call: the name of a service of the policy, or a URL. Raises `InvalidArgument`, and `Unavailable`
    where a name cannot be looked up. Only names that the policy has, and localhost, are looked up at all."""
    named = policy.services.get(text)
    parts = _parts(settings.resolve(named.url, field=f"services.{text}.url") if named else text, protocol)
    host, port = _host(parts), _port(parts)
    service = named or _service(policy, host, port)
    made = Target(
        parts.scheme, host, port, parts.path.rstrip("/"), parts.query,
        service.environment if service else "development", service,
    )  # fmt: skip
    literal = _literal(host)
    local = host == "localhost" or host.endswith(".localhost") or (literal is not None and plain(literal).is_loopback)
    if service is None and not local:
        known = ", ".join(policy.services) or "none"
        why = f"target: {host} is not on this machine and no service of the policy has it (services: {known})"
        return _refused(made, why)
    found = [literal] if literal is not None else _looked_up(host, port)
    if local:
        found = [ip for ip in found if plain(ip).is_loopback]
    if why := next((why for ip in found if (why := forbidden(ip))), "") or (
        "" if found else "it is not on this machine"
    ):
        return _refused(made, f"target: {host} is not called: {why}")
    if engine := engine_ports.engine(policy, host, [str(plain(ip)) for ip in found], port):
        why = f"target: {host}:{port} is the engine {engine}, which is reached by the tools for databases and messaging"
        return _refused(made, why)
    return _with(made, tuple(dict.fromkeys(str(plain(ip)) for ip in found)), "")


def forbidden(ip: Ip) -> str:
    """Why an address is never called, whoever named it; empty when it may be. What an IPv6 address carries of IPv4
    counts as that address."""
    ip = plain(ip)
    if ip in METADATA:
        return f"{ip} is a metadata address"
    if ip.is_loopback:
        return ""
    if ip.is_link_local:
        return f"{ip} is a link-local address"
    if ip.is_unspecified or ip.is_multicast:
        return f"{ip} is no address of one machine"
    if ip.is_reserved or (isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local):
        return f"{ip} is a reserved address"
    return ""


def plain(ip: Ip) -> Ip:
    """The IPv4 address that an IPv6 address stands for (RFC 4291 section 2.5.5, RFC 6052, RFC 3056, RFC 4380), else
    the address itself."""
    if not isinstance(ip, ipaddress.IPv6Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in _NAT64 or (ip in _COMPATIBLE and int(ip) > 0xFFFF):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def _parts(text: str, protocol: str) -> SplitResult:
    spoken = SPOKEN[protocol]
    expected = f"target: expected {spoken[0]}://127.0.0.1:PORT or a service of the policy"
    if any(c.isspace() or not c.isprintable() for c in text) or not text.isascii() or "\\" in text:
        raise InvalidArgument(f"{expected}, without blanks, backslashes or other than ASCII characters")
    if "://" not in text:
        if not _BARE.fullmatch(text):
            raise InvalidArgument(expected)
        text = f"{spoken[0]}://{text}"
    try:
        parts = urlsplit(text)
        named = parts.hostname and parts.port != 0
    except ValueError as error:
        raise InvalidArgument(f"{expected}: {error}") from error
    if parts.scheme not in spoken:
        raise InvalidArgument(f"{expected}; {protocol} is spoken over {', '.join(spoken)}")
    if parts.username is not None or parts.password is not None:
        raise InvalidArgument("target: holds a login; give credentials as headers, by reference (env:NAME)")
    if not named or parts.fragment:
        raise InvalidArgument(f"{expected}, without a fragment")
    return parts


def _host(parts: SplitResult) -> str:
    return (parts.hostname or "").rstrip(".").lower()


def _port(parts: SplitResult) -> int:
    return parts.port or PORTS[parts.scheme]


def _service(policy: Policy, host: str, port: int) -> Service | None:
    """The service of the policy at a host and port; of several the one that matters most. A name for this machine is
    as good as another."""
    found: list[Service] = []
    for service in policy.services.values():
        try:
            parts = urlsplit(settings.resolve(service.url, field=f"services.{service.name}.url"))
            theirs, their_port = _host(parts), parts.port or PORTS.get(parts.scheme, 0)
        except (InvalidArgument, ValueError):
            continue  # one that is not set here is none
        if their_port == port and (theirs == host or (_this_machine(theirs) and _this_machine(host))):
            found.append(service)
    return max(found, key=lambda s: _RANK[s.environment], default=None)


def _this_machine(host: str) -> bool:
    literal = _literal(host)
    return host == "localhost" or host.endswith(".localhost") or (literal is not None and plain(literal).is_loopback)


def _literal(host: str) -> Ip | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _looked_up(host: str, port: int) -> list[Ip]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"target: {host} cannot be looked up; nothing was sent") from error
    return [ipaddress.ip_address(str(address[0])) for *_, address in found]


def _refused(target: Target, why: str) -> Target:
    return _with(target, (), why)


def _with(target: Target, addresses: tuple[str, ...], refused: str) -> Target:
    return Target(
        target.scheme, target.host, target.port, target.path, target.query, target.environment, target.service,
        addresses, refused,
    )  # fmt: skip
