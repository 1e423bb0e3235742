"""A graph of a pipeline as SVG: data flows from left to right, each place as far left as what it needs lets it be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mcp_backend.pipelines.model import MEANING, Graph, Node
from mcp_backend.web.page import slug, text

WIDE, HIGH, ACROSS, DOWN, EDGE = 196, 48, 48, 16, 8
"""Pixels: a box, the room between columns and rows, and around all."""
THIN = 22
"""The room of a way between boxes."""
LETTERS, SMALL_LETTERS = 23, 29
PASSES = 6
KINDS: Mapping[str, str] = {
    "code": "code", "application": "declared application", "destination": "subject, topic or stream",
    "consumer": "reader outside this code", "table": "table", "view": "materialised view",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawing:
    """One picture: its SVG with the class that its size goes by, and its size in pixels."""

    svg: str
    name: str
    width: int
    height: int
    nodes: int


def drawings(graph: Graph) -> list[Drawing]:
    """One picture for each part of the graph that hangs together, the largest first."""
    parts = sorted(_parts(graph), key=lambda ids: (-len(ids), ids[0]))
    return [_drawn(graph, ids, f"g{number}") for number, ids in enumerate(parts)]


def _parts(graph: Graph) -> list[list[str]]:
    near: dict[str, set[str]] = {id_: set() for id_ in graph.nodes}
    for source, target in graph.edges:
        near[source].add(target)
        near[target].add(source)
    seen: set[str] = set()
    found: list[list[str]] = []
    for id_ in graph.nodes:
        part, todo = list[str](), [id_]
        while todo:
            if (at := todo.pop()) not in seen:
                seen.add(at)
                part.append(at)
                todo += sorted(near[at] - seen)
        if part:
            found.append(part)
    return found


def _depths(ids: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The column of each box: right of what flows into it. An edge that closes a circle does not count."""
    after: dict[str, list[str]] = {id_: [] for id_ in ids}
    for source, target in edges:
        if source != target:
            after[source].append(target)
    order, state = list[str](), dict[str, int]()
    back: set[tuple[str, str]] = set()
    for root in sorted(ids, key=lambda id_: sum(1 for _, t in edges if t == id_)):
        todo = [(root, iter(after[root]))] if root not in state else []
        state.setdefault(root, 1)
        while todo:
            at, following = todo[-1]
            step = next(following, None)
            if step is None:
                state[at] = 2
                order.append(at)
                todo.pop()
            elif step not in state:
                state[step] = 1
                todo.append((step, iter(after[step])))
            elif state[step] == 1:
                back.add((at, step))
    depth = dict.fromkeys(ids, 0)
    for at in reversed(order):
        for step in after[at]:
            if (at, step) not in back:
                depth[step] = max(depth[step], depth[at] + 1)
    return depth


def _layers(
    ids: Sequence[str], edges: Sequence[tuple[str, str]]
) -> tuple[list[list[str]], dict[tuple[str, str], list[str]]]:
    """The columns from top to bottom, and by edge what it passes between its ends: a long one gets a place of its own
    in every column between, so that it runs behind no box."""
    depth = _depths(ids, edges)
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for id_ in ids:
        layers[depth[id_]].append(id_)
    between: dict[tuple[str, str], list[str]] = {}
    steps: list[tuple[str, str]] = []
    for number, (source, target) in enumerate(edges):
        passed = [f"\0{number} {column}" for column in range(depth[source] + 1, depth[target])]
        for column, place in enumerate(passed, depth[source] + 1):
            layers[column].append(place)
        between[source, target] = passed
        way = [source, *passed, target]
        steps += pairwise(way)
    return _ordered(layers, steps), between


