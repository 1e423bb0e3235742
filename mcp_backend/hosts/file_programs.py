"""Programs whose operands are the files they write, by their manual pages."""

import os
import re
from collections.abc import Mapping

from mcp_backend.hosts.effects import Effects, Program, operands, run, values
from mcp_backend.hosts.folders import change_folder
from mcp_backend.workspace.shell_parts import Command, Word


def _copied(words: list[Word], command: Command, effects: Effects) -> None:
    """scp: as cp; what it starts here comes with -o and -S. https://man.openbsd.org/scp"""
    connected(words, command, effects)
    _last(words, command, effects)


def connected(words: list[Word], command: Command, effects: Effects) -> None:
    """ssh: its line runs elsewhere, unless it goes to this machine; -o ProxyCommand and LocalCommand, and rsync's -e,
    run here. https://man.openbsd.org/ssh"""
    from mcp_backend.hosts import carried

    carried.within(effects, [word.text for word in values(words, "-o", "-S", "-e", "--rsh")])
    given = operands(words, "BbcDEeFIiJLlmOoPpRSWw")
    if given and given[0].text.removeprefix("ssh://").rpartition("@")[2].partition(":")[0] in _HERE:
        carried.within(effects, [" ".join(word.text for word in given[1:])])


_HERE = frozenset(("localhost", "127.0.0.1", "::1", "[::1]", "0.0.0.0"))


def _last(words: list[Word], command: Command, effects: Effects) -> None:
    """cp, install, rsync, scp: the last operand, or the folder of -t."""
    folders = list(values(words, "-t", "--target-directory"))
    named = operands(words, "tSgomef", ("--target-directory", "--mode", "--owner", "--group", "--suffix", "--exclude"))
    sources = named if folders else named[:-1]
    for word in folders or named[-1:]:
        if re.match(r"(?:[\w.-]+@)?[\w.-]{2,}::?(?![/\\]{2})|rsync://|scp://", word.text) and word.plain:
            continue  # On another machine (scp, rsync).
        if not (found := effects.paths(word)):
            effects.write(word)
        for path in found:
            within = bool(folders) or len(sources) > 1 or word.text.endswith("/") or os.path.isdir(path)
            for source in sources if within else ():
                effects.write(f"{path}/{source.text.rstrip('/').rpartition('/')[2]}")
            if not within or not sources:
                effects.write(path)
            if any(re.fullmatch(r"-[a-zA-Z]*[rRa][a-zA-Z]*|--recursive|--archive", w.text) for w in words):
                for source in sources:
                    _whole(source, f"{path}/{source.text.rstrip('/').rpartition('/')[2]}" if within else path, effects)


def _whole(source: Word, target: str, effects: Effects) -> None:
    """A folder that is copied with all that is in it."""
    from mcp_backend.hosts.finding import below

    for folder in effects.paths(source):
        if os.path.isdir(folder):
            for full, _ in below(folder, both=False):
                effects.write(target + full.removeprefix(folder))


def _move(words: list[Word], command: Command, effects: Effects) -> None:
    _last(words, command, effects)
    folders = list(values(words, "-t", "--target-directory"))
    named = operands(words, "tS", ("--target-directory",))
    for word in named if folders else named[:-1]:
        effects.delete(word)


def _synchronised(words: list[Word], command: Command, effects: Effects) -> None:
    """rsync: as cp; it may also take away what it has copied."""
    if any(re.fullmatch(r"-[a-zA-Z]*n[a-zA-Z]*|--dry-run|--list-only", w.text) for w in words):
        return
    connected(words, command, effects)
    _last(words, command, effects)
    if any(w.text in ("--remove-source-files", "--remove-sent-files") for w in words):
        for word in operands(words, "ef", ("--exclude", "--rsh", "--filter", "--include"))[:-1]:
            effects.delete(word)


def _link(words: list[Word], command: Command, effects: Effects) -> None:
    """A second name for a file is a way to write it: both ends count. A symbolic link is read from its own folder."""
    named = operands(words, "tS")
    targets = named[-1:] if len(named) > 1 else []
    for word in targets:
        effects.write(word)
    for source in named[:-1] or named:
        effects.write(source)
        for target in targets:
            for path in effects.paths(target):
                effects.write(
                    path.rpartition("/")[0] + "/" + source.text if not source.text.startswith("/") else source
                )


def _all(words: list[Word], command: Command, effects: Effects) -> None:
    for word in operands(words, "tdrs", ("--reference", "--date", "--size", "--mode")):
        effects.write(word)


