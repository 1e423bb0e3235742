"""What known programs write, by their manual pages. `PROGRAMS` by name; a program that is not here is not judged,
unless it is started inside a folder that is not the backend's."""

import re
from collections.abc import Mapping

from mcp_backend.expressions import Expression
from mcp_backend.hosts.effects import SHELLS, Effects, Program, change_folder, one, operands, run, values
from mcp_backend.hosts.file_programs import FILE_PROGRAMS
from mcp_backend.hosts.line_programs import (
    READERS,
    arithmetic,
    database,
    decoded,
    evaluated,
    filtering,
    later,
    nothing,
    system,
    tar,
    trap,
)
from mcp_backend.workspace.canonical import words
from mcp_backend.workspace.shell_parts import Command, Word

_INTERPRETER = Expression(r"(python|pypy|perl|ruby|node|nodejs|deno|bun|php|lua|tclsh|Rscript|osascript)[\d.]*|uvx?")
_CODE = {"python": ("-c",), "pypy": ("-c",), "perl": ("-e", "-E"), "ruby": ("-e",), "node": ("-e", "--eval", "-p"),
         "nodejs": ("-e",), "php": ("-r",), "lua": ("-e",), "deno": ("eval",),
         "bun": ("-e",), "Rscript": ("-e",)}  # fmt: skip
_WRAPPERS: Mapping[str, str] = {
    "sudo": "ugpCThR", "doas": "uC", "nohup": "", "nice": "n", "ionice": "cnp", "setsid": "", "stdbuf": "ioe",
    "exec": "a", "command": "", "builtin": "", "time": "of", "timeout": "ks", "busybox": "", "toybox": "", "chroot": "",
    "nsenter": "tSGr", "unshare": "", "strace": "oepPs", "watch": "n", "flock": "wE", "xargs": "IiLnPsdEa",
    "parallel": "jIa", "chrt": "", "taskset": "", "unbuffer": "", "script": "", "firejail": "", "bwrap": "",
}  # fmt: skip
_LEADING = {"timeout": 1, "chroot": 1, "flock": 1, "taskset": 1, "chrt": 1}
"""Operands of a wrapper before the program it starts."""
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
    elif name in _WRAPPERS or name.startswith("ld-linux"):
        _wrapped(name, rest, command, effects)
    elif name == "env":
        _env(rest, command, effects)
    elif name in SHELLS:
        _shell(rest, command, effects)
    elif name == "git":
        from mcp_backend.hosts import git_line

        git_line.apply(rest, command, effects)
    elif program := PROGRAMS.get(name):
        program(rest, command, effects)
    elif match := _INTERPRETER.fullmatch(name):
        _interpreter(match[1] or name, rest, command, effects)
    else:
        for value in values(rest, "-o", "--output", "--out", "--outfile", "--out-dir", "--outdir", "--output-dir"):
            effects.write(value)
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


def _wrapped(name: str, rest: list[Word], command: Command, effects: Effects) -> None:
    inner = _after_options(rest, _WRAPPERS.get(name, ""))[_LEADING.get(name, 0) :]
    if name in ("sudo", "doas", "nsenter") and inner and "=" in inner[0].text:
        _env(inner, command, effects)
        return
    if name in ("flock", "script", "watch", "parallel") and inner:
        for code in values(rest, "-c", "--command"):
            run(code.text, effects)
        run(" ".join(w.text for w in inner), effects)
        return
    if name in ("xargs", "parallel") and inner and inner[0].text.rpartition("/")[2] in _CHANGERS:
        # What it changes comes through a pipe: the line names it, or nobody knows.
        effects.named += effects.mentioned(effects.line)
    if inner:
        apply(inner, command, effects)


def _after_options(words: list[Word], valued: str) -> list[Word]:
    index = 0
    while index < len(words) and words[index].text.startswith("-") and words[index].text != "--":
        index += 2 if words[index].text[-1] in valued and len(words[index].text) == 2 else 1
    return words[index + 1 :] if index < len(words) and words[index].text == "--" else words[index:]


def _env(rest: list[Word], command: Command, effects: Effects) -> None:
    here = effects.cwd
    index = 0
    assigned: dict[str, Word] = {}
    while index < len(rest):
        text = rest[index].text
        if text in ("-C", "--chdir") and index + 1 < len(rest):
            change_folder(rest[index + 1], effects)
            index += 1
        elif text.startswith("--chdir="):
            change_folder(Word(text.partition("=")[2], rest[index].plain), effects)
        elif text in ("-S", "--split-string") and index + 1 < len(rest):
            run(rest[index + 1].text, effects)
            index += 1
        elif text in ("-u", "--unset"):
            index += 1
        elif re.match(r"[A-Za-z_]\w*=", text):
            name, _, value = text.partition("=")
            assigned[name] = Word(value, rest[index].plain)
        elif not text.startswith("-"):
            break
        index += 1
    one(Command(assigned, rest[index:], [], command.fed, command.piped, command.depth), effects)
    effects.cwd = here


