"""What a shell line would do to files, as far as its text tells: the early, friendly half of a fence.

Programs that read give nothing. Programs known to write give the paths they write. Code that is not followed (an
interpreter, a shell that reads a pipe, a patch) gives the paths it names, where it looks as if it wrote.
"""

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from mcp_backend.actions import Action
from mcp_backend.expressions import Expression
from mcp_backend.hosts.speaking import spoken, written_text
from mcp_backend.records import dataclass, field
from mcp_backend.workspace.canonical import words
from mcp_backend.workspace.globs import present
from mcp_backend.workspace.shell_line import Reader, Unreadable
from mcp_backend.workspace.shell_parts import Command, Word

CHANGERS = words("rm mv cp sed tee touch chmod chown truncate ln dd rmdir unlink shred")
"""Programs that change the files among their words, as they are asked to most often."""
SHELLS = words("sh bash dash zsh ksh ash mksh fish rbash csh tcsh yash")
LONGEST = 200_000
_REDIRECTS_WRITE = frozenset((">", ">>", ">|", "<>", "&>", "&>>", ">&"))
_STREAMS = Expression(r"/dev/(null|stdin|stdout|stderr|tty|full|zero|random|urandom|fd/.*)|/proc/self/fd/[012]")
_PATHLIKE = Expression(r"[\w.@~+*?/\\-]+")
_WRITES = Expression(
    r"write|open\s*\([^)]*,|['\"][rb]?[wax]\+?b?t?['\"]|unlink|remov|rename|replace|copy|move|delet|touch|mkdir|symlink|link\(|"
    r"chmod|truncate|extract|sys(?:cmd|tem)|exec|spawn|popen|subprocess|\brun\b|check_call|ctypes|>|\bcp(?:Sync)?\b|\bmv\b|\brm\b|\bln\b|"
    r"\btee\b|\bsed\b|\bdd\b|save|dump|[pP]atch|rmtree|rmdir|makedirs|\[open\s[^\]]*\s[wa]\+?\]|writefile|put_contents|Writer|Out-File|(?:Set|Add|Clear)-Content|(?:New|Move|Copy|Rename|Remove)-Item|fopen",
)
_TAKEN = Expression(
    r"\(\)\s*\{|\bfunction\b|\b(read|mapfile|readarray)\b|\bset\s+--\s|\bprintf\s+-v|\$\{?\w+\[|-c\s.*\$[1@*]"
    r"|\b(declare|local|typeset)\s+-n"
)
_MOVES = Expression(r"\b(cd|pushd|popd)\b")
_LOOPS = Expression(r"\b(?:for|select)\s+\w+\s+in\s+([^;\n]+)")
_LOADERS = Expression(
    r"LD_(PRELOAD|LIBRARY_PATH|AUDIT)|BASH_ENV|ENV|PROMPT_COMMAND|SHELLOPTS|PERL5OPT|PYTHONSTARTUP|NODE_OPTIONS|"
    r"GIT_(DIR|WORK_TREE|INDEX_FILE|CONFIG\w*|SSH|SSH_COMMAND|EXTERNAL_DIFF|PROXY_COMMAND|TEMPLATE_DIR|OBJECT_DIRECTORY"
    r"|EDITOR|SEQUENCE_EDITOR|PAGER|ASKPASS)"
)
_JOINED = Expression(r"['\"]\s*[+.]\s*['\"]")
"""Where two texts of a program are put together."""
HARMLESS = frozenset(("", "true", ":", "cat", "/bin/true", "less", "/dev/null", "vi", "vim", "nano"))
"""Editors and pagers that only show or ask."""
_LOADING = Expression(
    r"(^|\s)(-r|--require|--import|--(?:experimental-)?loader|--env-file|--inspect\S*|-C|--config\S*)\b"
)


