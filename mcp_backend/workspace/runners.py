"""How the repository's tests are started: the command of the policy, taken apart far enough to be run without a shell.

`pytest` and `go test` are understood, also behind `cd DIR &&`, `NAME=value`, `uv run` and the like, and joined by
`&&`; anything else runs as a person wrote it and counts as one test, of which `manage.py test` takes a selection.
"""

import itertools
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from mcp_backend.errors import FailedPrecondition, Json
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import environments, listing, suites

Trouble: TypeAlias = Literal["", "not started", "refused", "broke off"]
Kind: TypeAlias = Literal["pytest", "go", "django", "other"]
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_SHELL = re.compile(r"[$`*?~\\\n]")
_OPERATOR = re.compile(r"[();<>|&]+")
_LAUNCHERS = ("uv", "poetry", "pdm", "hatch", "rye", "pipenv", "pixi")
_PYTHON = re.compile(r"(.*/)?python(3(\.\d+)?)?")
_FLAG = re.compile(r"-[qvxslh]+|-r[a-zA-Z]+|--[\w-]+=.*|-[a-zA-Z]+=.*")
_DJANGO_VALUES = ("--settings", "--pythonpath", "--tag", "--exclude-tag", "--parallel", "--verbosity", "--pattern",
                  "--testrunner", "--top-level-directory", "-v", "-k", "-p", "-t")  # fmt: skip
"""Options of `manage.py test` whose value is the next word. https://docs.djangoproject.com/en/stable/ref/django-admin/#test"""


@dataclass(frozen=True, slots=True)
class Command:
    """One program to start. `environment` is what the command itself sets; `written` is how a person would type it."""

    kind: Kind
    argv: tuple[str, ...]
    cwd: Path
    environment: tuple[tuple[str, str], ...] = ()
    written: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """One test that did not pass, or a file that could not be loaded. `file` is relative to the workspace."""

    test: str
    message: str
    file: str | None = None
    line: int | None = None
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run said. `doubts` are reasons not to believe that it passed; `files` counts the tests that passed by
    file; `hidden` are tests that were there and did not run, `by_option` of them by the command's own options."""

    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    failures: tuple[Failure, ...] = ()
    exit_code: int = 0
    runner: str = ""
    doubts: tuple[str, ...] = ()
    files: Mapping[str, int] = field(default_factory=dict[str, int])
    hidden: int = 0
    by_option: int = 0
    trouble: Trouble = ""
    """Why the results are none, or not all: no test session began, it refused its arguments, or it broke off."""
    problem: str = ""
    """The same in words, with what the program said."""
    running: str = ""
    """The test that was running when the program ended."""
    coverage: Mapping[str, Json] = field(default_factory=dict[str, Json])


