"""More programs that write what their operands name: modules of Python, tools of archives and binaries, Ansible."""

import re
from collections.abc import Iterable, Mapping

from mcp_backend.hosts.effects import Effects, Program, operands, run, values
from mcp_backend.workspace.shell_parts import Command, Word


def _written(words: Iterable[Word], effects: Effects) -> None:
    for word in words:
        effects.write(word)


def _second(words: list[Word], command: Command, effects: Effects) -> None:
    """`python -m json.tool IN OUT`, `python -m uu IN OUT`, objcopy IN OUT, `dpkg-deb -x PACKAGE DIR`."""
    _written(operands(words, "IOjRF", ("--indent",))[1:2], effects)


def _copied(words: list[Word], command: Command, effects: Effects) -> None:
    """objcopy: the second operand, or the only one."""
    _written(operands(words, "IOjRFBNKLWG")[-1:], effects)


def _listed(words: list[Word], command: Command, effects: Effects) -> None:
    """fallocate, gzip of Python and the like: every operand."""
    _written(operands(words, "lo", ("--length", "--offset")), effects)


def _compiled(words: list[Word], command: Command, effects: Effects) -> None:
    """`python -m compileall`, `py_compile`: compiled files beside the sources."""
    for word in operands(words, "dfirxsp"):
        for path in effects.paths(word):
            effects.write(
                re.sub(r"\.py$", "", path) + "/__pycache__/compiled.pyc"
                if "-b" not in [w.text for w in words]
                else path
            )


def _unpacked(words: list[Word], command: Command, effects: Effects) -> None:
    """dpkg-deb, ar: -x, -X, -R unpack into the second operand; -b builds it."""
    if any(re.fullmatch(r"-[xXRbe]|--(?:v?extract|raw-extract|build|control)", w.text) for w in words):
        _written(operands(words)[1:2] or [Word(".")], effects)


def _interchanged(words: list[Word], command: Command, effects: Effects) -> None:
    """pax: -r unpacks here, -w -f writes an archive, -rw copies into the last operand."""
    letters = "".join(w.text[1:] for w in words if re.fullmatch(r"-[a-zA-Z]+", w.text))
    if "r" in letters and "w" in letters:
        _written(operands(words, "bfopstx")[-1:], effects)
    elif "r" in letters and effects.cwd:
        effects.inside.append(("pax", effects.cwd))
    elif "w" in letters:
        _written(values(words, "-f"), effects)


def _remembered(words: list[Word], command: Command, effects: Effects) -> None:
    """history: -w and -a write the file they name."""
    for index, word in enumerate(words):
        if re.fullmatch(r"-[a-z]*[wa]", word.text):
            _written(words[index + 1 : index + 2], effects)


def _orchestrated(words: list[Word], command: Command, effects: Effects) -> None:
    """ansible: what a module does, where it does it on this machine. https://docs.ansible.com/ansible/latest/collections/ansible/builtin/"""
    hosts = operands(
        words, "aimMeftlucPTBCIbK", ("--args", "--module-name", "--inventory", "--connection", "--extra-vars")
    )
    texts = [w.text for w in words]
    here = (
        any(w.text in ("localhost", "127.0.0.1") for w in hosts)
        or "local" in texts
        or any("localhost" in t for t in texts)
    )
    module = next((w.text.rpartition(".")[2] for w in values(words, "-m", "--module-name")), "command")
    given = " ".join(w.text for w in values(words, "-a", "--args"))
    if not here or {"--check", "-C"} & set(texts):
        return
    if module in ("command", "shell", "raw", "script"):
        folder = re.search(r"\bchdir=(\S+)", given)
        run(
            (f"cd {folder[1]} && " if folder else "")
            + re.sub(r"\b(?:chdir|creates|removes|executable|cmd)=", "", given),
            effects,
        )
        return
    for match in re.finditer(
        r"\b(?:dest|path|name|file|destfile|chdir|repo_path|directory)=(?:'([^']*)'|\"([^\"]*)\"|(\S+))", given
    ):
        path = next(group for group in match.groups() if group is not None)
        if module in _READING or (match[0].startswith("name") and module != "file"):
            continue
        (effects.delete if "state=absent" in given else effects.write)(path)


_READING = frozenset(
    ("stat", "slurp", "debug", "ping", "setup", "find", "assert", "wait_for", "package_facts", "getent")
)


def _stored(words: list[Word], command: Command, effects: Effects) -> None:
    """nats: `stream backup NAME DIR` writes a folder, `object get`, `kv get` a file."""
    given = operands(words, "sO", ("--server", "--context", "--creds", "--output"))
    if [word.text for word in given[:2]] in (["stream", "backup"], ["str", "backup"], ["account", "backup"]):
        _written(given[-1:], effects)
    _written(values(words, "-O", "--output"), effects)


def _settings(words: list[Word], command: Command, effects: Effects) -> None:
    """redis-cli: `CONFIG SET dir X` decides where the server writes; lines fed to it are commands too."""
    for text in (" ".join(word.text for word in words), *command.fed):
        for match in re.finditer(
            r"(?im)\bconfig\s+set\s+(?:dir|dbfilename|logfile|appenddirname)\s+[\"']?([^\s\"']+)", text
        ):
            effects.write(match[1])


def _tagged(words: list[Word], command: Command, effects: Effects) -> None:
    """exiftool: changes the files it is given when a tag is set; -w and -o name others. https://exiftool.org/exiftool_pod.html"""
    _written(values(words, "-o"), effects)
    for index, word in enumerate(words[:-1]):
        if re.fullmatch(r"-[wW][!+]?", word.text):
            effects.write(words[index + 1])
    named = next((w for w in words if re.match(r"-(?:file)?name=|-directory=", w.text.lower())), None)
    if named:
        effects.write(named.text.partition("=")[2])
    if any(re.match(r"-[\w:]+[+-]?=", w.text) for w in words):
        _written(operands(words, "w"), effects)


def _hooked(words: list[Word], command: Command, effects: Effects) -> None:
    """pre-commit, husky, lefthook …: `install` and `uninstall` write hooks of git, `husky` alone too."""
    verbs = [word.text for word in operands(words)[:1]] or ["install" if not words else ""]
    if verbs[0] in ("install", "uninstall", "init-templatedir", "init", "add", "set") or any(
        w.text in ("--install", "--uninstall", "-f") and not verbs[0] for w in words
    ):
        effects.write(effects.root + "/.git/hooks/pre-commit")


def _put(words: list[Word], command: Command, effects: Effects) -> None:
    """dasel put, delete: the file of -f, unless -o names another. https://daseldocs.tomwright.me/"""
    if words and words[0].text in ("put", "delete"):
        _written([*values(words, "-o", "--out")] or [*values(words, "-f", "--file")], effects)


MORE_PROGRAMS: Mapping[str, Program] = {
    **dict.fromkeys(("json.tool", "uu", "quopri"), _second), "objcopy": _copied, "fallocate": _listed,
    **dict.fromkeys(("compileall", "py_compile"), _compiled), "dpkg-deb": _unpacked, "pax": _interchanged,
    "history": _remembered, "ansible": _orchestrated, "nats": _stored,
    **dict.fromkeys(("redis-cli", "valkey-cli"), _settings), "exiftool": _tagged, "dasel": _put,
    **dict.fromkeys(("pre-commit", "husky", "lefthook", "overcommit", "simple-git-hooks"), _hooked),
}  # fmt: skip
