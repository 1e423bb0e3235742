"""The page of one rehearsal, made from its result: what would happen, what is blocked when, what was not looked at."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mcp_backend.web import timeline
from mcp_backend.web.page import count, page, slug, spoken_bytes, spoken_ms, text
from mcp_backend.web.timeline import expected, held

WORDS = {
    "safe": ("Safe to run", "Nothing was found that holds anybody up, breaks anything or loses data."),
    "warn": ("Run it, and know this", "It works; somebody should know what it does."),
    "needs_approval": (
        "A person decides",
        "It works as written, and it breaks, deletes or decides something for good.",
    ),
    "reject": ("Do not run it", "It fails, blocks for too long, or never belongs into a migration."),
}
SEVERITIES = {"reject": "reject", "needs_approval": "needs approval", "warn": "warning", "info": "for information"}


def rendered(about: Mapping[str, Any]) -> str:
    """The whole document. `about` is the result of rehearse_migration with what `kept` adds; all of it is escaped."""
    verdict = str(about["verdict"])
    title, meaning = WORDS.get(verdict, (verdict, ""))
    statements: Sequence[Mapping[str, Any]] = about["statements"]
    where = f"{about.get('engine', '')} ({about.get('dialect', '')})"
    body = [
        f"<p class='small soft'>Rehearsal of a migration on {text(where)}, {text(about.get('direction', 'up'))}</p>",
        f"<h1>{text(title)}</h1>",
        f"<p><span class='badge {slug(verdict)}'>{text(verdict.replace('_', ' '))}</span> &nbsp;{text(meaning)}</p>",
        _tiles(about, statements),
        _section("Findings", _hazards(about), f"{len(about['hazards'])}" if about["hazards"] else ""),
        _section("Locks over time", timeline.drawn(about)),
        _section("What is blocked when", _blocked(about)) if about["timeline"] else "",
        _section("Statements", "".join(_statement(s) for s in statements), _cut(about)),
        _section("The schema afterwards", _difference(about["schema_diff"])),
        _section("The way back", _reversible(about["reversible"])),
        _section("Second opinion", _opinion(about["second_opinion"])) if about.get("second_opinion") else "",
        _section("Not checked", _listed(about["not_checked"])),
        _footer(about),
    ]
    return page(f"{verdict.replace('_', ' ')}: rehearsal on {about.get('engine', '')}", "\n".join(filter(None, body)))


def _section(title: str, content: str, more: str = "") -> str:
    return f"<h2>{text(title)}{f'<small>{text(more)}</small>' if more else ''}</h2>\n{content}"


def _tiles(about: Mapping[str, Any], statements: Sequence[Mapping[str, Any]]) -> str:
    rewrites = [r for s in statements for r in s["rewrites"]]
    blocking = [h for h in about["timeline"] if h["blocks"] in ("writes", "reads+writes")]
    longest = max((held(h) for h in blocking), default=0.0)
    total = sum(expected(s) for s in statements)
    wal = sum(int(s.get("wal_bytes") or 0) for s in statements)
    tiles = [
        (spoken_ms(total), "expected on the target"),
        (spoken_ms(longest) if blocking else "nobody", "is blocked the longest" if blocking else "is blocked"),
        (spoken_bytes(sum(int(r["bytes"]) for r in rewrites)) if rewrites else "nothing", "is written anew"),
        (count(sum(int(s["rows"]) for s in statements)), "rows changed on the shadow"),
    ]
    tiles += [(spoken_bytes(wal), "of WAL on the shadow")] if wal else []
    shown = "".join(f"<div class='tile'><b>{text(big)}</b>{text(small)}</div>" for big, small in tiles)
    return f"<div class='tiles'>{shown}</div>"


def _hazards(about: Mapping[str, Any]) -> str:
    if not about["hazards"]:
        return "<p class='soft'>None.</p>"
    alike: dict[tuple[object, ...], list[Mapping[str, Any]]] = {}
    for hazard in about["hazards"]:
        alike.setdefault((hazard["severity"], hazard["statement"], hazard["reason"]), []).append(hazard)
    return "".join(_hazard(_together(found)) for found in alike.values())


def _together(found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Findings that say the same under several names, as one."""
    first: dict[str, Any] = {}
    for hazard in reversed(found):
        first |= {key: value for key, value in hazard.items() if value or key not in first}
    return {
        **first,
        "id": ", ".join(str(hazard["id"]) for hazard in found),
        "anchors": list(dict.fromkeys(anchor for hazard in found for anchor in hazard["anchors"])),
    }


