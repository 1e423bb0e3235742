"""What a line pushes and which branches it moves, as the actions that our own tools would be judged by.

https://git-scm.com/docs/git-push, https://git-scm.com/docs/git-branch
"""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from mcp_backend.actions import Action, MoveBranch, PushCommits
from mcp_backend.facts import RefFacts
from mcp_backend.hosts.effects import Effects, operands
from mcp_backend.promises import Constraint
from mcp_backend.workspace.shell_parts import Word

HEADS = "refs/heads/"
_TOOL = "the tool git_push sends a branch of your own, judged"
_VALUED = ("--push-option", "--repo", "--receive-pack", "--exec")


def pushed(rest: list[Word], effects: Effects) -> None:
    """`git push`: each branch it would move on the remote; what moves or deletes many is a person's."""
    texts = [word.text for word in rest]
    for text in texts:
        if text in ("--mirror", "--delete", "-d", "--all", "--branches", "--prune"):
            effects.steers.append((f"git push {text}", _TOOL))
    forced = any(text.startswith("--force") or re.fullmatch(r"-[a-z]*f[a-z]*", text) for text in texts)
    remote, *refspecs = [word.text for word in operands(rest, "o", _VALUED)] or ["origin"]
    # https://git-scm.com/docs/git-push#Documentation/git-push.txt---tags: alone it pushes nothing else.
    for refspec in refspecs or ([] if "--tags" in texts else ["HEAD"]):
        source, colon, target = refspec.lstrip("+").rpartition(":")
        if (colon and not source) or "*" in target:
            effects.steers.append((f"git push {refspec}", _TOOL))
            continue
        branch = target if target not in ("HEAD", "@") else current(effects.root)
        ref = branch if branch.startswith("refs/") else HEADS + branch
        effects.moves.append(PushCommits(remote, ref, (), forced or refspec.startswith("+")))


def moved(verb: str, rest: list[Word], effects: Effects) -> None:
    """`git branch -D|-M|-f`, `git checkout -B`, `git switch -C`: local branches that lose what they stand on. One that
    is set to what its remote has is brought up to date."""
    flags = "".join(word.text[1:] for word in rest if re.fullmatch(r"-[a-zA-Z]+", word.text))
    texts = {word.text for word in rest}
    taken = {"branch": "DMCf", "checkout": "B", "switch": "C"}[verb]
    long = {
        "branch": {"--delete", "--move", "--force", "--copy"},
        "checkout": set[str](),
        "switch": {"--force-create"},
    }[verb]
    if not set(flags) & set(taken) and not long & texts:
        return
    given = [word.text for word in operands(rest, "u")]
    if verb == "branch" and (set(flags) & set("DMC") or {"--delete", "--move", "--copy"} & texts):
        names = given
    else:
        names = given[:1] if not given[1:] or not given[1].endswith("/" + given[0]) else []
    effects.moves += [MoveBranch(name.removeprefix(HEADS), "", None) for name in names]


def current(root: str) -> str:
    """The branch that is checked out, "" where that can't be told."""
    return _pointed(f"{root}/.git/HEAD").removeprefix(HEADS)


def facts(moves: Iterable[Action], constraints: Iterable[Constraint], root: str) -> RefFacts:
    """Which of the branches are protected: those of the policy, and the one that clones of `origin` start with."""
    first = _pointed(f"{root}/.git/refs/remotes/origin/HEAD").removeprefix("refs/remotes/origin/")
    patterns = [first] if first else []
    for constraint in constraints:
        if constraint.guard == "protected_branches":
            patterns += [str(name) for name in constraint.parameters.get("branches", ())]
    refs = [move.ref if isinstance(move, PushCommits) else HEADS + getattr(move, "branch", "") for move in moves]
    return RefFacts(tuple(ref for ref in refs if any(fnmatchcase(ref.removeprefix(HEADS), p) for p in patterns)))


def _pointed(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1000).strip().removeprefix("ref: ")
    except OSError:
        return ""
