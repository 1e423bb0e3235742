"""One spelling for all the ways to write the same path. For comparing only, never for opening a file.

File systems and git treat many spellings as one: case on macOS and Windows, compatibility forms and invisible code
points on HFS+, trailing dots, `name:stream` and `GIT~1` on NTFS
(https://git-scm.com/docs/git-config, core.protectHFS and core.protectNTFS).
"""

import posixpath
import unicodedata
from pathlib import Path

from mcp_backend.expressions import Expression

_INVISIBLE = frozenset([0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10)])
"""Default-ignorable code points outside category Cf: https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point"""


_ODD = Expression(r"\\|::|[. ](/|$)")
_STREAM = Expression(r"(::?\$\w+)+$")


def canonical(path: str) -> str:
    """The form in which paths and globs are compared: compatibility characters folded, invisible ones dropped, case
    folded, `\\` as `/`, and per component no trailing dots or spaces and no NTFS stream of the file itself."""
    if path.isascii():
        return _components(path.lower()) if _ODD.search(path) else path.lower()
    text = unicodedata.normalize("NFKC", path)
    kept = "".join(c for c in text if not invisible(c))
    return _components(unicodedata.normalize("NFKC", kept.casefold()))


def invisible(character: str) -> bool:
    """Whether a character shows nothing: formatting and control characters, fillers, variation selectors."""
    return ord(character) in _INVISIBLE or unicodedata.category(character) in ("Cf", "Cc")


def _components(path: str) -> str:
    return "/".join(_component(part) for part in path.replace("\\", "/").split("/"))


def _component(part: str) -> str:
    return part if part in (".", "..") else _STREAM.sub("", part).rstrip(". ") or part


def inside(path: str, root: Path) -> str | None:
    """`path` relative to the workspace `root` with `.` and `..` resolved by text, or `None` when it leaves it.

    Absolute paths are accepted when they lie in the workspace. Symbolic links are the file writer's business: here
    nothing is read.
    """
    text = path.replace("\\", "/")
    if text.startswith("/"):
        text = posixpath.normpath(text)
        base = root.as_posix().rstrip("/") + "/"
        if not text.startswith(base):
            return None
        text = text.removeprefix(base)
    text = posixpath.normpath(text)
    if text == ".":
        return ""
    return None if text == ".." or text.startswith("../") else text


def words(text: str) -> frozenset[str]:
    """The words of a text: how the tables of names in this package are written down."""
    return frozenset(text.split())


def parents(path: str) -> list[str]:
    """Every folder a path lies in, nearest first, ending with "" for the root."""
    found: list[str] = []
    while path:
        path = path.rpartition("/")[0]
        found.append(path)
    return found
