"""Command lines of forges. A review, an approval and a merge are a person's; what protects branches is too.

https://cli.github.com/manual/, https://docs.gitlab.com/cli/
"""

import re
from collections.abc import Mapping

from mcp_backend.expressions import Expression
from mcp_backend.hosts.effects import Effects, Program, operands, values
from mcp_backend.workspace.shell_parts import Command, Word

_DECIDES = Expression(
    r"/(?:merge|reviews|protection|rulesets?|git/refs|contents|collaborators|hooks|keys|environments|pending_deployments"
    r"|approvals?|approve|protected_branches|secrets|variables|permissions)(?:[/?]|$)|^/?repos/[^/]+/[^/]+/?$"
)
_PEOPLES: Mapping[str, frozenset[str]] = {
    "pr": frozenset(("merge",)), "mr": frozenset(("merge", "accept", "approve", "revoke")),
    "repo": frozenset(("delete", "edit", "archive", "unarchive", "rename")),
    "ruleset": frozenset(("delete", "edit")), "secret": frozenset(("set", "delete", "remove")),
    "workflow": frozenset(("enable", "disable")),
}  # fmt: skip
_WHY = "reviews, merges and what protects a repository are decided by people"


def _forge(words: list[Word], command: Command, effects: Effects) -> None:
    """gh, glab: what they decide, and what they download and clone."""
    given = [
        w.text
        for w in operands(words, "RDpOnXHfFqt", ("--repo", "--dir", "--pattern", "--name", "--method", "--hostname"))
    ]
    texts = [word.text for word in words]
    if {"--help", "-h", "--disable-auto"} & set(texts):
        return
    verbs = given[:2]
    if verbs[1:] and verbs[1] in _PEOPLES.get(verbs[0], ()):
        effects.steers.append((" ".join(("gh" if verbs[0] != "mr" else "glab", *verbs)), _WHY))
    if verbs == ["pr", "review"] and any(text in ("--approve", "-a") for text in texts):
        effects.steers.append(("gh pr review --approve", _WHY))
    if verbs[:1] == ["api"] and _changes(words, texts) and any(_DECIDES.search(path) for path in given[1:2]):
        effects.steers.append((f"gh api {given[1]}", _WHY))
    if "download" in verbs:
        for word in values(words, "-D", "--dir", "-O", "--output"):
            effects.write(word)
            for path in effects.paths(word):
                effects.write(f"{path}/downloaded")
    elif verbs == ["repo", "clone"] and len(given) > 3:
        effects.write(given[3])


def _changes(words: list[Word], texts: list[str]) -> bool:
    """Whether `gh api` sends something: any method but GET, which fields alone make a POST."""
    method = next((word.text.upper() for word in values(words, "-X", "--method")), "")
    fields = any(re.match(r"-[fF]|--(?:raw-)?field|--input", text) for text in texts)
    return method not in ("", "GET", "HEAD") or (not method and fields)


FORGES: Mapping[str, Program] = dict.fromkeys(("gh", "glab"), _forge)
