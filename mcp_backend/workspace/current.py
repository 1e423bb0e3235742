"""The roots of a workspace, as it is now and as it was at the last commit. Built again only when something changed."""

import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import listing
from mcp_backend.workspace.canonical import canonical, inside
from mcp_backend.workspace.roots import Roots, build

_READ = ("package.json", "pubspec.yaml", "pyproject.toml", "requirements.txt")


def roots_of(workspace: Workspace, policy: Policy) -> Roots:
    """The roots of a workspace as it is now: one listing, and a build only when a name or a manifest changed."""
    files = listing.files(workspace)
    stamps = tuple(_stamp(workspace.root / path) for path in files if path.endswith(_READ))
    return _ruled(_built(workspace.root, files, stamps, _hooks(workspace.root)), policy)


def roots_before(workspace: Workspace, policy: Policy) -> Roots | None:
    """The roots at the commit the work tree stands on; `None` where there is none."""
    commit = listing.committed(workspace.root) if workspace.repository else None
    return _ruled(_built_at(workspace.root, commit), policy) if commit else None


def roots_at(workspace: Workspace, policy: Policy, commit: str) -> Roots:
    """The roots at a commit."""
    return _ruled(_built_at(workspace.root, commit), policy)


def _ruled(found: Roots, policy: Policy) -> Roots:
    return replace(
        found,
        frontend=policy.frontend,
        backend=policy.backend,
        spec=policy.spec,
        protected=policy.protected,
        templates=policy.templates,
    )


@lru_cache(maxsize=4)
def _built(root: Path, files: tuple[str, ...], stamps: tuple[object, ...], hooks: str | None) -> Roots:
    del stamps  # part of the key: another content of a manifest is another call
    return build(files, lambda path: listing.text(root, path), Policy(), hooks)


@lru_cache(maxsize=4)
def _built_at(root: Path, commit: str) -> Roots:
    files = listing.files_of(root, commit)
    return build(files, listing.texts_of(root, commit, [f for f in files if f.endswith(_READ)]).get, Policy())


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.lstat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _hooks(root: Path) -> str | None:
    """The folder of `core.hooksPath`, canonical, where the repository's own configuration puts it in the workspace."""
    match = re.search(r"(?im)^\s*hookspath\s*=\s*\"?([^\"\n#;]+)", _config(root))
    folder = inside(match[1].strip(), root) if match else None
    return canonical(folder) if folder and not folder.startswith(".git/") else None


def _config(root: Path) -> str:
    """The configuration of the repository; in a linked worktree it lies in the repository it is linked to.
    https://git-scm.com/docs/gitrepository-layout"""
    own = listing.text(root, ".git/config")
    if own is not None:
        return own
    pointer = listing.text(root, ".git") or ""
    if not pointer.startswith("gitdir: "):
        return ""
    linked = root / pointer.removeprefix("gitdir: ").strip()
    return listing.text(linked / (listing.text(linked, "commondir") or ".").strip(), "config") or ""
