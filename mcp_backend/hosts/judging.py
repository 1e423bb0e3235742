"""An intent of a host's own tool becomes actions and facts; the guards judge them as they judge our own tools."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from mcp_backend.actions import Action, DeleteFile, RunCommand, WriteFile
from mcp_backend.facts import Facts, Owner, Ownership, RefFacts, Secret
from mcp_backend.guards import judge
from mcp_backend.hosts import naming
from mcp_backend.hosts.intents import Change, Intent
from mcp_backend.hosts.known import Known, known
from mcp_backend.promises import Constraint, Verdict
from mcp_backend.records import replace
from mcp_backend.workspace import ownership
from mcp_backend.workspace.kinds import suffix

if TYPE_CHECKING:
    from mcp_backend.hosts.effects import Effects
    from mcp_backend.policy import Policy

GUARDED: tuple[Owner, ...] = ("frontend", "spec", "policy", "git")
_ADVICE = {
    "git commit": "call the tool git_commit of this server with these paths",
    "git reset --hard": "take back your own changes with `git restore -- PATHS`",
    "mcp-backend inbox": "wait for the person; check_escalation says when there is an answer",
}
MOST = 3000
"""Files of a folder that are looked at when all of it would go."""
LARGEST = 1_000_000
_CONTENT_DECIDES = (".js", ".ts", ".mjs", ".html", ".go", ".py", ".json")
_MANIFESTS = ("package.json", "pubspec.yaml", "angular.json")


def refusal(intent: Intent, environment: Mapping[str, str]) -> str | None:
    """Why a call is refused and what to do instead, or `None`. Raises `InvalidArgument` for a policy that is wrong."""
    start = _folder(intent.root) or _folder(intent.cwd)
    if start is None:
        return f"{intent.tool}: the host names no folder that exists, so nothing is known of what may be written there"
    here = known(start)
    look = _Look(here, environment)
    refs: RefFacts | None = None
    if intent.command is not None:
        actions, owners, secrets, refs = _of_line(intent, look, environment)
    else:
        if wrong := naming.misnamed(intent, here.workspace.root, look.temporary):
            return wrong
        actions, owners, secrets = _of_changes(intent, look)
    facts = Facts(owners=MappingProxyType(owners), secrets=tuple(secrets), refs=refs)
    verdict, _ = judge(actions, here.promises, facts)
    if verdict.outcome == "deny" and (decided := _decided(intent, facts, here)):
        verdict, _ = judge(actions, here.promises, replace(facts, decided=MappingProxyType(decided)))
    if verdict.outcome in ("allow", "warn"):
        return None
    constraint = here.promises.constraint(verdict.constraint)
    assert constraint is not None, "judge only returns verdicts of the policy's constraints"
    for what, remedy in _ADVICE.items():
        if f"may do: {what} (" in verdict.reason:
            verdict = replace(verdict, remedy=remedy)
    return told(verdict, constraint)


def _decided(intent: Intent, facts: Facts, here: Known) -> dict[str, str]:
    """The specification files that this edit touches and that a person decided to change, as the server's own tools
    are told. Empty where the store cannot be read or several servers share one: then the server's tools edit them."""
    edited = {path for path, found in facts.owners.items() if found.owner == "spec" and "it leads to" not in found.rule}
    if not edited or intent.command is not None or any(change.deleted for change in intent.changes):
        return {}
    from mcp_backend.hosts import deciding

    return deciding.decided(here, sorted(edited))


def told(verdict: Verdict, constraint: Constraint) -> str:
    """A refusal in words for the model: the reason, the promise, and what to do instead."""
    if verdict.outcome == "approve":
        ask = "Ask for it through this server's own tools, which put it to the person; go on with something else."
        return f"{constraint.id}: {verdict.reason}. {constraint.statement} {ask}"
    instead = f" Do {verdict.step} first." if verdict.step else ""
    instead += f" Instead: {verdict.remedy}." if verdict.remedy else ""
    return f"{constraint.id}: {verdict.reason}. {constraint.statement}{instead}"


