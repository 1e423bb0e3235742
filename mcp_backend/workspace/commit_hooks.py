"""pre-commit, prepare-commit-msg and commit-msg of the repository, before a commit is made. githooks(5)

They see the very tree that will be committed. A message they change is used; a tree they would change is not: then the
call is refused, and what they changed in the work tree is there to be looked at and tested.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from mcp_backend.errors import FailedPrecondition
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import changes, repository_hooks
from mcp_backend.workspace.changes import shown
from mcp_backend.workspace.commits import Prepared

NAMES = ("pre-commit", "prepare-commit-msg", "commit-msg")


async def run(workspace: Workspace, policy: Policy, prepared: Prepared) -> Prepared:
    """The commit as it is to be made, with the message as the hooks left it.

    Raises `FailedPrecondition` when a hook refuses, or changes what is to be committed.
    """
    repository = prepared.repository
    if not any(repository_hooks.program(repository, name) for name in NAMES):
        return prepared
    notes = [*prepared.notes]
    async with repository_hooks.scratch() as place:
        extra = _environment(prepared, place)
        message = place / "COMMIT_EDITMSG"
        message.write_text(prepared.message, "utf-8")
        arguments = {"pre-commit": (), "prepare-commit-msg": (str(message), "message"), "commit-msg": (str(message),)}
        for name in NAMES:
            ran = await repository_hooks.run(
                workspace, policy, repository, name, arguments[name], extra=extra, shared=(place,)
            )
            if ran is None:
                continue
            _same(prepared, ran, place)
            if ran.changed:
                notes.append(f"the hook {name} changed {', '.join(map(shown, ran.changed[:5]))}: not in this commit")
        text = message.read_text("utf-8", "replace").strip()
    if not text:
        raise FailedPrecondition("a hook of the repository emptied the message; nothing was committed")
    if text != prepared.message.strip():
        notes.append(f"a hook of the repository changed the message to: {text[:500]}")
    return replace(prepared, message=text + "\n", notes=tuple(notes))


def _environment(prepared: Prepared, place: Path) -> dict[str, str]:
    """An index that holds the tree, objects that hold what is new, and a folder for what hooks keep for themselves."""
    trees, repository = prepared.trees, prepared.repository
    index, objects = place / "index", place / "objects"
    trees.copy_out(prepared.base, prepared.tree, objects)
    trees.git("read-tree", prepared.tree, index=index)
    trees.git("update-index", "-q", "--refresh", "--ignore-submodules", index=index, accept=(0, 1))
    mine = {d.path for d in prepared.differences}
    others = [e.path for e in changes.status(repository, renames=False).changed if e.path not in mine]
    known = set(trees.git("ls-files", "-z", index=index).decode("utf-8", "surrogateescape").split("\0"))
    hidden = "".join(f"{path}\0" for path in others if path in known).encode("utf-8", "surrogateescape")
    # What other people changed is not for this commit's hooks to judge, stash or put right.
    trees.git("update-index", "--assume-unchanged", "-z", "--stdin", given=hidden, index=index)
    return {
        "GIT_INDEX_FILE": str(index),
        "GIT_OBJECT_DIRECTORY": str(objects),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": trees.alternate,
        "PRE_COMMIT_HOME": str(_pre_commit(place)),
        **prepared.identity,
    }


def _pre_commit(place: Path) -> Path:
    """A home for the pre-commit framework with what the person's has installed: its table names folders that stay
    where they are. https://pre-commit.com/#managing-ci-caches"""
    home = place / "pre-commit"
    home.mkdir()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    theirs = Path(os.environ.get("PRE_COMMIT_HOME") or Path(cache) / "pre-commit") / "db.db"
    if theirs.is_file():
        shutil.copy2(theirs, home / "db.db")
    return home


def _same(prepared: Prepared, ran: repository_hooks.Ran, place: Path) -> None:
    mine = set(prepared.paths)
    changed = [path for path in map(shown, ran.changed) if path in mine]
    staged = prepared.trees.written_by(place / "index", place / "objects") != prepared.tree
    if changed or staged:
        what = f"changed {', '.join(changed[:5])}" if changed else "staged other content than what is to be committed"
        raise FailedPrecondition(
            f"the hook {ran.name} of the repository {what}; nothing was committed. Look at it, run the tests, then "
            "repeat this call",
            details={"hook": ran.name, "changed": [*changed[:50]]},
        )
