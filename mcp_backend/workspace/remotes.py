"""A remote of the repository: its address, what it has, and sending commits there.

Only remotes that the configuration names, and only at the address it gives: git is handed that address itself, so that
nothing else that is said about the remote counts. Settings of the person's own (credentials, proxies, other spellings
of addresses) are taken over; those of the repository that start programs or lead elsewhere are not.
https://git-scm.com/docs/git-push, https://git-scm.com/docs/gitremote-helpers
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mcp_backend.errors import DeadlineExceeded, FailedPrecondition, NotFound, Unavailable
from mcp_backend.settings import hide_credentials
from mcp_backend.workspace import git, git_environment
from mcp_backend.workspace.git import GitFailed, Repository

SECONDS = 300.0
HEADS = "refs/heads/"
PROTOCOLS = "file:http:https:ssh"
_ADDRESS = re.compile(
    r"(?:https?|ssh|file)://[^\s\x00-\x1f-][^\x00-\x1f]*"
    r"|(?!-)(?:[\w.-]+@)?(?!-)[\w.-]+:(?!:|//)[^\s:-][^\x00-\x1f]*|[./][^\x00-\x1f]*"
)
_NAME = re.compile(r"(?!-)[\w.@/-]{1,100}")
_LEADS_ELSEWHERE = re.compile(r"url\..*\.(insteadof|pushinsteadof)")
_ENVIRONMENT = re.compile(
    r"(?i)HOME|USER|LOGNAME|SSH_AUTH_SOCK|GIT_SSH_COMMAND|GIT_SSH|XDG_CONFIG_HOME|GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM)|DBUS_SESSION_BUS_ADDRESS"
    r"|(https?|all|no)_proxy|GIT_SSL_CAINFO|SSL_CERT_(FILE|DIR)"
)


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote by its name, the address git is given, and the repository with the environment for reaching it.
    `ignored` are settings of the repository about the way there that do not count."""

    name: str
    url: str
    repository: Repository
    ignored: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The address without a password."""
        return hide_credentials(self.url)


@dataclass(frozen=True, slots=True)
class Refs:
    """What a remote has: object ids by full ref names, and the branch its HEAD stands for."""

    ids: Mapping[str, str]
    head: str | None


def remote(repository: Repository, name: str, *, pushing: bool = False) -> Remote:
    """The remote of that name.

    Raises `NotFound` naming those there are, `FailedPrecondition` for an address or a setting that is not followed.
    """
    settings = _settings(repository)
    own = [(key, value) for scope, key, value in settings if scope in ("local", "worktree")]
    prefix = f"remote.{name}."
    if not _NAME.fullmatch(name) or not any(key == f"{prefix}url" for key, _ in own):
        known = sorted({key.removeprefix("remote.").removesuffix(".url") for key, _ in own
                        if key.startswith("remote.") and key.endswith(".url")})  # fmt: skip
        raise NotFound(f"remote: no remote {name[:80]!r}; there are: {', '.join(known) or 'none (git remote add)'}")
    if elsewhere := [key for key, _ in own if _LEADS_ELSEWHERE.fullmatch(key)]:
        raise FailedPrecondition(
            f"the repository's configuration has {elsewhere[0]}, which leads to another address than the remote's: "
            "a person moves it to their own configuration (git config --global), or removes it"
        )
    urls = [value for key, value in own if pushing and key == f"{prefix}pushurl"]
    urls = urls or [value for key, value in own if key == f"{prefix}url"]
    if len(urls) > 1:
        raise FailedPrecondition(f"{name} has {len(urls)} addresses: a person pushes to several at once")
    url = _address(urls[0], name, repository.root)
    if any(key == f"{prefix}vcs" or key.startswith(f"remote.{url}.") for key, _ in own):
        raise FailedPrecondition(f"{name} is reached through a program of the repository's configuration: not followed")
    ignored = [key for key, _ in own if key in ("core.sshcommand", f"{prefix}receivepack", f"{prefix}uploadpack")
               or re.fullmatch(r"credential\.(.*\.)?helper", key)]  # fmt: skip
    return Remote(name, url, _reaching(repository, settings), tuple(dict.fromkeys(ignored)))


def lazily(repository: Repository) -> Repository:
    """The repository as it is; a partial clone with what it takes to fetch what it lacks from where it came.
    https://git-scm.com/docs/partial-clone"""
    pattern = r"^remote\..*\.promisor$"
    found = git.text(git.run(repository, "config", "-z", "--name-only", "--get-regexp", pattern, accept=(0, 1)))
    if not found:
        return repository
    name = found.split("\0")[0].removeprefix("remote.").removesuffix(".promisor")
    reaching = remote(repository, name).repository
    pinned = git_environment.with_settings(reaching.environment, [(f"remote.{name}.uploadpack", "git-upload-pack")])
    return replace(reaching, environment=pinned)


