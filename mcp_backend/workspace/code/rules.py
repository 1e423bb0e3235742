"""The rules, as data: `rules/*.yml`, each with snippets it must and must not match. Read on first use.

`pattern` rules are ast-grep's (https://ast-grep.github.io/reference/rule.html), `ruff` rules name a code of ruff's
(https://docs.astral.sh/ruff/rules/). A rule matches the smallest place that is wrong, because only changed lines count.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast

Language: TypeAlias = Literal["python", "go"]
LANGUAGES: Mapping[str, Language] = MappingProxyType({"py": "python", "go": "go"})
FOLDER = Path(__file__).parent / "rules"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `sure` ones refuse a commit, the others only warn.

    `pattern` is an ast-grep configuration, `check` a name in `sql.CHECKS`, `ruff` a code whose finding is taken when
    the node of kind `extent` around it (the line where it is empty) holds `when` and does not hold `unless`. `needs`
    are words and `looks` is a regular expression: a file with none of the words, or where the expression finds
    nothing, cannot match and is not parsed.
    """

    id: str
    language: Language
    constraint: str
    sure: bool
    problem: str
    instead: str
    needs: tuple[str, ...]
    looks: str = ""
    pattern: Mapping[str, Any] | None = None
    check: str = ""
    ruff: str = ""
    extent: str = ""
    when: Mapping[str, Any] | None = None
    unless: Mapping[str, Any] | None = None
    valid: tuple[str, ...] = field(default=(), compare=False)
    invalid: tuple[str, ...] = field(default=(), compare=False)

    def may_match(self, text: str) -> bool:
        """Whether a text is worth parsing for this rule."""
        return any(word in text for word in self.needs) and (
            not self.looks or _compiled(self.looks).search(text) is not None
        )


_compiled = cache(re.compile)


@cache
def of(language: Language) -> tuple[Rule, ...]:
    """The rules of one language, in the order of their files."""
    found: list[Rule] = []
    for path in sorted(FOLDER.glob(f"{language}_*.yml")):
        found += [_rule(language, table) for table in _read(path)]
    return tuple(found)


def every() -> tuple[Rule, ...]:
    """All rules."""
    return tuple(rule for language in LANGUAGES.values() for rule in of(language))


def _read(path: Path) -> list[dict[str, Any]]:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return cast("list[dict[str, Any]]", yaml.load(path.read_text("utf-8"), Loader=loader))


def _rule(language: Language, table: dict[str, Any]) -> Rule:
    pattern = {key: table.pop(key) for key in ("rule", "constraints", "utils") if key in table}
    lists = {key: tuple(table.pop(key, ())) for key in ("needs", "valid", "invalid")}
    level = table.pop("level")
    if level not in ("deny", "warn"):
        raise ValueError(f"{table.get('id')}: level: expected deny or warn")
    return Rule(language=language, sure=level == "deny", pattern=pattern or None, **lists, **table)
