"""Message formats that run code when they are read. They are recognised, never parsed into objects."""

import base64
import binascii
import pickletools
import zlib
from collections.abc import Iterator
from typing import Any, cast

LIMIT = 1_000_000
"""Bytes of a decompressed payload that are looked at."""
_JAVA = b"\xac\xed\x00\x05"
"""https://docs.oracle.com/en/java/javase/21/docs/specs/serialization/protocol.html"""
_DOTNET = b"\x00\x01\x00\x00\x00\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00"
"""BinaryFormatter's header, MS-NRBF section 2.6.1."""
_ENCODED = (*(f"gA{third}" for third in "IJKLMNOPQRSTUVWX"), "rO0AB", "AAEAAAD/////")
"""What base64 of a pickle of protocol 2 to 5, of a Java object and of BinaryFormatter begins with."""


def unsafe_format(payload: Any) -> str | None:
    """The name of the format, for bytes or for a JSON value that carries such bytes as base64; `None` otherwise."""
    if isinstance(payload, bytes):
        return _sniff(payload) or _sniff(_unpacked(payload))
    for text in _texts(payload):
        if text.startswith(_ENCODED) and (found := _sniff(_decoded(text))):
            return found
    return None


def _sniff(data: bytes) -> str | None:
    if data.startswith(_JAVA):
        return "Java serialisation"
    if data.startswith(_DOTNET):
        return ".NET BinaryFormatter"
    if _is_pickle(data):
        return "Python pickle"
    return None


def _is_pickle(data: bytes) -> bool:
    """Whether it reads as pickle up to its end mark; a reader ignores what follows. `genops` takes the opcodes apart
    and executes none. Before protocol 2 a pickle has no mark of its own, and short texts read as one, so there it has
    to build or call something."""
    marked = data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    builds = False
    try:
        for opcode, _, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return marked or builds
            builds = builds or opcode.name in ("GLOBAL", "INST", "REDUCE", "BUILD", "OBJ", "PUT", "BINPUT")
    except (ValueError, IndexError, OverflowError, UnicodeDecodeError, MemoryError):
        # A damaged pickle is no other format either: the mark of protocol 4 and 5 is followed by a frame.
        return marked and data[2:3] == b"\x95"
    return False


def _unpacked(data: bytes) -> bytes:
    """What gzip or zlib holds, else nothing."""
    try:
        return zlib.decompressobj(wbits=47).decompress(data, LIMIT)
    except zlib.error:
        return b""


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in cast("dict[str, Any]", node).values():
            yield from _texts(value)
    elif isinstance(node, list):
        for item in cast("list[Any]", node):
            yield from _texts(item)
