"""Where a NATS server is, and what it says when one knocks: the first line of its protocol tells what it offers."""

import asyncio
import json
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from mcp_backend.errors import InvalidArgument
from mcp_backend.settings import hide_credentials

OPEN_SECONDS = 3.0
CLOSE_SECONDS = 1.0

Cause = Literal["unreachable", "timeout", "tls", "credentials", "protocol"]


class CannotOpen(Exception):
    """No connection came about; `cause` tells which kind of thing is wrong."""

    def __init__(self, cause: Cause, reason: str) -> None:
        self.cause: Cause = cause
        super().__init__(hide_credentials(reason))


@dataclass(frozen=True, slots=True)
class Address:
    """One server of a NATS URL, without its credentials, which are kept apart and never shown. `seed` is that of an
    NKey, alone or for `jwt`; `context` how TLS is done, `certified` with a certificate of our own."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = None
    token: str | None = None
    seed: str | None = None
    jwt: str | None = None
    context: ssl.SSLContext | None = None
    certified: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Address({self})"


def addresses(url: str, *, field: str) -> tuple[Address, ...]:
    """The servers of `nats://[user:password@|token@]host[:port][,…]` (`tls://` demands encryption).

    Raises `InvalidArgument` naming the field, never the URL.
    """
    found: list[Address] = []
    for part in url.split(","):
        text = part.strip() if "://" in part else f"nats://{part.strip()}"
        try:
            parsed = urlsplit(text)
            host, port = parsed.hostname, parsed.port or 4222
        except ValueError:
            host, port, parsed = None, 0, None
        if parsed is None or not host or parsed.scheme not in ("nats", "tls"):
            raise InvalidArgument(f"{field}: expected nats://host:port or tls://host:port (several with commas)")
        user = unquote(parsed.username) if parsed.username else None
        password = unquote(parsed.password) if parsed.password is not None else None
        token = user if user and password is None else None
        found.append(Address(host, port, parsed.scheme == "tls", None if token else user, password, token))
    return tuple(found)


async def greeting(address: Address) -> dict[str, Any]:
    """The server's INFO. A refused port is known at once here, where nats-py would wait and try again."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            reader, writer = await asyncio.open_connection(address.host, address.port, limit=1024 * 1024)
            line = await reader.readuntil(b"\r\n")
    except TimeoutError as error:
        raise CannotOpen("timeout", f"{address} does not answer within {OPEN_SECONDS:.0f} s") from error
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise CannotOpen("unreachable", f"{address}: {words(error)}") from error
    finally:
        if writer:
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await writer.wait_closed()
    try:
        info: dict[str, Any] = json.loads(line.removeprefix(b"INFO "))
    except ValueError as error:
        raise CannotOpen("protocol", f"{address} is not a NATS server") from error
    return info


def words(error: Exception) -> str:
    """An operating-system error as a person would say it."""
    if isinstance(error, socket.gaierror):
        return (error.strerror or "name not known").lower()
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return "no NATS server answers there"