class _Look:
    """Whose a path is, seen as text and as the file system resolves it."""

    def __init__(self, here: Known, environment: Mapping[str, str]) -> None:
        self.here, self.root = here, str(here.workspace.root)
        home = environment.get("HOME", "")
        folders = [
            "/tmp",
            "/var/tmp",
            "/dev/shm",
            environment.get("TMPDIR", ""),
            f"{home}/.claude/plans" if home else "",
        ]
        self.free = tuple({f"{os.path.realpath(folder).rstrip('/')}/" for folder in folders if folder})

    def owner(self, path: str) -> tuple[str, Ownership]:
        """A path as it is shown, and its owner: the strictest of how it is spelt and where it leads."""
        real = os.path.realpath(path)
        shown = self._shown(os.path.normpath(path.replace("\\", "/")))
        strictest = self._of(os.path.normpath(path.replace("\\", "/")))
        if real != path:
            led = self._of(real)
            if led.owner in GUARDED and strictest.owner not in GUARDED:
                strictest = replace(led, rule=f"{led.rule}; it leads to {self._shown(real)}")
        if strictest.owner not in GUARDED and _linked(real):
            strictest = Ownership("policy", "R0: the file has other names (hard links)")
        return shown, strictest

    def _shown(self, path: str) -> str:
        return path.removeprefix(self.root + "/")

    def _of(self, path: str) -> Ownership:
        if self.temporary(path):
            return Ownership("shared", "outside, a place for temporary files")
        found = ownership.decided([path], self.here.workspace, self.here.now, self.here.before)[path]
        if found.owner not in GUARDED and os.path.isdir(path) and path != self.root:
            probe = f"{path}/probe.txt"
            within = ownership.decided([probe], self.here.workspace, self.here.now, self.here.before)[probe]
            return within if within.owner in GUARDED else found
        return found

    def temporary(self, path: str) -> bool:
        """Whether a path is one of temporary files. Where the workspace itself lies among them, what lies beside it in
        the same folder is not: that folder is somebody's."""
        for folder in self.free:
            if not (path + "/").startswith(folder):
                continue
            if not self.root.startswith(folder):
                return True
            mine, _, below = self.root.removeprefix(folder).partition("/")
            first = path.removeprefix(folder).partition("/")[0]
            if first and first != mine and (below or not os.path.isdir(folder + first)):
                return True
        return False

    def lost(self, path: str) -> Iterator[tuple[str, Ownership]]:
        """The guarded files that go with a path, when it is a folder."""
        if path + "/" in self.free:
            yield path, Ownership("policy", "R0: outside the workspace")
            return
        yield self.owner(path)
        seen = 0
        for folder, _, names in os.walk(path):
            for name in names:
                full = os.path.join(folder, name)
                found = self._of(full)
                if found.owner in GUARDED and "node_modules" not in folder:
                    yield self._shown(full), found
            seen += len(names)
            if seen > MOST:
                return


def _linked(path: str) -> bool:
    import stat

    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_nlink > 1


def _folder(path: str) -> Path | None:
    """The nearest folder that exists."""
    if not path:
        return None
    return next((p for p in (Path(path), *Path(path).parents) if p.is_dir()), None)


def _of_changes(intent: Intent, look: _Look) -> tuple[list[Action], dict[str, Ownership], list[Secret]]:
    actions: list[Action] = []
    owners: dict[str, Ownership] = {}
    secrets: list[Secret] = []
    for change in intent.changes:
        path = os.path.join(intent.cwd or look.root, os.path.expanduser(change.path))
        if change.deleted:
            for shown, owner in look.lost(path):
                owners[shown] = owner
                actions.append(DeleteFile(shown))
            continue
        shown, owner = look.owner(path)
        owners[shown] = owner
        actions.append(WriteFile(shown, None, ""))
        if owner.owner not in GUARDED and change.text and not shown.startswith("/"):
            owners[shown], found = _content(shown, path, owner, change, look)
            secrets += found
    return actions, owners, secrets


