"""The environment git runs in: pinned, so that nothing is discovered and no program of the repository starts.

The settings of the user that change what a commit contains (identity, ignore file, line endings) are read once and
passed on; every setting that could start a program is overridden, which git lets a command line do for all of them
but included files: those are refused. Attributes can still name filters; only git-lfs runs, and only as itself.
https://git-scm.com/docs/git#_environment_variables, https://git-scm.com/docs/git-config
"""

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from mcp_backend.errors import FailedPrecondition
from mcp_backend.settings import Workspace
from mcp_backend.workspace.childenv import clean_path
from mcp_backend.workspace.git import GitFailed, Repository, run, text

LFS = {
    "clean": "git-lfs clean -- %f",
    "smudge": "git-lfs smudge -- %f",
    "process": "git-lfs filter-process",
    "required": "true",
}
"""What `git lfs install` writes, word for word: the only filter that runs."""
_INCLUDED = re.compile(r"include\.path|includeif\..*\.path")
_OVERRIDDEN = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("core.sshCommand", "false"),
    ("core.gitProxy", "false"),
    ("core.askPass", "false"),
    ("core.editor", "false"),
    ("sequence.editor", "false"),
    ("core.pager", "cat"),
    ("core.attributesFile", os.devnull),
    ("core.untrackedCache", "keep"),
    ("core.trustctime", "true"),
    ("core.checkStat", "default"),
    ("core.ignoreStat", "false"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("core.symlinks", "true"),
    ("core.quotePath", "false"),
    ("commit.gpgSign", "false"),
    ("tag.gpgSign", "false"),
    ("log.showSignature", "false"),
    ("gpg.program", "false"),
    ("gpg.ssh.program", "false"),
    ("gpg.x509.program", "false"),
    ("diff.external", ""),
    ("diff.noprefix", "false"),
    ("diff.mnemonicPrefix", "false"),
    ("protocol.allow", "never"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("safe.bareRepository", "explicit"),
    ("i18n.commitEncoding", "UTF-8"),
    ("i18n.logOutputEncoding", "UTF-8"),
)
_PINNED: Mapping[str, str] = {
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_PAGER": "cat",
    "GIT_EDITOR": "false",
    "GIT_SEQUENCE_EDITOR": "false",
}
_PASSED_ON = ("core.excludesfile", "core.autocrlf", "core.eol", "core.safecrlf", "commit.gpgsign", "core.hookspath")


def open_repository(workspace: Workspace) -> Repository:
    """The repository of a workspace.

    Raises `FailedPrecondition` where there is none, where it has no work tree, where git is not installed, and where
    the configuration includes other files (named), because those could change between looking and doing.
    """
    root = workspace.root
    if not workspace.repository:
        if (root / "HEAD").is_file() and (root / "objects").is_dir():
            raise FailedPrecondition(
                f"{root.name} is a bare repository: commits need a work tree. Run the server in a clone of it"
            )
        raise FailedPrecondition(f"{root.name} is not a git repository: run `git init` there, then repeat this call")
    path = clean_path(os.environ.get("PATH", os.defpath), root)
    if shutil.which("git", path=path) is None:
        raise FailedPrecondition("git is not installed, or not on the PATH of this server: install it")
    git_dir, common_dir = _directories(root)
    pinned = {**_PINNED, "PATH": path, "GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(root)}
    filters = _audited(git_dir, common_dir, path)
    user = _effective(Repository(root, git_dir, common_dir, as_the_user(pinned)))
    lfs = all(user.get(f"filter.lfs.{key}") == value for key, value in LFS.items())
    settings = [*_OVERRIDDEN, *((key, user[key]) for key in _PASSED_ON[:4] if key in user)]
    for name in filters - ({"lfs"} if lfs else set[str]()):
        settings += [(f"filter.{name}.{key}", "") for key in ("clean", "smudge", "process")]
        settings.append((f"filter.{name}.required", "false"))
    if lfs:
        settings += [(f"filter.lfs.{key}", value) for key, value in LFS.items()]
    foreign = filters | {name for key in user if (name := _filter(key))}
    foreign -= {"lfs"} if lfs else set[str]()
    return Repository(root, git_dir, common_dir, pinned | numbered(settings), user, frozenset(foreign), lfs)


def identity(repository: Repository) -> dict[str, str]:
    """Author and committer as environment variables, by git's own rules, never guessed from the host name.

    Raises `FailedPrecondition` saying what to set.
    """
    found: dict[str, str] = {}
    environment = as_the_user(repository.environment) | numbered([("user.useConfigOnly", "true")])
    asking = replace(repository, environment=environment)
    for role in ("AUTHOR", "COMMITTER"):
        try:
            line = text(run(asking, "var", f"GIT_{role}_IDENT"))
        except GitFailed as error:
            raise FailedPrecondition(
                "git does not know who commits: set user.name and user.email "
                "(git config --global user.name …, git config --global user.email …), then repeat this call"
            ) from error
        person = re.fullmatch(r"(.*) <(.*)> \d+ [+-]\d+\n?", line)
        if person is None:
            raise FailedPrecondition(
                f"git var GIT_{role}_IDENT answers in a form that is not known: set user.name and user.email"
            )
        found |= {f"GIT_{role}_NAME": person[1], f"GIT_{role}_EMAIL": person[2]}
    return found


def known_identity(repository: Repository) -> dict[str, str]:
    """As `identity`, for what writes no commit: empty where nobody is known."""
    try:
        return identity(repository)
    except FailedPrecondition:
        return {}


def _directories(root: Path) -> tuple[Path, Path]:
    """The git directory and the one shared by linked worktrees. https://git-scm.com/docs/gitrepository-layout"""
    git = root / ".git"
    if git.is_file():
        pointer = git.read_text("utf-8", "surrogateescape")
        if not pointer.startswith("gitdir: "):
            raise FailedPrecondition(f"{git} is not a git link file (gitdir: …)")
        git = root / pointer.removeprefix("gitdir: ").rstrip("\n")
    git = git.resolve()
    if not (git / "HEAD").exists():
        raise FailedPrecondition(f"{git} is not a git directory: it has no HEAD")
    shared = git / "commondir"
    common = (git / shared.read_text("utf-8", "surrogateescape").rstrip("\n")).resolve() if shared.is_file() else git
    return git, common


def _audited(git_dir: Path, common_dir: Path, path: str) -> set[str]:
    """The names of the filters that the repository's own configuration defines."""
    filters: set[str] = set()
    for file in (common_dir / "config", git_dir / "config.worktree"):
        for key in _keys(file.read_bytes(), file, path) if file.is_file() else ():
            if _INCLUDED.fullmatch(key.lower()):
                raise FailedPrecondition(
                    f"{file} has {key}: files that git configuration includes can start programs and are not under "
                    "this server's control. A person moves those settings into the file itself, or removes the key"
                )
            filters |= {name} if (name := _filter(key)) else set[str]()
    return filters


@lru_cache(maxsize=16)
def _keys(content: bytes, file: Path, path: str) -> tuple[str, ...]:
    """The keys in a configuration, which depend on what is in it alone: git is asked once about the same bytes."""
    looking = Repository(Path("/"), file.parent, file.parent, {**_PINNED, "PATH": path})
    try:
        listed = run(looking, "config", "--file", "-", "--no-includes", "--list", "-z", given=content)
    except GitFailed as error:
        raise GitFailed(error.reason.replace("standard input", str(file))) from error
    return tuple(entry.partition("\n")[0] for entry in text(listed).split("\0"))


def _filter(key: str) -> str:
    """The name of the filter that a key of the configuration is about, or nothing."""
    return key.removeprefix("filter.").rpartition(".")[0] if key.startswith("filter.") else ""


def _effective(repository: Repository) -> dict[str, str]:
    """The settings git itself would use here, of those that matter to a commit. Reading starts no program."""
    pattern = r"^(" + "|".join(re.escape(key) for key in _PASSED_ON) + r"|filter\..*)$"
    found: dict[str, str] = {}
    for entry in text(run(repository, "config", "-z", "--get-regexp", pattern, accept=(0, 1))).split("\0"):
        key, separator, value = entry.partition("\n")
        if key:
            found[key] = value if separator else "true"
    ignore = Path(found.get("core.excludesfile") or f"{os.environ.get('XDG_CONFIG_HOME') or '~/.config'}/git/ignore")
    found["core.excludesfile"] = os.path.expanduser(ignore)
    return found


def as_the_user(pinned: Mapping[str, str]) -> dict[str, str]:
    """The environment for reading the user's own configuration: nothing is overridden, nothing is run."""
    own = {
        k: v
        for k, v in os.environ.items()
        if k in ("HOME", "XDG_CONFIG_HOME", "EMAIL", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
        or re.fullmatch(r"GIT_(AUTHOR|COMMITTER)_(NAME|EMAIL)", k)
    }
    kept = {k: v for k, v in pinned.items() if k in ("PATH", "LC_ALL", "GIT_DIR", "GIT_WORK_TREE")}
    return {"GIT_CONFIG_NOSYSTEM": "0", **kept, **own}


def with_settings(environment: Mapping[str, str], more: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A pinned environment with more settings, which win over those it has."""
    had = [(environment[f"GIT_CONFIG_KEY_{n}"], environment[f"GIT_CONFIG_VALUE_{n}"])
           for n in range(int(environment.get("GIT_CONFIG_COUNT", "0")))]  # fmt: skip
    return {**environment, **numbered([*had, *more])}


def numbered(settings: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Settings as `GIT_CONFIG_COUNT` and its pairs: they win over every file, and any name can be written."""
    pairs = list(settings)
    found = {"GIT_CONFIG_COUNT": str(len(pairs))}
    for number, (key, value) in enumerate(pairs):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def steering(repository: Repository) -> dict[str, bytes]:
    """What in the git directory decides what git does here: configuration, hooks, attributes, excludes."""
    found: dict[str, bytes] = {}
    for folder in (repository.common_dir, repository.git_dir):
        files = [folder / "config", folder / "config.worktree", *folder.glob("hooks/*"), *folder.glob("info/*")]
        for file in files:
            with suppress(OSError):
                executable = file.stat().st_mode & 0o100
                found[f".git/{file.relative_to(folder)}"] = bytes([executable]) + file.read_bytes()
    return found
