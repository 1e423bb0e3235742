"""Options that name files which a program writes, by the manual pages: programs whose options are not those that
`carried` knows by their name alone, or that mean something else elsewhere (`kubectl -o` is a form of output)."""

import re
from collections.abc import Iterator, Mapping

from mcp_backend.workspace.shell_parts import Word

_PIP = "-d --dest -w --wheel-dir --report --log --src"
_CC = "-o -MF -MJ -dumpdir"
_OPTIONS: Mapping[str, str] = {
    "docker": "-o --output --iidfile --cidfile --metadata-file", "podman": "-o --output --iidfile --cidfile",
    "rsync": "--log-file --write-batch --only-write-batch --backup-dir --partial-dir --temp-dir", "ssh": "-E",
    "go": "-o -coverprofile -cpuprofile -memprofile -blockprofile -mutexprofile -trace -outputdir",
    "cc": _CC, "gcc": _CC, "g++": _CC, "clang": _CC, "clang++": _CC, "javac": "-d -s -h", "rustc": "-o --out-dir",
    "cargo": "--root --target-dir --artifact-dir --out-dir", "ld": "-o -Map", "strip": "-o", "ar": "--output",
    "pip": _PIP, "pip3": _PIP, "coverage": "-o --data-file", "cProfile": "-o", "trace": "-f --file -C --coverdir",
    "mypy": "--junit-xml --html-report --txt-report --xml-report --cobertura-xml-report",
    "pg_restore": "-f --file", "pg_basebackup": "-D --pgdata", "initdb": "-D --pgdata -X --waldir",
    "pg_ctl": "-l --log",
    "pg_receivewal": "-D --directory", "pg_recvlogical": "-f --file",
    "redis-cli": "--rdb --functions-rdb", "valkey-cli": "--rdb --functions-rdb",
    "redis-server": "--dir --logfile --pidfile", "valkey-server": "--dir --logfile --pidfile",
    "nats-server": "-l --log -P --pid -sd --store_dir", "mongod": "--dbpath --logpath",
    "logrotate": "-s --state -l --log", "rlwrap": "-l --logfile -H --history-filename",
    "iptables-save": "-f --file", "ip6tables-save": "-f --file",
    "aria2c": "-d --dir -o --out -l --log --save-session",
    "gunicorn": "--access-logfile --error-logfile --log-file -p --pid", "celery": "-f --logfile --pidfile",
    "perf": "-o --output", "valgrind": "--log-file --xml-file",
    "hyperfine": "--export-json --export-csv --export-markdown",
    "tsc": "--outDir --outFile --declarationDir --tsBuildInfoFile", "vite": "--outDir",
    "node": "--cpu-prof-dir --heap-prof-dir --diagnostic-dir --redirect-warnings --test-reporter-destination",
}  # fmt: skip


def named(name: str, rest: list[Word]) -> Iterator[Word]:
    """The files that options of this program name. `type=local,dest=DIR` of docker is its folder."""
    options = _options(name, rest).split()
    for index, word in enumerate(rest) if options else ():
        option, equals, value = word.text.partition("=")
        if option in options and (equals or index + 1 < len(rest)):
            given = Word(value, word.plain, word.quoted) if equals else rest[index + 1]
            if not given.text.startswith("-"):
                yield _place(given)
        elif word.text[:2] in options and re.match(r"-\w[\w.~]*/", word.text):
            yield Word(word.text[2:], word.plain, word.quoted)


def _options(name: str, rest: list[Word]) -> str:
    if name == "kubectl":
        return "-o --output" if any(word.text == "kustomize" for word in rest[:2]) else "--output-directory"
    if name == "ssh-keygen":  # -f names the key it makes; with these it is the key that it reads.
        return "" if any(re.fullmatch(r"-[a-zA-Z]*[lyFHeiBrQYLM].*", word.text) for word in rest) else "-f"
    return _OPTIONS.get(name, "")


def _place(word: Word) -> Word:
    said = re.search(r"(?:^|,)dest(?:ination)?=([^,]+)", word.text)
    if said or word.text.startswith("type="):
        return Word(said[1] if said else "", word.plain, word.quoted)
    return word
