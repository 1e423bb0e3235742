"""What waits for a person, as text and as data, and how a decision is recorded. The command line and others use it."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from mcp_backend import escalations, persona
from mcp_backend.people import answers, routing
from mcp_backend.persona import Kind
from mcp_backend.policy import Constraint, Policy
from mcp_backend.settings import Workspace, user, workspace
from mcp_backend.store import Row, Store, open_store
from mcp_backend.terminal import hidden, paint, plain

TAIL = 4
"""How many characters of the digest an approver types."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """The escalations of one workspace, and who reads them."""

    store: Store
    policy: Policy
    reader: str
    place: Workspace

    async def waiting(self, now: float, *, everything: bool = False) -> list[Row]:
        """What is open, the oldest first; with `everything` the latest 200 of all."""
        await routing.end_changed(self.store, self.place.root, now)
        async with self.store.transaction(durable=False):
            await escalations.expire(self.store, now)
        if everything:
            return (await self.store.rows("escalations_all", limit=200))[::-1]
        return await self.store.rows("escalations_open")

    async def one(self, identifier: str) -> Row:
        """One escalation. Raises `NotFound` naming the open ones."""
        return await escalations.get(self.store, identifier)

    def brief(self, row: Row) -> dict[str, Any]:
        """One escalation as a program lists it; texts are neutralised."""
        return {
            "id": row["id"],
            "kind": row["kind"],
            "status": row["status"],
            "title": plain(row["title"]),
            "assignee": row["assignee"],
            "people": list(self.people(row)),
            "blocking": bool(row["blocking"]),
            "asked_by": row["asker"],
            "opened": _iso(row["opened"]),
            "expires": _iso(row["expires"]),
        }

    def full(self, row: Row) -> dict[str, Any]:
        """One escalation with everything that was asked and answered."""
        return {
            **self.brief(row),
            "question": plain(row["question"]),
            "details": _neutral(json.loads(row["details"])),
            "tool": row["tool"] or None,
            "constraint": row["constraint_id"] or None,
            "digest": row["digest"],
            "at_version": row["at_version"] or None,
            "answer": None if row["answer"] is None else plain(row["answer"]),
            "by": row["answered_by"],
            "channel": row["channel"],
            "awaits_reply": bool(row["awaits"]),
            "decided": None if row["decided"] is None else _iso(row["decided"]),
        }

    async def page(self, row: Row, now: float) -> str:
        """One escalation as a person reads it: what is asked, the evidence, and what follows from each answer."""
        asked = f"asked by {row['asker']} {span(now - row['opened'])} ago"
        people = ", ".join(self.people(row))
        whom = row["assignee"].replace("_", " ") + (f" ({people})" if people else "")
        details = cast("dict[str, Any]", json.loads(row["details"]))
        lines = [
            paint(f"{row['id']}  {row['kind'].replace('_', ' ')}  {row['status']}", "bold"),
            paint(plain(row["title"]), "bold"),
            "",
            *_indented(row["question"]),
            "",
            f"for       {whom}",
            f"who       {asked}" + ("; it waits for this" if row["blocking"] else ""),
        ]
        if constraint := self._constraint(row):
            lines.append(f"promise   {constraint.id}: {constraint.statement}")
        if row["kind"] == "approval":
            lines += [f"call      {row['tool']}", f"version   {row['at_version'] or 'not bound to one'}"]
            lines += [
                "",
                paint("What it would do", "bold"),
                *_indented(str(details.get("preview", "")) or "(no preview)"),
            ]
        else:
            for name, value in details.items():
                lines += ["", paint(plain(name).replace("_", " "), "bold"), *_indented(_text(value))]
        if count := sum(hidden(text) for text in (row["title"], row["question"], *_strings(details))):
            warning = f"{count} invisible or control characters were taken out of this text: somebody put them there"
            lines += ["", paint(warning, "red")]
        lines += ["", *[f"{_local(e['at'])}  {spoken(e)}" for e in await self.history(row) if e["event"] in STEPS]]
        lines.append("")
        lines += await self._decided(row) if row["status"] not in escalations.OPEN else self._choices(row, now)
        return "\n".join(lines)

    async def decide(self, row: Row, *, status: str, answer: str, channel: str, now: float) -> Row:
        """Records the reader's decision. Raises as `escalations.decide` does."""
        decided = await escalations.decide(
            self.store, row["id"], status=status, answer=answer, by=self.reader, channel=channel, now=now,
            constraint=self._constraint(row), people=self.people(row),
        )  # fmt: skip
        answers.keep(self.place.state, await self.store.rows("notices", asker=user()))
        return decided

    async def acknowledge(self, row: Row, *, channel: str, now: float) -> Row:
        """The reader looks at it. Raises as `routing.acknowledge` does."""
        await routing.acknowledge(self.store, row["id"], by=self.reader, channel=channel, now=now)
        return await self.one(row["id"])

    async def delegate(self, row: Row, to: str, *, channel: str, now: float) -> Row:
        """The reader hands it to somebody else. Raises as `routing.delegate` does."""
        allowed = self.targets(row)
        await routing.delegate(self.store, row["id"], to, allowed, by=self.reader, channel=channel, now=now)
        return await self.one(row["id"])

    async def ask_back(self, row: Row, question: str, *, channel: str, now: float) -> Row:
        """The reader asks the engineer. Raises as `routing.ask_back` does."""
        await routing.ask_back(self.store, row["id"], question, by=self.reader, channel=channel, now=now)
        answers.keep(self.place.state, await self.store.rows("notices", asker=user()))
        return await self.one(row["id"])

    def targets(self, row: Row) -> tuple[str, ...]:
        """Whom it can be handed to."""
        return routing.targets(row, self.policy, persona.load().kinds)

    async def history(self, row: Row) -> list[Row]:
        """What happened with it, the oldest first."""
        return await self.store.rows("escalation_events", escalation=row["id"])

    def _choices(self, row: Row, now: float) -> list[str]:
        lapses = f"without an answer it lapses in {span(row['expires'] - now)}: silence is a no"
        command = f"mcp-backend inbox answer {row['id']}"
        if row["kind"] != "approval":
            kind = self._kind(row)
            wanted = f" ({kind.answer})" if kind else ""
            return [f"your answer{wanted} binds the engineer; {lapses}", f'{command} --text "…"']
        constraint = self._constraint(row)
        lasts = constraint.expires if constraint else "4h"
        bound = f", at version {row['at_version'][:12]}" if row["at_version"] else ""
        return [
            f"if yes    exactly this call may run, once, within {lasts}{bound}; anything else asks again",
            "if no     the engineer is told no with your reason, and this very call stays refused until it lapses",
            f"          {lapses}",
            f"digest    {row['digest']}",
            f'{command} --approve | --deny --reason "…"',
        ]

    async def _decided(self, row: Row) -> list[str]:
        if row["answered_by"] is None:
            return [f"nobody answered: {row['status']}"]
        words = plain(row["answer"] or "").strip()
        when = _local(row["decided"])
        lines = [f"{row['status']} by {row['answered_by']} ({row['channel']}) on {when}", *_indented(words)]
        if granted := await self.store.row("approval_of", escalation=row["id"]):
            spent = f"used on {_local(granted['spent'])}" if granted["spent"] else f"until {_local(granted['expires'])}"
            lines.append(f"the approval {granted['id']}: {spent}")
        return lines

    def _constraint(self, row: Row) -> Constraint | None:
        return self.policy.constraint(row["constraint_id"]) if row["constraint_id"] else None

    def people(self, row: Row) -> tuple[str, ...]:
        """Those who may answer; empty when the policy names nobody."""
        return routing.entitled(row, self.policy)

    def _kind(self, row: Row) -> Kind | None:
        return persona.load().kind(row["kind"])


