"""What `doctor` says about the hosts whose files are in the repository: as `render HOST --check`, for each of them."""

from pathlib import Path

from mcp_backend.doctor.checks import Finding
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace

FOLDERS = {
    "claude-code": ".claude", "cursor": ".cursor", "codex": ".codex", "gemini-cli": ".gemini", "opencode": ".opencode",
    "qwen": ".qwen",
}  # fmt: skip
"""Folders that a repository has when somebody uses the host in it. VS Code's says nothing about its agent."""
NAME = "mcp-backend"
LARGEST = 1_000_000


def examine(place: Workspace, settings: Policy) -> list[Finding]:
    """One finding for each host that was rendered for this repository, or that has a folder in it."""
    from mcp_backend.hosts import HOOKED, host, placing
    from mcp_backend.hosts.site import site

    here = site(place, settings)
    found: list[Finding] = []
    for name in HOOKED:
        files = host(name).files(here)
        if not any(_ours(place.root / file.path) for file in files if file.kind != "shown"):
            if (folder := FOLDERS.get(name)) and (place.root / folder).is_dir():
                words = f"{folder} is here without the guard: a person runs `mcp-backend render {name} --write`"
                found.append(Finding(f"host {name}", "note", words, {"rendered": False}))
            continue
        stale = [file for file in placing.placed(files, place.root) if file.stale or file.conflicts]
        if not stale:
            found.append(Finding(f"host {name}", "ok", "rendered, up to date", {"rendered": True, "stale": []}))
            continue
        paths = [file.path for file in stale]
        why = "; ".join(f"{file.path} {conflict}" for file in stale for conflict in file.conflicts[:1])
        words = f"not as it would be rendered: {', '.join(paths[:5])}{f' ({why})' if why else ''}; a person runs "
        words += f"`mcp-backend render {name} --write`"
        found.append(Finding(f"host {name}", "bad", words, {"rendered": True, "stale": [*paths]}))
    return found


def _ours(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return NAME in file.read(LARGEST)
    except OSError:
        return False
