"""Every rule about code matches its invalid snippets and none of its valid ones, and says what to write instead."""

import re
import time

import pytest

from mcp_backend import persona
from mcp_backend.workspace.code import matching, rules, sql
from mcp_backend.workspace.code.matching import Source
from mcp_backend.workspace.code.rules import Rule

EVERY = rules.every()
ENDS = {"python": "py", "go": "go"}


def matched(rule: Rule, snippets: tuple[str, ...]) -> list[int]:
    """The positions of the snippets in which this rule matches, whatever the others say."""
    sources = [Source(f"{number}.{ENDS[rule.language]}", text, rule.language) for number, text in enumerate(snippets)]
    found = {match.path for match in matching.matches(sources, (rule,))}
    return [number for number, source in enumerate(sources) if source.path in found]


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.id)
def test_a_rule_matches_what_is_wrong_and_not_what_is_right(rule: Rule) -> None:
    assert len(rule.valid) >= 2
    assert len(rule.invalid) >= 2
    assert matched(rule, rule.invalid) == list(range(len(rule.invalid)))
    assert matched(rule, rule.valid) == []


def test_every_rule_belongs_to_a_promise_and_names_a_replacement() -> None:
    kept = {promise.id for promise in persona.load().constraints if promise.guard == "changed_code"}
    assert {rule.constraint for rule in EVERY} == kept
    assert len({rule.id for rule in EVERY}) == len(EVERY)
    for rule in EVERY:
        ways = [bool(rule.pattern), bool(rule.ruff), bool(rule.check)]
        assert sum(ways) == 1, rule.id
        assert rule.id.startswith(("py-", "go-")), rule.id
        assert rule.needs, f"{rule.id}: without words every file is parsed"
        assert re.match(r"[^.].{8,}[^.]$", rule.problem, re.DOTALL), rule.id
        assert len(rule.instead) > 10, rule.id


def test_every_check_is_used_in_both_languages() -> None:
    assert {(rule.check, rule.language) for rule in EVERY if rule.check} == {
        (name, language) for name in sql.CHECKS for language in ENDS
    }


def test_both_languages_have_rules_for_each_promise() -> None:
    assert len({(rule.language, rule.constraint) for rule in EVERY}) == 6


def test_one_place_is_named_once_by_the_surest_rule() -> None:
    text = "def f():\n    try:\n        return g()\n    except:\n        pass\n"
    (found,) = matching.matches([Source("a.py", text, "python")])
    assert (found.rule.id, found.line, found.last) == ("py-bare-except", 4, 5)


@pytest.mark.parametrize("text", ["def f(:\n  x = = 1\ntry:\n", "\0\x01", "é = 1\n" * 3, ""])
def test_what_is_no_program_has_no_findings(text: str) -> None:
    assert matching.matches([Source("a.py", f"except suppress( hashlib\n{text}", "python")]) == []


def test_nothing_starts_for_code_that_cannot_match(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "program", pytest.fail)
    assert matching.matches([Source("a.py", "def add(a, b):\n    return a + b\n", "python")]) == []


@pytest.mark.parametrize("language", list(ENDS))
@pytest.mark.parametrize(
    "text",
    [
        "except Exception: " + "# " * 400 + "\n", "if err != nil { " + "// " * 400 + "x\n", "except " * 3000,
        "x" * 200_000, "'SELECT " + "a, " * 20_000 + "'", "password" * 20_000, "except:\n" * 2000, "# noqa: A1, " * 500,
        "\n" * 200_000, "except:" + "\n" * 100_000 + "except:" + " " * 100_000, "= a.b " * 20_000,
    ],
    ids=range(11),
)  # fmt: skip
def test_odd_texts_take_no_time(language: rules.Language, text: str) -> None:
    began = time.process_time()
    for rule in rules.of(language):
        rule.may_match(f"{' '.join(rule.needs)}\n{text}")
    assert time.process_time() - began < 1


def test_a_file_full_of_matches_takes_no_time() -> None:
    text = "def f():\n" + "    try:\n        g()\n    except:\n        pass\n" * 1000
    began = time.process_time()
    assert len(matching.matches([Source("a.py", text, "python")])) >= 300
    assert time.process_time() - began < 5
