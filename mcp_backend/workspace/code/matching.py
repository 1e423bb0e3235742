"""Where rules match in a source: by ast-grep in this process, by ruff in one of its own for all files at once."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mcp_backend import installing
from mcp_backend.errors import Unavailable
from mcp_backend.workspace.code import rules, sql
from mcp_backend.workspace.code.rules import Rule

if TYPE_CHECKING:
    from ast_grep_py import SgNode

MISSING = installing.needs("judging code by rules", "rules")
MOST = 300
"""Matches of one rule in one file that are looked at; more say nothing more."""
SECONDS = 20.0
"""How long ruff may take; it reads a thousand files in less than one second."""


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one file."""

    path: str
    text: str
    language: rules.Language


@dataclass(frozen=True, slots=True)
class Match:
    """A place where a rule matches. Lines are from 1, `last` included; `words` is the code there without its spacing,
    so that a place that only moved is known again."""

    path: str
    rule: Rule
    line: int
    last: int
    words: str


def matches(sources: Sequence[Source], among: Sequence[Rule] | None = None) -> list[Match]:
    """Every match (of the rules `among`), by path and line; of rules that match the same place for the same promise,
    the surest.

    Raises `Unavailable` where ruff or ast-grep is not installed or does not answer.
    """
    wanted = {source.path: _wanted(source, among) for source in sources}
    by_ruff = [s for s in sources if any(rule.ruff for rule in wanted[s.path])]
    told = _ruff(by_ruff, {rule.ruff for s in by_ruff for rule in wanted[s.path] if rule.ruff})
    found: list[Match] = []
    for source in sources:
        if chosen := wanted[source.path]:
            found += _strongest([*_in_tree(source, chosen, told.get(source.path, ()))])
    return found


def _wanted(source: Source, among: Sequence[Rule] | None) -> tuple[Rule, ...]:
    chosen = rules.of(source.language) if among is None else among
    return tuple(rule for rule in chosen if rule.language == source.language and rule.may_match(source.text))


def _in_tree(source: Source, chosen: Sequence[Rule], told: Sequence[tuple[str, int]]) -> Iterator[Match]:
    try:
        from ast_grep_py import SgRoot
    except ImportError as error:
        raise Unavailable(MISSING) from error
    root = SgRoot(source.text, source.language).root()
    lines = source.text.split("\n")
    nodes: dict[str, list[SgNode]] = {}
    for rule in chosen:
        if rule.pattern is not None:
            found: Iterable[SgNode] = root.find_all(cast("Any", dict(rule.pattern)))
        elif rule.check:
            found = sql.CHECKS[rule.check](root, source.language)
        else:
            places = [line for code, line in told if code == rule.ruff and line <= len(lines)][:MOST]
            if not rule.extent:
                yield from (Match(source.path, rule, n, n, "".join(lines[n - 1].split())) for n in places)
                continue
            if rule.extent not in nodes:
                nodes[rule.extent] = root.find_all(kind=rule.extent)
            around = (_around(nodes[rule.extent], line) for line in places)
            found = (node for node in around if node is not None and _holds(node, rule))
        yield from (_match(source, rule, node) for node in islice(found, MOST))


def _match(source: Source, rule: Rule, node: "SgNode") -> Match:
    place = node.range()
    return Match(source.path, rule, place.start.line + 1, place.end.line + 1, "".join(node.text().split()))


def _around(nodes: "Iterable[SgNode]", line: int) -> "SgNode | None":
    """The innermost of some nodes over a line."""
    inner: SgNode | None = None
    for node in nodes:
        place = node.range()
        if place.start.line >= line:
            break
        if line <= place.end.line + 1:
            inner = node
    return inner


def _holds(node: "SgNode", rule: Rule) -> bool:
    if rule.when is not None and node.find(cast("Any", {"rule": rule.when})) is None:
        return False
    return rule.unless is None or node.find(cast("Any", {"rule": rule.unless})) is None


def _strongest(found: list[Match]) -> list[Match]:
    """One match per place and promise: the sure rule, else the narrowest."""
    kept: list[Match] = []
    for match in sorted(found, key=lambda m: (not m.rule.sure, m.last - m.line, m.line)):
        if not any(
            other.rule.constraint == match.rule.constraint and other.line <= match.last and match.line <= other.last
            for other in kept
        ):
            kept.append(match)
    return sorted(kept, key=lambda m: m.line)


def _ruff(sources: Sequence[Source], codes: set[str]) -> Mapping[str, Sequence[tuple[str, int]]]:
    """The codes and lines ruff finds, by path. It reads one file from its standard input, several as copies in a folder
    of their own, without any configuration."""
    if not sources:
        return {}
    if len(sources) == 1:
        names = {"-": sources[0].path}
        told = _asked(codes, "-", "/", sources[0].text)
    else:
        names = {f"{number}.py": source.path for number, source in enumerate(sources)}
        with tempfile.TemporaryDirectory(prefix="mcp-backend-code-") as folder:
            for name, source in zip(names, sources, strict=True):
                (Path(folder) / name).write_text(source.text, "utf-8", newline="")
            told = _asked(codes, ".", folder, "")
    found: dict[str, list[tuple[str, int]]] = {}
    for row in cast("list[dict[str, Any]]", json.loads(told)):
        found.setdefault(names[os.path.basename(row["filename"])], []).append((row["code"], row["location"]["row"]))
    return found


def _asked(codes: set[str], place: str, folder: str, given: str) -> bytes:
    """What ruff says of a place as JSON, or of what it is given where the place is `-`."""
    arguments = ("check", "--isolated", "--no-cache", "--ignore-noqa", "--exit-zero", "--target-version=py313",
                 f"--select={','.join(sorted(codes))}", "--output-format=json", place)  # fmt: skip
    try:
        return subprocess.run(
            [program(), *arguments], cwd=folder, env={}, input=given.encode(), capture_output=True, timeout=SECONDS,
            check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"ruff did not answer ({type(error).__name__}): changed Python was not judged") from error


def program() -> str:
    """Where ruff is. Raises `Unavailable` where it is not installed."""
    try:
        from ruff import find_ruff_bin  # pyright: ignore[reportMissingTypeStubs]

        return find_ruff_bin()
    except (ImportError, FileNotFoundError) as error:
        raise Unavailable(MISSING) from error
