"""Confluent's framing: a zero byte, the id of the schema in four bytes, for protobuf the place of the type, then
the payload.

https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
"""

from dataclasses import dataclass

from mcp_backend.contracts.payloads.misfit import Misfit

MAGIC = 0
HEAD = 5
_DEEP = 32
"""Message types inside each other."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What the framing says. `index` is the place of the type among those of its file, empty except for protobuf."""

    schema_id: int
    payload: bytes
    index: tuple[int, ...] = ()


def framed(schema_id: int, payload: bytes, index: tuple[int, ...] = ()) -> bytes:
    """The payload behind its frame. `index` for protobuf alone."""
    return bytes([MAGIC]) + schema_id.to_bytes(4, "big") + _indexes(index) + payload


def schema_id(data: bytes) -> int | None:
    """The id, where the data begins as a frame does."""
    return int.from_bytes(data[1:HEAD], "big") if len(data) >= HEAD and data[0] == MAGIC else None


def opened(data: bytes, *, protobuf: bool) -> Frame:
    """Takes the frame off. Raises `Misfit` where there is none."""
    found = schema_id(data)
    if found is None:
        raise Misfit("payload: expected Confluent's framing (a zero byte and the id of the schema in four bytes)")
    if not protobuf:
        return Frame(found, data[HEAD:])
    index, position = _read_indexes(data, HEAD)
    return Frame(found, data[position:], index)


def _indexes(index: tuple[int, ...]) -> bytes:
    """The length and the numbers as zigzag varints; the first type of a file is one zero byte."""
    if not index:
        return b""
    if index == (0,):
        return b"\x00"
    return b"".join(_varint(number << 1) for number in (len(index), *index))


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _read_indexes(data: bytes, position: int) -> tuple[tuple[int, ...], int]:
    count, position = _read(data, position)
    if count == 0:
        return (0,), position
    if not 0 < count <= _DEEP:
        raise Misfit("payload: the frame names no message type")
    found: list[int] = []
    for _ in range(count):
        number, position = _read(data, position)
        found.append(number)
    return tuple(found), position


def _read(data: bytes, position: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 35, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), position
    raise Misfit("payload: the frame ends within the place of its message type")