def _hazard(hazard: Mapping[str, Any]) -> str:
    severity = str(hazard["severity"])
    where = f"statement {hazard['statement']}" if hazard["statement"] else "the whole migration"
    source = {
        "observed": "seen on the shadow", "catalog": "in the schema", "target_data": "in the target's rows",
        "statement": "in the statement", "squawk": "by squawk",
    }.get(str(hazard["source"]), str(hazard["source"]))  # fmt: skip
    parts = [
        f"<div class='card {slug(severity)}-edge'><div class='head'><b>{text(hazard['id'])}</b>"
        f"<span class='{slug(severity)} small'>{text(SEVERITIES.get(severity, severity))}</span>"
        f"<span class='soft small'>{text(where)}, {text(source)}</span></div><p>{text(hazard['reason'])}</p>"
    ]
    if hazard["remedy"]:
        parts.append(f"<p class='remedy'>{text(hazard['remedy'])}</p>")
    if rewrite := hazard.get("rewrite"):
        rehearsed = f"rehearsed: {rewrite['rehearsed']}" if rewrite["rehearsed"] != "no" else "not rehearsed"
        parts.append(
            f"<p class='small soft'>The same, safely ({text(rehearsed)}):</p><pre>{text(rewrite['sql'])}</pre>"
        )
    if hazard.get("evidence"):
        pairs = "".join(
            f"<dt>{text(k)}</dt><dd>{text(_value(v))}</dd>" for k, v in hazard["evidence"].items() if k != "untrusted"
        )
        note = (
            "<p class='small soft'>Values of rows are data of the target.</p>"
            if "untrusted" in hazard["evidence"]
            else ""
        )
        parts.append(f"<details><summary>Evidence</summary><dl>{pairs}</dl>{note}</details>")
    if hazard["anchors"]:
        parts.append(f"<div class='chips'>{''.join(f'<span>{text(a)}</span>' for a in hazard['anchors'])}</div>")
    return "".join(parts) + "</div>"


def _blocked(about: Mapping[str, Any]) -> str:
    budget = float(about.get("budget_ms") or 500)
    rows: list[str] = []
    for hold in sorted(about["timeline"], key=held, reverse=True):
        what = {"reads+writes": "reads and writes", "writes": "writes", "ddl": "other ALTERs"}.get(
            str(hold["blocks"]), "nothing"
        )
        span = f"{hold['from']}" if hold["from"] == hold["to"] else f"{hold['from']} to {hold['to']}"
        band_ms = timeline.estimate(hold)
        band = (
            f"{spoken_ms(float(band_ms['low']))} to {spoken_ms(float(band_ms['high']))}"
            if band_ms.get("high")
            else "as on the shadow"
        )
        over = " class='reject'" if what != "other ALTERs" and held(hold) > budget else ""
        rows.append(
            f"<tr><td><code>{text(hold['relation'])}</code><br><span class='soft "
            f"small'>{text(hold['mode'])}</span></td>"
            f"<td>{text(what)}</td><td>{text(span)}</td>"
            f"<td class='num'><span{over}>{text(spoken_ms(held(hold)))}</span><br><span class='soft "
            f"small'>{text(band)}</span></td></tr>"
        )
    return (
        "<div class='scroll'><table><tr><th>relation</th><th>blocked</th><th>during</th>"
        "<th class='num'>expected</th></tr>"
        f"{''.join(rows)}</table></div><p class='soft small'>The budget for blocking readers or writers is "
        f"{text(spoken_ms(budget))}.</p>"
    )


