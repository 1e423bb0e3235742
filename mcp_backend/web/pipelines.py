"""The page of the data pipelines through one engine: drawn, with what is risky along them."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from mcp_backend.pipelines.model import MEANING, Graph
from mcp_backend.settings import Workspace, private
from mcp_backend.web.kept import written
from mcp_backend.web.page import count, page, slug, text
from mcp_backend.web.pipelines_drawing import KINDS, Drawing, drawings

STYLE = """
main{max-width:100rem}
:root{--k-code:#4f6bd0;--k-destination:#c26a00;--k-table:#1a7f4b;--k-view:#0f7c86;--k-consumer:#6b7280;
--k-application:#8a4bbd}
@media(prefers-color-scheme:dark){:root{--k-code:#8ea5ff;--k-destination:#f0a04b;--k-table:#4cc38a;--k-view:#4ec9d4;
--k-consumer:#9aa1ad;--k-application:#c79bf2}}
.flow{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8rem;
margin:.6rem 0}
.flow svg{background:none;max-width:none}
.box rect{fill:var(--paper);stroke:var(--line)}
.box.error>rect:first-of-type{stroke:var(--reject);stroke-width:1.6}
.box.warn>rect:first-of-type{stroke:var(--warn);stroke-width:1.6}
.box .side{stroke:none}
.k-code .side,i.k-code{fill:var(--k-code);background:var(--k-code)}
.k-destination .side,i.k-destination{fill:var(--k-destination);background:var(--k-destination)}
.k-table .side,i.k-table{fill:var(--k-table);background:var(--k-table)}
.k-view .side,i.k-view{fill:var(--k-view);background:var(--k-view)}
.k-consumer .side,i.k-consumer{fill:var(--k-consumer);background:var(--k-consumer)}
.k-application .side,i.k-application{fill:var(--k-application);background:var(--k-application)}
.box .name{font:600 13px system-ui,sans-serif;fill:var(--ink)}
.box .mono{font:600 12.5px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.box .about{font:11px system-ui,sans-serif;fill:var(--soft)}
.way{fill:none;stroke:var(--soft);stroke-width:1.4;opacity:.8}
.tip{fill:var(--soft)}
.dot{stroke:var(--card);stroke-width:2}
.dot.error{fill:var(--reject)}.dot.warn{fill:var(--warn)}.dot.info{fill:var(--info)}
.n{font:700 10.5px system-ui,sans-serif;fill:var(--card);text-anchor:middle}
"""
SMALLEST = 0.8
SEVERITIES: Mapping[str, tuple[str, str]] = {
    "error": ("reject", "breaks"), "warn": ("warn", "risk"), "info": ("info", "for information"),
}  # fmt: skip


def keep(workspace: Workspace, engine: str, graph: Graph, now: datetime) -> Path:
    """Writes the page into the state folder, in place of the one before; where it is."""
    folder = private(private(workspace.state) / "pipelines")
    path = folder / f"{slug(engine) or 'engine'}.html"
    written(path, rendered(engine, graph, now))
    return path


def rendered(engine: str, graph: Graph, now: datetime) -> str:
    """The whole document. Everything in the graph is escaped."""
    pictures = drawings(graph)
    body = [
        f"<p class='small soft'>Data pipelines through {text(engine)}</p>",
        f"<h1>{text(_title(graph))}</h1>",
        _tiles(graph),
        f"<h2>From producer to table</h2>{_key(graph)}" if pictures else "<p>Nothing that flows was found.</p>",
        *(f"<div class='flow'>{picture.svg}</div>" for picture in pictures),
        f"<h2>Findings</h2>{_findings(graph)}",
        f"<h2>Not seen</h2><ul class='plain'>{''.join(f'<li>{text(n)}</li>' for n in graph.notes)}</ul>"
        if graph.notes
        else "",
        f"<footer><p>Made {text(now.isoformat(timespec='seconds'))} from the code, the declared contracts, the broker "
        "and the schemas of this workspace. Nothing was changed.</p></footer>",
    ]
    return page(f"Data pipelines through {engine}", "\n".join(filter(None, body)), STYLE + _sizes(pictures))


def _title(graph: Graph) -> str:
    errors = sum(MEANING[f.id][0] == "error" for f in graph.findings)
    if errors:
        return f"{errors} {'place' if errors == 1 else 'places'} where data breaks"
    warnings = sum(MEANING[f.id][0] == "warn" for f in graph.findings)
    return f"{warnings} {'risk' if warnings == 1 else 'risks'} on the way" if warnings else "Nothing risky was found"


def _tiles(graph: Graph) -> str:
    def of(*kinds: str) -> str:
        return count(sum(node.kind in kinds for node in graph.nodes.values()))

    tiles = [
        (of("destination"), "subjects, topics, streams"), (of("code"), "places in code"),
        (of("consumer", "application"), "readers and writers elsewhere"), (of("table", "view"), "tables and views"),
    ]  # fmt: skip
    shown = "".join(f"<div class='tile'><b>{big}</b>{text(small)}</div>" for big, small in tiles)
    return f"<div class='tiles'>{shown}</div>"


def _key(graph: Graph) -> str:
    kinds = [kind for kind in KINDS if any(node.kind == kind for node in graph.nodes.values())]
    shown = "".join(f"<span><i class='k-{slug(kind)}'></i>{text(KINDS[kind])}</span>" for kind in kinds)
    return f"<div class='key'>{shown}</div>"


def _findings(graph: Graph) -> str:
    if not graph.findings:
        return "<p class='soft'>None.</p>"
    places: dict[str, list[str]] = {}
    for finding in graph.findings:
        places.setdefault(finding.id, []).append(finding.where)
    cards: list[str] = []
    for identifier, where in places.items():
        severity, meaning = MEANING[identifier]
        colour, word = SEVERITIES[severity]
        listed = "".join(f"<li>{text(place)}</li>" for place in where)
        cards.append(
            f"<div class='card {colour}-edge'><div class='head'><b>{text(identifier)}</b>"
            f"<span class='{colour} small'>{word}</span></div><p>{text(meaning[:1].upper() + meaning[1:])}.</p>"
            f"<ul class='plain'>{listed}</ul></div>"
        )
    return "".join(cards)


def _sizes(pictures: "list[Drawing]") -> str:
    """As wide as the page where that leaves the words readable, never larger than drawn."""
    rule = ".flow .{0}{{width:clamp({1}px,100%,{2}px);height:auto;aspect-ratio:{2}/{3}}}\n"
    return "".join(rule.format(p.name, round(p.width * SMALLEST), p.width, p.height) for p in pictures)
