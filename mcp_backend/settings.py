"""Where a workspace and its state lie, and what a reference to a secret points to. Standard library only."""

import hashlib
import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path

from mcp_backend.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Workspace:
    """One repository. `root` is canonical; `state` is a private folder of the user's for this workspace, outside it.

    `repository` tells whether `root` is inside a git work tree.
    """

    root: Path
    state: Path
    repository: bool


def workspace(start: Path) -> Workspace:
    """The workspace that `start` belongs to: the root of its git work tree, or the folder itself.

    Raises `InvalidArgument` when `start` is not a folder.
    """
    if not start.is_dir():
        raise InvalidArgument(f"workspace: {start} is not a folder")
    origin = start.resolve()
    root = next((folder for folder in (origin, *origin.parents) if (folder / ".git").exists()), None)
    chosen = root or origin
    return Workspace(chosen, state_folder(chosen), root is not None)


def state_folder(root: Path) -> Path:
    """`$MCP_BACKEND_STATE` or `$XDG_STATE_HOME/mcp-backend`, then a name and a hash of the canonical root."""
    home = os.environ.get("MCP_BACKEND_STATE")
    base = (
        Path(home) if home else Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "mcp-backend"
    )
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", root.name).strip("-")[:24] or "root"
    return base / f"{name}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"


def user() -> str:
    """The operating-system user this process runs as. The environment (`LOGNAME`, `USER`) has no say in it: whoever
    starts a program can set that."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


def private(folder: Path) -> Path:
    """The folder, created with mode 0700 where it was missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def resolve(reference: str, *, field: str) -> str:
    """What `env:NAME` or `file:PATH` stands for; any other text stands for itself.

    Raises `InvalidArgument` naming the field and the missing variable or file, never the value.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        value = os.environ.get(rest)
        if not value:
            raise InvalidArgument(f"{field}: the environment variable {rest} is not set for this server")
        return value
    if scheme == "file":
        try:
            return Path(rest).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"{field}: cannot read the file {rest}: {type(error).__name__}") from error
    return reference


def hide_credentials(text: str) -> str:
    """`text` with the password of every URL and `password=` pair replaced. For anything a person or a log reads."""
    text = re.sub(r"(\w[\w+.-]*://[^\s:/@]*:)[^\s@]*@", r"\1***@", text)
    return re.sub(r"(?i)(password|passwd|pwd|secret|token)(\s*[=:]\s*)('[^']*'|\"[^\"]*\"|\S+)", r"\1\2***", text)
