"""What a shell line consists of: words and simple commands; braces and escapes as the shell expands them."""

import re

from mcp_backend.records import dataclass, field

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
_OCTAL = "01234567"


@dataclass(slots=True)
class Word:
    """One word. `plain` is false when something in it is known only when the line runs; `quoted` keeps `*` a star;
    `inner` are the lines whose output it holds: `$(…)`, `<(…)`."""

    text: str
    plain: bool = True
    quoted: bool = False
    inner: str = ""


@dataclass(slots=True)
class Command:
    """One simple command: assignments before it, its words, its redirections (operator without number, target), what
    is fed to it (here-documents, here-strings), whether a pipe feeds it, and how deep in subshells it stands."""

    assigned: dict[str, Word] = field(default_factory=dict[str, Word])
    words: list[Word] = field(default_factory=list[Word])
    redirects: list[tuple[str, Word]] = field(default_factory=list[tuple[str, Word]])
    fed: list[str] = field(default_factory=list[str])
    piped: bool = False
    depth: int = 0


_ESCAPE = r"(?s)\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}|.)"


def unescaped(text: str) -> str:
    """What stands between the quotes of `$'…'`, as the shell reads it."""
    return re.sub(_ESCAPE, _character, text)


def _character(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xuU" and len(code) > 1:
        return chr(int(code[1:], 16)) if int(code[1:], 16) < 0x110000 else ""
    if code[0] in _OCTAL:
        return chr(int(code, 8) & 0xFF)
    return _ESCAPES.get(code, code)


def braces(text: str) -> list[str]:
    """`a{b,c}d` as the shell expands it; at most 64 words."""
    match = re.search(r"\{([^{}]*,[^{}]*)\}", text)
    if not match:
        return [text]
    found: list[str] = []
    for part in match[1].split(","):
        found += braces(text[: match.start()] + part + text[match.end() :])
        if len(found) > 64:
            break
    return found[:64]


def closed(text: str, at: int, opening: str, closing: str) -> int | None:
    """Where the bracket at a place is closed; quotes hide brackets."""
    depth = 0
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 1
        elif character == "'":
            at = max(text.find("'", at + 1), at)
        elif character == opening:
            depth += 1
        elif character == closing:
            depth -= 1
            if not depth:
                return at
        at += 1
    return None