def _after_first(words: list[Word], command: Command, effects: Effects) -> None:
    """chmod, chown, chgrp: a mode or an owner, then files."""
    below = any(re.fullmatch(r"-[a-zA-Z]*R[a-zA-Z]*|--recursive", w.text) for w in words)
    for word in [w for w in words if not w.text.startswith("-") or re.fullmatch(r"-[rwxX]+", w.text)][1:]:
        (effects.delete if below else effects.write)(word)


def _delete(words: list[Word], command: Command, effects: Effects) -> None:
    for word in operands(words):
        effects.delete(word)


def _empty(words: list[Word], command: Command, effects: Effects) -> None:
    """rmdir: takes away folders that hold nothing, and no others."""
    for word in operands(words):
        effects.deleted += [path for path in effects.paths(word) if not os.path.isdir(path) or not os.listdir(path)]


def _sed(words: list[Word], command: Command, effects: Effects) -> None:
    scripts = [*values(words, "-e", "--expression")]
    files = operands(words, "efl", ("--expression", "--file"))
    if not scripts and files and not list(values(words, "-f", "--file")):
        scripts, files = files[:1], files[1:]
    if any(re.match(r"-[a-zA-Z]*i|--in-place", w.text) for w in words):
        for word in files:
            effects.write(word)
    for script in scripts:
        for match in re.finditer(r"(?:^|[;/|,#!\s}])[wW]\s+([^;\n}]+)", script.text):
            effects.write(match[1].strip())
        if re.search(r"(?:^|[;\s\d$/])e\s|/[gp0-9]*e\b", script.text):
            effects.opaque("> " + script.text)


def _awk(words: list[Word], command: Command, effects: Effects) -> None:
    named = operands(words, "fvFi")
    if any(w.text == "inplace" for w in words):
        for word in named[1:]:
            effects.write(word)
    if named and re.search(r">|\||system|getline", named[0].text):
        effects.named += effects.mentioned(named[0].text)
        if re.search(r"(?:>|\|)\s*\(?\s*(?:ARGV|FILENAME|\$)", named[0].text):
            for word in named[1:]:
                effects.named += effects.paths(word)
        for word in values(words, "-v", "--assign"):
            effects.named += effects.mentioned(word.text.partition("=")[2])


def _dd(words: list[Word], command: Command, effects: Effects) -> None:
    for word in words:
        if word.text.startswith("of="):
            effects.write(Word(word.text[3:], word.plain))


def _second(words: list[Word], command: Command, effects: Effects) -> None:
    """uniq: the second operand is the output."""
    for word in operands(words, "fsw")[1:2]:
        effects.write(word)


_DOWNLOADED = (
    "-o", "--output", "-O", "--output-document", "--output-dir", "-P", "--directory-prefix", "-c", "--cookie-jar", "-D",
    "--dump-header", "--trace", "--trace-ascii", "--stderr", "--etag-save", "--libcurl", "--save-cookies", "-a",
    "--append-output", "--output-file",
)  # fmt: skip


def _download(words: list[Word], command: Command, effects: Effects) -> None:
    for word in values(words, *_DOWNLOADED):
        if word.text and not word.text.startswith(("http", "-")):
            effects.write(word)
    for text in command.fed if any(w.text in ("-K", "--config") for w in words) else ():
        for match in re.finditer(
            r"(?m)^\s*-{0,2}(?:output|o|dump-header|cookie-jar|trace|stderr|output-dir)\s*[=:\s]\s*\"?([^\s\"]+)", text
        ):
            effects.write(match[1])
    for index, word in enumerate(words[:-1]):
        if re.fullmatch(r"-[a-zA-Z]+[oOP]", word.text) and not words[index + 1].text.startswith("http"):
            effects.write(words[index + 1])


def _patch(words: list[Word], command: Command, effects: Effects) -> None:
    if any(w.text in ("--dry-run", "-C", "--check") for w in words):
        return
    here = effects.cwd
    for folder in values(words, "-d", "--directory"):
        change_folder(folder, effects)
    named = operands(words, "pidDBFo", ("--strip", "--input", "--directory"))
    for word in [*named[:1], *values(words, "-o", "--output")]:
        effects.write(word)
    given = list(values(words, "-i", "--input"))
    given += [w for operator, w in command.redirects if operator == "<"]
    patched([Word(path) for word in given for path in _seen_from(here, word, effects)], command, effects)
    effects.cwd = here


