"""The Backend Engineer as data: reads `persona/` and renders it. Standard library only."""

import json
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from mcp_backend import policy
from mcp_backend.errors import InvalidArgument
from mcp_backend.policy import Constraint, Policy

_PLACE = re.compile(r"\{\{(\w+)\}\}")
_MARK = re.compile(r" *<!-- (needs|without): ([a-z_ ]+?) -->")
_MODEL = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")
INSTRUCTIONS_LIMIT = 2048
"""Bytes. Hosts cut server instructions there."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One key of an escalation's `details`."""

    name: str
    why: str
    at_least: int = 0
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of question: who answers, what must be said, and the timers (such as `4h`, `7d`). `then` are the roles
    that are asked after `to`, each when `escalate_after` passed and nobody had acknowledged."""

    id: str
    to: str
    purpose: str
    answer: str
    escalate_after: str
    expires_after: str
    then: tuple[str, ...] = ()
    requires: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a prompt."""

    name: str
    description: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt file: front matter and a body with `{{argument}}` places."""

    name: str
    title: str
    description: str
    arguments: tuple[Argument, ...]
    body: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class Persona:
    """Everything in `persona/`, read once."""

    role: Prompt
    constraints: tuple[Constraint, ...]
    kinds: tuple[Kind, ...]
    instructions: str
    prompts: tuple[Prompt, ...] = field(default=())

    def kind(self, identifier: str) -> Kind | None:
        """The kind of escalation of that id."""
        return next((kind for kind in self.kinds if kind.id == identifier), None)


def folder() -> Path:
    """Where `persona/` lies: inside the installed package, or beside it in a source checkout."""
    packaged = Path(__file__).parent / "_persona"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "persona"


@cache
def load() -> Persona:
    """The persona as shipped."""
    root = folder()
    constraints = tuple(_constraint(table) for table in _tables(root / "constraints.toml", "constraint"))
    kinds = tuple(_kind(table) for table in _tables(root / "escalations.toml", "kind"))
    role = _prompt(root / "role.md")
    prompts = tuple(_prompt(path) for path in sorted((root / "prompts").glob("*.md")))
    instructions = (root / "instructions.md").read_text("utf-8").strip()
    return Persona(role, constraints, kinds, instructions, prompts)


def in_force(start: Path) -> Policy:
    """The policy at `start`: its file, where there is one, over the promises. Raises as `policy.load` does."""
    return policy.load(policy.find(start.resolve()), load().constraints)


def offered(text: str, tools: Collection[str] | None) -> str:
    """`text` for a server with these tools: a line with `<!-- needs: a b -->` stays when all of them are offered, one
    with `<!-- without: a -->` when none is. `None` stands for every tool."""
    kept: list[str] = []
    for line in text.split("\n"):
        marks = [(mark[1], mark[2].split()) for mark in _MARK.finditer(line)]
        needs = (tools is None or name in tools for word, names in marks if word == "needs" for name in names)
        lacks = (
            tools is not None and name not in tools for word, names in marks if word == "without" for name in names
        )
        if all(needs) and all(lacks):
            kept.append(_MARK.sub("", line) if marks else line)
    return "\n".join(kept)


def render(prompt: Prompt, values: Mapping[str, str], persona: Persona, tools: Collection[str] | None = None) -> str:
    """The prompt's text for a server with these tools, with its arguments, the promises and the `picture` of a change
    filled in.

    A paragraph that holds only an argument that was not given is left out, together with a heading above it.
    """
    places = {argument.name: values.get(argument.name, "").strip() for argument in prompt.arguments}
    places["picture"] = values.get("picture", "")
    places["constraints"] = "\n".join(f"- {promise.statement}" for promise in persona.constraints)
    text = prompt.body.replace("{{role}}", _without_empty(persona.role.body, _nothing(persona.role)))
    text = _without_empty(offered(text, tools), places)
    return _PLACE.sub(lambda place: places.get(place[1], place[0]), text).strip() + "\n"


def model(prompt: Prompt) -> str:
    """The model the persona asks for: `${NAME:-default}` is read from the environment.

    Raises `InvalidArgument` naming the variable when it holds no model name: it goes into front matter.
    """
    chosen = _MODEL.sub(lambda place: os.environ.get(place[1], "").strip() or place[2], prompt.model)
    if not re.fullmatch(r"[\w.:/@\[\]-]*", chosen, re.ASCII):
        raise InvalidArgument(f"{_MODEL.sub(lambda place: place[1], prompt.model)}: expected the name of a model")
    return chosen


def agent_file(persona: Persona, tools: Collection[str] | None = None) -> str:
    """The role as hosts keep their agents: front matter with the model resolved, then the prose without a task."""
    role = persona.role
    head = {
        "name": role.name.replace("_", "-"),
        "description": json.dumps(role.description, ensure_ascii=False),
        "model": model(role),
    }
    return "\n".join(
        ["---", *(f"{key}: {value}" for key, value in head.items()), "---", "", render(role, {}, persona, tools)]
    )


def _nothing(prompt: Prompt) -> dict[str, str]:
    return {argument.name: "" for argument in prompt.arguments}


def _without_empty(text: str, places: Mapping[str, str]) -> str:
    kept: list[str] = []
    for block in re.split(r"\n{2,}", text):
        place = _PLACE.fullmatch(block.strip())
        if place and not places.get(place[1], "x"):
            if kept and kept[-1].startswith("#"):
                kept.pop()
            continue
        kept.append(block)
    return "\n\n".join(kept)


def _tables(path: Path, name: str) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        return cast("list[dict[str, Any]]", tomllib.load(file)[name])


def _constraint(table: dict[str, Any]) -> Constraint:
    for key in ("approvers", "channels", "environments"):
        table[key] = tuple(table.get(key, ()))
    table["parameters"] = MappingProxyType(table.get("parameters", {}))
    return Constraint(**table)


def _kind(table: dict[str, Any]) -> Kind:
    requires = tuple(
        Requirement(r["name"], r["why"], r.get("at_least", 0), tuple(r.get("one_of", ())))
        for r in cast("list[dict[str, Any]]", table.pop("requires", []))
    )
    table["then"] = tuple(table.get("then", ()))
    return Kind(**table, requires=requires)


def _prompt(path: Path) -> Prompt:
    """A Markdown file with a small fixed front matter: `key: value` lines and `arguments:` as a list of
    `- name: description` with `(required)` at the end where it is required."""
    text = path.read_text("utf-8")
    _, head, body = text.split("---\n", 2)
    values: dict[str, str] = {}
    arguments: list[Argument] = []
    for line in head.splitlines():
        if item := re.fullmatch(r"\s+- (\w+): (.*)", line):
            description = item[2].removesuffix("(required)").strip()
            arguments.append(Argument(item[1], description, item[2].endswith("(required)")))
        elif pair := re.fullmatch(r"(\w+):\s*(.*)", line):
            values[pair[1]] = pair[2]
    return Prompt(
        values["name"],
        values["title"],
        values["description"],
        tuple(arguments),
        body.strip(),
        values.get("model", ""),
    )