def _ordered(layers: list[list[str]], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The rows of each column so that few edges cross: each box near the middle of those it is joined to."""
    joined: dict[str, list[str]] = {}
    for source, target in edges:
        joined.setdefault(source, []).append(target)
        joined.setdefault(target, []).append(source)
    for _ in range(PASSES):
        place = {id_: row - len(layer) / 2 for layer in layers for row, id_ in enumerate(layer)}
        for layer in layers:
            middle = {
                id_: sum(place[n] for n in joined.get(id_, ())) / max(1, len(joined.get(id_, ()))) for id_ in layer
            }
            layer.sort(key=lambda id_: (middle[id_], id_))
            place |= {id_: row - len(layer) / 2 for row, id_ in enumerate(layer)}
    return layers


def _drawn(graph: Graph, ids: Sequence[str], name: str) -> Drawing:
    inside = set(ids)
    edges = [e for e in graph.edges if e[0] in inside and e[1] in inside]
    layers, between = _layers(ids, edges)
    heights = [sum(THIN if id_ not in inside else HIGH + DOWN for id_ in layer) - DOWN for layer in layers]
    height = max(heights) + 2 * EDGE
    width = len(layers) * (WIDE + ACROSS) - ACROSS + 2 * EDGE
    at: dict[str, tuple[float, float]] = {}
    for column, layer in enumerate(layers):
        y = EDGE + (height - 2 * EDGE - heights[column]) / 2
        for id_ in layer:
            at[id_] = (EDGE + column * (WIDE + ACROSS), y)
            y += HIGH + DOWN if id_ in inside else THIN
    lines = "".join(_edge(at[s], [at[p] for p in between[s, t]], at[t]) for s, t in edges)
    boxes = "".join(_box(graph.nodes[id_], at[id_], graph.places.get(id_, ())) for id_ in ids)
    label = text(f"A pipeline of {len(ids)} places and {len(edges)} ways between them")
    marker = (
        f"<defs><marker id='{name}-end' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' "
        "orient='auto'><path d='M0 0 8 4 0 8z' class='tip'/></marker></defs>"
    )
    lines = lines.replace("MARKER", f"url(#{name}-end)")
    start = f"<svg class='{name}' viewBox='0 0 {width} {height}' role='img' aria-label='{label}'>"
    svg = f"{start}{marker}{lines}{boxes}</svg>"
    return Drawing(svg, name, width, height, len(ids))


def _edge(source: tuple[float, float], passed: Sequence[tuple[float, float]], target: tuple[float, float]) -> str:
    if target[0] > source[0]:
        x, y = source[0] + WIDE, source[1] + HIGH / 2
        path = f"M{x:.0f} {y:.0f}"
        for left, middle in (*((p[0], p[1] + THIN / 2) for p in passed), (target[0] - 1, target[1] + HIGH / 2)):
            bend = (left - x) / 2
            path += f"C{x + bend:.0f} {y:.0f} {left - bend:.0f} {middle:.0f} {left:.0f} {middle:.0f}"
            x, y = left, middle
            if left < target[0] - 1:
                path += f"H{left + WIDE:.0f}"
                x += WIDE
    else:  # back to the left: below the boxes and up again
        low = max(source[1], target[1]) + HIGH + DOWN / 2 + 10
        begin, end = source[0] + WIDE / 2, target[0] + WIDE / 2
        path = (
            f"M{begin:.0f} {source[1] + HIGH:.0f}C{begin:.0f} {low:.0f} {end:.0f} {low:.0f} "
            f"{end:.0f} {target[1] + HIGH:.0f}"
        )
    return f"<path class='way' d='{path}' marker-end='MARKER'/>"


def _box(node: Node, at: tuple[float, float], findings: Sequence[str]) -> str:
    x, y = at
    worst = next((s for s in ("error", "warn", "info") if any(MEANING[f][0] == s for f in findings)), "")
    about = node.about[0] if node.about else ""
    whole = "\n".join((node.name, KINDS[node.kind], *node.about, *findings))
    name_class = "" if node.kind == "code" else " mono"
    badge = (
        f"<circle class='dot {worst}' cx='{x + WIDE - 2:.0f}' cy='{y + 2:.0f}' r='9'/>"
        f"<text class='n' x='{x + WIDE - 2:.0f}' y='{y + 6:.0f}'>{len(findings)}</text>"
        if worst
        else ""
    )
    return (
        f"<g class='box k-{slug(node.kind)} {worst}'><title>{text(whole)}</title>"
        f"<rect x='{x:.0f}' y='{y:.0f}' width='{WIDE}' height='{HIGH}' rx='7'/>"
        f"<rect class='side' x='{x:.0f}' y='{y:.0f}' width='5' height='{HIGH}' rx='2'/>"
        f"<text class='name{name_class}' x='{x + 14:.0f}' y='{y + 21:.0f}'>{text(_cut(node.name, LETTERS))}</text>"
        f"<text class='about' x='{x + 14:.0f}' y='{y + 38:.0f}'>{text(_cut(about, SMALL_LETTERS))}</text>{badge}</g>"
    )


def _cut(words: str, letters: int) -> str:
    """The end tells more of a path than its beginning."""
    if len(words) <= letters:
        return words
    return f"…{words[1 - letters :]}" if "/" in words else f"{words[: letters - 1]}…"
