"""The pages of the inbox as HTML. Everything that came from elsewhere goes through `text`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, cast

from mcp_backend.escalations import OPEN
from mcp_backend.inbox import TAIL, Inbox, span
from mcp_backend.store import Row
from mcp_backend.terminal import hidden, plain


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks at a page: the name, and the token that its forms carry."""

    name: str
    token: str


def text(value: object) -> str:
    """Text from outside as HTML: escaped, and without characters a reader does not see."""
    return escape(plain(str(value)))


def page(title: str, body: str, reader: Reader | None = None) -> str:
    """A whole document. The style and the script come from this server; without the script all works, by reloading."""
    links = (
        f'<nav><a href="/">Inbox</a> · <a href="/decided">Decided</a> · <a href="/audit">Audit</a></nav>'
        f"<span>{text(reader.name)}</span>"
        if reader
        else ""
    )
    script = '<script src="/live.js" defer></script>' if reader else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f'<title>{text(title)} · mcp-backend</title><link rel="stylesheet" href="/site.css">{script}</head><body>'
        f'<a class="skip" href="#main">To the content</a><header><strong>mcp-backend</strong>{links}</header>'
        f'<p id="moved" class="alarm" role="status" hidden>Something changed meanwhile. <a href="">Reload</a></p>'
        f'<main id="main">{body}</main></body></html>'
    )


def listing(rows: Sequence[Row], now: float, reader: Reader, *, decided: bool = False) -> str:
    """What waits for a person, or what was decided."""
    if not rows:
        words = "Nothing was decided yet." if decided else "Nothing waits for you."
        more = "" if decided else " The engineer goes on with its work; questions appear here by themselves."
        return page("Inbox", f"<h1>{words}</h1><p>{more}</p>", reader)
    heading = "Decided" if decided else f"{len(rows)} {'waits' if len(rows) == 1 else 'wait'} for a person"
    cards = "".join(f"<li>{_card(row, now)}</li>" for row in rows)
    return page(heading, f'<h1>{heading}</h1><ul class="cards">{cards}</ul>', reader)


def _card(row: Row, now: float) -> str:
    waits = " · the engineer waits" if row["blocking"] and row["status"] in OPEN else ""
    ends = f"lapses in {span(row['expires'] - now)}" if row["status"] in OPEN else _by(row)
    return (
        f'{_tag(row["status"])} <a href="/escalations/{text(row["id"])}">{text(row["title"])}</a>'
        f'<p class="meta">{_words(row["kind"])} for the {_words(row["assignee"])} · asked '
        f"{span(now - row['opened'])} ago · {ends}{waits}</p>"
    )


def _by(row: Row) -> str:
    return f"by {text(row['answered_by'])} ({text(row['channel'])})" if row["answered_by"] else "nobody answered"


def _tag(status: object) -> str:
    return f'<span class="tag {text(status)}">{text(status)}</span>'


def _words(name: object) -> str:
    return text(str(name).replace("_", " "))


def one(inbox: Inbox, row: Row, now: float, reader: Reader, *, problem: str = "") -> str:
    """One escalation: what is asked, the evidence, what follows from each answer, and the forms to give one."""
    details = cast("dict[str, Any]", json.loads(row["details"]))
    constraint = inbox.policy.constraint(row["constraint_id"]) if row["constraint_id"] else None
    people = ", ".join(inbox.policy.people.get(row["assignee"], ()))
    facts = {
        "for the": _words(row["assignee"]) + (f" ({text(people)})" if people else ""),
        "asked by": f"{text(row['asker'])}, {span(now - row['opened'])} ago"
        + (", and it waits for this" if row["blocking"] and row["status"] in OPEN else ""),
    }  # fmt: skip
    if constraint:
        facts["promise"] = f"<b>{text(constraint.id)}</b>: {text(constraint.statement)}"
    if row["kind"] == "approval":
        facts |= {"call": f"<code>{text(row['tool'])}</code>", "digest": f"<code>{text(row['digest'])}</code>"}
        facts["version"] = f"<code>{text(row['at_version'])}</code>" if row["at_version"] else "not bound to one"
    parts = [
        f"<p>{_tag(row['status'])} <span class='meta'>{text(row['id'])} · {_words(row['kind'])}</span></p>",
        f"<h1>{text(row['title'])}</h1>",
        f'<p class="alarm" role="alert">{text(problem)}</p>' if problem else "",
        f'<div class="said">{text(row["question"])}</div>',
        "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items()) + "</dl>",
        _evidence(row, details),
        _unseen(row, details),
        _forms(row, details, constraint.expires if constraint else "4h", now, reader)
        if row["status"] in OPEN
        else _decided(row),
    ]
    return page(str(row["title"]), "".join(parts), reader)