def _shell(rest: list[Word], command: Command, effects: Effects) -> None:
    index = next((i for i, w in enumerate(rest) if re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*", w.text)), None)
    here = effects.cwd
    if index is not None:
        code = rest[index + 1 :]
        if code and not code[0].plain:
            effects.opaque("> " + code[0].text)
        elif code:
            run(code[0].text, effects)
    elif any(not w.text.startswith("-") for w in rest):
        _script(next(w for w in rest if not w.text.startswith("-")), effects)
    elif command.piped and not command.fed:
        effects.opaque("> " + effects.line)
        decoded(effects)
    for text in command.fed:
        run(text, effects)
    effects.cwd = here


def _script(script: Word, effects: Effects) -> None:
    """A script that this very line writes is code too: then the whole line is."""
    if not set(effects.paths(script)).isdisjoint(effects.written):
        effects.opaque("> " + effects.line)
    elif effects.cwd:
        effects.inside.append((script.text, effects.cwd))


def _interpreter(kind: str, rest: list[Word], command: Command, effects: Effects) -> None:
    found = False
    for flag in _CODE.get(kind, ("-c", "-e")):
        for code in values(rest, flag):
            effects.opaque(code.text)
            found = True
    for text in command.fed:
        effects.opaque(text)
    if kind == "perl" and any(re.fullmatch(r"-[a-z]*i.*", w.text) for w in rest):
        for word in operands(rest, "eE"):
            effects.write(word)
    texts = [w.text for w in rest]
    if "-m" in texts and "mcp_backend" in texts:
        _own([Word("mcp-backend"), *rest[texts.index("mcp_backend") + 1 :]], effects)
    elif kind in ("uv", "uvx") and "run" in texts[:1]:
        if inner := _after_options(rest[1:], "p"):
            apply(inner, command, effects)
    elif not found and command.piped and not operands(rest):
        effects.opaque(effects.line)
    elif not found and "-m" not in texts and (files := operands(rest)):
        _script(files[0], effects)


def _sort(words: list[Word], command: Command, effects: Effects) -> None:
    for word in values(words, "-o", "--output"):
        effects.write(word)
    for word in values(words, "--compress-program"):
        _script(word, effects)


def _find(words: list[Word], command: Command, effects: Effects) -> None:
    start = next((i for i, w in enumerate(words) if w.text.startswith(("-", "(", "!"))), len(words))
    places = words[:start] or [Word(".")]
    for index, word in enumerate(words):
        if word.text == "-delete":
            for place in places:
                effects.delete(place)
        elif word.text in ("-fprint", "-fprintf", "-fls"):
            effects.write(words[index + 1] if index + 1 < len(words) else word)
        elif word.text in ("-exec", "-execdir", "-ok", "-okdir"):
            end = next((i for i in range(index, len(words)) if words[i].text in (";", "+")), len(words))
            for place in places:
                inner = [
                    Word(w.text.replace("{}", place.text), w.plain and place.plain) for w in words[index + 1 : end]
                ]
                blind = effects.blind
                if inner:
                    apply(inner, command, effects)
                if effects.blind > blind and not _backend_only(words):
                    effects.delete(place)


def _backend_only(words: list[Word]) -> bool:
    """Whether `find` looks for names only that no frontend has."""
    return any(value.text.endswith((".py", ".go", ".pyc", ".sql")) for value in values(words, "-name", "-iname"))


def _packages(words: list[Word], command: Command, effects: Effects) -> None:
    """npm, pnpm, yarn, bun: what changes manifests, in the folder of --prefix, -C or --cwd, else here."""
    here = effects.cwd
    for folder in values(words, "--prefix", "-C", "--cwd", "--dir"):
        change_folder(folder, effects)
    verbs = [w.text for w in operands(words, "C", ("--prefix", "--cwd", "--dir", "--filter", "-w", "--workspace"))]
    verb = verbs[0] if verbs else "install"
    if verb in _CHANGING or (verb == "pkg" and verbs[1:2] != ["get"]):
        if verb not in ("install", "i") or verbs[1:]:
            effects.write("package.json")
        effects.write("package-lock.json")
    elif verb in ("exec", "x", "dlx") and (inner := operands(words)[1:]):
        apply(inner, command, effects)
    effects.cwd = here


def _npx(words: list[Word], command: Command, effects: Effects) -> None:
    if inner := _after_options(words, "p"):
        apply(inner, command, effects)


def _make(words: list[Word], command: Command, effects: Effects) -> None:
    here = effects.cwd
    for folder in values(words, "-C", "--directory"):
        change_folder(folder, effects)
    for text in command.fed:
        effects.opaque(text)
    if effects.cwd:
        effects.inside.append(("make", effects.cwd))
    effects.cwd = here


def _source(words: list[Word], command: Command, effects: Effects) -> None:
    for word in words[:1]:
        _script(word, effects)


_CHANGING = words("install i add remove rm uninstall un update up upgrade link init create version set dedupe prune")
_CHANGERS = words("rm mv cp sed tee touch chmod chown truncate ln install perl dd rmdir unlink shred patch sh bash")

PROGRAMS: Mapping[str, Program] = {
    **FILE_PROGRAMS,
    "sort": _sort, "find": _find, "fd": nothing, "rg": filtering, "eval": evaluated, "trap": trap,
    **dict.fromkeys(("tar", "bsdtar"), tar),
    **dict.fromkeys(("npm", "pnpm", "yarn", "bun"), _packages), **dict.fromkeys(("npx", "pnpx", "bunx"), _npx),
    **dict.fromkeys(("make", "gmake", "just", "task"), _make),
    **dict.fromkeys(("sqlite3", "psql", "mysql", "mariadb", "duckdb"), database),
    **dict.fromkeys((".", "source"), _source), **dict.fromkeys(("[[", "let"), arithmetic),
    **dict.fromkeys(("at", "batch", "crontab"), later), **dict.fromkeys(("mount", "umount", "pivot_root"), system),
}  # fmt: skip
