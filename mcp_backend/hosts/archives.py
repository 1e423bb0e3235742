"""Programs that pack and unpack, by their manual pages: what they write is the archive, or what is in it."""

import os
import re
from collections.abc import Mapping

from mcp_backend.hosts.effects import Effects, Program, operands, run, values
from mcp_backend.workspace.shell_parts import Command, Word

MOST = 3000
"""Names that are read from an archive."""


def tar(words: list[Word], command: Command, effects: Effects) -> None:
    """tar, bsdtar: what it unpacks, the archive it writes, the programs it starts. https://www.gnu.org/software/tar/manual/"""
    for word in values(words, "--to-command", "-I", "--use-compress-program", "--checkpoint-action", "--rsh-command"):
        run(word.text.removeprefix("exec="), effects)
    texts = [w.text for w in words]
    first = texts[0].lstrip("-") if texts and re.fullmatch(r"-?[a-zA-Z]+", texts[0]) else ""
    short = first + "".join(t[1:] for t in texts[1:] if re.fullmatch(r"-[a-zA-Z]+", t))
    archives = list(values(words, "-f", "--file"))
    if "f" in first and not archives:
        archives = words[1:2]
    elif not archives:
        archives = [words[i + 1] for i, t in enumerate(texts[:-1]) if re.fullmatch(r"-[a-zA-Z]*f", t)]
    if "x" in short or {"--extract", "--get"} & set(texts):
        if "O" not in short and "--to-stdout" not in texts:
            _unpacked(archives, next(iter(values(words, "-C", "--directory")), Word(".")), effects)
    elif set(short) & set("cru") or {"--create", "--append", "--update", "--delete", "--concatenate"} & set(texts):
        for word in archives:
            effects.write(word)
        if "--remove-files" in texts:
            for word in operands(words[1:] if first else words, "fCTX", ("--file", "--directory")):
                effects.delete(word)


def _unzip(words: list[Word], command: Command, effects: Effects) -> None:
    if any(re.fullmatch(r"-[a-zA-Z]*[clptvzZh][a-zA-Z]*|--help|-1", w.text) for w in words) or not words:
        return
    _unpacked(operands(words, "dxPIO")[:1], next(iter(values(words, "-d")), Word(".")), effects)


def _seven(words: list[Word], command: Command, effects: Effects) -> None:
    """7z: a, d, rn and u write the archive, e and x what is in it, into the folder of -o."""
    given = operands(words)
    verb = given[0].text if given else ""
    if verb in ("a", "d", "rn", "u"):
        for word in given[1:2]:
            effects.write(word)
        for word in given[2:] if any(w.text == "-sdel" for w in words) else ():
            effects.delete(word)
    elif verb in ("e", "x") and "-so" not in (w.text for w in words):
        folder = next((Word(w.text[2:], w.plain, w.quoted) for w in words if w.text.startswith("-o")), Word("."))
        _unpacked([], folder, effects)


def _unpacked(archives: list[Word], folder: Word, effects: Effects) -> None:
    """What an archive would lay into a folder, as its list of names says; the folder itself when there is no list."""
    paths = [path for word in archives for path in effects.paths(word)]
    names = _names(paths[0]) if len(paths) == 1 else None
    if names is None:
        effects.write(folder)
    for name in names or ():
        for path in effects.paths(folder):
            effects.write(os.path.join(path, name))


def _names(path: str) -> list[str] | None:
    if not os.path.isfile(path):
        return None
    import tarfile
    import zipfile

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        else:
            with tarfile.open(path) as packed:
                if any(member.issym() or member.islnk() for member in packed):
                    return None  # What lies behind a link is not in the list.
                names = packed.getnames()
    except (OSError, ValueError, EOFError, tarfile.TarError, zipfile.BadZipFile):
        return None
    return names if len(names) <= MOST else None


def _zip(words: list[Word], command: Command, effects: Effects) -> None:
    """zip: the archive; with -m also what it takes in is gone."""
    given = operands(words, "btnPO", ("--out", "--temp-path", "--password"))
    for word in [*given[:1], *values(words, "-O", "--out")]:
        effects.write(word)
    if any(re.fullmatch(r"-[a-zA-Z]*m[a-zA-Z]*|--move", w.text) for w in words):
        for word in given[1:]:
            effects.delete(word)


def _copied_in(words: list[Word], command: Command, effects: Effects) -> None:
    """cpio: -i unpacks, -p copies, in the folder of -D or here. https://www.gnu.org/software/cpio/manual/"""
    folders = list(values(words, "-D", "--directory"))
    if any(re.fullmatch(r"-[a-zA-Z]*[ip][a-zA-Z]*|--extract|--pass-through", w.text) for w in words):
        for word in folders or [Word(".")]:
            for path in effects.paths(word):
                effects.inside.append(("cpio", path))
    if any(re.fullmatch(r"-[a-zA-Z]*p[a-zA-Z]*|--pass-through", w.text) for w in words):
        for word in operands(words, "DFOCHRE", ("--directory", "--file"))[-1:]:
            for path in effects.paths(word):
                effects.inside.append(("cpio", path))
                if path != effects.root:
                    effects.write(f"{path}/copied")
    for word in values(words, "-F", "-O", "--file"):
        effects.write(word)
    for code in values(words, "--rsh-command"):
        run(code.text, effects)


def _compressed(words: list[Word], command: Command, effects: Effects) -> None:
    """gzip, xz, zstd: they replace the files they are given, unless they write to standard output, test or list."""
    reads = r"-[a-zA-Z0-9]*[clt][a-zA-Z0-9]*|--stdout|--to-stdout|--test|--list"
    if any(re.fullmatch(reads, w.text) for w in words):
        return
    for word in [*operands(words, "oSDT"), *values(words, "-o")]:
        effects.write(word)


ARCHIVES: Mapping[str, Program] = {
    **dict.fromkeys(("tar", "bsdtar", "gtar"), tar), "unzip": _unzip, "zip": _zip, "cpio": _copied_in,
    **dict.fromkeys(("7z", "7za", "7zr", "7zz", "p7zip"), _seven),
    **dict.fromkeys(("gzip", "gunzip", "bzip2", "bunzip2", "xz", "unxz", "zstd", "unzstd", "lz4", "pigz"), _compressed),
}  # fmt: skip
