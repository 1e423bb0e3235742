"""Decision records: the answers of people as files of the repository, in the format of MADR 4 (https://adr.github.io/madr/).

A file is content of the repository and reviewed like it: it tells what was decided, it never approves a call.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from mcp_backend.errors import FailedPrecondition, NotFound, Unavailable
from mcp_backend.people import questions
from mcp_backend.store import Row
from mcp_backend.terminal import plain

FOLDERS = ("docs/decisions", "docs/adr", "doc/adr", "docs/architecture/decisions", "adr")
"""Where projects keep their records; the first that exists is used, otherwise the first is made."""
IN_FORCE = ("accepted", "")
LARGEST = 200_000
_OPTIONS = {"spec_clarification": "readings", "trade_off": "options"}


@dataclass(frozen=True, slots=True)
class Decision:
    """One record. `digest` names the question it answers, where it came from one."""

    number: str
    title: str
    status: str
    path: Path
    escalation: str
    digest: str
    text: str

    @property
    def outcome(self) -> str:
        """What was decided: the section "Decision Outcome", or "Decision" of older forms."""
        found = re.search(r"^## Decision(?: Outcome)?\s*\n(.*?)(?=^#+ |\Z)", self.text, re.DOTALL | re.MULTILINE)
        return found[1].strip() if found else ""


def folder(root: Path) -> Path:
    """Where the records of a repository lie, or would lie."""
    return next((root / name for name in FOLDERS if (root / name).is_dir()), root / FOLDERS[0])


def all_of(root: Path) -> list[Decision]:
    """Every record, by number. A file that cannot be read as text is left out."""
    return sorted(_read(folder(root)), key=lambda decision: decision.number)


def one(root: Path, number: str) -> Decision:
    """The record of a number, with or without leading zeros. Raises `NotFound` naming the others."""
    known = all_of(root)
    wanted = number.lstrip("0") or "0"
    for decision in known:
        if (decision.number.lstrip("0") or "0") == wanted:
            return decision
    named = ", ".join(decision.number for decision in known[-20:]) or "none"
    raise NotFound(f"no decision {number} in {folder(root).relative_to(root)}; there are: {named}")


def answering(known: list[Decision], digest: str) -> Decision | None:
    """The newest record in force that answers the question of this digest."""
    fitting = (d for d in reversed(known) if d.digest == digest and d.status.split(" ")[0] in IN_FORCE)
    return next(fitting, None)


def record(root: Path, row: Row) -> tuple[Path, bool]:
    """Writes the record of an answered question; the second value is `False` when there was one already.

    Raises `FailedPrecondition` for what is no answered question, `Unavailable` when it cannot be written.
    """
    if row["kind"] == "approval" or row["status"] not in ("answered", "approved", "denied"):
        raise FailedPrecondition(f"{row['id']} is {row['status']}: only answered questions become decision records")
    known = all_of(root)
    for decision in known:
        if decision.escalation == row["id"]:
            return decision.path, False
    place = folder(root)
    width = max([len(decision.number) for decision in known], default=4)
    number = max([int(decision.number) for decision in known], default=0) + 1
    slug = re.sub(r"[^a-z0-9]+", "-", str(row["title"]).casefold()).strip("-")[:60] or "decision"
    path = place / f"{number:0{width}}-{slug}.md"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(_written(row))
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error}") from error
    return path, True


def _read(place: Path) -> Iterator[Decision]:
    if not place.is_dir():
        return
    for path in place.glob("*.md"):
        number = re.match(r"(?:adr-?)?(\d+)", path.name, re.IGNORECASE)
        if number is None or path.is_symlink() or path.stat().st_size > LARGEST:
            continue
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        head, body = _front(text)
        title = re.search(r"^# (.+)$", body, re.MULTILINE)
        name = re.sub(r"^\d+[.:]\s*", "", title[1].strip()) if title else path.stem
        status = head.get("status") or _section_status(body)
        yield Decision(
            number[1], name, status.casefold(), path, head.get("escalation", ""), head.get("digest", ""), body
        )


def _front(text: str) -> tuple[dict[str, str], str]:
    """The `name: value` lines of a front matter, and what follows it."""
    found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if not found:
        return {}, text
    pairs = (line.partition(":") for line in found[1].splitlines() if ":" in line)
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}, text[found.end() :]


def _section_status(body: str) -> str:
    found = re.search(r"^## Status\s*\n+\s*(\S[^\n]*)", body, re.MULTILINE)
    return found[1].strip() if found else ""


def _written(row: Row) -> str:
    details = cast("dict[str, Any]", json.loads(row["details"]))
    when = datetime.fromtimestamp(row["decided"], UTC).date().isoformat()
    listed = _OPTIONS.get(row["kind"], "")
    options = cast("list[object]", details.get(listed) or [])
    rest = {name: value for name, value in details.items() if name != listed}
    if contracts := questions.agreed(details):
        rest[questions.AGREED] = [f"{o['operation']} of {o['spec']} (contract {o['digest'][:12]})" for o in contracts]
    lines = [
        "---", "status: accepted", f"date: {when}", f"decision-makers: {_line(row['answered_by'])}",
        f"consulted: {_line(row['asker'])}", f"escalation: {row['id']}", f"kind: {row['kind']}",
        f"digest: {row['digest']}", "---", "", f"# {_line(row['title'])}", "", "## Context and Problem Statement", "",
        _prose(row["question"]), "",
    ]  # fmt: skip
    for name, value in rest.items():
        lines += [f"* {_line(name).replace('_', ' ')}: {_value(value)}"]
    if options:
        lines += ["", "## Considered Options", "", *(f"* {_value(option)}" for option in options)]
    answer = _prose(row["answer"] or "") or str(row["status"])
    lines += ["", "## Decision Outcome", "", answer, "", "### Confirmation", ""]
    lines += [f"Asked as {row['id']} and {row['status']} by {_line(row['answered_by'])} ({row['channel']}).", ""]
    return "\n".join(lines)


def _prose(text: str) -> str:
    """Text of somebody else inside a record: none of its lines can open a section."""
    return re.sub(r"^(\s*)([#>-]|={3,})", r"\1\\\2", plain(text).strip(), flags=re.MULTILINE)


def _line(text: object) -> str:
    return " ".join(plain(str(text)).split())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{_line(k)}: {_value(v)}" for k, v in cast("dict[str, object]", value).items())
    if isinstance(value, list):
        return "; ".join(_value(item) for item in cast("list[object]", value))
    return _line(value) if isinstance(value, str) else json.dumps(value)
