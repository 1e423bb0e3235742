"""squawk as a second opinion on a rehearsed migration of PostgreSQL. https://squawkhq.com/docs/rules

A linter reads text and knows neither the tables nor their rows, so it never changes a verdict. What it says is compared
with what was found: rules that are anchors of a finding of the same statement agree with it, the rest it says alone.
"""

import asyncio
import importlib.metadata
import json
import os
import re
import shutil
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mcp_backend.errors import Json
from mcp_backend.migrations.rehearsal.report import Report

SECONDS = 10.0
MOST = 30
EXTRA = "squawk is not installed (the extra migrations brings it), so there is no second opinion"

NOISE = frozenset(
    {
        "prefer-robust-stmts", "prefer-text-field", "prefer-big-int", "prefer-bigint-over-int",
        "prefer-bigint-over-smallint",
        "prefer-identity", "prefer-timestamptz", "prefer-jsonb", "require-timeout-settings", "require-lock-timeout",
        "require-statement-timeout", "require-table-schema", "ban-char-field", "prefer-repack",
        "require-enum-value-ordering",
        "constraint-missing-name", "require-concurrent-refresh-materialized-view-name",
    }
)  # fmt: skip
"""Rules about taste, or about what run_migration does itself: timeouts, retries, going on half-way."""


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that squawk says of a statement."""

    statement: int
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Opinion:
    """What squawk says: rules that agree with a finding, and what it says alone. `missing` is why it says nothing."""

    tool: str = ""
    agrees: tuple[str, ...] = ()
    alone: tuple[Said, ...] = ()
    missing: str = ""

    def as_json(self) -> dict[str, Json]:
        """As part of a result."""
        if self.missing:
            return {"not_checked": self.missing}
        return {
            "tool": self.tool,
            "agrees": list[Json](self.agrees),
            "alone": [{"rule": s.rule, "statement": s.statement, "message": s.message} for s in self.alone],
        }


async def ask(report: Report) -> Opinion:
    """squawk's opinion on the statements of a report. Never raises: what it cannot say, it says."""
    program = _program()
    if program is None:
        return Opinion(missing=EXTRA)
    text, lines = _joined(report)
    if not text:
        return Opinion(missing="no statement was rehearsed")
    found = await _run(program, text, report)
    if isinstance(found, str):
        return Opinion(missing=found)
    said = tuple(dict.fromkeys(_said(one, lines) for one in found if str(one.get("rule_name")) not in NOISE))
    known = {
        (h.statement, a.removeprefix("squawk/")) for h in report.hazards for a in h.anchors if a.startswith("squawk/")
    }
    agrees = dict.fromkeys(s.rule for s in said if (s.statement, s.rule) in known or (0, s.rule) in known)
    alone = tuple(s for s in said if (s.statement, s.rule) not in known and (0, s.rule) not in known)
    return Opinion(f"squawk {importlib.metadata.version('squawk-cli')}", tuple(agrees), alone[:MOST])


def _program() -> str | None:
    try:
        importlib.metadata.version("squawk-cli")
    except importlib.metadata.PackageNotFoundError:
        return None
    beside = os.path.join(sysconfig.get_path("scripts"), "squawk")
    return beside if os.access(beside, os.X_OK) else shutil.which("squawk")


def _joined(report: Report) -> tuple[str, Sequence[tuple[int, int]]]:
    """The statements as one text, and for each of them the line (from 0) it begins in and its number."""
    text: list[str] = []
    lines: list[tuple[int, int]] = []
    at = 0
    for statement in report.statements:
        sql = statement.sql.strip().rstrip(";")
        lines.append((at, statement.number))
        text.append(f"{sql}\n;\n")
        at += text[-1].count("\n")
    return "".join(text), lines


async def _run(program: str, text: str, report: Report) -> list[Mapping[str, Any]] | str:
    """What it found, or why it found nothing. It gets no settings of the repository and nothing of the environment."""
    command = [program, "--reporter", "json", "--stdin-filepath", "migration.sql", "--config", os.devnull]
    if version := re.search(r"(\d+)(?:\.(\d+))?", report.dialect):
        command += ["--pg-version", f"{version[1]}.{version[2] or 0}"]
    if len({s.transaction for s in report.statements}) == 1 and len(report.statements) > 1:
        command.append("--assume-in-transaction")
    try:
        process = await asyncio.create_subprocess_exec(
            *command, cwd="/", env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return f"squawk does not start: {error.strerror}"
    out, wrong = b"", b""
    try:
        out, wrong = await asyncio.wait_for(process.communicate(text.encode()), SECONDS)
        found: Any = json.loads(out or b"[]")
    except TimeoutError:
        return f"squawk did not answer within {SECONDS:g} s"
    except ValueError:
        return f"squawk said nothing that can be read: {wrong.decode(errors='replace').strip()[:200]}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode not in (0, 1) or not isinstance(found, list):
        return f"squawk failed: {wrong.decode(errors='replace').strip()[:200]}"
    return cast("list[Mapping[str, Any]]", found)


def _said(one: Mapping[str, Any], lines: Sequence[tuple[int, int]]) -> Said:
    line = int(one.get("line") or 0)
    number = next((n for at, n in reversed(lines) if at <= line), 0)
    return Said(number, str(one.get("rule_name")), " ".join(str(one.get("message")).split())[:200])
