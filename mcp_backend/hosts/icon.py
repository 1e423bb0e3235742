"""The icon of what is installed from a file, drawn here: three stacked discs, as a database is drawn, in two colours.

Nothing is compressed, so that it is the same bytes with every version of zlib. PNG: https://www.w3.org/TR/png-3/
"""

import struct
import zlib
from math import sqrt

from mcp_backend.hosts.site import MARK

SIDE = 512
GROUND, FRONT = b"\x16\x2a\x45", b"\xe8\xee\xf6"
DISCS = (136, 256, 376)
RADIUS, HALF = 44, 150
"""Of the rounded ends of a disc, and half its width between them."""


def png() -> bytes:
    """The image as a file."""
    header = struct.pack(">2I5B", SIDE, SIDE, 1, 3, 0, 0, 0)
    lines = b"".join(b"\0" + _line(y) for y in range(SIDE))
    chunks = (
        (b"IHDR", header), (b"PLTE", GROUND + FRONT), (b"tEXt", b"Software\0" + MARK.encode()),
        (b"IDAT", zlib.compress(lines, 0)), (b"IEND", b""),
    )  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _line(y: int) -> bytes:
    """One row, a bit for each pixel."""
    bits = 0
    for middle in DISCS:
        if abs(y - middle) <= RADIUS:
            half = HALF + int(sqrt(RADIUS**2 - (y - middle) ** 2))
            bits = ((1 << 2 * half) - 1) << (SIDE // 2 - half)
    return bits.to_bytes(SIDE // 8, "big")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
