"""Path patterns of the policy, as people know them from .gitignore (https://git-scm.com/docs/gitignore).

`*` and `?` stay inside one component, `**` crosses them, `[a-z]` is a set. A pattern without a slash, or with one only
at its end, fits at any depth; otherwise it starts at the root of the workspace. A pattern that fits a folder fits
everything below it. `!` is not supported: name what is meant.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from mcp_backend.workspace.canonical import canonical, parents


def fits(pattern: str, path: str) -> bool:
    """Whether a canonical path, or a folder it lies in, fits the pattern."""
    found = _compiled(pattern)
    if found.fullmatch(path):
        return not pattern.endswith("/")
    return any(found.fullmatch(folder) for folder in parents(path) if folder)


def longest(patterns: Iterable[str], path: str) -> str | None:
    """The most specific of the patterns that fit a canonical path: the one with the most fixed characters."""
    return max((p for p in patterns if fits(p, path)), key=specificity, default=None)


def specificity(pattern: str) -> int:
    """How many characters of a pattern are fixed."""
    return len(re.sub(r"[*?]|\[[^]]*\]", "", pattern.strip("/")))


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    body = canonical(pattern).strip("/").removeprefix("./")
    anchored = "/" in body or pattern.startswith(("/", "./"))
    text = "" if anchored else "(?:.*/)?"
    position = 0
    for token in re.finditer(r"/\*\*/|^\*\*/|/\*\*$|\*+|\?|\[!?[^]]+\]", body):
        text += re.escape(body[position : token.start()])
        text += _translated(token[0])
        position = token.end()
    return re.compile(text + re.escape(body[position:]), re.DOTALL)


def _translated(token: str) -> str:
    match token:
        case "/**/":
            return "/(?:.*/)?"
        case "**/":
            return "(?:.*/)?"
        case "/**":
            return "/.*"
        case "?":
            return "[^/]"
        case _ if token.startswith("["):
            letters = re.escape(token[1:-1].removeprefix("!")).replace(r"\-", "-")
            return f"[^/{letters}]" if token[1] == "!" else f"[{letters}]"
        case "*":
            return "[^/]*"
        case _:
            return ".*"


def present(pattern: str) -> list[str]:
    """The paths that are there for a pattern of a shell, at most 200."""
    from glob import iglob

    return [path for path, _ in zip(iglob(pattern), range(200), strict=False)]
