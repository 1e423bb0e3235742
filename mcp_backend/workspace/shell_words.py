"""What a simple shell line plainly writes: targets of its redirections. A courtesy, so that a refusal comes before
anything ran and in plain words; the fence is what holds. Whatever is not plain is left to it."""

import itertools
import re
import shlex

_LONGEST = 2000
_NOT_PLAIN = re.compile(r"[$`\n\\{}~*?\[\]]|<<|[\"'][()<>|&;]+[\"']|\bcd\b|\bpushd\b|\benv\b")
_WRITES = frozenset((">", ">>", ">|", "&>", "&>>"))


def written(command: str, folder: str) -> list[str]:
    """The files that redirections of a plain line write, relative to the workspace when it runs in `folder`."""
    if len(command) > _LONGEST or ">" not in command or _NOT_PLAIN.search(command):
        return []
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        return []
    found: list[str] = []
    for operator, word in itertools.pairwise(words):
        if operator in _WRITES and not word.startswith(("/", "&")) and re.match(r"[\w.-]", word):
            found.append(f"{folder}/{word}" if folder != "." else word)
    return found
