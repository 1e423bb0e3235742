"""squawk on one file, as somebody runs it who knows the version of the server and how the file is applied."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations.rehearsal.play import unit_of

VERSION = "18.0"


def installed() -> str | None:
    """The program."""
    return shutil.which("squawk", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")


async def rules(sql: str) -> set[str]:
    """The names of its rules that the text breaks: default rules, no configuration."""
    program = installed()
    if program is None:
        return set()
    try:
        inside = all(part.transaction for part in unit_of(sql).parts)
    except InvalidArgument:  # no SQL, which squawk says as well
        inside = True
    command = [program, "--reporter", "json", "--config", os.devnull, "--pg-version", VERSION]
    command += ["--stdin-filepath", "migration.sql", *(["--assume-in-transaction"] if inside else [])]
    done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
    return {str(found["rule_name"]) for found in json.loads(done.stdout or "[]")}
