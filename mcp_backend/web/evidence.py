"""The evidence of an escalation, drawn: the rehearsal of SQL, a diff, messages, the change of a contract.

All of it is escaped, and bounded: a page is read on a phone.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from mcp_backend.errors import BackendError, NotFound
from mcp_backend.settings import Workspace
from mcp_backend.store import Row
from mcp_backend.web import kept, timeline
from mcp_backend.web.markup import text, value, words
from mcp_backend.web.page import slug, spoken_ms

LINES = 600
"""Lines of a diff that are drawn."""
SHOWN = 20
"""Messages, statements and changes that are drawn of each."""
_DIFF = re.compile(r"^(diff --git |--- |@@ -\d)", re.MULTILINE)
_DIGEST = re.compile(r"\b(?:rehearsal://)?([0-9a-f]{16,64})\b")
_SEVERE = {"reject": "no", "needs_approval": "warn", "warn": "warn", "breaking": "no", "risky": "warn"}


def drawn(row: Row, details: Mapping[str, Any], place: Workspace, *, links: bool = True) -> str:
    """What an approval would do, or what a question says, as a person looks at it; `links` to other pages of the inbox
    where there are some."""
    given = cast("dict[str, Any]", details.get("evidence") or {})
    parts = [rehearsed(digest, place, links=links) for digest in digests(row)]
    if isinstance(given.get("diff"), str):
        parts.append(f"<h2>The diff</h2>{diff(given['diff'])}")
    if given.get("messages"):
        parts.append(_messages(cast("list[dict[str, Any]]", given["messages"]), int(given.get("messages_total", 0))))
    if given.get("changes"):
        parts.append(_settings(cast("list[dict[str, Any]]", given["changes"])))
    if row["kind"] == "approval":
        preview = text(details.get("preview", "")) or "no preview"
        return f"<h2>What it would do</h2><pre>{preview}</pre>{''.join(parts)}"
    if row["kind"] == "frontend_contract" and isinstance(details.get("contract"), str):
        parts.append(contract(details["contract"], place))
    asked = "".join(f"<h2>{words(name).capitalize()}</h2>{_asked(inner)}" for name, inner in details.items())
    return asked + "".join(parts)


def _asked(inner: object) -> str:
    return diff(inner) if isinstance(inner, str) and _DIFF.search(inner) else value(inner)


def digests(row: Row) -> list[str]:
    """The rehearsals an escalation speaks of: the one its call rests on, or those a question about data names."""
    details = cast("dict[str, Any]", json.loads(row["details"]))
    given = cast("dict[str, Any]", details.get("evidence") or {})
    if isinstance(given.get("rehearsal"), str):
        return [given["rehearsal"]]
    if row["kind"] != "data_model":
        return []
    return list(dict.fromkeys(_DIGEST.findall(json.dumps(details))))[:3]


def rehearsed(digest: str, place: Workspace, *, links: bool) -> str:
    """A kept rehearsal in brief: verdict, findings, locks over time, statements; the whole page is one link away."""
    try:
        about = cast("Mapping[str, Any]", kept.read(place, digest))
    except NotFound:
        return f"<h2>Rehearsal</h2><p class='meta'>The rehearsal {text(digest[:16])} is not kept any more.</p>"
    verdict = str(about["verdict"])
    hazards = "".join(
        f"<li><span class='tag {_SEVERE.get(str(h['severity']), '')}'>{words(h['severity'])}</span> "
        f"<b>{text(h['id'])}</b> {text(h['reason'])}</li>"
        for h in cast("Sequence[Mapping[str, Any]]", about["hazards"])[:SHOWN]
    )
    statements = cast("Sequence[Mapping[str, Any]]", about["statements"])
    listed = "".join(_statement(number, one) for number, one in enumerate(statements[:SHOWN], 1))
    more = f"<p class='meta'>{len(statements) - SHOWN} more statements.</p>" if len(statements) > SHOWN else ""
    whole = f" · <a href='/rehearsals/{text(about['digest'])}'>the whole rehearsal</a>" if links else ""
    return (
        f"<h2>Rehearsal <span class='tag {_SEVERE.get(verdict, 'yes')}'>{words(verdict)}</span></h2>"
        f"<p class='meta'>on {text(about.get('engine', ''))} at version <code>{text(about['at_version'])}</code>"
        f"{whole}</p>"
        + (f"<ul class='findings'>{hazards}</ul>" if hazards else "<p>It found nothing to worry about.</p>")
        + f"<h3>Locks over time</h3><div class='lanes'>{timeline.drawn(about)}</div>"
        f"<h3>Statements</h3><ol class='statements'>{listed}</ol>{more}"
    )


def _statement(number: int, one: Mapping[str, Any]) -> str:
    said = [f"{spoken_ms(timeline.expected(one))} expected"]
    said += [f"writes {r['relation']} anew" for r in one.get("rewrites", ())]
    said += [f"reads all of {s['relation']}" for s in one.get("scans", ())]
    said += [f"{lock['mode']} on {lock['relation']}" for lock in one.get("locks", ())]
    failed = f"<p class='alarm'>{text(one['error'])}</p>" if one.get("error") else ""
    return (
        f"<li value='{number}'><pre>{text(one['sql'])}</pre>{failed}<p class='meta'>{text(' · '.join(said))}</p></li>"
    )


def diff(content: str) -> str:
    """A unified diff, each line by its kind; a reader of its words hears the kind, too."""
    lines = content.split("\n")
    shown = "".join(_lines(lines[:LINES]))
    left = f"<p class='meta'>{len(lines) - LINES} more lines.</p>" if len(lines) > LINES else ""
    return f"<pre class='diff'>{shown}</pre>{left}"


def _lines(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith(("diff ", "index ", "--- ", "+++ ", "@@", "new file", "deleted file")):
            yield f"<b>{text(line)}</b>\n"
        elif line.startswith("+"):
            yield f"<ins>{text(line)}</ins>\n"
        elif line.startswith("-"):
            yield f"<del>{text(line)}</del>\n"
        else:
            yield f"{text(line)}\n"


def _messages(messages: Sequence[Mapping[str, Any]], total: int) -> str:
    shown = "".join(_message(one) for one in messages[:SHOWN])
    left = max(total, len(messages)) - min(len(messages), SHOWN)
    more = f"<p class='meta'>and {left} more messages of this call</p>" if left > 0 else ""
    return f"<h2>The messages</h2><ol class='messages'>{shown}</ol>{more}"


def _message(one: Mapping[str, Any]) -> str:
    headers = cast("Mapping[str, Any]", one.get("headers") or {})
    pairs = "".join(f"<dt>{text(name)}</dt><dd>{text(inner)}</dd>" for name, inner in headers.items())
    against = f" · fits {text(one['schema'])}" if one.get("schema") else " · no contract"
    beside = f"<dl>{pairs}</dl>" if pairs else ""
    return (
        f"<li><p class='meta'><code>{text(one.get('destination', ''))}</code> · id {text(one.get('message_id', ''))}"
        f"{against}</p>{beside}<pre>{text(_pretty(str(one.get('payload', ''))))}</pre></li>"
    )


def _pretty(payload: str) -> str:
    try:
        return json.dumps(json.loads(payload), ensure_ascii=False, indent=2)
    except ValueError:
        return payload


def _settings(changes: Sequence[Mapping[str, Any]]) -> str:
    """Changes of streams, topics, consumers and groups: what is, and what would be."""
    shown: list[str] = []
    for one in changes[:SHOWN]:
        rows = "".join(
            f"<tr><td>{text(name)}</td><td><del>{text(pair[0])}</del></td><td><ins>{text(pair[1])}</ins></td></tr>"
            for name, pair in cast("Mapping[str, list[object]]", one.get("diff") or {}).items()
        )
        lost = f"<p class='alarm'>{text(one['destroys'])}</p>" if one.get("destroys") else ""
        head = f"{one.get('action', '')} {one.get('kind', '')} {one.get('name', '')}"
        body = (
            f"<table><thead><tr><th>Setting</th><th>Is</th><th>Would be</th></tr></thead>{rows}</table>" if rows else ""
        )
        shown.append(f"<h3>{text(head)}</h3>{lost}{body}")
    return f"<h2>The change</h2>{''.join(shown)}"


def contract(path: str, place: Workspace) -> str:
    """What changed in a contract of the repository since the last commit, by what it means for its users."""
    try:
        changes = _changes(path.strip(), place)
    except (BackendError, ValueError, OSError) as error:
        reason = error.reason if isinstance(error, BackendError) else str(error)
        return f"<h2>Change of the contract</h2><p class='meta'>It cannot be compared: {text(reason)}</p>"
    if changes is None:
        return ""
    rows = "".join(
        f"<li><span class='tag {slug(_SEVERE.get(level, 'yes'))}'>{text(level)}</span> <b>{text(name)}</b> "
        f"<code>{text(where)}</code>{_from(before, after)}</li>"
        for level, name, where, before, after in changes[:SHOWN]
    )
    left = f"<p class='meta'>{len(changes) - SHOWN} more changes.</p>" if len(changes) > SHOWN else ""
    body = f"<ul class='findings'>{rows}</ul>{left}" if rows else "<p>Nothing changed since the last commit.</p>"
    return f"<h2>Change of the contract</h2>{body}"


def _from(before: str, after: str) -> str:
    return f"<br><del>{text(before)}</del> → <ins>{text(after)}</ins>" if before or after else ""


def _changes(path: str, place: Workspace) -> list[tuple[str, str, str, str, str]] | None:
    """`None` when `path` names no file of the repository, such as a diff."""
    from datetime import UTC, datetime

    from mcp_backend.contracts import revisions, sources
    from mcp_backend.contracts.words import LEVELS
    from mcp_backend.workspace import git
    from mcp_backend.workspace.git_environment import open_repository

    name = re.split(r"[#:\s]", path, maxsplit=1)[0]
    if not name or not place.repository or not (place.root / name).is_file():
        return None
    commit = git.resolve(open_repository(place), "HEAD", name="base")
    new, old = sources.work_tree(place), sources.committed(place, commit)
    found = revisions.compared(old, new, name, datetime.now(UTC).date())
    every = [change for one in found for change in one.changes]
    every.sort(key=lambda change: LEVELS.index(change.level))
    return [(c.level, c.id, c.where, str(c.before or ""), str(c.after or "")) for c in every]
