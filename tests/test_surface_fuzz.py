"""A small sample of `benchmarks.surface_fuzz`: what nobody would send gets an answer and leaves the server whole."""

import json
import os
import random
from pathlib import Path
from typing import Any

from benchmarks.surface_fuzz import TREE
from benchmarks.surface_inputs import calls, crossed, drawn, malformed, other
from benchmarks.surface_wires import StdioWire
from mcp_backend.tools import TOOLS
from tests.conftest import git

QUICK = ("read_file", "search_code", "escalate", "check_escalation", "git_status", "write_file", "edit_file")
"""Tools that start no program of the repository and no engine, so that the sample is one of the surface."""


async def test_lines_and_arguments_of_no_sense_get_answers_and_leave_the_server_whole(repository: Path) -> None:
    for name, text in TREE.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "more")
    schemas = {tool.name: tool.input_schema() for tool in TOOLS if tool.name in QUICK}
    pools = {name: drawn(calls(schema), 2, 1) for name, schema in schemas.items()}
    dice = random.Random(1)
    wire = await StdioWire.open(repository, "2025-11-25", os.environ)
    answers: list[dict[str, Any] | None] = []
    for number in range(40):
        await wire.throw(malformed(dice, 10**9 + number, {}))
        name = dice.choice(QUICK)
        call = {"name": name, "arguments": crossed(dice, pools[name])}
        method, params = ("tools/call", call) if number % 3 else other(dice)
        answers.append(await wire.ask(method, params, cancel=False))
    answers.append(await wire.ask("tools/call", {"name": "escalate", "arguments": {"title": "\ud83c"}}, cancel=False))
    unanswered = await wire.unanswered()
    ended, said = wire.ended(), await wire.close()
    assert not ended
    assert unanswered == []
    assert "Traceback" not in said
    assert all(answer is not None and ("result" in answer) != ("error" in answer) for answer in answers)
    text = json.dumps(answers)
    assert '"internal"' not in text
    assert "-32603" not in text