STEPS: Mapping[str, str] = {
    "acknowledged": "{actor} looks at it",
    "reassigned": "nobody acknowledged it in time: put to the {note} too",
    "delegated": "{actor} handed it to {note}",
    "asked_back": "{actor} asks the engineer: {note}",
    "replied": "the engineer replies: {note}",
    "withdrawn": "withdrawn by the engineer: {note}",
    "superseded": "superseded: {note}",
    "expired": "nobody answered: that is a no",
}
"""Steps of an escalation beside its opening and its answer, in words."""


def spoken(event: Row) -> str:
    """One step in words, neutralised."""
    note = plain(str(event["note"] or "the world it was asked in is gone"))
    role = note.replace("_", " ") if event["event"] in ("reassigned", "delegated") else note
    return STEPS[event["event"]].format(actor=plain(str(event["actor"])), note=role)


@contextmanager
def open_inbox(start: Path) -> Generator[Inbox]:
    """The inbox of the workspace that `start` belongs to, read by the operating-system user."""
    place = workspace(start)
    settings = persona.in_force(start)
    store = open_store(place.state, settings.store)
    try:
        yield Inbox(store, settings, user(), place)
    finally:
        store.close()


def span(seconds: float) -> str:
    """A length of time in the largest unit that says something: `40 s`, `12 min`, `3 h`, `5 days`."""
    left = max(seconds, 0.0)
    for unit, size, limit in (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 172_800)):
        if left < limit:
            return f"{left / size:.0f} {unit}"
    return f"{left / 86_400:.0f} days"


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _local(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def _indented(text: str) -> list[str]:
    return [f"  {line}".rstrip() for line in plain(text).split("\n")] if text else []


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join("- " + _text(item).replace("\n", "\n  ") for item in cast("list[object]", value))
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return "\n".join(f"{name}:{_beside(_text(inner), inner)}" for name, inner in pairs)
    return json.dumps(value, ensure_ascii=False)


def _beside(text: str, value: object) -> str:
    nested = isinstance(value, (list, dict)) and text
    return "\n  " + text.replace("\n", "\n  ") if nested else f" {text}"


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in cast("list[object]", value) for text in _strings(item)]
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return [text for name, inner in pairs for text in (name, *_strings(inner))]
    return []


def _neutral(value: object) -> object:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [_neutral(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {plain(name): _neutral(inner) for name, inner in cast("dict[str, object]", value).items()}
    return value
