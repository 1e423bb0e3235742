"""`git --git-dir=…`, `--work-tree=…`: whether they only look, and whether the repository they name starts a program."""

from mcp_backend.expressions import Expression
from mcp_backend.hosts.effects import Effects
from mcp_backend.workspace.canonical import words as names
from mcp_backend.workspace.shell_parts import Word

_LOOKS = names(
    "status log diff show rev-parse ls-files describe blame cat-file rev-list shortlog ls-tree for-each-ref merge-base "
    "count-objects name-rev diff-tree diff-index diff-files show-ref version help whatchanged check-ignore grep"
)
_LISTS = names("branch tag remote stash worktree reflog config notes")
_LISTED = names("list show get -v -vv -a -r -l --list --all --verbose --show-current get-url exists --get --get-all")


def only_looks(words: list[Word]) -> bool:
    """Whether a verb shows something and starts nothing of its own."""
    if not words or words[0].text in _LOOKS:
        return not any(word.text.startswith(("--output", "--ext-diff", "-O", "--open-files")) for word in words[1:])
    given = [word.text for word in words[1:]]
    lists = given[0] in _LISTED if given else words[0].text != "stash"
    return words[0].text in _LISTS and lists


def same_place(option: str, value: Word, effects: Effects) -> bool:
    """Whether `--git-dir` or `--work-tree` names what git would take anyway."""
    usual = {effects.root} if option == "--work-tree" else {f"{effects.root}/.git"}
    return value.plain and set(effects.paths(value)) == usual


def plain_repository(option: str, value: Word, effects: Effects) -> bool:
    """Whether the settings of the repository that `--git-dir` names start no program, as far as they can be read. One
    that is not there starts none, unless this line makes it."""
    if not option.startswith("--git-dir"):
        return True
    if not value.plain:
        return False
    for path in effects.paths(value):
        if path == f"{effects.root}/.git":
            continue
        inside = any((made + "/").startswith(path + "/") for made in effects.written)
        if inside or any((path + "/").startswith(made + "/") for made in effects.fresh):
            return False
        try:
            with open(f"{path}/config", encoding="utf-8", errors="replace") as file:
                if _STARTING.search(file.read(100_000)):
                    return False
        except OSError:
            continue
    return True


_STARTING = Expression(
    r"(?im)^\s*(fsmonitor|sshcommand|hookspath|pager|external|command|textconv|process|clean|smudge|gitproxy|askpass"
    r"|worktree|path|program)\s*=(?!\s*(?:true|false|cat|less|0|1)\s*$)|^\s*\[(?:alias|filter|include|includeif|pager)"
)
