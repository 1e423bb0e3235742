"""Messages of PostgreSQL's protocol, version 3. https://www.postgresql.org/docs/current/protocol-message-formats.html"""

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from mcp_backend.errors import InvalidArgument

LARGEST = 256 * 2**20
"""Bytes of one message."""
SSL, GSS, CANCEL, VERSION_3 = 80877103, 80877104, 80877102, 3
LARGEST_STARTUP = 10_000


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its type byte and what follows the length."""

    kind: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        """As it goes over the wire."""
        return self.kind + struct.pack("!I", len(self.body) + 4) + self.body


async def read(reader: asyncio.StreamReader) -> Message | None:
    """The next message; None at the end. Raises `InvalidArgument` for what cannot be one."""
    try:
        kind = await reader.readexactly(1)
        (length,) = struct.unpack("!I", await reader.readexactly(4))
        if not 4 <= length <= LARGEST:
            raise InvalidArgument("what came is no message of PostgreSQL's protocol")
        return Message(kind, await reader.readexactly(length - 4))
    except (asyncio.IncompleteReadError, OSError):
        return None


async def opening(reader: asyncio.StreamReader) -> tuple[int, bytes] | None:
    """The code and the rest of a message that comes before the session; None at the end."""
    try:
        length, code = struct.unpack("!II", await reader.readexactly(8))
        if not 8 <= length <= LARGEST_STARTUP:
            return None
        return code, await reader.readexactly(length - 8)
    except (asyncio.IncompleteReadError, OSError):
        return None


def startup(parameters: Mapping[str, str]) -> bytes:
    """The message that opens a session."""
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
    return struct.pack("!II", len(body) + 8, VERSION_3 << 16) + body


def parameters(body: bytes) -> dict[str, str]:
    """The parameters of such a message."""
    words = body.split(b"\0")
    return {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in zip(words[::2], words[1::2]) if k}  # noqa: B905


def error(sqlstate: str, message: str) -> bytes:
    """An error after which the session is over."""
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": message}
    body = b"".join(f"{key}{value}\0".encode() for key, value in fields.items()) + b"\0"
    return Message(b"E", body).raw


def fields(body: bytes) -> dict[str, str]:
    """The fields of an error or a notice: `C` is the SQLSTATE, `M` the message."""
    return {
        part[:1].decode("ascii", "replace"): part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part
    }


class Reading:
    """Reads the parts of a message's body in order. Raises `InvalidArgument` when it ends too soon."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def text(self) -> str:
        """A string that ends with NUL."""
        end = self._body.find(b"\0", self._at)
        if end < 0:
            raise InvalidArgument("a message of the command ends too soon")
        found, self._at = self._body[self._at : end], end + 1
        try:
            return found.decode()
        except UnicodeDecodeError:
            raise InvalidArgument("the command sent SQL that is not UTF-8; expected client_encoding UTF8") from None

    def bytes(self, count: int) -> bytes:
        """That many bytes."""
        found = self._body[self._at : self._at + count]
        if len(found) < count or count < 0:
            raise InvalidArgument("a message of the command ends too soon")
        self._at += count
        return found

    def number(self, form: str) -> int:
        """A number in network order: `h`, `H`, `i` or `I`."""
        return int(struct.unpack("!" + form, self.bytes(struct.calcsize(form)))[0])
