"""Credentials in files of settings, where values stand without quotes: YAML, properties, and secrets of Kubernetes.

https://kubernetes.io/docs/concepts/configuration/secret/: what is under `data` is base64, under `stringData` plain.
"""

import base64
import re
from collections.abc import Iterator
from itertools import pairwise

from mcp_backend.expressions import Expression
from mcp_backend.workspace import plausible

SETTINGS = Expression(r"(?i)\.(?:ya?ml|properties|ini|cfg|conf|config|xml)$")
_LINE = Expression(
    r"(?m)^[ \t]*(?:-[ \t]+)?(?P<name>[\w.-]{3,80})[ \t]*[:=][ \t]*(?P<value>[^\s\"'#&*!{$<|>][^\s\"'#]{7,199})[ \t]*$"
)
_NAME = Expression(
    r"(?i)(?:^|[._-])(?:password|passwd|secret|(?:secret|api|access|auth|private)[._-]?key|(?:access|auth|api|bearer)?[._-]?"
    r"token|client[._-]?secret)$"
)
_ADDED = Expression(r"(?i)<add\s+key=\"[\w.-]*(?:password|secret|apikey|token)\"\s+value=\"(?P<value>[^\"]{8,200})\"")
_SECRET = Expression(r"(?m)^kind:[ \t]*[\"']?Secret[\"']?[ \t]*$")
_BLOCK = Expression(r"(?m)^(?P<kind>data|stringData):[ \t]*\n(?P<body>(?:[ \t]+[^\n]*(?:\n|\Z)|\n)+)")
_ENTRY = Expression(r"(?m)^[ \t]+[\w.-]+:[ \t]*[\"']?(?P<value>[^\s\"'#|>]{8,4000})[\"']?[ \t]*$")
_DOCUMENT = Expression(r"(?m)^---[^\n]*\n")


def found(text: str) -> Iterator[tuple[str, int, int]]:
    """Kind and extent of each credential in such a file."""
    for pattern in (_LINE, _ADDED):
        for match in pattern.finditer(text):
            named = pattern is _ADDED or _NAME.search(match["name"])
            if named and plausible.password(match["value"]):
                yield "password or key in settings", match.start("value"), match.end("value")
    if _SECRET.search(text) is None:
        return
    begins = [0, *(match.end() for match in _DOCUMENT.finditer(text)), len(text)]
    for begin, end in pairwise(begins):
        if _SECRET.search(text, begin, end):
            for block in _BLOCK.finditer(text, begin, end):
                for entry in _ENTRY.finditer(text, block.start("body"), block.end("body")):
                    if _opens(entry["value"], encoded=block["kind"] == "data"):
                        yield "value of a Kubernetes secret", entry.start("value"), entry.end("value")


def _opens(value: str, *, encoded: bool) -> bool:
    if not encoded:
        return plausible.password(value)
    try:
        plain = base64.b64decode(value, validate=True).decode()
    except ValueError:
        return False
    return plausible.password(plain) or re.search(r"://[^\s:/@]{1,64}:[^\s/@]{8,}@", plain) is not None
