"""Who may write which path: frontend, specification, and files that steer the guards themselves."""

from collections.abc import Iterable

from mcp_backend.actions import Action, CreateCommit, DeleteFile, MoveFile, PushCommits, RunCommand, WriteFile, listed
from mcp_backend.facts import ContractDeviation, Facts, Owner
from mcp_backend.promises import Constraint, Verdict

GREY: tuple[Owner, ...] = ("grey_template", "grey_js", "grey_asset", "grey_embed")
SHOWN = 3


def written(action: Action) -> tuple[str, ...]:
    """The workspace paths an action writes, as far as it says."""
    match action:
        case WriteFile(path=path) | DeleteFile(path=path):
            return (path,)
        case MoveFile(source=source, target=target):
            return (source, target)
        case CreateCommit(paths=paths) | PushCommits(paths=paths) | RunCommand(writes=paths):
            return paths
        case _:
            return ()


def _owned(action: Action, facts: Facts, owners: Iterable[Owner]) -> list[str]:
    wanted = tuple(owners)
    return [path for path in written(action) if path in facts.owners and facts.owners[path].owner in wanted]


def _listed(paths: list[str], facts: Facts) -> str:
    return listed([f"{path} ({facts.owners[path].rule})" for path in paths], SHOWN)


def frontend(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """Frontend paths are refused; grey zones (templates, stray scripts) only warn, a person looks at the diff."""
    if mine := _owned(action, facts, ("frontend",)):
        return constraint.verdict(
            f"belongs to the frontend engineer: {_listed(mine, facts)}",
            "leave these paths out; agree the contract you need with the frontend engineer (kind frontend_contract)",
        )
    if grey := _owned(action, facts, GREY):
        return Verdict(
            "warn",
            constraint.id,
            f"may belong to the frontend engineer: {_listed(grey, facts)}; tell the person who reviews this",
        )
    return None


def spec(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """Specification files are designed by the architect, and a commit makes nothing deviate from them. What deviated
    before, and what is not certain, is only told. Where the architect answered a question about a file, it may be
    edited, and the architect approves exactly what is committed."""
    mine = _owned(action, facts, ("spec",))
    if any(path not in facts.decided for path in mine):
        return constraint.verdict(
            f"the architect designs the specification: {_listed(mine, facts)}",
            "implement what the specification says, or ask the architect to change it (kind spec_clarification)",
        )
    if not isinstance(action, CreateCommit):
        return _by_decision(action, constraint, facts, mine) if mine else None
    if held := [d for d in facts.contracts if d.held]:
        return constraint.verdict(
            f"this commit makes the implementation deviate from the specification: {deviations(held)}",
            f"make it do what {held[0].spec} says; if the specification should change, ask the architect (escalate, "
            f'kind spec_clarification, spec_ref "{held[0].spec} {held[0].operation}") and leave this out of the commit',
        )
    if mine:
        return _by_decision(action, constraint, facts, mine)
    for fresh, words in ((True, "may deviate from the specification"), (False, "deviated before this commit, too")):
        if some := [d for d in facts.contracts if d.fresh is fresh]:
            return Verdict("warn", constraint.id, f"{words}: {deviations(some)}")
    if facts.contracts_unjudged:
        return Verdict("warn", constraint.id, f"not compared with the specification: {facts.contracts_unjudged}")
    return None


def _by_decision(action: Action, constraint: Constraint, facts: Facts, mine: list[str]) -> Verdict:
    asked = ", ".join(dict.fromkeys(facts.decided[path] for path in mine))
    if isinstance(action, CreateCommit) and constraint.outcome != "warn":
        reason = f"changes the specification ({', '.join(mine[:SHOWN])}) as {asked} decided: the architect approves it"
        return Verdict("approve", constraint.id, reason)
    return Verdict("warn", constraint.id, f"{', '.join(mine[:SHOWN])} is the architect's; decided in {asked}")


def deviations(found: list[ContractDeviation]) -> str:
    """Deviations in words, each with its place."""
    some = [
        f"{d.path}:{d.line}: {d.where} in {d.operation} ({d.id}): {d.spec} says {d.expected}, the code says {d.actual}"
        if d.where.partition(" ")[0] != d.operation.partition(" ")[0] else
        f"{d.path}:{d.line}: {d.where} ({d.id}): {d.spec} says {d.expected}, the code says {d.actual}"
        for d in found[:SHOWN]
    ]  # fmt: skip
    return ". ".join(some) + (f". And {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def protected(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """Policy, persona, host settings, hooks, CI and `.git` internals decide what the agent may do: a person edits
    them. Links and nested repositories in a commit are refused too: they point outside what was judged."""
    if unseen := [path for path in written(action) if path not in facts.owners]:
        return constraint.verdict(
            f"it was not looked up whose these are: {', '.join(unseen[:SHOWN])}",
            "this is a fault of the server: report it",
        )
    if mine := _owned(action, facts, ("policy", "git")):
        return constraint.verdict(
            f"decides what this server and its host may do: {_listed(mine, facts)}",
            "leave these paths out and tell the person what you would change",
        )
    if isinstance(action, (CreateCommit, PushCommits)) and facts.special_files:
        return constraint.verdict(
            f"symbolic links and nested repositories are not committed: {', '.join(facts.special_files[:SHOWN])}",
            "commit the real files",
        )
    return None