@dataclass(slots=True)
class Effects:
    """`written` and `deleted` are absolute paths, resolved by text; `named` are paths in code that is not followed;
    `steers` are acts that only a person does, with the reason; `cwd` is where the line ends, `None` when unknown."""

    root: str
    cwd: str | None
    written: list[str] = field(default_factory=list[str])
    deleted: list[str] = field(default_factory=list[str])
    named: list[str] = field(default_factory=list[str])
    inside: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Programs of unknown effect, and the folder each is started in."""
    steers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    moves: list[Action] = field(default_factory=list[Action])
    """Branches that are pushed, deleted or set to something else."""
    fresh: set[str] = field(default_factory=set[str])
    """Folders that become repositories of their own in this line."""
    variables: dict[str, str] = field(default_factory=dict[str, str])
    texts: dict[str, str] = field(default_factory=dict[str, str])
    """What the line itself writes into a file, where it shows that."""
    search: str = ""
    """What CDPATH holds."""
    line: str = ""
    listed: list[str] = field(default_factory=list[str])
    """What the programs that search for files would name."""
    piping: list[str] = field(default_factory=list[str])
    """Of these, what goes through the pipe of the command at hand."""
    partly: list[str] = field(default_factory=list[str])
    """Ends of paths whose beginning the text does not show: `/x` of `"$d/x"`."""
    pushed: list[str | None] = field(default_factory=list[str | None])
    """The folders that `pushd` keeps."""
    aliases: dict[str, str] = field(default_factory=dict[str, str])
    blind: int = 0
    """How many paths are written whose text shows nothing: `"$1"`."""

    def write(self, word: Word | str) -> None:
        found = self.paths(word)
        self.written += found
        self._unseen(word, found)

    def delete(self, word: Word | str) -> None:
        found = self.paths(word)
        self.deleted += found
        self._unseen(word, found)

    def _unseen(self, word: Word | str, found: list[str]) -> None:
        begins = isinstance(word, Word) and not word.plain and len(found) == 1 and re.match(r"/[^/]+", word.text)
        if begins and not os.path.lexists(begins[0]):
            self.partly.append(begins.string)
        if not found and isinstance(word, Word) and not word.plain:
            self.blind += 1
            # What a command prints is the path: `> "$(printf 'ui/%s' a.ts)"`.
            self.named += self.mentioned(word.inner)

    def paths(self, word: Word | str) -> list[str]:
        """The paths a word stands for here. Of one that is not plain, what its text shows: `"$D/web/x"` names web/x."""
        text, plain, quoted = (word, True, True) if isinstance(word, str) else (word.text, word.plain, word.quoted)
        if not text or _STREAMS.fullmatch(text):
            return []
        if not plain:
            return self.mentioned(text)
        if text == "~" or text.startswith("~/"):
            text = self.variables.get("HOME", "~") + text[1:]
        full = self.absolute(text)
        if full is None:
            return self.mentioned(text)
        if not quoted and re.search(r"[*?\[]", text):
            return present(full) or [full]
        return [full]

    def absolute(self, text: str) -> str | None:
        """A path by text; `None` when it is relative and the folder is not known."""
        if text.startswith("/"):
            for own in ("/proc/self/cwd", "/proc/thread-self/cwd"):
                if self.cwd and (text == own or text.startswith(own + "/")):
                    text = self.cwd + text.removeprefix(own)
            return posixpath.normpath(text)
        return posixpath.normpath(f"{self.cwd}/{text}") if self.cwd else None

    def searched(self, files: list[str]) -> None:
        """Files that a program names, for whatever reads its output."""
        self.listed += files
        self.piping = files

    def mentioned(self, text: str) -> list[str]:
        """Everything in a text that could be a path here: seen from the folder, and from the root."""
        found: dict[str, None] = {}
        for match in _PATHLIKE.finditer(text):
            token = match[0].strip(".-") if match[0].startswith(("--", "...")) else match[0]
            token = token.replace("\\", "/")
            if not re.search(r"[A-Za-z]", token):
                continue
            for base in (self.cwd or self.root, self.root):
                full = posixpath.normpath(token if token.startswith("/") else f"{base}/{token}")
                if full == self.root or not (full + "/").startswith(self.root + "/"):
                    full = posixpath.normpath(self.root + "/" + re.sub(r"^(\.\./)+|^/+", "", token))
                if full != self.root:
                    found[full] = None
                    if "*" in token or "?" in token:
                        found.update(dict.fromkeys(present(full)))
        return list(found)

    def opaque(self, text: str) -> None:
        """Code that is not followed: what it names counts when it looks as if it wrote."""
        if _WRITES.search(text):
            self.named += self.mentioned(text)
            if (joined := _JOINED.sub("", text)) != text:
                self.named += self.mentioned(joined)


Program = Callable[[list[Word], Command, Effects], None]


def of_line(line: str, root: str, cwd: str, environment: Mapping[str, str], tool: str = "") -> Effects:
    """The effects of a line that runs in `cwd`. Raises nothing: what cannot be read is code that is not followed."""
    if tool == "PowerShell":
        from mcp_backend.hosts import powershell

        line = powershell.plain(line)
    known = {k: v for k in ("HOME", "TMPDIR", "USER") if (v := environment.get(k))}
    effects = Effects(root, posixpath.normpath(cwd), variables={"TMPDIR": "/tmp", **known, "PWD": cwd})
    if _MOVES.search(line):
        effects.variables["PWD"] = "."  # It is read before the folder changes: seen from there, it is always here.
    effects.line = line
    if len(line) > LONGEST:
        effects.named += effects.mentioned(line)
        return effects
    run(line, effects)
    return effects


def run(line: str, effects: Effects) -> None:
    """Adds the effects of a line, or of a line within one."""
    try:
        commands = Reader(line, effects.variables).read()
    except (Unreadable, RecursionError):
        effects.opaque("> " + line)
        return
    folders: list[str | None] = []
    before: Command | None = None
    for command in commands:
        if command.piped and not command.fed and before is not None:
            command.fed += spoken(before)
        before = command
        while len(folders) > command.depth:
            effects.cwd = folders.pop()
        while len(folders) < command.depth:
            folders.append(effects.cwd)
        one(command, effects)
    if folders:
        effects.cwd = folders[0]
    if effects.blind and _TAKEN.search(line):
        # The line itself says what the unknown path is: an argument, a word it reads, an item of a list.
        effects.named += [*effects.mentioned(line), *effects.listed]
    for loop in _LOOPS.finditer(line) if effects.partly else ():
        # `for d in ui; do rm "$d/x"`: what follows the item is known.
        effects.named += [
            path for item in loop[1].split() for text in effects.partly for path in effects.mentioned(item + text)
        ]
    if effects.blind and not _TAKEN.search(line):
        for loop in _LOOPS.finditer(line):
            effects.named += [
                *effects.mentioned(loop[1]),
                *(effects.listed if "$(" in loop[1] or "`" in loop[1] else ()),
            ]


def one(command: Command, effects: Effects) -> None:
    """The effects of one simple command."""
    for name, value in command.assigned.items():
        if name == "CDPATH":
            effects.search = value.text
        _set(name, value.text, effects)
        if " " in value.text:
            from mcp_backend.hosts import carried

            carried.within(effects, [value.text])
    for operator, target in command.redirects:
        if operator in _REDIRECTS_WRITE:
            effects.write(target)
            if texts := written_text(command):
                effects.texts.update(dict.fromkeys(effects.paths(target), texts))
    if not command.piped:
        effects.piping = []
    if command.words:
        if command.words[0].text in ("export", "declare", "typeset"):
            for word in command.words[1:]:
                name, equals, text = word.text.partition("=")
                if equals:
                    _set(name, text, effects)
        from mcp_backend.hosts import programs

        programs.apply(command.words, command, effects)


def _set(name: str, value: str, effects: Effects) -> None:
    if name == "NODE_OPTIONS" and not _LOADING.search(value):
        return
    if name == "ENV" and not re.search(r"[/.$~]", value):
        return  # A file that a shell reads, or the name of an environment.
    if _LOADERS.fullmatch(name) and not (name.endswith(("EDITOR", "PAGER")) and value in HARMLESS):
        effects.steers.append((f"{name}=…", "it makes another program load code or settings that nobody judged"))


def operands(words: Iterable[Word], valued: str = "", long_valued: Iterable[str] = ()) -> list[Word]:
    """The words that are not options. `valued`: short options that take the next word; `long_valued`: long ones."""
    found: list[Word] = []
    rest = iter(words)
    takes = set(long_valued)
    for word in rest:
        text = word.text
        if text == "--":
            return [*found, *rest]
        if text.startswith("--") and word.plain:
            if text in takes:
                next(rest, None)
        elif text.startswith("-") and len(text) > 1:
            if text[-1] in valued:
                next(rest, None)
        else:
            found.append(word)
    return found


def after_options(words: list[Word], valued: str, long_valued: Iterable[str] = ()) -> list[Word]:
    """The words from the first one that is no option: a program that another one starts."""
    takes = set(long_valued)
    index = 0
    while index < len(words) and words[index].text.startswith("-") and words[index].text != "--":
        text = words[index].text
        index += 2 if (text[-1] in valued and len(text) == 2) or text in takes else 1
    return words[index + 1 :] if index < len(words) and words[index].text == "--" else words[index:]


def values(words: list[Word], *names: str) -> Iterator[Word]:
    """The values of options: `-o X`, `-oX`, `--output X`, `--output=X`."""
    for index, word in enumerate(words):
        for name in names:
            if word.text == name:
                if index + 1 < len(words):
                    yield words[index + 1]
            elif name.startswith("--") and word.text.startswith(name + "="):
                yield Word(word.text.partition("=")[2], word.plain, word.quoted)
            elif not name.startswith("--") and len(name) == 2 and word.text.startswith(name) and len(word.text) > 2:
                yield Word(word.text[2:], word.plain, word.quoted)
