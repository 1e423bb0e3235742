"""Where a workspace and its state lie, and what a reference to a secret points to. Standard library only."""

import os
import re
import sys
from pathlib import Path

from mcp_backend.errors import InvalidArgument
from mcp_backend.expressions import Expression
from mcp_backend.records import dataclass


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
    return base / f"{name}-{sha256(os.fsencode(root))[:12]}"


def sha256(data: bytes) -> str:
    """In hexadecimal, by the module that `hashlib` falls back to: a hook would load all of OpenSSL for one name."""
    try:
        module = __import__("_sha2" if sys.version_info >= (3, 12) else "_sha256")
    except ImportError:
        module = __import__("hashlib")
    return str(module.sha256(data).hexdigest())


def user() -> str:
    """The operating-system user this process runs as. The environment (`LOGNAME`, `USER`) has no say in it: whoever
    starts a program can set that."""
    import pwd

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


_URL_PASSWORD = Expression(r"(://[^\s:/@]{0,256}:)[^\s@]{0,4096}@")
_HEADER = Expression(r"(?i)(authorization[\"']?\s*[=:]\s*[\"']?(?:bearer|basic|token)\s+)[^\s\"',;]+")
_NAMED = Expression(
    r"(?i)(password|passwd|passphrase|pwd|secret|token|(?:api|access|secret|private|auth)[_-]?key)"
    r"(\\?[\"']?\s*(?:=(?!=)|:(?!:))\s*)('[^']*'|\"[^\"]*\"|\\\"[^\"]*\\\"|\S+)"
)
_NO_SECRET = Expression(
    r"(?i)(?:jwt|jwts|opaque|bearer|the|an?|which|what|how|who|where|when|why|is|are|must|should|may|can|it|its|this|that"
    r"|these|not?|none|null|nil|true|false|optional|required|missing|invalid|expired|wrong|empty|unknown|expected|got"
    r"|str|string|bytes|int|integer|number|bool|boolean|any|object|secretstr|\*\*\*)[,.;:?!)\]|]*"
)
_ASKED = Expression(
    r"(?i):\s+[a-z]+(?:[ ,]+[a-z'-]+)*?[ ,]+(?:or|is|are|should|must|do|does|can|per|which)(?:[ ,]+[a-z'-]+)+\?"
)
QUESTION = 200
"""Characters of a question in plain words."""


def hide_credentials(text: str) -> str:
    """`text` with the password of every URL and what stands beside a name such as `password=`, `"token":` or
    `Authorization: Bearer` replaced. For anything a person or a log reads.

    What is replaced is anything but a word that says something about a credential (`token: JWT`, `password: str`), or
    a question in plain words (`secret: rotate weekly or daily?`): what is not known to be harmless is hidden.
    """
    if ":" not in text and "=" not in text:  # Each of the three has one of them.
        return text
    text = _HEADER.sub(r"\1***", _URL_PASSWORD.sub(r"\1***@", text))
    return _NAMED.sub(_hidden, text)


def _hidden(match: re.Match[str]) -> str:
    value = match[3]
    if _NO_SECRET.fullmatch(value) or _ASKED.match(match.string, match.start(2), match.start(2) + QUESTION):
        return match[0]
    return f"{match[1]}{match[2]}***"