def _statement(statement: Mapping[str, Any]) -> str:
    place = f"{statement['file']}:{statement['line']}" if statement.get("file") else f"line {statement['line']}"
    band_ms = timeline.estimate(statement)
    facts = [f"{spoken_ms(float(statement['elapsed_ms']))} on the shadow"]
    if band_ms.get("high"):
        facts.append(
            f"{spoken_ms(float(band_ms['expected']))} on the target "
            f"({spoken_ms(float(band_ms['low']))} to {spoken_ms(float(band_ms['high']))})"
        )
    facts += [f"{count(int(statement['rows']))} rows"] if statement["rows"] else []
    facts += [f"{spoken_bytes(int(statement['wal_bytes']))} of WAL"] if statement.get("wal_bytes") else []
    facts += [
        f"writes {r['relation']} anew ({count(int(r['rows']))} rows, {spoken_bytes(int(r['bytes']))})"
        for r in statement["rewrites"]
    ]
    facts += [f"reads all of {s['relation']} ({count(int(s['target_rows']))} rows)" for s in statement["scans"]]
    facts += [f"{k['mode']} on {k['relation']}" for k in statement["locks"]]
    error = f"<p class='reject'>{text(statement['error'])}</p>" if statement.get("error") else ""
    return (
        f"<div class='card{' reject-edge' if error else ''}'><div "
        f"class='head'><b>{text(statement.get('number', ''))}</b>"
        f"<span class='soft small'>{text(place)}</span></div><pre>{text(statement['sql'])}</pre>{error}"
        f"<div class='chips'>{''.join(f'<span>{text(fact)}</span>' for fact in facts)}</div></div>"
    )


def _difference(lines: Sequence[str]) -> str:
    if not lines:
        return "<p class='soft'>The same as before.</p>"
    kinds = {"+": "plus", "-": "minus"}
    shown = "".join(f"<li class='{kinds.get(line[:1], 'same')}'>{text(line)}</li>" for line in lines)
    return f"<ul class='diff'>{shown}</ul>"


def _reversible(about: Mapping[str, Any]) -> str:
    said = {
        True: "Up and then down gives the schema that was there before.",
        False: "Up and then down does not give the schema that was there before:",
        None: "Not tried: there is no way down.",
    }[about["up_down_equal"]]
    lines = (
        f"<ul class='diff'>{''.join(f'<li>{text(line)}</li>' for line in about['difference'])}</ul>"
        if about["difference"]
        else ""
    )
    return f"<p>{said}</p>{lines}"


def _opinion(about: Mapping[str, Any]) -> str:
    agreed = ", ".join(str(rule) for rule in about.get("agrees", ())) or "nothing"
    alone = "".join(
        f"<li><code>{text(one['rule'])}</code> <span class='soft'>statement {text(one['statement'])}</span>: "
        f"{text(one['message'])}</li>"
        for one in about.get("alone", ())
    )
    lead = "<p>It also warns of what the rehearsal did not find to matter on this target:</p>"
    more = f"{lead}<ul class='plain'>{alone}</ul>" if alone else ""
    return f"<p>{text(about.get('tool', 'squawk'))} agrees on: {text(agreed)}.</p>{more}"


def _listed(lines: Sequence[str]) -> str:
    if not lines:
        return "<p class='soft'>Nothing that is known.</p>"
    return f"<ul class='plain'>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul>"


def _footer(about: Mapping[str, Any]) -> str:
    shadow = about["shadow"]
    return (
        f"<footer><p>Digest <code>{text(about['digest'])}</code><br>at version "
        f"<code>{text(about['at_version'])}</code></p>"
        f"<p>Rehearsed {text(about.get('made', ''))} on {text(shadow.get('version') or 'a shadow')} in "
        f"{text(shadow.get('seconds', 0))} s, {count(int(shadow.get('rows_sampled') or 0))} rows sampled; sizes: "
        f"{text(shadow.get('statistics') or 'unknown')}. The target was only read.</p></footer>"
    )


def _cut(about: Mapping[str, Any]) -> str:
    return f"{len(about['statements'])} of {about['statements_total']} shown" if about.get("truncated") else ""


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
