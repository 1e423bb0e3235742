"""Builtins of the shell, archives, shells of databases: programs whose operands hold lines, paths or code."""

from mcp_backend.expressions import Expression
from mcp_backend.hosts.effects import Effects, one, operands, run, values
from mcp_backend.workspace.canonical import words
from mcp_backend.workspace.shell_line import Reader, Unreadable
from mcp_backend.workspace.shell_parts import Command, Word

_DECODERS = Expression(
    r"\b(base(64|32)\s+(-\w*[dD]|--decode)|xxd\s+-\w*r|openssl\s+(enc|base64)|gunzip|zcat|bunzip2|unxz|rev\b|uudecode"
    r"|tr\s+\S+\s+\S|codecs|b64decode|fromhex|unhexlify)"
)
_TO_FILE = Expression(
    r"(?i)\.(?:output|once|excel|log|save|backup|clone)\s+[\"']?([^\s\"';]+)|\\(?:o|out|w|g)\s+([^\s|;'\"]+)"
    r"|\\?copy\b[^;]*\bto\s+'([^']+)'|\\copy\b[^;]*\bto\s+(?!(?:stdout|pstdout|program)\b)([^\s;'\"]+)"
    r"|\bwritefile\(\s*'([^']+)'|into\s+(?:out|dump)file\s+'([^']+)'|vacuum\s+into\s+'([^']+)'|attach\s+(?:database\s+)?'([^']+)'"
    r"|export\s+database\s+'([^']+)'"
)


_SHELLED = Expression(
    r"(?im)(?:^|[\s;'\"])(?:\\!|\.shell|\.system|system)\s+(\S.*)|\bcopy\b[^;]*\b(?:to|from)\s+program\s+'([^']+)'"
    r"|\\(?:o|g|w)\s+\|\s*(\S.*)"
)


def decoded(effects: Effects, text: str = "") -> None:
    """Code that the line itself decodes before it runs is hidden from whoever judges it, which only hiding needs."""
    if _DECODERS.search(text or effects.line):
        effects.steers.append(("run decoded text", "what it would do cannot be read: write it out in plain"))


def database(words: list[Word], command: Command, effects: Effects) -> None:
    """sqlite3, psql, mysql, duckdb: their own commands and statements that write files here."""
    for value in values(words, "-o", "--output", "-L", "--log-file", "--tee", "-r", "--result-file"):
        effects.write(value)
    for text in [*(word.text for word in words), *command.fed]:
        for match in _TO_FILE.finditer(text):
            effects.write(next(group for group in match.groups() if group))
        for match in _SHELLED.finditer(text):
            run(next(group for group in match.groups() if group), effects)


_CHANGES_ROWS = Expression(
    r"(?i)\b(?:insert|update|delete|create|drop|alter|replace\s+into|vacuum|reindex|attach)\b|(?:^|\s)\.(?:import|restore|read|load)\b"
)


def database_file(words: list[Word], command: Command, effects: Effects) -> None:
    """sqlite3, duckdb: as the others, and the database is itself a file, which statements change."""
    database(words, command, effects)
    given = operands(words, "", ("-cmd", "-separator", "-init", "-newline", "-nullvalue"))
    texts = [*(word.text for word in given[1:]), *(word.text for word in values(words, "-cmd", "-c")), *command.fed]
    if given and (any(map(_CHANGES_ROWS.search, texts)) or _reads_script(command)):
        effects.write(given[0])


def _reads_script(command: Command) -> bool:
    return (command.piped and not command.fed) or any(operator == "<" for operator, _ in command.redirects)


def evaluated(words: list[Word], command: Command, effects: Effects) -> None:
    """eval: the line it makes."""
    text = " ".join(w.text for w in words)
    if all(w.plain for w in words):
        run(text, effects)
    else:
        effects.opaque("> " + "\n".join((text, *(w.inner for w in words))))
        decoded(effects)


def trap(words: list[Word], command: Command, effects: Effects) -> None:
    """trap: a line that runs later."""
    if words:
        run(words[0].text, effects)


def alias(words: list[Word], command: Command, effects: Effects) -> None:
    """alias: lines that run under another name."""
    for word in words:
        _, equals, line = word.text.partition("=")
        if equals:
            effects.aliases[word.text.partition("=")[0]] = line
        if equals and " " in line:
            run(line, effects)


def arithmetic(words: list[Word], command: Command, effects: Effects) -> None:
    """`[[` and `let` read their operands as arithmetic, where a quoted `$(…)` runs all the same."""
    for word in words:
        if "$(" in word.text or "`" in word.text:
            try:
                found = Reader("", dict(effects.variables)).substitutions(word.text, escapes=False)
            except Unreadable:
                effects.opaque("> " + word.text)
                continue
            for inner in found:
                one(inner, effects)


def later(words: list[Word], command: Command, effects: Effects) -> None:
    """at, batch, crontab; -l lists, `at -c` prints."""
    if not {"-l", "-c", "--help"} & {w.text for w in words}:
        effects.steers.append(("crontab or at", "it runs a program later, where nothing judges it"))


def system(words: list[Word], command: Command, effects: Effects) -> None:
    """mount, umount, pivot_root."""
    if words:
        effects.steers.append(("mount or umount", "it changes what the paths of this repository mean"))


def filtering(words: list[Word], command: Command, effects: Effects) -> None:
    """rg: reads, but --pre starts a program."""
    for word in values(words, "--pre", "--hostname-bin"):
        run(word.text, effects)


READERS = words(
    "cat head tail less more bat nl wc grep egrep fgrep ag ack ls tree stat file du df diff cmp comm cut tr rev "
    "column jq yq xxd od hexdump strings md5sum sha1sum sha256sum sum cksum base64 readlink basename dirname pwd "
    "echo printf realpath true false test [ : which type whereis date sleep id whoami env printenv uname hostname "
    "ps top pgrep kill wait jobs fg bg set unset export declare local readonly typeset shift return exit break "
    "continue read seq yes history ulimit umask hash help man info psql pytest tox nox coverage ruff mypy "
    "pyright black isort go cargo docker podman kubectl gh ping dig nslookup nc ss netstat lsof curl tsc vitest "
    "jest playwright cypress vite next webpack rollup storybook lighthouse shopt pip pip3 poetry "
    "kafka-topics "
)
"""Programs that read, or write only what they make themselves (caches, reports, builds): fine in any folder."""
