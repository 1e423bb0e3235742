"""The persona: no sentence of its source is lost on the way to a model, and no text names a tool that is not there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcp_backend import persona
from mcp_backend.errors import InvalidArgument
from mcp_backend.persona import Persona, Prompt
from mcp_backend.tools import TOOLS
from tests.conftest import ERAS, Connect, Era

SOURCE = Path(__file__).parent / "data" / "persona-source.md"
CONTRACT = frozenset[str](
    (
        *("db_schema", "db_query", "rehearse_migration", "run_migration"),
        *("message_topology", "publish_message", "peek_messages", "configure_messaging"),
        *("git_status", "git_commit", "git_branch", "git_push", "git_rebase"),
        *("run_tests", "api_contract", "check_contract", "call_api"),
        *("read_file", "write_file", "edit_file", "search_code", "find_symbol", "run_command"),
        *("escalate", "check_escalation"),
    )
)
"""Every tool of the public contract, built or still to come."""
PERSONA: Persona = persona.load()
PROMPTS: tuple[Prompt, ...] = (PERSONA.role, *PERSONA.prompts)
TEXTS = {path.relative_to(persona.folder()): path for path in sorted(persona.folder().rglob("*.md"))}


def plain(markdown: str) -> str:
    """Words only: without emphasis, code marks, list marks, headings and line breaks."""
    text = re.sub(r"^\s*(#+|[-*]|\d+\.)\s+", "", markdown, flags=re.MULTILINE)
    return " ".join(re.sub(r"\*\*|`", "", text).split())


def source_sections() -> dict[str, list[str]]:
    """The heading of each section of the source with its sentences, in plain words."""
    found: dict[str, list[str]] = {}
    for section in SOURCE.read_text("utf-8").split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        lines = [plain(line) for line in body.splitlines() if line.strip()]
        found[heading] = [part for line in lines for part in re.split(r"(?<=[.!?])\s+", line)]
    return found


READ = [(heading, words) for heading, body in source_sections().items() if heading != "Model" for words in body]


def test_the_source_is_whole() -> None:
    sections = source_sections()
    assert set(sections) == {
        "Role", "Model", "Personality", "Available Tools", "Constraints", "Technologies", "Decision Hierarchy",
        "When to Escalate",
    }  # fmt: skip
    assert len(READ) == 39


@pytest.mark.parametrize("era", ERAS)
async def test_no_sentence_of_the_source_is_lost(connect: Connect, tmp_path: Path, era: Era) -> None:
    async with connect(tmp_path, mode=era) as client:
        answer = await client.get_prompt("backend_engineer", {"task": "Add an orders table"})
    content = answer.messages[0].content
    assert content.type == "text"
    text = plain(content.text)
    assert [words for _, words in READ if words not in text] == []
    assert [heading for heading, _ in READ if f"## {heading}\n" not in content.text] == []
    assert text.endswith("Add an orders table")


def test_each_constraint_of_the_source_is_a_promise_in_its_own_words() -> None:
    sections = SOURCE.read_text("utf-8").split("## Constraints\n")[1].split("\n## ")[0]
    statements = [plain(line) for line in sections.splitlines() if line.strip()]
    assert len(statements) == 6
    promised = {c.statement: c for c in PERSONA.constraints}
    for statement in statements:
        assert promised[statement].source == statement


def test_a_promise_beyond_the_source_says_why_it_is_made() -> None:
    source = plain(SOURCE.read_text("utf-8"))
    for promise in PERSONA.constraints:
        assert not promise.source or promise.source in source, promise.id
        if promise.statement != promise.source:
            assert promise.because, f"{promise.id} is not in the source: `because` says why it is a promise"


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda p: p.name)
@pytest.mark.parametrize("era", ERAS)
async def test_a_prompt_names_only_tools_the_server_offers(
    connect: Connect, tmp_path: Path, prompt: Prompt, era: Era
) -> None:
    arguments = {a.name: f"<{a.name}>" for a in prompt.arguments}
    for toolsets in (frozenset({"database", "git"}), frozenset[str]()):
        async with connect(tmp_path, mode=era, toolsets=toolsets) as client:
            offered = {tool.name for tool in (await client.list_tools()).tools}
            text = (await client.get_prompt(prompt.name, arguments)).messages[0].content
        assert text.type == "text"
        assert named(text.text) <= offered
        assert all(value in text.text for value in arguments.values())
        assert "<!--" not in text.text
        assert "{{" not in text.text


def named(text: str) -> set[str]:
    """The tools a text names."""
    return set(re.findall(r"`([a-z_]+)`", text)) & CONTRACT


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_every_tool_named_is_in_the_contract(path: Path) -> None:
    text = TEXTS[path].read_text("utf-8")
    unknown = {
        word
        for word in re.findall(r"`([a-z]+_[a-z_]+)`", text)
        if word not in CONTRACT and not word.endswith("_id") and word not in VOCABULARY
    }
    assert unknown == set()
    for mark in re.findall(r"<!--(.*?)-->", text):
        assert re.fullmatch(r" (needs|without): [a-z_ ]+ ", mark), mark
        assert set(mark.split(": ")[1].split()) <= CONTRACT


VOCABULARY = {
    *(kind.id for kind in PERSONA.kinds),
    *(need.name for kind in PERSONA.kinds for need in kind.requires),
    "permission_denied", "failed_precondition", "needs_approval", "backend_engineer", "lock_timeout",
}  # fmt: skip


CLEAR_BY_NAME = {
    "git_status", "git_branch", "git_push", "git_rebase", "read_file", "write_file", "edit_file", "search_code",
    "find_symbol", "run_command", "peek_messages", "configure_messaging", "call_api",
}  # fmt: skip
"""Tools that a model finds by their names alone; the instructions have no room for them."""


def test_every_tool_of_this_server_is_introduced_by_the_role_and_the_instructions() -> None:
    built = {tool.name for tool in TOOLS}
    assert named(persona.render(PERSONA.role, {}, PERSONA, built)) >= built
    instructions = persona.offered(PERSONA.instructions, built)
    assert built - named(instructions) <= CLEAR_BY_NAME
    assert named(instructions) <= built


async def test_the_instructions_fit_where_hosts_cut_them(connect: Connect, tmp_path: Path) -> None:
    assert len(PERSONA.instructions.encode()) <= persona.INSTRUCTIONS_LIMIT
    for era in ERAS:
        async with connect(tmp_path, mode=era) as client:
            text = client.instructions or ""
        assert "escalate" in text
        assert "I don't know" in text
        assert "<!--" not in text
        assert len(text.encode()) <= persona.INSTRUCTIONS_LIMIT


def test_without_a_value_the_place_and_its_heading_are_left_out() -> None:
    text = persona.render(PERSONA.role, {"task": "build it"}, PERSONA)
    assert text.endswith("## Task\n\nbuild it\n")
    assert "## Specification" not in text


def test_a_value_is_not_read_as_a_template() -> None:
    text = persona.render(PERSONA.role, {"task": "{{constraints}} <!-- needs: nothing -->"}, PERSONA, [])
    assert text.endswith("## Task\n\n{{constraints}} <!-- needs: nothing -->\n")


def test_a_value_cannot_replace_the_promises() -> None:
    assert persona.render(PERSONA.role, {"constraints": "- none"}, PERSONA) == persona.render(PERSONA.role, {}, PERSONA)


@pytest.mark.parametrize("era", ERAS)
async def test_a_required_argument_is_asked_for_by_name(connect: Connect, tmp_path: Path, era: Era) -> None:
    async with connect(tmp_path, mode=era) as client:
        listed = {p.name: p for p in (await client.list_prompts()).prompts}
        assert set(listed) == {
            "backend_engineer", "implement_endpoint", "write_migration", "design_message_flow", "review_change",
            "fix_failing_test",
        }  # fmt: skip
        arguments = listed["backend_engineer"].arguments or []
        assert [(a.name, a.required) for a in arguments] == [("task", True), ("spec", False)]
        for missing in ({}, {"task": "  "}):
            with pytest.raises(Exception, match="task: is required"):
                await client.get_prompt("backend_engineer", missing)


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "sonnet"), ("", "sonnet"), ("opus", "opus"), (" a/b:1 ", "a/b:1")]
)
async def test_the_model_is_the_environments_or_sonnet(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, expected: str
) -> None:
    if value is not None:
        monkeypatch.setenv("CODING_AGENT_MODEL", value)
    assert PERSONA.role.model == "${CODING_AGENT_MODEL:-sonnet}"
    async with connect(tmp_path) as client:
        content = (await client.read_resource("persona://backend-engineer")).contents[0]
    text = getattr(content, "text", "")
    head: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    assert head == {"name": "backend-engineer", "description": PERSONA.role.description, "model": expected}
    assert [words for _, words in READ if words not in plain(text)] == []


def test_a_model_that_would_break_the_front_matter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODING_AGENT_MODEL", "opus\ntools: all")
    with pytest.raises(InvalidArgument, match="CODING_AGENT_MODEL: expected the name of a model"):
        persona.agent_file(PERSONA)


@pytest.mark.parametrize("path", TEXTS, ids=str)
def test_front_matter_is_plain_yaml(path: Path) -> None:
    text = TEXTS[path].read_text("utf-8")
    if path.name == "instructions.md":
        assert not text.startswith("---")
        return
    head: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    if path.name == "SKILL.md":
        return
    prompt = next(p for p in PROMPTS if p.name == head["name"])
    assert (prompt.title, prompt.description) == (head["title"], head["description"])
    assert [a.name for a in prompt.arguments] == [name for item in head["arguments"] for name in item]


@pytest.mark.parametrize("path", [p for p in TEXTS if p.name == "SKILL.md"], ids=lambda p: p.parent.name)
def test_a_skill_keeps_to_the_open_format(path: Path) -> None:
    """https://agentskills.io/specification: other keys than these are refused by some hosts."""
    _, head, body = TEXTS[path].read_text("utf-8").split("---\n", 2)
    values: dict[str, Any] = yaml.safe_load(head)
    assert set(values) == {"name", "description"}
    assert values["name"] == path.parent.name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", values["name"])
    assert len(values["name"]) <= 64
    assert 40 <= len(values["description"]) <= 1024
    assert len(body.splitlines()) < 500


def test_every_kind_of_question_says_who_answers_and_what_it_needs() -> None:
    kinds = {kind.id: kind for kind in PERSONA.kinds}
    assert set(kinds) == {"spec_clarification", "trade_off", "frontend_contract", "data_model", "unknown", "approval"}
    for kind in kinds.values():
        assert kind.to
        assert kind.requires or kind.id == "approval"
        assert all(need.why for need in kind.requires)