def merged(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of several commands as one."""
    if len(outcomes) == 1:
        return outcomes[0]
    broken = next((o for o in outcomes if o.trouble), None)
    files: dict[str, int] = {}
    for outcome in outcomes:
        files.update(outcome.files)
    return Outcome(
        passed=sum(o.passed for o in outcomes),
        failed=sum(o.failed for o in outcomes),
        errors=sum(o.errors for o in outcomes),
        skipped=sum(o.skipped for o in outcomes),
        failures=tuple(f for o in outcomes for f in o.failures),
        exit_code=next((o.exit_code for o in outcomes if o.exit_code), 0),
        runner=", ".join(o.runner for o in outcomes if o.runner),
        doubts=tuple(d for o in outcomes for d in o.doubts),
        files=files,
        hidden=sum(o.hidden for o in outcomes),
        by_option=sum(o.by_option for o in outcomes),
        trouble=broken.trouble if broken else "",
        problem=broken.problem if broken else "",
        running=next((o.running for o in outcomes if o.running), ""),
        coverage=next((o.coverage for o in outcomes if o.coverage), dict[str, Json]()),
    )


def declared(policy: Policy, workspace: Workspace) -> str:
    """The test command: of the policy, or what the repository has by now, because the first test of a new repository
    may be younger than this server."""
    if text := policy.commands.get("test", ""):
        return text
    return suites.command(suites.suites(workspace.root, listing.files(workspace)))


def commands(text: str, root: Path) -> tuple[Command, ...]:
    """The programs that a test command of the policy stands for, to be run one after the other.

    Raises `FailedPrecondition` when it cannot be read, or names a folder outside the workspace.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise FailedPrecondition(f"commands.test: {error} in {text!r}; a person corrects mcp-backend.toml") from error
    if not words:
        raise FailedPrecondition(
            "no tests were found and no test command is known: write the first test (pytest, go test), or a person "
            'sets the command in mcp-backend.toml: [commands] test = "…"'
        )
    if _SHELL.search(text) or any(word != "&&" and _OPERATOR.fullmatch(word) for word in words):
        return (Command("other", ("sh", "-c", text), root, (), text),)
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            parts.append([])
        else:
            parts[-1].append(word)
    found: list[Command] = []
    cwd = root
    for part in filter(None, parts):
        if part[:1] == ["cd"] and len(part) == 2:
            cwd = (cwd / part[1]).resolve()
            if not cwd.is_relative_to(root.resolve()) or not cwd.is_dir():
                raise FailedPrecondition(f"commands.test: {part[1]} is not a folder of the workspace")
            continue
        found.append(_command(part, cwd, root))
    return tuple(found)


def interpreter(cwd: Path, root: Path) -> Path | None:
    """The Python of the project's own environment that has pytest, nearest to the tests."""
    for place in environments.near(cwd, root):
        if any(place.glob("lib/python3*/site-packages/pytest")):
            return place / "bin" / "python"
    return None


def _command(words: list[str], cwd: Path, root: Path) -> Command:
    part = list(itertools.dropwhile(_ASSIGNMENT.fullmatch, words))
    pairs = (word.partition("=") for word in words[: len(words) - len(part)])
    environment = tuple((name, value) for name, _, value in pairs)
    written = shlex.join(part)
    if not part:
        raise FailedPrecondition("commands.test sets variables but names no program")
    if (at := _pytest_at(part)) is not None:
        return Command("pytest", _pytest(part, at, cwd, root), cwd, environment, written)
    if part[0].rpartition("/")[2] == "go" and part[1:2] == ["test"]:
        return Command("go", tuple(part), cwd, environment, written)
    if part[0] in ("python", "python3") and (own := environments.python(cwd, root)):
        part = [str(own), *part[1:]]
    elif part[0] == "python" and shutil.which("python") is None:
        part = ["python3", *part[1:]]
    django = any(
        word.rpartition("/")[2] == "manage.py" and part[i + 1 : i + 2] == ["test"] for i, word in enumerate(part)
    )
    return Command("django" if django else "other", tuple(part), cwd, environment, written)


def _pytest_at(part: list[str]) -> int | None:
    """The index of the word after which pytest's own options begin."""
    launched = part[0].rpartition("/")[2] in _LAUNCHERS and "run" in part[1:3]
    for index, word in enumerate(part):
        name = word.rpartition("/")[2]
        if name in ("pytest", "py.test") and (index == 0 or launched or part[index - 1] == "-m"):
            return index
        if index == 0 and not launched and not _PYTHON.fullmatch(word):
            return None
    return None


def _pytest(part: list[str], at: int, cwd: Path, root: Path) -> tuple[str, ...]:
    """A command that a person pinned to an interpreter stays; otherwise the project's environment comes first."""
    pinned = "/" in part[0]
    python = None if pinned else interpreter(cwd, root)
    if python is not None:
        return (str(python), "-m", "pytest", *part[at + 1 :])
    if at == 0 and not pinned and shutil.which(part[0]) is None:
        return ("python3", "-m", "pytest", *part[1:])
    return tuple(part)


def narrowed(command: Command, chosen: Sequence[str]) -> Command:
    """The command for these arguments, instead of the tests that it names itself."""
    if command.kind == "django":
        return replace(command, argv=_labels(command, chosen))
    program = 2 if command.kind == "go" else _after(command.argv)
    kept: list[str] = []
    for before, word in zip(command.argv[program - 1 :], command.argv[program:], strict=False):
        value = before.startswith("-") and not _FLAG.fullmatch(before)
        named = command.kind == "go" or (command.cwd / word.split("::")[0]).exists()
        if word.startswith("-") or value or not named:
            kept.append(word)
    return replace(command, argv=(*command.argv[:program], *kept, *chosen))


def _labels(command: Command, chosen: Sequence[str]) -> tuple[str, ...]:
    """Django's test command for these labels instead of its own; its options stay."""
    at = command.argv.index("test") + 1
    own = [word for before, word in zip(command.argv[at - 1 :], command.argv[at:], strict=False)
           if word.startswith("-") or before in _DJANGO_VALUES]  # fmt: skip
    return (*command.argv[:at], *own, *chosen)


def _after(argv: Sequence[str]) -> int:
    return next((i + 1 for i, word in enumerate(argv) if word.rpartition("/")[2] in ("pytest", "py.test")), 1)


def relative(place: Path, root: Path) -> str:
    """A path as results show it: from the root of the workspace where it lies inside."""
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place)


def last_lines(text: str) -> str:
    """The end of what a program printed, on one line, for a reason."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-400:] or "it printed nothing"
