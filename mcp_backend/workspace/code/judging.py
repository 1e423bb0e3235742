"""What rules say about a change: only lines that it adds, only what was nowhere in it before.

Tests, generated code, other people's code and data that is moved once (migrations, for races) are not judged; scripts
and examples get warnings only. A comment beside a place can say why it is as it is.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mcp_backend.errors import Unavailable
from mcp_backend.facts import CodeFinding
from mcp_backend.workspace import differences, evidence
from mcp_backend.workspace.code import matching, rules
from mcp_backend.workspace.code.matching import Match, Source
from mcp_backend.workspace.code.rules import Rule

LARGEST = 1_000_000
"""Bytes. A larger file is data, not something people wrote."""
SMALL = 6
"""Lines. In a larger place a comment may be about anything."""
_FOREIGN = re.compile(
    r"(?i)(?:^|/)(?:vendor|third[_-]?party|_?vendored|external|node_modules|site-packages|\.venv|venv)/"
)
_SOFTER = re.compile(
    r"(?i)(?:^|/)(?:scripts?|examples?|samples?|docs?|benchmarks?|demos?|playground|tutorials?|docs_src|e2e"
    r"|load[_-]?tests?)/|^(?:tools|hack|ci|dev|contrib|bench|\.github)/|(?:^|/)(?:setup|noxfile|fabfile)\.py$"
)
_ONCE = re.compile(r"(?i)(?:^|/)(?:migrations?|alembic|seeds?|fixtures)/")
_TESTING = re.compile(
    r"(?i)(?:^|/)(?:(?:\w+[_-])?tests?|testing|test[_-]\w+|testutils?|testhelpers?|testdata|mocks?|fakes?)/"
    r"|(?:^|/)(?:fake|mock|test)s?(?:[_-]\w+)?\.(?:py|go)$"
)
_MARK = re.compile(
    r"(?:#|//)\s*(?:justified|noqa(?::\s*[A-Z]+[0-9]+(?:\s*,\s*[A-Z]+[0-9]+)*)?|nolint(?::[\w,-]+)?|\#?nosec(?:\s+G\d+)*)(?!\w)\s*(?P<words>.*)"
)
_COMMENT = re.compile(r"(?:#|//)\s*(?!noqa|nolint|type:|pylint|pragma|TODO|FIXME|XXX)[A-Za-z][^\s]*(?:\s+\S+){3,}")
_MEANT = re.compile(
    r"(?i)best[- ]effort|ignor|harmless|must (?:never|not)|safe to|not (?:fatal|critical)|optional|on purpose|handled"
)
_NAMED = re.compile(r"\bESC-[0-9a-f]{8}\b")


@dataclass(frozen=True, slots=True)
class Version:
    """One path of a change: its content before and after, `None` where it is not there."""

    path: str
    before: bytes | None
    after: bytes | None


def changed(versions: Iterable[Version]) -> list[CodeFinding]:
    """What the rules say about a change. Raises `Unavailable` where they cannot be asked."""
    todo = [v for v in versions if v.before != v.after]
    sources = [source for v in todo if (source := _source(v.path, v.after))]
    if not sources:
        return []
    contents = {v.path: v for v in todo}
    added: dict[str, set[int] | None] = {}
    inside: list[Match] = []
    outside = Counter[tuple[str, str]]()
    for match in matching.matches(sources):
        path = match.path
        if path not in added:
            added[path] = differences.added(contents[path].before, contents[path].after or b"")
        lines = added[path]
        if lines is None or not lines.isdisjoint(range(match.line, match.last + 1)):
            inside.append(match)
        else:
            outside[match.rule.id, match.words] += 1
    if not inside:
        return []
    moved = _before(todo, {match.rule.id: match.rule for match in inside}) - outside
    fresh: list[Match] = []
    for match in inside:
        if moved[match.rule.id, match.words] > 0:
            moved[match.rule.id, match.words] -= 1
        else:
            fresh.append(match)
    texts = {source.path: source.text for source in sources}
    found = (_finding(match, texts[match.path].split("\n")) for match in fresh if _concerns(match))
    return [finding for finding in found if finding]


def _before(versions: Sequence[Version], among: Mapping[str, Rule]) -> Counter[tuple[str, str]]:
    """What was there before the change, in any of its files: a place that moved is not new."""
    old = [source for v in versions if (source := _source(v.path, v.before))]
    return Counter((match.rule.id, match.words) for match in matching.matches(old, tuple(among.values())))


def _source(path: str, data: bytes | None) -> Source | None:
    language = rules.LANGUAGES.get(path.rpartition(".")[2])
    if language is None or data is None or len(data) > LARGEST or _scope(path) == "none":
        return None
    if evidence.generated(path, data):
        return None
    return Source(path, data.decode("utf-8", "replace"), language)


def _scope(path: str) -> Literal["all", "softer", "none"]:
    if evidence.is_test(path) or evidence.beside_tests(path) or _FOREIGN.search(path) or _TESTING.search(path):
        return "none"
    return "softer" if _SOFTER.search(path) else "all"


def _concerns(match: Match) -> bool:
    if match.rule.constraint == "consistent-code" and _ONCE.search(match.path):
        return False
    return match.rule.sure or _scope(match.path) == "all"


def _finding(match: Match, lines: Sequence[str]) -> CodeFinding | None:
    """The finding of a match. Where a comment already explains an error that is passed over, people can judge it: a
    sure rule only warns there, and the others are silent."""
    rule = match.rule
    words = _justification(lines, match)
    explained = not words and rule.constraint == "explicit-errors" and _explained(lines, match)
    if explained and not rule.sure:
        return None
    named = _NAMED.search(words)
    return CodeFinding(
        match.path, match.line, rule.id, rule.constraint,
        rule.sure and not explained and _scope(match.path) == "all", rule.problem, rule.instead, words,
        named[0] if named else "",
    )  # fmt: skip


def _explained(lines: Sequence[str], match: Match) -> bool:
    """Whether a comment of more than a few words stands in a small place, or right above it one that says it is
    meant."""
    if any(_MEANT.search(line) for line in lines[_first_comment(lines, match.line) : match.line - 1]):
        return True
    return match.last - match.line < SMALL and any(_COMMENT.search(line) for line in lines[match.line - 1 : match.last])


def _first_comment(lines: Sequence[str], line: int) -> int:
    """Where the comment right above a line begins, as an index; that of the line itself when there is none."""
    first = line - 1
    while first > 0 and lines[first - 1].lstrip().startswith(("#", "//")):
        first -= 1
    return first


def _justification(lines: Sequence[str], match: Match) -> str:
    """The words of a `justified:`, `noqa: CODE` or `nolint:name` comment in the place or right above it; "" for none.
    Lines of comment that follow it belong to it."""
    for number in range(_first_comment(lines, match.line), min(match.last, len(lines))):
        if mark := _MARK.search(lines[number]):
            words = [mark["words"]]
            for line in lines[number + 1 :]:
                if not line.lstrip().startswith(("#", "//")):
                    break
                words.append(line.lstrip().lstrip("#/ "))
            return " ".join(" ".join(words).strip(" :-–—/#").split())
    return ""


def looked(versions: Iterable[Version]) -> tuple[tuple[CodeFinding, ...], str]:
    """What the rules say about a change; where they cannot be asked nothing, and why."""
    try:
        return tuple(changed(versions)), ""
    except Unavailable as error:
        return (), error.reason
