"""`mcp-backend.toml` as `init` writes it: what was found, commented, for people to correct. Never a secret."""

import json
from collections.abc import Iterable, Sequence

from mcp_backend.migrations.forms import APPLIED, PROGRAMS
from mcp_backend.policy import KINDS
from mcp_backend.workspace import migration_folders
from mcp_backend.workspace.detect import Engine, Findings
from mcp_backend.workspace.overview import Overview

SHOWN = 12


def toml(found: Findings, seen: Overview) -> str:
    """The text of a policy file. It loads as it stands, and changes nothing that would not hold without it except
    what it names: engines that the repository uses, and the test command."""
    return "\n".join([*_HEAD, *_paths(seen), *_commands(found), *_engines(found), *_TAIL]) + "\n"


_HEAD = (
    "# What the backend engineer may do in this repository. Written by `mcp-backend init`; people edit it, the",
    "# engineer cannot. Everything has a default: delete what you do not need. `mcp-backend doctor` shows what is in",
    "# force, `mcp-backend check --why PATH` says whose a path is.",
)
_TAIL = (
    "",
    "# Who answers. The names are those of `mcp-backend inbox` and of the constraints below.",
    "# [people]",
    '# architect = ["ada@example.org"]',
    '# frontend_engineer = ["grace@example.org"]',
    '# data_owner = ["edgar@example.org"]',
    "",
    "# The contract of each destination of messages, where AsyncAPI files do not say it.",
    "# [contracts]",
    '# "orders.created" = "contracts/order_created.json"',
    "",
    "# Gaps of API specifications that need no answer, by the key that api_contract shows, and why.",
    "# [accepted_gaps]",
    '# "1a2b3c4d5e" = "dates are RFC 3339 everywhere, see docs/api.md"',
    "",
    "# Promises of the engineer can be tightened freely; loosening one needs a reason, which every audit record shows.",
    "# `mcp-backend check --promises` lists them.",
    "# [constraints.write-tests]",
    '# outcome = "warn"',
    '# disabled_because = "the prototype has no test suite until March"',
)


def _paths(seen: Overview) -> list[str]:
    lines = ["", "[paths]", "# Patterns as in .gitignore. They win over what is found; the most specific one counts."]
    lines += _listed("Found to be the frontend engineer's", [f"{r.folder}/  ({r.why})" for r in seen.frontends])
    if seen.elsewhere:
        lines.append(f"# and {seen.elsewhere} style sheets, scripts and components elsewhere.")
    lines.append("frontend = []")
    lines += _listed("Found to be servers in JavaScript", [f"{r.folder or '.'}/  ({r.why})" for r in seen.servers])
    lines += ["# What is yours although a rule says otherwise, such as a generated specification:", "backend = []"]
    lines += _listed("Found to be the architect's specifications", seen.specs)
    lines += [
        "spec = []",
        "# Beside the policy, host settings, CI definitions and .git, which are protected always:",
        "protected = []",
        '# Templates of pages: "ask" lets them through with a warning, "allow" without, "deny" refuses them.',
        'templates = "ask"',
        "# Source that needs no test beside it, such as generated code:",
        "no_tests_needed = []",
    ]
    return lines


def _commands(found: Findings) -> list[str]:
    lines = ["", "[commands]"]
    if not found.test:
        return [
            *lines,
            "# No tests were found. Commits of backend code wait until this names the command:",
            '# test = "pytest"',
        ]
    lines += [_comment(f"# {suite.folder or '.'}: {suite.because}") for suite in found.suites]
    return [*lines, f"test = {_text(found.test)}"]


def _engines(found: Findings) -> list[str]:
    lines = [
        "",
        "# Engines. url: embedded:KIND starts a local one for this workspace, env:NAME reads it from the environment",
        "# of the server, file:PATH from a file; never write a password here. Changes outside development wait for a",
        "# person.",
    ]
    for engine in found.engines:
        lines += _engine(engine, found)
    there = {engine.settings.kind for engine in found.engines}
    for use in found.uses:
        if use.kind not in there:
            lines.append(_comment(f"# The repository also uses {use.kind} ({use.because}): no tool works with it yet."))
    others = [m for m in found.migrations if m.tool not in APPLIED]
    unnamed = [m for m in found.migrations if m.tool in APPLIED and not _taken(m, found)]
    if others or unnamed:
        lines.append("")
    lines += _listed("Migrations of other tools, which run_migration does not apply", migration_folders.told(others))
    lines += _listed("Migrations that no engine here is named for", migration_folders.told(unnamed))
    return lines


def _taken(migrations: migration_folders.Migrations, found: Findings) -> bool:
    """Whether a folder is one that is applied: itself, or an app of the Django project or Alembic's versions in it."""
    return any(
        migrations.folder == folder or (migrations.tool in PROGRAMS and _below(migrations.folder, folder))
        for folder in found.applied.values()
    )


def _below(path: str, folder: str) -> bool:
    return folder == "." or path.startswith(f"{folder}/")


def _engine(engine: Engine, found: Findings) -> list[str]:
    assert engine.settings.kind in KINDS
    # A guess is written down as a comment: it holds anyway, and a URL in the environment should still win over it.
    mark = "# " if engine.settings.origin == "default" else ""
    lines = ["", _comment(f"# {engine.because}"), f"{mark}[engines.{engine.settings.name}]"]
    lines.append(f"{mark}url = {_text(engine.settings.url)}")
    if engine.settings.environment == "production":
        lines.append("# Unknown means production: changes wait for a person. Say development or staging if it is that.")
    lines.append(f"{mark}environment = {_text(engine.settings.environment)}")
    folder = found.applied.get(engine.settings.kind)
    if folder or engine.settings.kind == "postgresql":
        lines.append(f"{mark if folder else '# '}migrations = {_text(folder or 'db/migrations')}")
    return lines


def _listed(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    rest = len(items) - SHOWN
    return [f"# {title}:", *(_comment(f"#   {item}") for item in items[:SHOWN]), *_and_more(rest)]


def _and_more(rest: int) -> Iterable[str]:
    return (f"#   and {rest} more",) if rest > 0 else ()


def _comment(text: str) -> str:
    """One line, without the control characters that TOML does not allow in a comment."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _text(value: str) -> str:
    """A basic string (https://toml.io/en/v1.0.0#string); JSON escapes are the same but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
