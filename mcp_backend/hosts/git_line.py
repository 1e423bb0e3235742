"""What a git command of a shell line does to files and to git's own settings. https://git-scm.com/docs/git"""

import re

from mcp_backend.expressions import Expression
from mcp_backend.hosts import git_discards, git_elsewhere, pushing
from mcp_backend.hosts.effects import HARMLESS, Effects, operands, run, values
from mcp_backend.hosts.file_programs import patched
from mcp_backend.hosts.folders import change_folder
from mcp_backend.workspace.canonical import words
from mcp_backend.workspace.shell_parts import Command, Word

_STARTS = Expression(
    r"(?i)(core\.(fsmonitor|sshcommand|hookspath|editor|pager|gitproxy|askpass|attributesfile|worktree)|diff\.(external|.*)|"
    r"alias\..*|filter\..*|merge\..*\.driver|credential\..*|gpg\..*|sequence\.editor|include.*|protocol\.ext.*|"
    r"uploadpack\..*|remote\..*\.(uploadpack|receivepack|vcs)|pager\..*|browser\..*|init\.templatedir)(=.*|$)"
)
_PLUMBING = words(
    "commit-tree update-ref update-index filter-branch filter-repo replace fast-import hash-object symbolic-ref "
    "unpack-objects read-tree write-tree notes mktag mktree gc prune reflog"
)
_EXEC = ("--exec", "--upload-pack", "--receive-pack", "--ext-diff", "--open-files-in-pager")


def apply(words: list[Word], command: Command, effects: Effects) -> None:
    """Adds the effects of `git …`."""
    here = effects.cwd
    index = 0
    elsewhere = unsure = False
    while index < len(words) and words[index].text.startswith("-"):
        text = words[index].text
        following = words[index + 1] if index + 1 < len(words) else Word("")
        if text == "-C":
            change_folder(following, effects)
        elif text in ("-c", "--config-env") and _STARTS.match(following.text) and not _harmless(following.text):
            _steers(f"git -c {following.text.partition('=')[0]}", effects)
        elif text.startswith(("--exec-path=", "--config-env=")):
            _steers(f"git {text.partition('=')[0]}", effects)
        elif text.startswith(("--git-dir", "--work-tree")):
            value = Word(text.partition("=")[2], words[index].plain) if "=" in text else following
            elsewhere = elsewhere or not git_elsewhere.same_place(text.partition("=")[0], value, effects)
            unsure = unsure or not git_elsewhere.plain_repository(text, value, effects)
        index += 2 if text in ("-C", "-c", "--git-dir", "--work-tree", "--namespace", "--config-env") else 1
    if unsure or (elsewhere and not git_elsewhere.only_looks(words[index:])):
        _steers("git --git-dir or --work-tree", effects)
    if index < len(words) and not words[index].plain:
        effects.opaque("> " + " ".join(word.text for word in words[index:]))
    elif index < len(words) and not {"--help", "-h"} & {word.text for word in words[index + 1 :]}:
        _verb(words[index].text, words[index + 1 :], command, effects)
    effects.cwd = here


def _harmless(setting: str) -> bool:
    """`core.pager=cat`, `core.editor=true`: programs that only show."""
    name, _, value = setting.partition("=")
    return name.lower().endswith(("pager", "editor")) and value in HARMLESS and value != ""


def _steers(what: str, effects: Effects) -> None:
    effects.steers.append((what, "it makes git start programs or write where nobody judges it"))


