"""Programs that make files where their options say: generators, test runners, dumps, environments."""

import re
from collections.abc import Mapping

from mcp_backend.expressions import Expression
from mcp_backend.hosts.effects import Effects, Program, operands, run, values
from mcp_backend.workspace.shell_parts import Command, Word

_PAGES = Expression(r"react|next|vite|vue|nuxt|svelte|astro|remix|solid|qwik|angular|preact|expo|gatsby|qwik|t3")


def generated(words: list[Word], command: Command, effects: Effects) -> None:
    """`npm create X DIR`, `npx create-X DIR`: a new package; X tells whether it is one of pages."""
    given = operands(words[1:])
    if words[0].text == "create":
        name, given = (given[0].text if given else ""), given[1:]
    else:
        name = words[0].text
    for folder in given[:1] or [Word(".")]:
        for path in effects.paths(folder):
            effects.write(f"{path}/src/App.tsx" if _PAGES.search(name) else path)


def _reported(words: list[Word], command: Command, effects: Effects) -> None:
    """pytest, coverage: reports and caches. https://docs.pytest.org/en/stable/reference/reference.html#command-line-flags"""
    for word in values(words, "--junitxml", "--junit-xml", "--basetemp", "--report-log", "--html", "-d", "--directory"):
        effects.write(word)
    for word in (*values(words, "--cov-report"), *values(words, "-o", "--override-ini")):
        kind, separator, path = re.sub(r"^cache_dir=", "cache_dir:", word.text).partition(":")
        if separator and kind in ("html", "xml", "json", "lcov", "annotate", "cache_dir"):
            effects.write(path)


def _protocols(words: list[Word], command: Command, effects: Effects) -> None:
    """protoc, `python -m grpc_tools.protoc`: `--LANGUAGE_out=[OPTIONS:]FOLDER`."""
    for index, word in enumerate(words):
        if match := re.fullmatch(r"--(\w+)_out(?:=(.*))?", word.text):
            folder = match[2] if match[2] is not None else words[index + 1].text if index + 1 < len(words) else ""
            folder = folder.rpartition(":")[2]
            for path in effects.paths(Word(folder or ".", word.plain)):
                effects.write(f"{path}/generated")


def _dumped(words: list[Word], command: Command, effects: Effects) -> None:
    """pg_dump, mysqldump, mongodump and the like."""
    for word in values(words, "-f", "--file", "-r", "--result-file", "-o", "--out", "--output"):
        effects.write(word)


def _folders(words: list[Word], command: Command, effects: Effects) -> None:
    """venv, virtualenv: the folders they are given."""
    for word in operands(words, "p", ("--prompt", "--python")):
        for path in effects.paths(word):
            effects.write(f"{path}/pyvenv.cfg")


def _archive(words: list[Word], command: Command, effects: Effects) -> None:
    """`python -m zipfile`, `python -m tarfile`: -e takes a folder to unpack into, -c an archive to write."""
    for word in values(words, "-c", "--create"):
        effects.write(word)
    if any(w.text in ("-e", "--extract") for w in words):
        effects.write(operands(words)[-1] if len(operands(words)) > 1 else Word("."))


def _temporary(words: list[Word], command: Command, effects: Effects) -> None:
    """mktemp: the template, below the folder of -p or --tmpdir."""
    folders = [*values(words, "-p", "--tmpdir")]
    for word in folders or operands(words, "p", ("--suffix",)):
        effects.write(word)


def _installed(words: list[Word], command: Command, effects: Effects) -> None:
    """pip, `uv pip`: packages into a folder."""
    for word in values(words, "-t", "--target", "--prefix", "--root"):
        effects.write(word)
    verbs = [word.text for word in operands(words)]
    if verbs[:1] == ["config"] and verbs[1:2] in (["set"], ["unset"], ["edit"]):
        effects.write(Word("~/.config/pip/pip.conf"))
    for word in values(words, "--editor"):
        run(word.text, effects)


BUILDERS: Mapping[str, Program] = {
    **dict.fromkeys(("pytest", "py.test", "coverage"), _reported),
    **dict.fromkeys(("protoc", "grpc_tools.protoc"), _protocols),
    **dict.fromkeys(("pg_dump", "pg_dumpall", "mysqldump", "mariadb-dump", "mongodump"), _dumped),
    **dict.fromkeys(("venv", "virtualenv"), _folders), **dict.fromkeys(("zipfile", "tarfile"), _archive),
    **dict.fromkeys(("pip", "pip3"), _installed), "mktemp": _temporary,
    **dict.fromkeys(("create-react-app", "create-next-app", "create-vite", "create-vue", "create-svelte",
                     "create-remix", "create-astro", "create-nuxt-app", "create-expo-app"), generated),
}  # fmt: skip
