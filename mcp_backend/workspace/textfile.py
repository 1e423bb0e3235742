"""A text file taken apart and put together again, byte for byte the same where nothing was changed.

Encodings: UTF-8, UTF-16 and UTF-32 by their mark (https://www.unicode.org/faq/utf_bom.html), what a Python source
declares (https://peps.python.org/pep-0263/), and otherwise bytes that are kept as they are.
"""

import codecs
import re
from dataclasses import dataclass

from mcp_backend.errors import InvalidArgument

SNIFFED = 8192
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.MULTILINE)
UNKNOWN = "unknown-8bit"
_FORMATS = (
    (b"\x89PNG", "PNG image"), (b"\xff\xd8\xff", "JPEG image"), (b"GIF8", "GIF image"), (b"%PDF", "PDF document"),
    (b"PK\x03\x04", "ZIP archive"), (b"\x1f\x8b", "gzip data"), (b"BZh", "bzip2 data"), (b"\xfd7zXZ", "xz data"),
    (b"(\xb5/\xfd", "Zstandard data"), (b"\x7fELF", "ELF program"), (b"\xca\xfe\xba\xbe", "Java class"),
    (b"SQLite format 3", "SQLite database"), (b"PAR1", "Parquet data"), (b"wOF", "font"), (b"\0asm", "WebAssembly"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a file without its mark, with its line ends as they are. `newline` is the usual one."""

    text: str
    encoding: str = "utf-8"
    mark: bytes = b""
    newline: str = "\n"
    mixed: bool = False
    """Whether it has more than one kind of line end."""

    def encode(self, text: str, *, field: str) -> bytes:
        """Another text as a file of the same encoding. Raises `InvalidArgument` where it has no such characters."""
        try:
            return self.mark + text.encode("latin-1" if self.encoding == UNKNOWN else self.encoding)
        except UnicodeEncodeError as error:
            odd = text[error.start]
            raise InvalidArgument(
                f"{field}: the file is {self.described()}, which has no {odd!r} (U+{ord(odd):04X}); write it with "
                "characters that are there, or replace the whole file as UTF-8 with write_file"
            ) from error

    def described(self) -> str:
        """Encoding and line ends in words."""
        ends = "mixed line ends" if self.mixed else {"\r\n": "CRLF", "\r": "CR", "\n": "LF"}[self.newline]
        return f"{self.encoding}{' with a byte order mark' if self.mark else ''}, {ends}"


def decode(data: bytes) -> Text | None:
    """The text of a file, or `None` where it is no text. Never loses a byte: `encode` of the same text gives `data`."""
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", ""))
    body = data[len(mark) :]
    if not encoding:
        if b"\0" in data[:SNIFFED]:
            return None
        encoding = _declared(data) or "utf-8"
    for name in (encoding, "utf-8"):
        try:
            text = body.decode(name)
            if text.encode(name) == body:
                return _told(text, name, mark)
        except UnicodeError:
            continue
    return None if b"\0" in data else _told(data.decode("latin-1"), UNKNOWN, b"")


def binary(data: bytes) -> str:
    """What a file that is no text seems to be."""
    return next((name for start, name in _FORMATS if data.startswith(start)), "binary data")


def _told(text: str, encoding: str, mark: bytes) -> Text:
    windows = text.count("\r\n")
    counts = {"\n": text.count("\n") - windows, "\r\n": windows, "\r": text.count("\r") - windows}
    usual = max(counts, key=lambda end: counts[end])
    return Text(text, encoding, mark, usual, sum(count > 0 for count in counts.values()) > 1)


def _declared(data: bytes) -> str | None:
    found = _DECLARED.search(b"\n".join(data.split(b"\n", 2)[:2]))
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1].decode("ascii", "replace")).name
    except LookupError:
        return None
    return None if name == "utf-8" else name
