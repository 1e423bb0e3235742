"""What known programs write, by their manual pages. `PROGRAMS` by name; a program that is not here is not judged,
unless it is started inside a folder that is not the backend's."""

import os
import re
from collections.abc import Mapping

from mcp_backend.hosts import interpreters, late_programs, option_files, own_line
from mcp_backend.hosts.effects import SHELLS, Effects, Program, operands, run, values
from mcp_backend.hosts.file_programs import FILE_PROGRAMS
from mcp_backend.hosts.finding import SEARCHERS
from mcp_backend.hosts.folders import FOLDERS, change_folder
from mcp_backend.hosts.line_programs import (
    READERS,
    alias,
    arithmetic,
    database,
    database_file,
    decoded,
    evaluated,
    filtering,
    later,
    system,
    trap,
)
from mcp_backend.hosts.wrappers import STARTERS, WRAPPERS, env, started, wrapped
from mcp_backend.workspace.shell_parts import Command, Word


def apply(words: list[Word], command: Command, effects: Effects) -> None:
    """Adds the effects of a program and its arguments."""
    first, rest = words[0], words[1:]
    if not first.plain:
        effects.opaque("> " + " ".join(word.text for word in words))
        if not first.text:  # `$1`, `"$@"`: whatever the line holds.
            effects.opaque(effects.line)
        return
    name = first.text.rpartition("/")[2].removesuffix(".exe")
    if line := effects.aliases.pop(name, None):
        import shlex

        run(" ".join((line, *(shlex.quote(word.text) for word in rest))), effects)
        effects.aliases[name] = line
        return
    for word in option_files.named(name, rest):
        effects.write(word)
    if name in own_line.OWN or (
        name in ("uvx", "uv", "pipx") and any(w.text in own_line.OWN or w.text.startswith("mcp-backend") for w in rest)
    ):
        own_line.apply(words, effects)
    elif name in WRAPPERS or name.startswith("ld-linux"):
        wrapped(name, rest, command, effects)
    elif name == "env":
        env(rest, command, effects)
    elif name in SHELLS:
        _shell(rest, command, effects)
    elif name == "git":
        from mcp_backend.hosts import git_line

        git_line.apply(rest, command, effects)
    elif name == "bun" and not {"-e", "--eval", "-p"}.isdisjoint(w.text for w in rest):
        interpreters.apply("bun", rest, command, effects)
    elif program := known(name):
        program(rest, command, effects)
    elif match := interpreters.INTERPRETER.fullmatch(name):
        interpreters.apply(match[1] or name, rest, command, effects)
    elif "/" in first.text and not set(effects.paths(first)).isdisjoint(effects.written):
        script(first, effects)
    else:
        from mcp_backend.hosts import carried, finding

        if name in STARTERS and (inner := started(name, rest)):
            apply(inner, command, effects)
            return
        if name in SEARCHERS:
            effects.searched(finding.by_search(name, rest, effects))
        carried.carried(name, rest, command, effects, name in READERS)
        if name == "go":
            _go(rest, effects)
        if name not in READERS and effects.cwd:
            effects.inside.append((name, effects.cwd))


def _go(words: list[Word], effects: Effects) -> None:
    """go: `-C DIR` comes first; `env -w` sets what every build of this person starts. https://pkg.go.dev/cmd/go"""
    if [word.text for word in words[:2]] == ["env", "-w"]:
        effects.write(Word("~/.config/go/env"))
    here = effects.cwd
    for word in values(words[1:2] + words[2:3], "-C"):
        change_folder(word, effects)
        if effects.cwd and words[0].text in ("run", "generate"):
            effects.inside.append(("go", effects.cwd))
    effects.cwd = here


