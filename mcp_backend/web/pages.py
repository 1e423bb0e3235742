"""The lists of the inbox as HTML: what waits, what was decided, and the audit as a timeline."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from mcp_backend.escalations import OPEN
from mcp_backend.people.inbox import span
from mcp_backend.store import Row
from mcp_backend.web.markup import Reader, page, tag, text, words
from mcp_backend.web.one import by

FILTERS: Mapping[str, tuple[str, ...]] = {
    "decisions": ("approved", "denied", "answered", "acknowledged", "delegated", "asked_back", "replied", "withdrawn"),
    "refused": ("refused", "failed", "cancelled", "unknown"),
}
"""What the audit page can be narrowed to, beside everything."""


def listing(rows: Sequence[Row], now: float, reader: Reader, *, decided: bool = False) -> str:
    """What waits for a person, or what was decided."""
    if not rows:
        said = "Nothing was decided yet." if decided else "Nothing waits for you."
        more = "" if decided else " The engineer goes on with its work; questions appear here by themselves."
        return page("Inbox", f"<h1>{said}</h1><p>{more}</p>", reader)
    heading = "Decided" if decided else f"{len(rows)} {'waits' if len(rows) == 1 else 'wait'} for a person"
    cards = "".join(f"<li>{_card(row, now)}</li>" for row in rows)
    return page(heading, f'<h1>{heading}</h1><ul class="cards">{cards}</ul>', reader)


def _card(row: Row, now: float) -> str:
    waits = " · the engineer waits" if row["blocking"] and row["status"] in OPEN else ""
    waits += " · asked back" if row["awaits"] else ""
    ends = f"lapses in {span(row['expires'] - now)}" if row["status"] in OPEN else by(row)
    return (
        f'{tag(row["status"])} <a href="/escalations/{text(row["id"])}">{text(row["title"])}</a>'
        f'<p class="meta">{words(row["kind"])} for the {words(row["assignee"])} · asked '
        f"{span(now - row['opened'])} ago · {ends}{waits}</p>"
    )


def audit(records: Sequence[Mapping[str, Any]], whole: str, reader: Reader, *, shown: str = "", older: int = 0) -> str:
    """Records of the audit as a timeline by day, the newest first. `shown` is the filter, `older` where the next page
    begins."""
    days: list[tuple[str, list[str]]] = []
    for record in records:
        day = str(record.get("at", ""))[:10]
        if not days or days[-1][0] != day:
            days.append((day, []))
        days[-1][1].append(_record(record))
    links = " · ".join(
        f"<b>{name}</b>" if key == shown else f'<a href="/audit{f"?show={key}" if key else ""}">{name}</a>'
        for key, name in (("", "Everything"), ("decisions", "Decisions"), ("refused", "Refused and failed"))
    )
    body = "".join(f"<h2>{text(day)}</h2><ol class='timeline'>{''.join(items)}</ol>" for day, items in days)
    more = (
        f"<p><a href='/audit?before={older}{f'&amp;show={shown}' if shown else ''}'>Older records</a></p>"
        if older
        else ""
    )
    nothing = "" if records else "<p>No record of this kind.</p>"
    return page("Audit", f"<h1>Audit</h1><p>{text(whole)}</p><p>{links}</p>{body}{nothing}{more}", reader)


def _record(record: Mapping[str, Any]) -> str:
    event = str(record.get("event", ""))
    did = ", ".join(str(a) for a in cast("list[object]", record.get("actions") or []))
    escalation = record.get("escalation")
    about = f'<a href="/escalations/{text(escalation)}">{text(escalation)}</a>' if escalation else ""
    who = record.get("by") or record.get("principal") or ""
    through = record.get("channel") or record.get("client") or ""
    said = " · ".join(filter(None, (about, text(who), text(through), _why(record))))
    at, what = str(record.get("at", "")), text(record.get("tool") or "")
    return (
        f"<li class='{text(event)}'><time datetime='{text(at)}'>{text(at[11:19])}</time> {tag(event)} <b>{what}</b> "
        f"{text(did)}<p class='meta'>{said}</p></li>"
    )


def _why(record: Mapping[str, Any]) -> str:
    said = [f"{name} {record[name]}" for name in ("constraint", "code") if record.get(name)]
    if isinstance(record.get("approval"), dict):
        said.append(f"approved by {record['approval'].get('by')}")
    if record.get("to"):
        said.append(f"to {record['to']}")
    if record.get("ms") is not None:
        said.append(f"{record['ms']} ms")
    return text(" · ".join(said))
