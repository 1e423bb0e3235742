"""SQL in strings of code, as far as it says which rows are added where."""

import re

from mcp_backend.pipelines.model import Write

_INSERT = re.compile(
    r"(?is)^\W*(?:with\b.{0,2000}?\)\s*)?(?:insert\s+(?:or\s+\w+\s+)?(?:ignore\s+)?into|replace\s+into|copy|merge\s+into)\s+"
    r"(?:table\s+)?(?P<table>[\w.\"`]+)\s*(?P<columns>\((?!\s*select)[^()]*\))?"
)
_ONCE = re.compile(r"(?is)\bon\s+conflict\b|\bon\s+duplicate\s+key\b|insert\s+or\s+(?:ignore|replace)|replace\s+into"
                   r"|insert\s+ignore|\bmerge\s+into|where\s+not\s+exists")  # fmt: skip
_OUTBOX = re.compile(r"(?is)\b(?:from|update)\s+(?P<table>[\w.\"`]*outbox\w*)")


def write(text: str, line: int) -> Write | None:
    """What a statement adds, or `None` when it adds nothing. `COPY` counts only when it reads."""
    found = _INSERT.match(text)
    if not found or (re.match(r"(?is)^\W*copy\b", text) and not re.search(r"(?i)\bfrom\b", text)):
        return None
    columns = tuple(_plain(c) for c in (found["columns"] or "").strip("()").split(",") if _plain(c))
    table = _table(found["table"])
    return Write(table, columns, line, _ONCE.search(text) is not None) if table else None


def outbox(text: str) -> str:
    """The outbox that a statement takes from, or nothing."""
    found = _OUTBOX.search(text) if re.match(r"(?is)^\W*(?:select|update|delete|with)\b", text) else None
    return _table(found["table"]) if found else ""


def _plain(word: str) -> str:
    return word.strip().strip('"`').lower()


def _table(word: str) -> str:
    """The name without its schema."""
    name = _plain(word.replace('"', "").replace("`", ""))
    return name.rpartition(".")[2]
