"""The migration program of a project: how it is started so that it talks to the tap, and to nothing else."""

import os
import re
import secrets
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from mcp_backend.errors import FailedPrecondition
from mcp_backend.migrations.wiretap.tap import USER, Tap
from mcp_backend.policy import EngineSettings, Policy
from mcp_backend.settings import Workspace, hide_credentials, private

LOGS = 20
URL = "MCP_BACKEND_TAP_URL"
"""The variable that has the tap's URL for our own launchers."""
_POSTGRESQL = re.compile(r"(postgres(?:ql|is)?(?:\+\w+)?|psql|pgsql)://")
_NAMED = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*[\"']?(\S+)", re.MULTILINE)
_BROKEN = re.compile(r"[\w.]*(?:ImproperlyConfigured|Error|Exception): [^|]+|\w+ \| Field required[^|]*")
"""What a program ends with that cannot be loaded, or does not find what it needs."""
_ELSEWHERE = re.compile(
    r"OperationalError|InterfaceError|\bConnection\w*Error|gaierror|Timeout\w*Error"
    r"|connection (?:refused|failed|to server)|(?:could not|failed to|can't) connect",
    re.IGNORECASE,
)
"""What it ends with when it asked for another address than its own."""
_PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "host": ("PGHOST", "DB_HOST", "DATABASE_HOST", "POSTGRES_HOST", "POSTGRES_SERVER", "SQL_HOST",
             "DJANGO_DB_HOST"),
    "port": ("PGPORT", "DB_PORT", "DATABASE_PORT", "POSTGRES_PORT", "SQL_PORT", "DJANGO_DB_PORT"),
    "database": ("PGDATABASE", "DB_NAME", "DB_DATABASE", "DATABASE_NAME", "POSTGRES_DB", "POSTGRES_DATABASE",
                 "SQL_DATABASE", "DJANGO_DB_DATABASE", "DJANGO_DB_NAME"),
    "user": ("PGUSER", "DB_USER", "DB_USERNAME", "DATABASE_USER", "DATABASE_USERNAME", "POSTGRES_USER",
             "SQL_USER", "DJANGO_DB_USER"),
    "password": ("PGPASSWORD", "DB_PASSWORD", "DB_PASS", "DATABASE_PASSWORD", "POSTGRES_PASSWORD", "SQL_PASSWORD",
                 "DJANGO_DB_PASSWORD"),
})  # fmt: skip
"""Variables from which projects put an address together, when they take no URL."""


@dataclass(frozen=True, slots=True)
class Command:
    """One run: the arguments after the interpreter, where, and how it is told to people. `more` are variables of its
    own, `files` what it finds in a private folder, whose place is the variable `MCP_BACKEND_TAP_FILES`. `scheme` is the
    form of URL that its driver needs."""

    arguments: tuple[str, ...]
    cwd: Path
    told: str
    more: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    scheme: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended. `tail` is the last of what it printed."""

    exit_code: int
    timed_out: bool
    tail: str

    @property
    def last(self) -> str:
        """Its last lines, for a sentence."""
        lines = [line.strip() for line in self.tail.splitlines() if line.strip()]
        return hide_credentials(" | ".join(lines[-4:]))[-600:]


async def run(
    workspace: Workspace, policy: Policy, settings: EngineSettings, tap: Tap, command: Command, seconds: float
) -> Ended:
    """Runs the command with the project's own interpreter, in a fence whose only way out is the tap.

    Raises `FailedPrecondition` where there is no interpreter, or no fence that keeps a program from other servers.
    """
    from mcp_backend.workspace import process
    from mcp_backend.workspace.fence.around import around

    interpreter = found(workspace.root, settings, command.cwd)
    only = replace(
        policy, engines=MappingProxyType({}),
        sandbox=replace(policy.sandbox, ports=(tap.port,), network_because="", unfenced_because=""),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="mb-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        for file, text in command.files.items():
            (folder / file).write_text(text, "utf-8")
        environment = _environment(workspace, policy, tap, command) | {"MCP_BACKEND_TAP_FILES": str(folder)}
        environment |= {k: v.replace("{files}", str(folder)) for k, v in command.more.items()}
        arguments = [text.replace("{files}", str(folder)) for text in command.arguments]
        async with around(workspace, only, cwd=command.cwd, shared=(folder,)) as inside:
            if "network: loopback" not in inside.sandbox:
                raise FailedPrecondition(
                    f"{command.told}: a migration program runs only in a fence with a network of its own, so that it "
                    f"reaches nothing but what is rehearsed; here holds {inside.sandbox}. A person allows user "
                    "namespaces or installs bubblewrap; `mcp-backend doctor` shows what was tried"
                )
            ended = await process.run(
                [interpreter, *arguments], cwd=command.cwd, environment=environment | dict(inside.environment),
                seconds=seconds, log=_log(workspace), fence=inside,
            )  # fmt: skip
            if not ended.timed_out:
                inside.confirm()
    tail = ended.tail.replace(tap.password, "***").replace(quote(tap.password), "***")
    return Ended(ended.exit_code, ended.timed_out, tail)


def found(root: Path, settings: EngineSettings, near: Path) -> str:
    """The project's own interpreter, nearest to the folder of its migrations."""
    from mcp_backend.workspace import environments, process
    from mcp_backend.workspace.childenv import clean_path

    key = f"engines.{settings.name}.migration_python"
    if named := settings.migrating.python:
        program = named if "/" not in named else str((root / named).absolute())
        if process.found(program, root, os.environ):
            return program
        raise FailedPrecondition(f"{key}: {named} is no program that can be started")
    if (own := environments.python(near, root)) and os.access(own, os.X_OK):
        return str(own)
    for name in ("python3", "python"):
        path = clean_path(os.environ.get("PATH", os.defpath), root, keep_workspace=True)
        if process.found(name, root, {"PATH": path}):
            return name
    raise FailedPrecondition(f"there is no .venv of this project and no python3 on the PATH; name it in {key}")