def _content(shown: str, path: str, owner: Ownership, change: Change, look: _Look) -> tuple[Ownership, list[Secret]]:
    """What the content says besides the path: browser code in a stray script, a manifest, credentials."""
    text = change.text or ""
    grey = owner.owner.startswith("grey_") and suffix(shown) in _CONTENT_DECIDES
    if grey or shown.rpartition("/")[2] in _MANIFESTS:
        from mcp_backend.workspace import writes

        before = _bytes(path)
        after = (
            before.replace(change.edit[0].encode(), change.edit[1].encode())
            if before and change.edit
            else text.encode()
        )
        facts = writes.facts(shown, before, after, look.here.workspace, _policy(look.here))
        return facts.owners[shown], list(facts.secrets)
    return owner, _secrets(shown, text, look)


def _policy(here: Known) -> "Policy":
    """The policy with its globs, which are kept with the roots."""
    from mcp_backend.policy import Policy

    now = here.now
    return Policy(
        here.promises.constraints, frontend=now.frontend, backend=now.backend, spec=now.spec, protected=now.protected,
        templates=now.templates,
    )  # fmt: skip


def _secrets(shown: str, text: str, look: _Look) -> list[Secret]:
    from mcp_backend.workspace import secrets_scan

    found = secrets_scan.scan(shown, text.encode("utf-8", "replace"))
    if found:
        from mcp_backend.workspace import listing

        # What git ignores, such as `.env`, is where credentials belong.
        return [] if look.here.workspace.repository and listing.ignored(look.here.workspace.root, shown) else found
    return []


def _bytes(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST)
    except OSError:
        return None


def _of_line(
    intent: Intent, look: _Look, environment: Mapping[str, str]
) -> tuple[list[Action], dict[str, Ownership], list[Secret], RefFacts | None]:
    from mcp_backend.hosts import effects

    line = intent.command or ""
    done = effects.of_line(line, look.root, intent.cwd or look.root, environment, intent.tool)
    actions: list[Action] = []
    owners: dict[str, Ownership] = {}
    secrets: list[Secret] = []
    for path in dict.fromkeys(done.written):
        shown, owner = look.owner(path)
        if (text := done.texts.get(path)) and owner.owner not in GUARDED and not shown.startswith("/"):
            owner, found = _content(shown, path, owner, Change(path, text), look)
            secrets += found
        owners[shown] = owner
        actions.append(WriteFile(shown, None, ""))
    for path in dict.fromkeys(done.deleted):
        for shown, owner in look.lost(path):
            owners[shown] = owner
            actions.append(DeleteFile(shown))
    vague: list[str] = []
    for shown, owner in _vague(done, look):
        owners.setdefault(shown, owner)
        vague.append(shown)
    actions += done.moves
    actions.append(RunCommand(("sh", "-c", line), intent.cwd, tuple(vague)))
    refs = None
    if done.moves:
        from mcp_backend.hosts import pushing

        refs = pushing.facts(done.moves, look.here.promises.constraints, look.root)
    return actions, owners, secrets, refs


def _vague(done: "Effects", look: _Look) -> Iterable[tuple[str, Ownership]]:
    """What a line does where its text does not show it: code that names guarded paths, programs started inside them."""
    for what, why in done.steers:
        yield what, Ownership("policy", why)
    for path in dict.fromkeys(done.named):
        shown, owner = look.owner(path)
        if owner.owner in GUARDED:
            yield (
                shown,
                replace(owner, rule=f"{owner.rule}; code in this line names it, and what that does is not clear"),
            )
    for program, folder in dict.fromkeys(done.inside):
        if folder == look.root:
            continue
        shown, owner = look.owner(folder)
        if owner.owner in ("frontend", "git"):
            yield (
                f"{shown}/",
                replace(owner, rule=f"{owner.rule}; {program} is started inside it, and what it writes is not clear"),
            )
