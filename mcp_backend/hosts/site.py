"""What a host's files are rendered from, and what a rendered file is. Not for hooks: this imports the tools."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import Any, Literal, TypeAlias

from mcp_backend.persona import Persona
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace

Kind: TypeAlias = Literal["whole", "json", "block", "shown"]
"""`whole`: ours from the first line to the last. `json`: merged into what is there. `block`: ours between two markers.
`shown`: a file of the person's own, outside the repository; printed, never written."""
MARK = "mcp-backend render"
"""Stands in every file that is wholly ours: a file without it is somebody else's."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """One file. `content` is text, for `json` the object that is merged in, or for `whole` an image."""

    path: str
    kind: Kind
    content: str | dict[str, Any] | bytes


@dataclass(frozen=True, slots=True)
class Site:
    """One repository: what is guarded in it as globs from its root, and how this program is started."""

    root: Path
    persona: Persona
    frontend: tuple[str, ...]
    spec: tuple[str, ...]
    settings: tuple[str, ...]
    launcher: tuple[str, ...]
    toolsets: tuple[str, ...]
    own_tools: frozenset[str]
    """The tools offered to a host that has its own for files and commands."""
    variables: tuple[str, ...]
    """Names of the environment variables that the policy's engines are reached by. Some hosts hand on only what is
    named."""

    def hook(self, host: str) -> str:
        """The command line of the hook, for a shell. A hook that cannot be started ends with 127, which hosts take for
        no objection: hence the `|| exit 2`, which refuses."""
        beside = Path(self.launcher[0]).with_name("mcp-backend-hook")
        if shutil.which("mcp-backend-hook"):
            line = f"mcp-backend-hook {host}"
        elif len(self.launcher) == 1 and beside.is_file():
            line = join((str(beside), host))
        else:
            line = join((*self.launcher, "hook", host))
        return f"{line} || exit 2"

    def server(self, *, workspace_tools: bool = False, workspace: str = "") -> dict[str, Any]:
        """Command and arguments of the server. Hosts with tools of their own get no second set."""
        arguments = [*self.launcher[1:], "serve"]
        if not workspace_tools:
            arguments += ["--toolsets", ",".join(self.toolsets)]
        if workspace:
            arguments += ["--workspace", workspace]
        return {"command": self.launcher[0], "args": arguments}

    @property
    def closed(self) -> tuple[str, ...]:
        """Every guarded glob that no decision opens for edits: a host's own rules know of none."""
        return (*self.frontend, *self.settings)

    def role(self) -> str:
        """The role in prose for these tools, without front matter."""
        from mcp_backend import persona

        return persona.render(self.persona.role, {}, self.persona, self.own_tools)


SETTINGS = (
    "mcp-backend.toml", ".git/**", ".mcp.json", ".claude/**", ".cursor/**", ".codex/**", ".gemini/**", ".vscode/**",
    ".opencode/**", "opencode.json", ".qwen/**", ".github/workflows/**", ".github/hooks/**", ".github/mcp.json",
    "AGENTS.md", "CLAUDE.md", "GEMINI.md", ".pre-commit-config.yaml", ".gitattributes", ".gitmodules",
)  # fmt: skip


def site(place: Workspace, policy: Policy) -> Site:
    """The site of a workspace."""
    from mcp_backend import persona
    from mcp_backend.hosts import connecting
    from mcp_backend.tools import TOOLSETS, enabled
    from mcp_backend.workspace import listing, ownership
    from mcp_backend.workspace.current import roots_before, roots_of

    now = roots_of(place, policy)
    folders = [f"{root.folder}/**" for root in now.of("frontend", "voted") if root.folder]
    files = listing.files(place)
    owned = ownership.decided(files, place, now, roots_before(place, policy))
    specs = [path for path in files if owned[path].owner == "spec"]
    toolsets = tuple(name for name in TOOLSETS if name != "workspace")
    launcher = ("mcp-backend",) if shutil.which("mcp-backend") else connecting.launcher()
    return Site(
        place.root, persona.load(), tuple(dict.fromkeys((*policy.frontend, *folders))),
        tuple(dict.fromkeys((*policy.spec, *specs[:100]))), (*policy.protected, *SETTINGS), launcher, toolsets,
        frozenset(enabled(frozenset(toolsets), read_only=False)), connecting.variables(policy),
    )  # fmt: skip


def skills(folder: str) -> list[Rendered]:
    """The skills, each with our mark at its end."""
    from mcp_backend import persona

    found = sorted((persona.folder() / "skills").glob("*/SKILL.md"))
    return [
        Rendered(
            f"{folder}/{path.parent.name}/SKILL.md", "whole", f"{path.read_text('utf-8').rstrip()}\n\n<!-- {MARK} -->\n"
        )
        for path in found
    ]
