"""The page of one escalation: what is asked, the evidence, what follows from each answer, and the forms to give one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mcp_backend.escalations import OPEN
from mcp_backend.people.inbox import STEPS, TAIL, Inbox, span, spoken
from mcp_backend.store import Row
from mcp_backend.terminal import hidden, plain
from mcp_backend.web import evidence
from mcp_backend.web.markup import Reader, page, tag, text, words
from mcp_backend.web.page import framed

_CHOICES: Mapping[str, str] = {"spec_clarification": "readings", "trade_off": "options"}
_USUAL: Mapping[str, tuple[str, ...]] = {
    "frontend_contract": ("Agree", "Agree with a change", "Refuse"),
    "data_model": ("Approve", "Approve with a condition", "Refuse"),
}


def one(
    inbox: Inbox,
    row: Row,
    steps: Sequence[Row],
    now: float,
    reader: Reader,
    *,
    problem: str = "",
    drawn: str | None = None,
) -> str:
    """The whole page. `drawn` is its evidence where that was made already."""
    if drawn is None:
        drawn = evidence.drawn(row, json.loads(row["details"]), inbox.place)
    return page(str(row["title"]), _body(inbox, row, steps, now, drawn, reader, problem), reader)


def shown(inbox: Inbox, row: Row, steps: Sequence[Row], now: float) -> str:
    """The page for whoever may only look: self-contained, without a form or a link."""
    drawn = evidence.drawn(row, json.loads(row["details"]), inbox.place, links=False)
    return framed(str(row["title"]), _body(inbox, row, steps, now, drawn, None), style())


def style() -> str:
    """The style of the inbox."""
    return (Path(__file__).parent / "site.css").read_text("utf-8")


def _body(
    inbox: Inbox, row: Row, steps: Sequence[Row], now: float, drawn: str, reader: Reader | None, problem: str = ""
) -> str:
    details = cast("dict[str, Any]", json.loads(row["details"]))
    constraint = inbox.policy.constraint(row["constraint_id"]) if row["constraint_id"] else None
    people = ", ".join(inbox.people(row))
    facts = {
        "for the": words(row["assignee"]) + (f" ({text(people)})" if people else ""),
        "asked by": f"{text(row['asker'])}, {span(now - row['opened'])} ago"
        + (", and it waits for this" if row["blocking"] and row["status"] in OPEN else ""),
    }  # fmt: skip
    if constraint:
        facts["promise"] = f"<b>{text(constraint.id)}</b>: {text(constraint.statement)}"
    if row["kind"] == "approval":
        facts["call"] = f"<code>{text(row['tool'])}</code>"
        if reader:  # Whoever may only look needs no part of what an approval names.
            facts["digest"] = f"<code>{text(row['digest'])}</code>"
        facts["version"] = f"<code>{text(row['at_version'])}</code>" if row["at_version"] else "not bound to one"
    waiting = '<p class="note" role="status">The engineer was asked back; its reply appears here.</p>'
    parts = [
        f"<p>{tag(row['status'])} <span class='meta'>{text(row['id'])} · {words(row['kind'])}</span></p>",
        f"<h1>{text(row['title'])}</h1>",
        f'<p class="alarm" role="alert">{text(problem)}</p>' if problem else "",
        waiting if row["awaits"] else "",
        f'<div class="said">{text(row["question"])}</div>',
        "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items()) + "</dl>",
        drawn,
        _unseen(row, details),
        _history(steps),
        _forms(inbox, row, details, constraint.expires if constraint else "4h", now, reader)
        if row["status"] in OPEN
        else _decided(row),
    ]
    return "".join(parts)


def by(row: Row) -> str:
    """Who decided, and through what."""
    return f"by {text(row['answered_by'])} ({text(row['channel'])})" if row["answered_by"] else "nobody answered"


def _unseen(row: Row, details: Mapping[str, Any]) -> str:
    count = sum(hidden(part) for part in (row["title"], row["question"], json.dumps(details, ensure_ascii=False)))
    said = f"{count} invisible or control characters were taken out of this text: somebody put them there."
    return f'<p class="alarm">{said}</p>' if count else ""


def _history(steps: Sequence[Row]) -> str:
    told = [step for step in steps if step["event"] in STEPS]
    if not told:
        return ""
    items = "".join(f"<li class='{text(s['event'])}'><p>{text(spoken(s))}</p></li>" for s in told)
    return f"<h2>What happened so far</h2><ol class='history'>{items}</ol>"


def _forms(inbox: Inbox, row: Row, details: Mapping[str, Any], lasts: str, now: float, reader: Reader | None) -> str:
    lapses = f"<p class='meta'>Without an answer it lapses in {span(row['expires'] - now)}: silence is a no.</p>"
    if reader is None:
        where = f"<code>mcp-backend inbox show {text(row['id'])}</code>, or <code>mcp-backend inbox serve</code>"
        return f"<h2>Where it is decided</h2><p class='note'>By a person, in the inbox: {where}.</p>{lapses}"
    start = (
        f'<form method="post" action="/escalations/{text(row["id"])}">'
        f'<input type="hidden" name="token" value="{text(reader.token)}">'
    )
    if row["kind"] != "approval":
        return f"<h2>Your answer</h2>{lapses}{_answer(start, row, details)}{_others(inbox, row, start)}"
    bound = f" at version <code>{text(row['at_version'][:12])}</code>" if row["at_version"] else ""
    return (
        f"<h2>Your decision</h2>{lapses}<div class='ways'>"
        f"{start}<h2>If yes</h2><p>Exactly this call may run, once, within {text(lasts)}{bound}. Anything else asks "
        f"again.</p><label for='tail'>Type the last {TAIL} characters of the digest "
        f"<code>…{text(row['digest'][-12:])}</code></label>"
        f"<input class='tail' id='tail' name='tail' required maxlength='{TAIL}' autocomplete='off' "
        f"autocapitalize='off' spellcheck='false'><label for='why-yes'>Note (the engineer reads it)</label>"
        "<input id='why-yes' name='answer' maxlength='2000'>"
        "<button class='yes' name='way' value='approved'>Approve this call</button></form>"
        f"{start}<h2>If no</h2><p>The engineer is told no with your reason; this very call stays refused until the "
        "question lapses.</p><label for='why'>Reason (the engineer reads it)</label>"
        "<input id='why' name='answer' maxlength='2000'>"
        f"<button class='no' name='way' value='denied'>Deny</button></form></div>{_others(inbox, row, start)}"
    )


def _answer(start: str, row: Row, details: Mapping[str, Any]) -> str:
    proposed = details.get(_CHOICES.get(row["kind"], ""), _USUAL.get(row["kind"], ()))
    listed = [_named(item) for item in cast("Sequence[object]", proposed)] if not isinstance(proposed, str) else []
    choices = "".join(
        f"<label class='choice'><input type='radio' name='choice' value='{name}'><span>{name}</span></label>"
        for name in map(text, listed[:12])
    )
    chosen = f"<fieldset><legend>One of what was proposed</legend>{choices}</fieldset>" if choices else ""
    required = "" if choices else " required"
    return (
        f"{start}{chosen}<label for='answer'>{'More, or something else' if choices else 'It binds the engineer'}"
        f"</label><textarea id='answer' name='answer'{required} maxlength='20000'></textarea>"
        "<button class='yes' name='way' value='answered'>Answer</button></form>"
    )


def _named(item: object) -> str:
    if isinstance(item, dict):
        found = cast("dict[str, object]", item)
        return str(found.get("name") or found.get("title") or next(iter(found.values()), ""))[:500]
    return str(item)[:500]


def _others(inbox: Inbox, row: Row, start: str) -> str:
    """What a person can do besides deciding; folded, because it is rarely wanted."""
    acknowledge = (
        f"{start}<h3>Take it</h3><p>You look at it: no timer asks anybody else. It still lapses without an answer.</p>"
        "<button name='way' value='acknowledged'>Acknowledge</button></form>"
        if row["status"] == "open"
        else ""
    )
    options = "".join(f"<option value='{text(plain(whom))}'>{_called(whom)}</option>" for whom in inbox.targets(row))
    delegate = (
        f"{start}<h3>Hand it over</h3><label for='to'>To whom</label><select id='to' name='to' required>"
        f"<option value=''>Choose…</option>{options}</select>"
        "<button name='way' value='delegated'>Hand over</button></form>"
        if options
        else ""
    )
    return (
        f"<details class='others'><summary>Take it, hand it over or ask back</summary><div class='ways'>{acknowledge}"
        f"{delegate}{start}<h3>Ask back</h3><label for='back'>What you need to know from the engineer</label>"
        "<textarea id='back' name='answer' required maxlength='5000'></textarea>"
        "<button name='way' value='asked_back'>Ask the engineer</button></form></div></details>"
    )


def _called(whom: str) -> str:
    return text(whom) if "@" in whom or " " in whom else words(whom)


def _decided(row: Row) -> str:
    answer = f'<div class="said">{text(row["answer"])}</div>' if row["answer"] else ""
    record = (
        f"<p class='meta'>Keep it: <code>mcp-backend inbox record {text(row['id'])}</code> writes a decision "
        "record.</p>"
        if row["status"] == "answered"
        else ""
    )
    return f"<h2>{words(row['status']).capitalize()} {by(row)}</h2>{answer}{record}"
