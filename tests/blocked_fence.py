"""Prints which layer holds for the user and the rights this process has, and what a command could do in it.

`blocked_fence.py FOLDER [nothing]`: FOLDER is empty and ours; `nothing` also has the kernel refuse namespaces, mounts
and Landlock, as a strict container does. Standard library and this package only.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mcp_backend.settings import Workspace
from mcp_backend.workspace.fence import kernel, probe, seccomp


def main(folder: Path, *words: str) -> None:
    if words:
        seccomp.REFUSED["landlock_create_ruleset"] = (444, 444)
        kernel.no_new_privileges()
        seccomp.apply(unix=True, datagrams=True)
    (folder / "ws").mkdir()
    place = Workspace(folder / "ws", folder / "state", False)
    found = probe.found(place)
    print(json.dumps({"uid": os.geteuid(), "tier": found.tier, "failed": dict(found.failed)}))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), *sys.argv[2:])
    except subprocess.SubprocessError as error:
        sys.exit(str(error))
