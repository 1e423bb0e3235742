"""What a caller may write as a path. The text alone decides; links are the kernel's business (beneath.py).

What is refused is never a path that somebody means literally: `..` and absolute paths that leave, URLs, `~` and `$HOME`
that only a shell would expand, percent-encoding, backslashes; and, for writing, what another file system would take for
another file: look-alike and invisible characters, trailing dots and spaces, `name:stream`, `FRONTE~1`.
"""

import os
import re
import unicodedata
from pathlib import Path

from mcp_backend.errors import InvalidArgument
from mcp_backend.workspace.canonical import invisible

LONGEST = 4000
LONGEST_NAME = 255
"""Bytes. https://man7.org/linux/man-pages/man3/pathconf.3.html: NAME_MAX of every common file system."""
_ENCODED = re.compile(r"(?i)%(2e|2f|5c|00|[46][1-9a-f]|[57][0-9a])")
_URL = re.compile(r"(?i)[a-z][a-z0-9+.-]+://|file:")
_SHELL = re.compile(r"(^|/)\$\w|\$[{(]|`|^~")
_COLON = re.compile(r"(?<!\d):|:(?!\d)")
"""`name:stream` and `C:` on NTFS; a time such as 12:30 is none."""
_SHORT = re.compile(r"[^/]{1,6}~\d{1,6}(\.[^./]{0,3})?")
"""https://learn.microsoft.com/windows/win32/fileio/naming-a-file#short-vs-long-names"""


def readable(path: str, root: Path, *, field: str = "path") -> str:
    """A path that a caller named, relative to the workspace `root` with `/`; "" is the root itself.

    Absolute paths are accepted when they lie in the workspace, also by another name of the root (a link to it).
    Raises `InvalidArgument` naming the field and what was expected.
    """
    said = f"{field}: {path[:120]!r}"
    if not path.strip():
        raise InvalidArgument(f"{field}: expected a path relative to the workspace, such as src/app.py")
    if control := next((c for c in path if unicodedata.category(c) == "Cc"), None):
        raise InvalidArgument(f"{said} has the control character U+{ord(control):04X}; expected a plain path")
    if "\\" in path:
        raise InvalidArgument(f"{said} has a backslash; separate folders with /")
    if _ENCODED.search(path):
        raise InvalidArgument(f"{said} is percent-encoded; write the characters themselves")
    if _URL.match(path):
        raise InvalidArgument(f"{said} is a URL; expected a path relative to the workspace")
    if _SHELL.search(path):
        raise InvalidArgument(f"{said} is something a shell would expand; write the path itself")
    relative = _below(path, root, said) if path.startswith("/") else path
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidArgument(f"{said} has `..`; write the path from the root of the workspace, without it")
    if len(os.fsencode(relative)) > LONGEST or any(len(os.fsencode(part)) > LONGEST_NAME for part in parts):
        raise InvalidArgument(f"{field}: is too long: at most {LONGEST_NAME} bytes per name, {LONGEST} in all")
    return "/".join(parts)


def writable(path: str, root: Path, *, field: str = "path") -> str:
    """As `readable`, for a file that is to be written: its name must mean the same file on every system."""
    relative = readable(path, root, field=field)
    said = f"{field}: {path[:120]!r}"
    if not relative or path.endswith(("/", "/.")):
        raise InvalidArgument(f"{said} names a folder; expected a file")
    if path != path.strip() or any(part != part.rstrip(". ") for part in relative.split("/")):
        raise InvalidArgument(f"{said} has a name that begins or ends with a space or ends with a dot")
    if unicodedata.normalize("NFKC", relative) != relative:
        plain = unicodedata.normalize("NFKC", relative)
        raise InvalidArgument(f"{said} has characters that look like others; with plain ones it is {plain[:120]!r}")
    if hidden := next((c for c in relative if invisible(c)), None):
        raise InvalidArgument(f"{said} has the invisible character U+{ord(hidden):04X}; leave it out")
    if _COLON.search(relative):
        raise InvalidArgument(f"{said} has a colon: leave line numbers, streams and drives out")
    if re.search(r"[*?]", relative):
        raise InvalidArgument(f"{said} is a pattern; expected the path of one file")
    if any(_SHORT.fullmatch(part) for part in relative.split("/")):
        raise InvalidArgument(f"{said} is a short name of another file; write its full name")
    return relative


def _below(path: str, root: Path, said: str) -> str:
    """An absolute path relative to the root. Another name of the root counts; a link inside is not looked at."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    base = root.parts[1:]
    if tuple(parts[: len(base)]) == base:
        return "/".join(parts[len(base) :])
    if ".." not in parts and parts[:1] not in (["proc"], ["dev"], ["sys"]):
        for count in range(1, len(parts) + 1):
            if os.path.realpath("/" + "/".join(parts[:count])) == str(root):
                return "/".join(parts[count:])
    raise InvalidArgument(f"{said} is outside the workspace {root}; expected a path inside it")
