"""What git takes back, throws away or puts away in the work tree: checkout, restore, clean, stash, checkout-index.

https://git-scm.com/docs/git-restore, https://git-scm.com/docs/git-clean, https://git-scm.com/docs/git-stash
"""

import os
import re
from fnmatch import fnmatchcase

from mcp_backend.hosts import pushing
from mcp_backend.hosts.effects import Effects, operands, values
from mcp_backend.workspace.shell_parts import Word


def ours(effects: Effects) -> bool:
    """Whether git works on the repository of the workspace here, not on one inside it or elsewhere."""
    folder = effects.cwd
    if folder is None:
        return True
    while (folder + "/").startswith(effects.root + "/"):
        if folder == effects.root:
            return True
        if folder in effects.fresh or os.path.lexists(f"{folder}/.git"):
            return False
        folder = os.path.dirname(folder)
    return False


def checked_out(verb: str, rest: list[Word], texts: list[str], paths: list[Word], effects: Effects) -> None:
    if verb == "restore" and {"--staged", "-S"} & set(texts) and not {"--worktree", "-W"} & set(texts):
        return  # The index only.
    before = texts[: texts.index("--")] if "--" in texts else texts
    forced = any(re.fullmatch(r"-[^\W_bBcCs]*f\w*|--force|--discard-changes", text) for text in before)
    if verb != "restore" and forced:
        effects.steers.append((f"git {verb} --force", "it discards uncommitted work of other people"))
    named = paths or (operands(rest, "s", ("--source",)) if verb == "restore" else [])
    named = [from_top(word, effects) for word in named]
    if verb != "restore" and ours(effects):
        pushing.moved(verb, rest, effects)
    if not named and verb == "checkout":
        # `git checkout X` is a branch or a path; `git checkout TREE X` takes X from another commit.
        given = operands(rest, "bB")
        named = given[1:] if len(given) > 1 else [w for w in given if _exists(w, effects)]
        tree = len(given) > 1
    else:
        # `git checkout TREE -- X`; `git restore` takes what is in the index where no source is named.
        operand = operands(rest[: texts.index("--")] if "--" in texts else rest, "bB")
        tree = bool(operand) if verb == "checkout" else any(t.startswith(("-s", "--source")) for t in texts)
    if not named:
        return
    if tree:
        from mcp_backend.hosts import finding

        for word in [w for w in named if re.search(r"[*?\[]", w.text)]:
            effects.written += finding.by_git("ls-files", [word], effects)
    changed = None if tree else _asked("ls-files", ["--modified", "--deleted"], named, effects)
    if changed is not None:
        effects.written += changed
        return
    for word in named:
        effects.write(word)
        if any(os.path.isdir(path) for path in effects.paths(word)):
            effects.delete(word)


def from_top(word: Word, effects: Effects) -> Word:
    """A path of git without its magic: `:/x` and `:(top)x` begin at the root. https://git-scm.com/docs/gitglossary#def_pathspec"""
    match = re.match(r":(?:/|\(([a-z,]*)\))(?!\!)", word.text)
    if not match:
        return word
    top = match[1] is None or "top" in match[1]
    rest = word.text[match.end() :]
    return Word(f"{effects.root}/{rest}" if top else rest, word.plain, word.quoted)


def from_index(rest: list[Word], texts: list[str], effects: Effects) -> None:
    """git checkout-index: below --prefix; with -f over what is changed."""
    if prefixes := list(values(rest, "--prefix")):
        for word in prefixes:
            effects.write(Word(word.text + "x" * word.text.endswith("/"), word.plain, word.quoted))
    elif any(re.fullmatch(r"-[a-z]*f[a-z]*|--force", text) for text in texts):
        effects.written += _asked("ls-files", ["--modified", "--deleted"], operands(rest), effects) or ()


def put_away(rest: list[Word], texts: list[str], paths: list[Word], effects: Effects) -> None:
    """git stash: the changes of the paths it is given, of all where it is given none."""
    named = paths or operands(rest[1:] if texts[:1] in (["push"], ["save"]) else rest, "m", ("--message",))
    if named and texts[:1] != ["save"]:
        for word in named:
            effects.delete(from_top(word, effects))
        return
    untracked = any(re.fullmatch(r"-[a-z]*[ua][a-z]*|--include-untracked|--all", text) for text in texts)
    options = ["--modified", "--deleted", *(["--others", "--exclude-standard"] if untracked else [])]
    if not {"--staged", "-S"} & set(texts):
        effects.written += _asked("ls-files", options, [Word(effects.root)], effects, anyway=True) or ()


def cleaned(rest: list[Word], texts: list[str], effects: Effects) -> None:
    """git clean: files that git does not know, with -x also those it ignores."""
    if any(re.fullmatch(r"-[a-zA-Z]*n[a-zA-Z]*|--dry-run", text) for text in texts):
        return
    ignored = any(re.fullmatch(r"-[a-zA-Z]*[xX][a-zA-Z]*", text) for text in texts)
    named = operands(rest, "e", ("--exclude",)) or [Word(".")]
    if ignored and any(effects.root in effects.paths(word) for word in named) and ours(effects):
        effects.steers.append(("git clean -x", "it deletes settings and environments of other people that git ignores"))
    found = _asked("ls-files", ["--others", *([] if ignored else ["--exclude-standard"])], named, effects)
    if found is None:
        for word in named:
            effects.delete(word)
    effects.deleted += found or ()


def _asked(
    verb: str, options: list[str], named: list[Word], effects: Effects, *, anyway: bool = False
) -> list[str] | None:
    """Which of the paths it would be, as git says now; `None` where the line may change what git would say, unless
    what it says now counts `anyway`."""
    alone = anyway or (len(re.findall(r"\bgit\b", effects.line)) == 1 and effects.cwd is not None)
    if not alone or not ours(effects) or not all(word.plain for word in named):
        return None
    from mcp_backend.hosts import git_ranges

    globbed = [word for word in named if re.search(r"[*?\[]", word.text)]
    places = [path for word in named if word not in globbed for path in effects.paths(word)]
    found = git_ranges.listed([verb, *options], [*places, *([effects.root] if globbed else [])], effects.root)
    if found is None or not globbed:
        return found
    under = [place.rstrip("/") + "/" for place in places]
    patterns = [full for word in globbed if (full := effects.absolute(word.text))]
    return [
        path
        for path in found
        if any((path + "/").startswith(u) for u in under) or any(fnmatchcase(path, p) for p in patterns)
    ]


def _exists(word: Word, effects: Effects) -> bool:
    return any(os.path.lexists(path) for path in effects.paths(word))