def _verb(verb: str, rest: list[Word], command: Command, effects: Effects) -> None:
    texts = [w.text for w in rest]
    paths = rest[texts.index("--") + 1 :] if "--" in texts else []
    for value in values(rest, "--output"):
        effects.write(value)
    if any(text.startswith("ext::") for text in texts):
        _steers(f"git {verb} ext::", effects)
    match verb:
        case "commit" if git_discards.ours(effects) and "--dry-run" not in texts:
            effects.steers.append(("git commit", "what goes into a commit is judged by the tool git_commit"))
        case "config" if texts[:1] == ["edit"]:
            _configured(rest, texts, effects)
        case "config" if not {"--get", "--get-all", "--get-regexp", "--list", "-l", "get", "list"} & set(texts):
            if len(operands(rest, "f")) > 1 or any(
                t.startswith(("--unset", "--add", "--replace", "--edit", "-e")) for t in texts
            ):
                _configured(rest, texts, effects)
        case "checkout" | "restore" | "switch":
            git_discards.checked_out(verb, rest, texts, paths, effects)
        case "reset" if ("--hard" in texts or "--merge" in texts) and git_discards.ours(effects):
            why = "it discards uncommitted work of other people: `git restore -- PATHS` takes back your own"
            effects.steers.append(("git reset --hard", why))
        case "clean" if any(re.fullmatch(r"-[a-zA-Z]*f[a-zA-Z]*|--force", t) for t in texts):
            git_discards.cleaned(rest, texts, effects)
        case "rm":
            for word in operands(rest):
                effects.delete(git_discards.from_top(word, effects))
        case "merge" | "cherry-pick" | "revert" | "rebase" | "pull" if git_discards.ours(effects) and not any(
            _starts(verb, text) for text in texts
        ):
            _brings(verb, rest, effects)
        case "stash" if texts[:1] in (["pop"], ["apply"], ["branch"]) and git_discards.ours(effects):
            _brings(verb, rest, effects)
        case "remote" if texts[:1] in (["add"], ["set-url"], ["rename"], ["remove"], ["rm"]) and git_discards.ours(
            effects
        ):
            effects.write(effects.root + "/.git/config")
        case "sparse-checkout" if texts[:1] != ["list"] and git_discards.ours(effects):
            effects.steers.append(("git sparse-checkout", "it takes files of other people out of the work tree"))
        case "ls-files" | "grep" if not any(_starts(verb, text) for text in texts):
            from mcp_backend.hosts import finding

            effects.searched(finding.by_git(verb, rest, effects))
        case "fetch" if "--update-head-ok" in texts and git_discards.ours(effects):
            _steers("git fetch --update-head-ok", effects)
        case "stash" if texts[:1] in (["push"], ["save"], []) or "--" in texts or texts[0].startswith("-"):
            git_discards.put_away(rest, texts, paths, effects)
        case "push" if not any(_starts(verb, text) for text in texts):
            if git_discards.ours(effects) and not {"--dry-run", "-n"} & set(texts):
                pushing.pushed(rest, effects)
        case "branch" if git_discards.ours(effects):
            pushing.moved(verb, rest, effects)
        case "checkout-index":
            git_discards.from_index(rest, texts, effects)
        case "lfs" if texts[:1] in (["install"], ["uninstall"], ["update"]) and not {"--system", "--global"} & set(
            texts
        ):
            effects.write(effects.root + "/.git/hooks/pre-push")
        case "maintenance" if texts[:1] in (["start"], ["register"], ["stop"], ["unregister"]):
            effects.write(Word("~/.gitconfig"))
        case "mv":
            for word in operands(rest):
                effects.write(word)
        case "apply" | "am":
            given = operands(rest, "pC", ("--directory",)) + [w for operator, w in command.redirects if operator == "<"]
            for word in values(rest, "--directory"):
                effects.write(word)
            if not {"--check", "--stat", "--numstat", "--summary"} & set(texts):
                patched(given, command, effects)
                if command.piped and not command.fed:
                    effects.opaque("> " + effects.line)
        case (
            "archive" | "format-patch" | "bundle" | "worktree" | "clone" | "submodule" | "init" | "difftool" | "bisect"
        ):
            _others(verb, rest, texts, effects)
        case "rebase" | "pull" | "push" | "fetch" | "ls-remote" | "diff" | "log" | "show" | "grep" | "cherry-pick":
            if any(_starts(verb, text) for text in texts):
                _steers(f"git {verb} with a program to start", effects)
        case "notes" | "reflog" | "replace" if not texts or texts[0] in ("list", "show", "exists", "-l", "--list"):
            pass
        case "reflog" if texts[0].startswith("-") or texts[0] not in ("expire", "delete", "drop", "write"):
            pass
        case "symbolic-ref" if len(operands(rest, "m")) < 2 and not {"-d", "--delete"} & set(texts):
            pass
        case "hash-object" if not any(re.fullmatch(r"-[a-z]*w[a-z]*", t) for t in texts):
            pass
        case "prune" | "gc" if {"-n", "--dry-run"} & set(texts) or (verb == "gc" and not _prunes(texts)):
            pass
        case _ if verb in _PLUMBING and (texts or verb == "fast-import") and git_discards.ours(effects):
            _steers(f"git {verb}", effects)
        case _:
            pass


def _prunes(texts: list[str]) -> bool:
    return any(text.startswith(("--prune", "--cruft-expiration", "--expire-to")) for text in texts)


def _configured(rest: list[Word], texts: list[str], effects: Effects) -> None:
    """git config: the file it writes. https://git-scm.com/docs/git-config#FILES"""
    if files := list(values(rest, "-f", "--file")):
        for word in files:
            effects.write(word)
    elif "--global" in texts:
        effects.write(Word("~/.gitconfig"))
    elif "--system" in texts:
        effects.write("/etc/gitconfig")
    elif git_discards.ours(effects):
        effects.write(effects.root + "/.git/config")


def _brings(verb: str, rest: list[Word], effects: Effects) -> None:
    from mcp_backend.hosts import git_ranges

    for path in git_ranges.brought(verb, rest, effects):
        effects.write(path)


def _starts(verb: str, text: str) -> bool:
    """Whether an option makes git start a program: `rebase -x`, `grep -O`, `--upload-pack=…`, abbreviated too."""
    if verb == "rebase" and text.startswith("-x"):
        return True
    if verb == "grep" and text.startswith("-O"):
        return True
    name = text.partition("=")[0]
    return len(name) > 4 and any(option.startswith(name) for option in _EXEC)


def _others(verb: str, rest: list[Word], texts: list[str], effects: Effects) -> None:
    given = operands(rest, "obBj", ("--output-directory", "--branch", "--depth", "--origin", "--reference"))
    for word in values(rest, "-o", "--output-directory"):
        effects.write(word)
    if verb == "difftool":
        for word in values(rest, "-x", "--extcmd"):
            run(word.text, effects)
    if any(t.startswith(("--template", "--upload-pack", "--extcmd", "--separate-git-dir")) for t in texts):
        _steers(f"git {verb} with a program to start", effects)
    match verb:
        case "bundle" if texts[:1] == ["create"]:
            for word in operands(rest[1:])[:1]:
                effects.write(word)
        case "worktree" if texts[:1] == ["add"]:
            for word in operands(rest[1:], "bB")[:1]:
                effects.write(word)
        case "clone" | "init":
            for word in given[1:2] if verb == "clone" else given[:1]:
                effects.write(word)
                effects.fresh.update(effects.paths(word))
        case "submodule" if texts[:1] == ["add"]:
            for word in operands(rest[1:], "b", ("--name", "--branch"))[1:2]:
                effects.write(word)
        case "submodule" if texts[:1] == ["foreach"]:
            run(" ".join(texts[1:]), effects)
            _steers("git submodule foreach", effects)
        case "bisect" if texts[:1] == ["run"]:
            _steers("git bisect run", effects)
        case _:
            pass
