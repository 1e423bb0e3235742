"""What a question quotes: a section of a file of the repository, and whether it still says the same.

A question about a specification, a contract or a migration is about its words at that moment. Once they changed, an
answer would be to another question, so the open one ends (`superseded`) and can be asked again.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcp_backend.people import questions
from mcp_backend.settings import sha256

FIELDS: Mapping[str, str] = {
    "spec_clarification": "spec_ref",
    "frontend_contract": "contract",
    "data_model": "migration",
}
"""Where each kind names its source."""
LARGEST = 2_000_000
KEPT = 8000
"""Characters of a section that are kept to look for; of a larger one the whole file counts."""
_PATH = re.compile(r"[\w.@+-]+(?:/[\w.@+ -]+)*\.\w+")
_LINES = re.compile(
    r"(?:[:#]\s*(?:lines?\s*|L)?|[\s,(]+(?:lines?\s*|L))(\d{1,7})(?:\s*(?:-|–|to)\s*L?(\d{1,7}))?\b", re.IGNORECASE
)


def quoted(root: Path, kind: str, details: Mapping[str, Any]) -> str:
    """What a question of this kind quotes, as it is kept; empty when it names no file of the repository."""
    if contracts := questions.agreed(details):
        kept = [{name: str(one[name]) for name in ("spec", "operation", "digest")} for one in contracts]
        return json.dumps({"contracts": kept}, ensure_ascii=False)
    reference = details.get(FIELDS.get(kind, ""))
    if not isinstance(reference, str):
        return ""
    for match in _PATH.finditer(reference[:2000]):
        text = _text(root, match[0])
        if text is not None:
            part = _part(text, reference[match.end() : match.end() + 300])
            kept = part if len(part.strip()) >= 3 and len(part) <= KEPT else ""
            return json.dumps({"path": match[0], "sha256": sha256(text.encode()), "part": kept}, ensure_ascii=False)
    return ""


def changed(root: Path, quote: str) -> str:
    """The path of a quoted file that no longer says what was quoted; empty when it does, or nothing was."""
    if not quote:
        return ""
    kept = json.loads(quote)
    if "contracts" in kept:
        from mcp_backend.contracts import agreed

        moved = (o["spec"] for o in kept["contracts"] if agreed.digest(root, o["spec"], o["operation"]) != o["digest"])
        return str(next(moved, ""))
    text = _text(root, kept["path"])
    if text is not None and (kept["sha256"] == sha256(text.encode()) or (kept["part"] and kept["part"] in text)):
        return ""
    return str(kept["path"])


def _text(root: Path, name: str) -> str | None:
    """The text of a file of the repository, without following it outside."""
    path = root / name
    try:
        if not path.resolve().is_relative_to(root.resolve()) or not path.is_file() or path.stat().st_size > LARGEST:
            return None
        return path.read_text("utf-8").replace("\r\n", "\n")
    except (OSError, ValueError):
        return None


def _part(text: str, rest: str) -> str:
    """The section that `rest`, what stands after the path, names: lines, a heading, or a key."""
    lines = text.split("\n")
    if found := _LINES.match(rest):
        first = int(found[1])
        return "\n".join(lines[first - 1 : int(found[2] or first)])
    words = rest.strip(" #:,.>()'\"`").casefold()
    if not words:
        return ""
    for index, line in enumerate(lines):
        bare = line.strip().lstrip("#").strip(" '\"")
        if len(bare) < 3:
            continue
        heading = line.startswith("#") and (bare.casefold() in words or words in bare.casefold())
        key = bare.endswith(":") and bare.rstrip(":'\"").casefold() in re.split(r"[\s,>]+", words)
        if heading or key:
            return _section(lines, index)
    return ""


def _section(lines: list[str], index: int) -> str:
    """From a heading to the next of its level, or from a key over what is indented below it."""
    start = lines[index]
    level = len(start) - len(start.lstrip("#")) if start.startswith("#") else 0
    indent = len(start) - len(start.lstrip())
    end = index + 1
    while end < len(lines):
        line = lines[end]
        if level and line.startswith("#") and len(line) - len(line.lstrip("#")) <= level:
            break
        if not level and line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        end += 1
    return "\n".join(lines[index:end]).rstrip("\n")
