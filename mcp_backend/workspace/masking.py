"""Credentials in what a model reads: hidden, and said to be. The file itself stays as it is.

All values of an environment file are hidden but the plainest (numbers, switches, this machine); elsewhere what
secrets_scan.py finds, keys and passwords of `.netrc`, `.pgpass` and the like.
"""

import re
from collections.abc import Iterator

from mcp_backend.workspace import secrets_scan

MASK = "***masked***"
_ENVIRONMENT = re.compile(r"(?:.*/)?(?:\.env(?:rc|\.[\w.-]+)?|[\w.-]+\.env)")
_SAMPLE = re.compile(r"(?i)[._-](?:example|sample|template|tmpl|dist|defaults?|schema)\b")
_LINE = re.compile(r"(?m)^[ \t]*(?:export[ \t]+)?[\w.-]+[ \t]*=[ \t]*(\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s#\n][^\n]*)")
_PLAIN = re.compile(
    r"(?i)[\"']?(?:-?\d{1,6}(?:\.\d+)?|true|false|yes|no|on|off|none|null|debug|info|warn(?:ing)?|error|utf-?8"
    r"|development|production|staging|test|local(?:host)?|127\.0\.0\.1|0\.0\.0\.0)?[\"']?\s*"
)
_LOGINS = {
    ".netrc": re.compile(r"(?i)\bpassword[ \t]+(\S+)"),
    ".pgpass": re.compile(r"(?m)^[^#\n]*:([^:\n]+)$"),
    ".my.cnf": re.compile(r"(?mi)^[ \t]*password[ \t]*=[ \t]*(\S+)"),
    ".git-credentials": re.compile(r"://[^:/\n]*:([^\n]+)@"),
}


def hidden(path: str, text: str) -> list[tuple[int, int, str]]:
    """Where the credentials of a file stand in its text, in order, and what is shown for each: the mask, and as many
    line ends as it had, so that the numbers of lines stay."""
    kept: list[tuple[int, int]] = []
    for begin, end in sorted(_all(path, text)):
        if kept and begin < kept[-1][1]:
            kept[-1] = (kept[-1][0], max(end, kept[-1][1]))
        elif begin < end:
            kept.append((begin, end))
    return [(begin, end, MASK + "\n" * text.count("\n", begin, end)) for begin, end in kept]


def masked(path: str, text: str) -> tuple[str, int]:
    """The text with every credential hidden, and how many there were."""
    found = hidden(path, text)
    parts: list[str] = []
    position = 0
    for begin, end, shown in found:
        parts += [text[position:begin], shown]
        position = end
    return "".join((*parts, text[position:])), len(found)


def _all(path: str, text: str) -> Iterator[tuple[int, int]]:
    if _ENVIRONMENT.fullmatch(path) and not _SAMPLE.search(path):
        for match in _LINE.finditer(text):
            if not _PLAIN.fullmatch(match[1]):
                yield match.span(1)
    if login := _LOGINS.get(path.rpartition("/")[2]):
        for match in login.finditer(text):
            yield match.span(1)
    yield from secrets_scan.spans(path, text)
