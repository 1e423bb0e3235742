"""What known programs write, by their manual pages. `PROGRAMS` by name; a program that is not here is not judged,
unless it is started inside a folder that is not the backend's."""

import os
import re
from collections.abc import Mapping

from mcp_backend.expressions import Expression
from mcp_backend.hosts.archives import ARCHIVES
from mcp_backend.hosts.building import BUILDERS
from mcp_backend.hosts.containers import CONTAINERS
from mcp_backend.hosts.effects import SHELLS, Effects, Program, after_options, change_folder, operands, run, values
from mcp_backend.hosts.file_programs import FILE_PROGRAMS
from mcp_backend.hosts.finding import SEARCHERS
from mcp_backend.hosts.line_programs import (
    READERS,
    alias,
    arithmetic,
    database,
    decoded,
    evaluated,
    filtering,
    later,
    system,
    trap,
)
from mcp_backend.hosts.node_programs import NODE
from mcp_backend.hosts.wrappers import STARTERS, WRAPPERS, env, started, wrapped
from mcp_backend.workspace.shell_parts import Command, Word

_INTERPRETER = Expression(
    r"(python|pypy|perl|ruby|node|nodejs|deno|bun|php|lua|tclsh|Rscript|osascript|pwsh|powershell|julia|jshell|groovy)[\d.]*|uvx?"
)
_CODE = {"python": ("-c",), "pypy": ("-c",), "perl": ("-e", "-E"), "ruby": ("-e",), "node": ("-e", "--eval", "-p"),
         "nodejs": ("-e",), "php": ("-r",), "lua": ("-e",), "deno": ("eval",),
         "bun": ("-e", "--eval", "-p"), "Rscript": ("-e",),
         "pwsh": ("-c", "-Command", "-command"), "powershell": ("-c", "-Command", "-command"),
         "julia": ("-e", "-E", "--eval")}  # fmt: skip
OWN = frozenset(("mcp-backend", "mcp-backend-hook"))
_OWN_ALLOWED = frozenset(("check", "doctor", "--version", "--help", "-h", "hook"))


def apply(words: list[Word], command: Command, effects: Effects) -> None:
    """Adds the effects of a program and its arguments."""
    first, rest = words[0], words[1:]
    if not first.plain:
        effects.opaque("> " + " ".join(word.text for word in words))
        return
    name = first.text.rpartition("/")[2].removesuffix(".exe")
    if name in OWN or (
        name in ("uvx", "uv", "pipx") and any(w.text in OWN or w.text.startswith("mcp-backend") for w in rest)
    ):
        _own(words, effects)
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
        _interpreter("bun", rest, command, effects)
    elif program := PROGRAMS.get(name):
        program(rest, command, effects)
    elif match := _INTERPRETER.fullmatch(name):
        _interpreter(match[1] or name, rest, command, effects)
    elif "/" in first.text and not set(effects.paths(first)).isdisjoint(effects.written):
        _script(first, effects)
    else:
        from mcp_backend.hosts import carried, finding

        if name in STARTERS and (inner := started(name, rest)):
            apply(inner, command, effects)
            return
        if name in SEARCHERS:
            effects.searched(finding.by_search(name, rest, effects))
        carried.carried(name, rest, command, effects, name in READERS)
        if name not in READERS and effects.cwd:
            effects.inside.append((name, effects.cwd))


def _own(words: list[Word], effects: Effects) -> None:
    texts = [w.text for w in words]
    start = next(i for i, text in enumerate(texts) if text.rpartition("/")[2].startswith("mcp-backend"))
    if "mcp-backend-hook" in texts[start]:
        return
    verb = next((text for text in texts[start + 1 :] if text != "--" and not text.startswith("--from")), "--help")
    if verb in _OWN_ALLOWED or (verb == "render" and "--write" not in texts) or (verb == "inbox" and "list" in texts):
        return
    effects.steers.append(
        (f"mcp-backend {verb}", "a person's command: it decides or shows what the engineer is asked about")
    )


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
        _script(next(w for w in rest if not w.text.startswith("-")), effects)
    elif command.piped and not command.fed:
        effects.opaque("> " + effects.line)
        decoded(effects)
    for text in command.fed:
        run(text, effects)
    effects.cwd = here


