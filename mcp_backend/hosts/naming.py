"""Names of files that a host's own edit tools may not make: as `write_file` judges them."""

import os
from collections.abc import Callable
from pathlib import Path

from mcp_backend.errors import InvalidArgument
from mcp_backend.hosts.intents import Intent
from mcp_backend.workspace.canonical import inside
from mcp_backend.workspace.naming import writable


def misnamed(intent: Intent, root: Path, temporary: Callable[[str], bool]) -> str:
    """What is wrong with the name of a file in the workspace that an edit tool names; "" where nothing is."""
    for change in intent.changes:
        path = change.path if change.path != change.path.strip() else os.path.expanduser(change.path)
        path = os.path.join(intent.cwd or str(root), path)
        relative = inside(path, root) if "\\" not in path else path
        if relative and not temporary(path):
            try:
                writable(relative + "/" * path.endswith("/"), root)
            except InvalidArgument as error:
                return f"{intent.tool}: {error.reason}"
    return ""
