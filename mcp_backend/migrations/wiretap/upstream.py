"""The tap's own session with the server: it knows the password, so that the program behind it does not have to.

https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP, SCRAM: RFC 5802 and RFC 7677
"""

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import ssl
import struct
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mcp_backend.errors import Unavailable
from mcp_backend.migrations.wiretap import protocol
from mcp_backend.migrations.wiretap.protocol import Message
from mcp_backend.settings import hide_credentials

SECONDS = 10.0
REQUIRED = {"standard_conforming_strings": "on", "client_encoding": "UTF8"}
"""What statements are read by: with other settings the server would read other statements in the same bytes."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server, and how to log in there. `tls` are the libpq parameters that begin with `ssl`, or None for a
    connection in the clear. `settings` are settings of each session."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(repr=False, default="")
    tls: Mapping[str, str] | None = None
    settings: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, eq=False)
class Upstream:
    """A session that is ready. `greeting` is what the server told of itself, for whoever is served."""

    place: Place
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: tuple[Message, ...]
    pid: int
    key: bytes = field(repr=False)

    async def cancel(self) -> None:
        """Cancels what the session runs, as far as the server can be reached."""
        with suppress(OSError, TimeoutError, ssl.SSLError, Unavailable):
            async with asyncio.timeout(SECONDS):
                reader, writer = await _connected(self.place)
                writer.write(struct.pack("!III", 12 + len(self.key), protocol.CANCEL, self.pid) + self.key)
                await writer.drain()
                await reader.read()
                writer.close()


async def open_session(place: Place, parameters: Mapping[str, str]) -> Upstream:
    """A session with these parameters and the place's settings.

    Raises `Unavailable` with what the server says, never with the password.
    """
    options = [text for text in (place.settings.get("options", ""), parameters.get("options", "")) if text]
    asked = {**parameters, **place.settings, **REQUIRED, "user": place.user, "database": place.database}
    asked |= {"options": " ".join(options)} if options else {}
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await _connected(place)
            writer.write(protocol.startup(asked))
            return await _greeted(place, reader, writer)
    except (OSError, TimeoutError, ssl.SSLError) as error:
        raise Unavailable(f"the server does not answer the tap: {type(error).__name__}") from None


async def _connected(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if place.host.startswith("/"):
        return await asyncio.open_unix_connection(f"{place.host}/.s.PGSQL.{place.port}")
    reader, writer = await asyncio.open_connection(place.host, place.port)
    if place.tls is not None:
        writer.write(struct.pack("!II", 8, protocol.SSL))
        if await reader.readexactly(1) != b"S":
            raise Unavailable("the server speaks no TLS, which the engine's URL asks for")
        await writer.start_tls(_context(place.tls), server_hostname=place.host)
    return reader, writer


def _context(tls: Mapping[str, str]) -> ssl.SSLContext:
    """As libpq reads the parameters. https://www.postgresql.org/docs/current/libpq-ssl.html"""
    mode, roots = tls.get("sslmode", "prefer"), tls.get("sslrootcert") or "~/.postgresql/root.crt"
    file = None if roots == "system" else Path(roots).expanduser()
    verify = mode in ("verify-ca", "verify-full") or (mode == "require" and file is not None and file.is_file())
    context = ssl.create_default_context(cafile=str(file) if verify and file else None)
    context.check_hostname = mode == "verify-full"
    if not verify:
        context.verify_mode = ssl.CERT_NONE
    certificate = Path(tls.get("sslcert") or "~/.postgresql/postgresql.crt").expanduser()
    if certificate.is_file():
        key = Path(tls.get("sslkey") or "~/.postgresql/postgresql.key").expanduser()
        context.load_cert_chain(certificate, key, tls.get("sslpassword"))
    return context


async def _greeted(place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Upstream:
    greeting: list[Message] = []
    pid, key = 0, b""
    scram: _Scram | None = None
    while (message := await protocol.read(reader)) is not None:
        match message.kind:
            case b"R":
                scram = _authenticate(place, message.body, writer, scram)
            case b"E":
                said = protocol.fields(message.body)
                raise Unavailable(f"the server refuses the tap: {hide_credentials(said.get('M', ''))[:300]}")
            case b"K":
                (pid,) = struct.unpack("!I", message.body[:4])
                key = message.body[4:]
                greeting.append(message)
            case b"Z":
                return Upstream(place, reader, writer, (*greeting, message), pid, key)
            case _:
                greeting.append(message)
    raise Unavailable("the server ended the tap's session while it began")


def _authenticate(place: Place, body: bytes, writer: asyncio.StreamWriter, scram: "_Scram | None") -> "_Scram | None":
    (kind,) = struct.unpack("!I", body[:4])
    secret = place.password.encode()
    match kind:
        case 0:
            return scram
        case 3:
            answer = secret + b"\0"
        case 5:
            inner = hashlib.md5(secret + place.user.encode()).hexdigest().encode()
            answer = b"md5" + hashlib.md5(inner + body[4:8]).hexdigest().encode() + b"\0"
        case 10 if b"SCRAM-SHA-256" in body[4:].split(b"\0"):
            scram = _Scram(place.password)
            first = scram.first()
            answer = b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first
        case 11 if scram is not None:
            answer = scram.final(body[4:])
        case 12 if scram is not None:
            scram.check(body[4:])
            return scram
        case _:
            raise Unavailable(f"the server asks for a way to log in that the tap does not know (code {kind})")
    writer.write(Message(b"p", answer).raw)
    return scram


class _Scram:
    """One exchange of SCRAM-SHA-256 without channel binding."""

    def __init__(self, password: str) -> None:
        self._password = unicodedata.normalize("NFKC", password).encode()
        self._bare = b"n=,r=" + base64.b64encode(secrets.token_bytes(18))
        self._signature = b""

    def first(self) -> bytes:
        return b"n,," + self._bare

    def final(self, challenge: bytes) -> bytes:
        told = dict(part.split(b"=", 1) for part in challenge.split(b",") if b"=" in part)
        nonce, count = told.get(b"r", b""), int(told.get(b"i", b"0"))
        if not nonce.startswith(self._bare.partition(b"r=")[2]) or not 1 <= count <= 10_000_000:
            raise Unavailable("the server's answer to the log-in is not SCRAM-SHA-256")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, base64.b64decode(told[b"s"]), count)
        without = b"c=" + base64.b64encode(b"n,,") + b",r=" + nonce
        signed = b",".join((self._bare, challenge, without))
        client = hmac.digest(salted, b"Client Key", "sha256")
        proof = hmac.digest(hashlib.sha256(client).digest(), signed, "sha256")
        self._signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
        return without + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(client, proof, strict=True)))

    def check(self, final: bytes) -> None:
        if not hmac.compare_digest(final, b"v=" + base64.b64encode(self._signature)):
            raise Unavailable("the server could not prove that it knows the password")


def place_of(parameters: Mapping[str, str], *, host: str, port: int, user: str, database: str, password: str,
             tls: bool) -> Place:  # fmt: skip
    """Where a connection that libpq made goes to. `parameters` are those it was made with, `tls` whether it is
    encrypted."""
    asked = {name: value for name, value in parameters.items() if name.startswith("ssl")}
    options = parameters.get("options") or os.environ.get("PGOPTIONS", "")
    return Place(host, port, user, database, password, asked if tls else None, {"options": options} if options else {})