def _seen_from(folder: str | None, word: Word, effects: Effects) -> list[str]:
    here, effects.cwd = effects.cwd, folder
    found = effects.paths(word)
    effects.cwd = here
    return found


def _codex_patch(words: list[Word], command: Command, effects: Effects) -> None:
    """apply_patch: the program that Codex hands its patches to."""
    patched([], Command(fed=[*command.fed, *(word.text for word in words)]), effects)
    if command.piped and not command.fed:
        effects.opaque("> " + effects.line)


_NAMED_BY_PATCH = (
    r"(?m)^(?:\+\+\+|---|rename (?:from|to)|Index:"
    r"|\*\*\* (?:Add File:|Update File:|Delete File:|Move to:)) \"?([^\t\n\"]+)"
)


def patched(given: list[Word], command: Command, effects: Effects) -> None:
    """The files that patches change: `+++` and `---` lines, renames. https://git-scm.com/docs/git-apply"""
    for text in [*command.fed, *_read(given, effects)]:
        for match in re.finditer(_NAMED_BY_PATCH, text):
            for path in {match[1], match[1].partition("/")[2]} - {"", "dev/null", "/dev/null"}:
                effects.write(path)


def _read(given: list[Word], effects: Effects) -> list[str]:
    found: list[str] = []
    for word in given:
        for path in effects.paths(word):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    found.append(file.read(1_000_000))
            except OSError:
                continue
    return found


def _formatter(words: list[Word], command: Command, effects: Effects) -> None:
    """prettier, eslint, stylelint, gofmt …: they write where they are told to fix."""
    if any(re.fullmatch(r"--write|--fix(-.*)?|-[a-z]*[wi]|--in-place|--apply", w.text) for w in words):
        for word in [w for w in words if not w.text.startswith("-") and w.text not in ("check", "format", "lint")]:
            effects.write(word)


def _split(words: list[Word], command: Command, effects: Effects) -> None:
    """split: the second operand begins the names that it writes."""
    for word in operands(words, "lbnaCt", ("--lines", "--bytes", "--number", "--suffix-length"))[1:2]:
        effects.write(word)
    for code in values(words, "--filter"):
        run(code.text, effects)


def _split_by_pattern(words: list[Word], command: Command, effects: Effects) -> None:
    """csplit: -f begins the names that it writes; its other operands are patterns."""
    for word in values(words, "-f", "--prefix"):
        effects.write(word)


def _reverted(words: list[Word], command: Command, effects: Effects) -> None:
    """xxd: the second operand is what it writes."""
    for word in operands(words, "cglos", ("-seek", "-len", "-cols"))[1:2]:
        effects.write(word)


def _converted(words: list[Word], command: Command, effects: Effects) -> None:
    """ffmpeg, magick: the last word is the file they make."""
    shows = bool(words) and words[0].text in ("identify", "compare")
    for word in words[-1:] if len(words) > 1 and not shows else []:
        if not word.text.startswith("-") and word.text not in ("null:", "info:"):
            effects.write(word)


FILE_PROGRAMS: Mapping[str, Program] = {
    **dict.fromkeys(("cp", "install", "gcp"), _last), "scp": _copied,
    **dict.fromkeys(("ssh", "mosh"), connected), "rsync": _synchronised,
    **dict.fromkeys(("ffmpeg", "magick", "convert", "cwebp"), _converted),
    "mv": _move, "ln": _link, "link": _link, "sed": _sed, "gsed": _sed, "dd": _dd, "uniq": _second,
    **dict.fromkeys(("tee", "touch", "truncate", "mkdir", "mkfifo", "mknod", "sponge", "setfacl", "setfattr"), _all),
    **dict.fromkeys(("chmod", "chown", "chgrp", "chattr"), _after_first),
    **dict.fromkeys(("rm", "unlink", "shred", "trash", "rename"), _delete), "rmdir": _empty,
    **dict.fromkeys(("awk", "gawk", "mawk", "nawk"), _awk),
    **dict.fromkeys(("curl", "wget"), _download), "split": _split, "csplit": _split_by_pattern,
    "xxd": _reverted, "patch": _patch,
    **dict.fromkeys(("apply_patch", "applypatch"), _codex_patch),
    **dict.fromkeys(("prettier", "eslint", "stylelint", "biome", "gofmt", "goimports", "clang-format"), _formatter),
}  # fmt: skip
