"""Programs that start another one: sudo, env, xargs, timeout, strace, script."""

import re
from collections.abc import Mapping

from mcp_backend.hosts.effects import CHANGERS, Effects, after_options, one, operands, run, values
from mcp_backend.hosts.folders import change_folder
from mcp_backend.workspace.canonical import words
from mcp_backend.workspace.shell_parts import Command, Word

WRAPPERS: Mapping[str, str] = {
    "sudo": "ugpCThRD", "doas": "uC", "nohup": "", "nice": "n", "ionice": "cnp", "setsid": "", "stdbuf": "ioe",
    "exec": "a", "command": "", "builtin": "", "time": "of", "timeout": "ks", "busybox": "", "toybox": "", "chroot": "",
    "nsenter": "tSGr", "unshare": "", "strace": "oepPs", "watch": "n", "flock": "wE", "xargs": "IiLnPsdEa",
    "parallel": "jIa", "chrt": "", "taskset": "", "unbuffer": "", "script": "", "firejail": "", "bwrap": "",
    "su": "c", "runuser": "c", "systemd-run": "pu", "entr": "", "setpriv": "", "catchsegv": "", "faketime": "",
    "tmux": "", "screen": "", "coreutils": "",
}  # fmt: skip
_LOGS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("strace", "ltrace", "time"), ("-o", "--output")), "screen": ("-Logfile", "-L"),
    "parallel": ("--results", "--joblog"),
}  # fmt: skip
"""Options of a wrapper itself that name a file which it writes."""
_LEADING = {"timeout": 1, "chroot": 1, "flock": 1, "taskset": 1, "chrt": 1, "faketime": 1}
"""Operands of a wrapper before the program it starts."""
_GIT_CHANGERS = words("rm checkout restore mv clean apply")
_CHANGERS = CHANGERS | words("install perl patch sh bash")


def wrapped(name: str, rest: list[Word], command: Command, effects: Effects) -> None:
    """Adds what the program does that another one starts, and what the other one writes itself."""
    from mcp_backend.hosts.programs import apply

    inner = after_options(rest, WRAPPERS.get(name, ""))[_LEADING.get(name, 0) :]
    for word in values(rest if name == "screen" else rest[: len(rest) - len(inner)], *_LOGS.get(name, ())):
        effects.write(word)
    if name in ("sudo", "doas", "nsenter") and inner and "=" in inner[0].text:
        env(inner, command, effects)
        return
    if name in ("su", "runuser"):
        for code in values(rest, "-c", "--command"):
            run(code.text, effects)
        user = name == "runuser" and any(w.text in ("-u", "--user") for w in rest)
        if user and (inner := after_options(rest, "ugG", ("--user", "--group"))):
            apply(inner, command, effects)
        return
    if name == "coreutils":
        for program in values(rest, "--coreutils-prog"):
            apply([program, *(w for w in rest if not w.text.startswith("--coreutils-prog"))], command, effects)
        return
    if name in ("tmux", "screen"):
        # Whatever is typed or started there runs outside of this shell, below a server of its own.
        for index, word in enumerate(rest):
            if " " in word.text:
                run(word.text, effects)
            elif word.text.rpartition("/")[2].startswith(("mcp-backend", "python", "uv", "env", "sh", "bash")):
                run(" ".join(w.text for w in rest[index:]), effects)
        return
    if name == "script":
        inner = operands(rest, "cBEIOT", ("--command",))
        for word in [w for w in inner[:1] if not w.text.startswith("/dev/")] or [Word("typescript")]:
            effects.write(word)
        inner = inner[1:]
        rest = [Word("-c") if re.fullmatch(r"-[a-zA-Z]*c", w.text) else w for w in rest]
    if name == "parallel":
        inner = _filled(inner)
    if name in ("flock", "script", "watch", "parallel") and (inner or name == "script"):
        for code in values(rest, "-c", "--command"):
            run(code.text, effects)
        run(" ".join(w.text for w in inner), effects)
        return
    if name in ("xargs", "parallel") and inner and _changes_files(inner):
        # What it changes comes through a pipe: a search named it, the line does, or nobody knows.
        effects.named += effects.piping or effects.mentioned(effects.line)
    if name == "sudo":
        for folder in values(rest[: len(rest) - len(inner)], "-D", "--chdir"):
            change_folder(folder, effects)
    if inner:
        apply(inner, command, effects)


def _filled(words: list[Word]) -> list[Word]:
    """parallel: `LINE ::: VALUES` is the line once for each value, in the place of `{}` or at its end.
    https://www.gnu.org/software/parallel/man.html"""
    at = next((i for i, word in enumerate(words) if re.fullmatch(r":::\+?", word.text)), None)
    if at is None:
        return words
    line = " ".join(word.text for word in words[:at])
    given = [word.text for word in words[at + 1 :] if not word.text.startswith(":::")]
    places = re.compile(r"\{(?:\d*[/.]*|#|%)\}")
    if "{" not in line:
        return [Word("; ".join(f"{line} {value}" for value in given))]
    pieces = places.split(line)
    return [Word("; ".join(value.join(pieces) for value in given))]


def _changes_files(words: list[Word]) -> bool:
    name = words[0].text.rpartition("/")[2]
    return name in _CHANGERS or (name == "git" and words[1:2] != [] and words[1].text in _GIT_CHANGERS)


STARTERS = words(
    "poetry pipenv pdm rye hatch pixi conda mamba micromamba mise asdf direnv dotenv op doppler aws-vault infisical "
    "chamber rbenv pyenv volta bundle"
)
"""Managers of environments and secrets: `poetry run X`, `direnv exec DIR X`, `op run -- X`."""


def started(name: str, rest: list[Word]) -> list[Word]:
    """The program, with its words, that such a manager starts; nothing where it starts none."""
    at = next((i for i, word in enumerate(rest) if word.text in ("run", "exec")), None)
    if at is None:
        return []
    inner = rest[at + 1 :]
    if dashes := next((i for i, word in enumerate(inner) if word.text == "--"), None):
        return inner[dashes + 1 :]
    inner = after_options(inner, "npefEi")
    return inner[1:] if name in ("direnv", "aws-vault", "chamber") else inner


def env(rest: list[Word], command: Command, effects: Effects) -> None:
    """env: a program with other variables, in another folder."""
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