def _script(script: Word, effects: Effects) -> None:
    """A script that this very line writes is code too: then the whole line is."""
    if script.inner or not set(effects.paths(script)).isdisjoint(effects.written):
        effects.opaque("> " + effects.line)
        decoded(effects)
    elif effects.cwd:
        effects.inside.append((script.text, effects.cwd))


def _interpreter(kind: str, rest: list[Word], command: Command, effects: Effects) -> None:
    found = False
    for flag in _CODE.get(kind, ("-c", "-e")):
        for code in values(rest, flag):
            _read_code(code.text, rest, effects)
            if not code.plain:
                effects.opaque(f"> {code.inner}")
                decoded(effects, code.inner)
            found = True
    for text in command.fed:
        _read_code(text, rest, effects)
    if kind in ("perl", "ruby") and any(re.fullmatch(r"-[a-z]*i.*", w.text) for w in rest):
        for word in operands(rest, "eE"):
            effects.write(word)
    texts = [w.text for w in rest]
    if "-m" in texts and "mcp_backend" in texts:
        _own([Word("mcp-backend"), *rest[texts.index("mcp_backend") + 1 :]], effects)
    elif kind in ("python", "pypy") and "-m" in texts and (module := rest[texts.index("-m") + 1 :]):
        apply(module, command, effects)
    elif kind in ("uv", "uvx") and "run" in texts[:1]:
        if inner := after_options(rest[1:], "p"):
            apply(inner, command, effects)
    elif not found and command.piped and not operands(rest):
        effects.opaque(effects.line)
    elif not found and "-m" not in texts and (files := operands(rest)):
        _script(files[0], effects)


def _read_code(text: str, rest: list[Word], effects: Effects) -> None:
    """Code in the line, or fed to an interpreter: what it names, and what the line hands to it."""
    before = len(effects.named)
    effects.opaque(text)
    if len(effects.named) > before or "argv" in text or "ARGV" in text:
        for word in operands(rest, "cem"):
            if word.text != text and re.fullmatch(r"[\w./-]+", word.text):
                effects.named += effects.mentioned(word.text)
    if re.search(r"\b(exec|eval|system|popen|run|Function)\b", text):
        decoded(effects, text)


def _sort(words: list[Word], command: Command, effects: Effects) -> None:
    for word in values(words, "-o", "--output"):
        effects.write(word)
    for word in values(words, "--compress-program"):
        _script(word, effects)


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
    for folder in values(words, "-C", "--directory"):
        change_folder(folder, effects)
    for text in (*command.fed, *(word.text for word in values(words, "--eval", "-E"))):
        effects.opaque("> " + text)
    for word in values(words, "-f", "--file", "--makefile", "--justfile"):
        if word.text != "-":
            _script(word, effects)
    if {f"{effects.cwd}/{name}" for name in ("Makefile", "makefile", "justfile")} & set(effects.written):
        effects.opaque("> " + effects.line)
    if effects.cwd:
        effects.inside.append(("make", effects.cwd))
    effects.cwd = here


def _source(words: list[Word], command: Command, effects: Effects) -> None:
    for word in words[:1]:
        if word.inner:
            effects.opaque(f"> {effects.line}")
        _script(word, effects)
    for text in command.fed:
        run(text, effects)


PROGRAMS: Mapping[str, Program] = {
    **FILE_PROGRAMS, **ARCHIVES, **BUILDERS,
    "sort": _sort, "find": _find, "fd": _fd, "fdfind": _fd, "rg": filtering, "eval": evaluated, "trap": trap,
    "alias": alias,
    **NODE, **CONTAINERS,
    **dict.fromkeys(("make", "gmake", "just", "task"), _make),
    **dict.fromkeys(("sqlite3", "psql", "mysql", "mariadb", "duckdb"), database),
    **dict.fromkeys((".", "source"), _source), **dict.fromkeys(("[[", "let"), arithmetic),
    **dict.fromkeys(("at", "batch", "crontab"), later), **dict.fromkeys(("mount", "umount", "pivot_root"), system),
}  # fmt: skip
