"""Message formats that run code when they are read. They are recognised, never parsed into objects."""

import binascii
import bz2
import io
import json
import lzma
import pickletools
import re
import zlib
from collections.abc import Iterator
from typing import Any, cast

LIMIT = 1_000_000
"""Bytes of a decompressed payload that are looked at."""
DEPTH = 4
"""Wrappings inside each other that are taken off: base64 of gzip of JSON with base64 in it."""
_JAVA = b"\xac\xed\x00\x05"
"""https://docs.oracle.com/en/java/javase/21/docs/specs/serialization/protocol.html"""
_DOTNET = b"\x00\x01\x00\x00\x00\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00"
"""BinaryFormatter's header, MS-NRBF section 2.6.1."""
_BASE64 = re.compile(r"(?:data:[^,]{0,200};base64,)?([AHIK-OQ-Zcefgr/_][A-Za-z0-9+/_\-\r\n]{7,}={0,2})\s*")
"""Only with the first letters that a pickle, what is compressed, JSON or again base64 of these can begin with: most
words begin with others, and a batch has many."""
_HEX = re.compile(r"(?:80|ac|00|1f|78|42|fd|[2-7][0-9a-f])(?:[0-9a-f]{2}){4,}", re.IGNORECASE)
_URL_SAFE = str.maketrans("-_", "+/")
_MARKS = (b"\x80", b"\xac", b"\x00", b"\x1f", b"\x78", b"B", b"\xfd")
"""What a format or a compression that is looked for begins with."""
_RAW = ("\x80", "\xac\xed")
"""What text begins with that was made of bytes one character for each."""
_BUILDS = ("GLOBAL", "INST", "REDUCE", "BUILD", "OBJ", "PUT", "BINPUT", "LONG_BINPUT")


def unsafe_format(payload: Any) -> str | None:
    """The name of the format, for bytes or for a JSON value that carries such bytes as text: base64 in its variants,
    hexadecimal, a character for each byte; compressed or not, and wrapped again. `None` otherwise."""
    return _found(payload, DEPTH)


def _found(payload: Any, left: int) -> str | None:
    if isinstance(payload, bytes):
        return _in_bytes(payload, left)
    for text in _texts(payload):
        if found := _in_text(text, left):
            return found
    return None


def _in_bytes(data: bytes, left: int) -> str | None:
    if found := _sniff(data):
        return found
    if left and (inside := _unpacked(data)):
        return _in_bytes(inside, left - 1)
    if left and data[:1] in (b"{", b"[", b'"'):
        try:
            return _found(json.loads(data), left - 1)
        except (ValueError, RecursionError):
            return None
    # Bytes that are text may be an encoding of others; the whole of it, as parts of a text are words.
    return _in_text(data.decode("latin-1"), left - 1) if left and len(data) < LIMIT and data.isascii() else None


def _in_text(text: str, left: int) -> str | None:
    if len(text) < 8:
        return None
    if "\n" in text and text.rstrip().endswith(".") and _is_pickle(text.encode("utf-8", "replace")):
        return "Python pickle"
    if (text.startswith(_RAW) or "\x00" in text) and (found := _sniff(text.encode("latin-1", "replace"))):
        return found
    if not left:
        return None
    stripped = text.strip()
    if stripped[:1] in '{["':  # JSON in a string
        try:
            return _found(json.loads(stripped), left - 1)
        except (ValueError, RecursionError):
            return None
    if len(stripped) % 2 == 0 and _HEX.fullmatch(stripped) and (found := _decoded(bytes.fromhex(stripped), left)):
        return found
    coded = _BASE64.fullmatch(stripped)
    return _decoded(_from_base64(coded[1]), left) if coded else None


def _decoded(data: bytes, left: int) -> str | None:
    """What decoded text holds. Most words decode to something, which is nothing."""
    if b"." not in data and not data.startswith(_MARKS) and not data.isascii():
        return None
    return _in_bytes(data, left - 1)


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
    to build or call something, and to leave one value on its stack."""
    marked = data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if not marked and b"." not in data:
        return False
    builds = False
    try:
        for opcode, _, position in pickletools.genops(data):
            if opcode.name == "STOP":
                return marked or (builds and _whole(data[: (position or 0) + 1]))
            builds = builds or opcode.name in _BUILDS
    except (ValueError, IndexError, OverflowError, UnicodeDecodeError, MemoryError):
        # A damaged pickle is no other format either: the mark of protocol 4 and 5 is followed by a frame.
        return marked and data[2:3] == b"\x95"
    return False


def _whole(data: bytes) -> bool:
    """Whether every opcode finds what it takes from the stack."""
    try:
        pickletools.dis(data, out=io.StringIO())
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError, MemoryError):
        return False
    return True


def _unpacked(data: bytes) -> bytes:
    """What gzip, zlib, bzip2 or xz holds, else nothing."""
    try:
        if data[:3] == b"BZh":
            return bz2.BZ2Decompressor().decompress(data, LIMIT)
        if data[:6] == b"\xfd7zXZ\x00":
            return lzma.LZMADecompressor(memlimit=64 * LIMIT).decompress(data, LIMIT)
        if data[:2] == b"\x1f\x8b" or (
            data[:1] == b"\x78" and len(data) > 2 and int.from_bytes(data[:2], "big") % 31 == 0
        ):
            return zlib.decompressobj(wbits=47).decompress(data, LIMIT)
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
        return b""
    return b""


def _from_base64(text: str) -> bytes:
    """Base64 in any alphabet, in lines, with or without its padding."""
    plain = text.replace("\n", "").replace("\r", "").rstrip("=").translate(_URL_SAFE)
    try:
        return binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except (binascii.Error, ValueError):
        return b""


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for name, value in cast("dict[str, Any]", node).items():
            yield name
            yield from _texts(value)
    elif isinstance(node, list):
        for item in cast("list[Any]", node):
            yield from _texts(item)