def _evidence(row: Row, details: Mapping[str, Any]) -> str:
    if row["kind"] == "approval":
        preview = text(details.get("preview", "")) or "no preview"
        return f"<h2>What it would do</h2><pre>{preview}</pre>"
    return "".join(f"<h2>{_words(name).capitalize()}</h2>{_value(value)}" for name, value in details.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return "<dl>" + "".join(f"<dt>{_words(k)}</dt><dd>{_value(v)}</dd>" for k, v in pairs) + "</dl>"
    if isinstance(value, list):
        return "<ul>" + "".join(f"<li>{_value(item)}</li>" for item in cast("list[object]", value)) + "</ul>"
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"<pre>{text(words)}</pre>" if "\n" in words else f"<p>{text(words)}</p>"


def _unseen(row: Row, details: Mapping[str, Any]) -> str:
    count = sum(hidden(part) for part in (row["title"], row["question"], json.dumps(details, ensure_ascii=False)))
    said = f"{count} invisible or control characters were taken out of this text: somebody put them there."
    return f'<p class="alarm">{said}</p>' if count else ""


def _forms(row: Row, details: Mapping[str, Any], lasts: str, now: float, reader: Reader) -> str:
    lapses = f"<p class='meta'>Without an answer it lapses in {span(row['expires'] - now)}: silence is a no.</p>"
    start = (
        f'<form method="post" action="/escalations/{text(row["id"])}">'
        f'<input type="hidden" name="token" value="{text(reader.token)}">'
    )
    if row["kind"] != "approval":
        return (
            f"<h2>Your answer</h2>{lapses}{start}<label for='answer'>It binds the engineer; it may be one of what was "
            "proposed, or something else.</label>"
            "<textarea id='answer' name='answer' required maxlength='20000'></textarea>"
            "<button class='yes' name='way' value='answered'>Answer</button></form>"
        )
    bound = f" at version <code>{text(row['at_version'][:12])}</code>" if row["at_version"] else ""
    return (
        f"<h2>Your decision</h2>{lapses}<div class='ways'>"
        f"{start}<h2>If yes</h2><p>Exactly this call may run, once, within {text(lasts)}{bound}. Anything else asks "
        f"again.</p><label for='tail'>Type the last {TAIL} characters of the digest</label>"
        f"<input class='tail' id='tail' name='tail' required maxlength='{TAIL}' autocomplete='off' "
        f"autocapitalize='off' spellcheck='false'><label for='why-yes'>Note (the engineer reads it)</label>"
        "<input id='why-yes' name='answer' maxlength='2000'>"
        "<button class='yes' name='way' value='approved'>Approve this call</button></form>"
        f"{start}<h2>If no</h2><p>The engineer is told no with your reason; this very call stays refused until the "
        "question lapses.</p><label for='why'>Reason (the engineer reads it)</label>"
        "<input id='why' name='answer' maxlength='2000'>"
        "<button class='no' name='way' value='denied'>Deny</button></form></div>"
    )


def _decided(row: Row) -> str:
    answer = f'<div class="said">{text(row["answer"])}</div>' if row["answer"] else ""
    record = (
        f"<p class='meta'>Keep it: <code>mcp-backend inbox record {text(row['id'])}</code> writes a decision "
        "record.</p>"
        if row["status"] == "answered"
        else ""
    )
    return f"<h2>{_words(row['status']).capitalize()} {_by(row)}</h2>{answer}{record}"


def audit(records: Sequence[Mapping[str, Any]], whole: str, reader: Reader) -> str:
    """The latest records of the audit, newest first."""
    rows = "".join(
        f"<tr><td class='when'>{text(str(r.get('at', ''))[:19].replace('T', ' '))}</td>"
        f"<td>{_tag(r.get('event', ''))}</td><td>{text(r.get('tool') or r.get('escalation') or '')}</td>"
        f"<td>{text(', '.join(str(a) for a in cast('list[object]', r.get('actions') or [])) or r.get('by') or '')}"
        f"{_why(r)}</td><td>{text(r.get('client') or r.get('channel') or '')}</td></tr>"
        for r in records
    )
    head = "<thead><tr><th>When (UTC)</th><th>Event</th><th>Call</th><th>What</th><th>Who</th></tr></thead>"
    return page("Audit", f"<h1>Audit</h1><p>{text(whole)}</p><table>{head}<tbody>{rows}</tbody></table>", reader)


def _why(record: Mapping[str, Any]) -> str:
    said = [f"{name} {record[name]}" for name in ("constraint", "code") if record.get(name)]
    if isinstance(record.get("approval"), dict):
        said.append(f"approved by {record['approval'].get('by')}")
    return f"<br><span class='meta'>{text(' · '.join(said))}</span>" if said else ""