def _shell(rest: list[Word], command: Command, effects: Effects) -> None:
    index = next((i for i, w in enumerate(rest) if re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*", w.text)), None)
    here = effects.cwd
    if index is not None:
        code = rest[index + 1 :]
        if code and not code[0].plain:
            effects.opaque(f"> {code[0].text}\n{code[0].inner}")
        elif code:
            run(code[0].text, effects)
    elif any(not w.text.startswith("-") for w in rest) and "-s" not in (w.text for w in rest):
        script(next(w for w in rest if not w.text.startswith("-")), effects)
    elif command.piped and not command.fed:
        effects.opaque("> " + effects.line)
        decoded(effects)
    for text in command.fed:
        run(text, effects)
    effects.cwd = here


def known(name: str) -> Program | None:
    """What a program of that name does."""
    return PROGRAMS.get(name) or late_programs.program(name)


def script(script: Word, effects: Effects) -> None:
    """A script that this very line writes is code too: then the whole line is."""
    if script.inner or not set(effects.paths(script)).isdisjoint(effects.written):
        effects.opaque("> " + effects.line)
        decoded(effects)
    elif effects.cwd:
        effects.inside.append((script.text, effects.cwd))


def _sort(words: list[Word], command: Command, effects: Effects) -> None:
    for word in values(words, "-o", "--output"):
        effects.write(word)
    for word in values(words, "--compress-program"):
        script(word, effects)


def _find(words: list[Word], command: Command, effects: Effects) -> None:
    from mcp_backend.hosts import finding

    places, files = finding.by_find(words, effects)
    effects.searched(files)
    end = 0
    for index, word in enumerate(words):
        if index < end:
            continue
        if word.text == "-delete":
            effects.deleted += files
            for place in places if effects.cwd is None else ():
                effects.delete(place)
        elif word.text in ("-fprint", "-fprint0", "-fprintf", "-fls"):
            effects.write(words[index + 1] if index + 1 < len(words) else word)
        elif word.text in ("-exec", "-execdir", "-ok", "-okdir"):
            end = next((i for i in range(index, len(words)) if words[i].text in (";", "+")), len(words))
            if inner := words[index + 1 : end]:
                _executed(inner, command, effects, places, files)


def _executed(inner: list[Word], command: Command, effects: Effects, places: list[Word], files: list[str]) -> None:
    """`find -exec`: the program, once for each file it is started with; once only when that changes nothing."""
    unknown = [place.text for place in places if not any(map(os.path.isdir, effects.paths(place)))]
    for path in files or unknown:
        before = _changes(effects)
        apply([Word(w.text.replace("{}", path), w.plain, True) for w in inner], command, effects)
        if _changes(effects) == before:
            return
        if effects.blind > before[-1]:
            effects.named += files or [path for place in places for path in effects.paths(place)]
            return


def _changes(effects: Effects) -> tuple[int, ...]:
    return len(effects.written), len(effects.deleted), len(effects.named), effects.blind


def _fd(words: list[Word], command: Command, effects: Effects) -> None:
    """fd: looks, unless -x starts a program for each file. https://github.com/sharkdp/fd"""
    from mcp_backend.hosts import finding

    end = next((i for i, w in enumerate(words) if w.text in ("-x", "-X", "--exec", "--exec-batch")), len(words))
    files = finding.by_search("fd", words[:end], effects)
    effects.searched(files)
    if inner := words[end + 1 :]:
        named = inner if any("{" in w.text for w in inner) else [*inner, Word("{}")]
        _executed(named, command, effects, operands(words[:end])[1:], files)


def _make(words: list[Word], command: Command, effects: Effects) -> None:
    here = effects.cwd
    for folder in values(words, "-C", "--directory", "--working-directory", "--dir"):
        change_folder(folder, effects)
    for word in words:
        if word.text.startswith(("SHELL=", "--shell=", ".SHELLFLAGS=")):
            run(word.text.partition("=")[2], effects)
    for text in (*command.fed, *(word.text for word in values(words, "--eval", "-E"))):
        effects.opaque("> " + text)
    for word in values(words, "-f", "--file", "--makefile", "--justfile"):
        if word.text != "-":
            script(word, effects)
    if {f"{effects.cwd}/{name}" for name in ("Makefile", "makefile", "justfile")} & set(effects.written):
        effects.opaque("> " + effects.line)
    if effects.cwd:
        effects.inside.append(("make", effects.cwd))
    effects.cwd = here


def _recipes(words: list[Word], command: Command, effects: Effects) -> None:
    """just, task: as make; -d names the folder, and the words after -c are a program. https://just.systems/man/en/"""
    here = effects.cwd
    for folder in values(words, "-d"):
        change_folder(folder, effects)
    at = next((i for i, word in enumerate(words) if word.text in ("-c", "--command")), len(words))
    if inner := words[at + 1 :]:
        apply(inner, command, effects)
    _make(words[:at], command, effects)
    effects.cwd = here


def _source(words: list[Word], command: Command, effects: Effects) -> None:
    for word in words[:1]:
        if word.inner:
            effects.opaque(f"> {effects.line}")
        script(word, effects)
    for text in command.fed:
        run(text, effects)


PROGRAMS: Mapping[str, Program] = {
    **FILE_PROGRAMS, **FOLDERS,
    "sort": _sort, "find": _find, "fd": _fd, "fdfind": _fd, "rg": filtering, "eval": evaluated, "trap": trap,
    "alias": alias,
    **dict.fromkeys(("make", "gmake"), _make), **dict.fromkeys(("just", "task"), _recipes),
    **dict.fromkeys(("sqlite3", "duckdb"), database_file),
    **dict.fromkeys(("psql", "mysql", "mariadb", "clickhouse-client", "clickhouse", "clickhouse-local"), database),
    **dict.fromkeys((".", "source"), _source), **dict.fromkeys(("[[", "let"), arithmetic),
    **dict.fromkeys(("at", "batch", "crontab"), later), **dict.fromkeys(("mount", "umount", "pivot_root"), system),
}  # fmt: skip