def refs(remote: Remote) -> Refs:
    """The branches and tags of a remote as it answers now. Raises `Unavailable` when it does not."""
    output = _asked(remote, "ls-remote", "--symref", "--upload-pack=git-upload-pack", "--", remote.url)
    ids: dict[str, str] = {}
    head: str | None = None
    for line in output.splitlines():
        value, _, ref = line.partition("\t")
        if value.startswith("ref: ") and ref == "HEAD":
            head = value.removeprefix("ref: ")
        elif ref and not ref.endswith("^{}"):
            ids[ref] = value
    return Refs(ids, head)


def fetch(remote: Remote, branch: str) -> None:
    """Brings the remote-tracking branch in line with the branch at the remote. Raises `Unavailable`."""
    refspec = f"+{HEADS}{branch}:refs/remotes/{remote.name}/{branch}"
    options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules")
    _asked(remote, "fetch", *options, "--upload-pack=git-upload-pack", "--", remote.url, refspec)


def push(remote: Remote, branch: str, commit: str, before: str | None) -> None:
    """Moves a branch of the remote from `before` (`None`: it is not there) to `commit`, if it still stands there.

    Raises `GitFailed` with the words of the remote when it refuses, `Unavailable` when it does not answer.
    """
    lease = f"--force-with-lease={HEADS}{branch}:{before or ''}"
    options = ("--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--no-signed", lease)
    arguments = ("push", *options, "--receive-pack=git-receive-pack", "--", remote.url, f"{commit}:{HEADS}{branch}")
    git.run(remote.repository, *arguments, seconds=SECONDS)


def _asked(remote: Remote, *arguments: str) -> str:
    try:
        return git.text(git.run(remote.repository, *arguments, seconds=SECONDS))
    except (GitFailed, DeadlineExceeded) as error:
        raise Unavailable(
            f"the remote {remote.name} ({remote.shown}) does not answer: {error.reason}{hint(remote)}"
        ) from error


def hint(remote: Remote) -> str:
    """What may be missing on the way to the remote, to be added to an error."""
    if not remote.ignored:
        return ""
    return (f". Not followed, because the repository's configuration has it: {', '.join(remote.ignored)}; a person "
            "sets it in their own (git config --global)")  # fmt: skip


def _address(url: str, name: str, root: Path) -> str:
    if not _ADDRESS.fullmatch(url):
        raise FailedPrecondition(
            f"{name} has the address {hide_credentials(url)[:120]!r}: expected https, ssh (also host:path) or a path"
        )
    place = url.removeprefix("file://") if url.startswith(("file://", "/", ".")) else None
    if place is not None:
        real = Path(os.path.realpath(root / place))
        if real.is_relative_to(root):
            raise FailedPrecondition(
                f"{name} lies inside the workspace, where its hooks would run unfenced: a person moves it elsewhere"
            )
        return str(real) if not url.startswith("file://") else f"file://{real}"
    return url


def _settings(repository: Repository) -> list[tuple[str, str, str]]:
    """Every setting git would use here as (scope, key, value); reading starts no program."""
    asking = replace(repository, environment=git_environment.as_the_user(repository.environment))
    fields = git.text(git.run(asking, "config", "--show-scope", "--list", "-z")).split("\0")
    return [(scope, *_pair(entry)) for scope, entry in zip(fields[::2], fields[1::2], strict=False)]


def _pair(entry: str) -> tuple[str, str]:
    key, separator, value = entry.partition("\n")
    return key, value if separator else "true"


def _reaching(repository: Repository, settings: Iterable[tuple[str, str, str]]) -> Repository:
    """The repository with an environment that may reach a remote, as the person and with what is theirs."""
    known = list(settings)
    helpers = re.compile(r"credential\.(.*\.)?helper")
    # An empty helper forgets those before it; then the person's own are said once more.
    pairs = [(key, "") for scope, key, _ in known if scope in ("local", "worktree") and helpers.fullmatch(key)]
    pairs.append(("credential.helper", ""))
    pairs += [(key, value) for scope, key, value in known if scope in ("system", "global") and helpers.fullmatch(key)]
    pairs += [("core.alternateRefsCommand", "true"), ("push.negotiate", "false")]
    theirs = next((value for scope, key, value in reversed(known)
                   if scope in ("system", "global") and key == "core.sshcommand"), "ssh -oBatchMode=yes")  # fmt: skip
    own = {name: value for name, value in os.environ.items() if _ENVIRONMENT.fullmatch(name)}
    environment = git_environment.with_settings(repository.environment, pairs)
    for name in ("GIT_NO_LAZY_FETCH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"):
        environment.pop(name, None)
    reaching = {"GIT_ALLOW_PROTOCOL": PROTOCOLS, "GIT_ASKPASS": "false", "SSH_ASKPASS": "false"}
    return replace(repository, environment={**environment, **reaching, "GIT_SSH_COMMAND": theirs, **own})
