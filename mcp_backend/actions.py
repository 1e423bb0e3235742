"""What a call would do, as plain frozen data. Standard library only: host hooks import this module.

A tool turns its arguments into actions, guards judge actions, and `run` does exactly the actions that were
judged. The union is closed: a new verb is a design decision.
"""

from collections.abc import Sequence
from typing import TypeAlias

from mcp_backend.records import dataclass

FORMAT = "1"
"""Version of the canonical form below. Part of every digest, so a change of form never matches old approvals."""


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Create or replace one file. Digests are hex SHA-256 of the bytes; `None` before means it did not exist."""

    path: str
    sha256_before: str | None
    sha256_after: str


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """Remove one file."""

    path: str


@dataclass(frozen=True, slots=True)
class MoveFile:
    """Rename one file."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class RunCommand:
    """Run a program in the workspace. `writes` are the paths it is known to write, where that can be known."""

    argv: tuple[str, ...]
    cwd: str
    writes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadRows:
    """Run one statement that only reads."""

    engine: str
    environment: str
    sql: str


@dataclass(frozen=True, slots=True)
class ExecuteSql:
    """Run statements that change a database whose schema fingerprint is `at_version`."""

    engine: str
    environment: str
    statements: tuple[str, ...]
    at_version: str


@dataclass(frozen=True, slots=True)
class PublishMessage:
    """Publish messages. `sha256` is of the encoded payload; `schema` is the contract it was checked against. Of
    several, `message_id` and `headers` are those of the first, and `sha256` is of all that each of them is."""

    engine: str
    environment: str
    destination: str
    message_id: str
    headers: tuple[tuple[str, str], ...]
    sha256: str
    schema: str | None
    messages: int = 1


@dataclass(frozen=True, slots=True)
class ConfigureMessaging:
    """Change streams, topics, consumers or groups."""

    engine: str
    environment: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CreateCommit:
    """Make `tree` the next commit of the current branch. `paths` are exactly those that differ from the parent, or
    from the commit it replaces (`replaces`: amend)."""

    paths: tuple[str, ...]
    message: str
    tree: str
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class MoveBranch:
    """Create, move or delete a local branch. `None` stands for "does not exist"."""

    branch: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class PushCommits:
    """Update a ref of a remote. `commits` are those it does not have yet, the new tip first; `paths` what they
    change; `force` when commits that it has would no longer be reached."""

    remote: str
    ref: str
    commits: tuple[str, ...]
    force: bool
    paths: tuple[str, ...] = ()


SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""Those that change nothing: RFC 9110 section 9.2.1."""


@dataclass(frozen=True, slots=True)
class CallApi:
    """Send one request to a running service. `method` is HTTP's, or `query`, `mutation`, `rpc`, `websocket`; values of
    `headers` that are credentials stand there as references, never as they are."""

    method: str
    url: str
    sha256_body: str | None = None
    environment: str = "development"
    headers: tuple[tuple[str, str], ...] = ()


Action: TypeAlias = (
    WriteFile
    | DeleteFile
    | MoveFile
    | RunCommand
    | ReadRows
    | ExecuteSql
    | PublishMessage
    | ConfigureMessaging
    | CreateCommit
    | MoveBranch
    | PushCommits
    | CallApi
)

READ_ONLY: tuple[type, ...] = (ReadRows,)
"""Actions without an effect outside this process. Everything else is an effect."""


def digest(tool: str, actions: tuple[Action, ...]) -> str:
    """Hex SHA-256 that names exactly this call. Every field of every action is in it but `at_version`, because an
    action holds only what a guard or a person judges; facts, previews and prepared data are left out on purpose.

    The version of the world is what an approval is bound to besides the digest: with it inside, a call whose world
    moved could not be told from another call. A path that is not UTF-8 has lone surrogates (`os.fsdecode`); they
    count as they are.
    """
    import hashlib
    import json

    canonical = [FORMAT, tool, [[type(action).__name__, _fields(action)] for action in actions]]
    text = json.dumps(canonical, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _fields(action: Action) -> dict[str, object]:
    return {name: getattr(action, name) for name in action.__match_args__ if name != "at_version"}


def counted(number: int, thing: str) -> str:
    """`1 statement`, `2 statements`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], most: int) -> str:
    """`a, b and 3 more`: the first `most` names, and how many there are besides."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def where(engine: str, environment: str) -> str:
    """An engine and its environment, as people read it."""
    return engine if engine == environment else f"{engine} ({environment})"


def describe(action: Action) -> str:
    """One action in a few words for people and the audit: names and places, never content."""
    match action:
        case WriteFile(path=path):
            return f"write {path}"
        case DeleteFile(path=path):
            return f"delete {path}"
        case MoveFile(source=source, target=target):
            return f"move {source} to {target}"
        case RunCommand(argv=argv):
            return f"run {argv[0] if argv else 'nothing'}"
        case ReadRows(engine=engine, environment=environment):
            return f"read {engine} ({environment})"
        case ExecuteSql(engine=engine, environment=environment, statements=statements):
            return f"execute {len(statements)} statements on {engine} ({environment})"
        case PublishMessage(engine=engine, environment=environment, destination=destination, messages=messages):
            what = f"{messages} messages " if messages > 1 else ""
            return f"publish {what}to {destination} on {engine} ({environment})"
        case ConfigureMessaging(engine=engine, environment=environment, changes=changes):
            return f"make {len(changes)} changes of {engine} ({environment})"
        case CreateCommit(paths=paths, tree=tree):
            return f"commit {len(paths)} paths as tree {tree[:12]}"
        case MoveBranch(branch=branch):
            return f"move branch {branch}"
        case PushCommits(remote=remote, ref=ref, commits=commits, force=force):
            return f"{'force-push' if force else 'push'} {len(commits)} commits to {remote} {ref}"
        case CallApi(method=method, url=url):
            return f"{method} {url}"