def address(tap: Tap, scheme: str = "") -> str:
    """The tap's URL. TLS is said to be off: it is this machine's loopback."""
    scheme = scheme or "postgresql"
    query = "ssl=disable" if scheme.endswith("+asyncpg") else "" if scheme.endswith("+pg8000") else "sslmode=disable"
    place = f"{scheme}://{USER}:{quote(tap.password)}@127.0.0.1:{tap.port}/{quote(tap.place.database, safe='')}"
    return f"{place}?{query}" if query else place


def scheme(url: str) -> str:
    """The scheme of a PostgreSQL URL, driver included; nothing of anything else."""
    match = _POSTGRESQL.match(url)
    return match[1] if match else ""


def _environment(workspace: Workspace, policy: Policy, tap: Tap, command: Command) -> dict[str, str]:
    """What the command sees: what a shell line would, with every variable that names a database pointing to the tap."""
    from mcp_backend.workspace import childenv

    kept = childenv.for_commands(workspace.root, os.environ, policy.sandbox.environment)
    named = {**_from_file(workspace.root), **_from_file(command.cwd), **os.environ}
    urls = {name: form for name, value in named.items() if (form := scheme(value))}
    urls.setdefault("DATABASE_URL", command.scheme)
    kept |= {name: address(tap, form) for name, form in urls.items()}
    values = {"host": "127.0.0.1", "port": str(tap.port), "database": tap.place.database, "user": USER,
              "password": tap.password}  # fmt: skip
    kept |= {name: values[part] for part, names in _PARTS.items() for name in names}
    kept |= {"PGSSLMODE": "disable", "PGGSSENCMODE": "disable", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    return kept | {URL: address(tap, command.scheme)}


def _from_file(folder: Path) -> dict[str, str]:
    try:
        place = folder / ".env"
        return dict(_NAMED.findall(place.read_text("utf-8", "replace")[:200_000])) if place.is_file() else {}
    except OSError:
        return {}


def _log(workspace: Workspace) -> Path:
    folder = private(private(workspace.state) / "logs")
    for old in sorted(folder.glob("migrate-*.log"), key=lambda path: path.stat().st_mtime)[: -LOGS + 1]:
        old.unlink(missing_ok=True)
    return folder / f"migrate-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}.log"


def why(ended: Ended, tap: Tap, told: str) -> str:
    """Why a command did not do what it was asked to, in words, with what to do."""
    if tap.trouble:
        return f"{told}: {tap.trouble}"
    if ended.timed_out:
        return f"{told} did not end in time and was stopped"
    if (lacks := re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", ended.last or "")) and not tap.sessions:
        return (
            f"{told}: the interpreter that was found has no {lacks[1]}. Install the project's dependencies into a "
            ".venv beside its manifest, or a person names their interpreter in engines.NAME.migration_python of "
            "mcp-backend.toml"
        )
    if not tap.sessions:
        if (broken := _BROKEN.search(ended.last)) and not _ELSEWHERE.search(ended.last):
            said = ended.last[broken.start() :][:300]
            return (
                f"{told} ended before it connected: {said}. What the project's settings need (which database, "
                "which folder, DJANGO_SETTINGS_MODULE …) goes into a .env that it reads, or is set for this server "
                "and named by a person in [sandbox] environment of mcp-backend.toml"
            )
        hint = "it insisted on TLS, which loopback has not: let sslmode come from the URL. " if tap.wanted_tls else ""
        return (
            f"{told} never connected to the database that it was given (exit code {ended.exit_code}): {hint}The "
            "project has to take its address from a variable that can be set: DATABASE_URL, that of the engine's "
            "url (env:NAME), or PGHOST, PGPORT, PGDATABASE, PGUSER and PGPASSWORD. Other variables are named "
            f"in [sandbox] environment of mcp-backend.toml. It printed: {ended.last or 'nothing'}"
        )
    return f"{told} failed with exit code {ended.exit_code}: {ended.last or 'it printed nothing'}"
