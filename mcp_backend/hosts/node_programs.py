"""Package managers of JavaScript: what they install, make and start."""

from collections.abc import Mapping

from mcp_backend.hosts.building import generated
from mcp_backend.hosts.effects import Effects, Program, after_options, operands, run, values
from mcp_backend.hosts.folders import change_folder
from mcp_backend.workspace.canonical import words as names
from mcp_backend.workspace.shell_parts import Command, Word

_CHANGING = names("install i add remove rm uninstall un update up upgrade link init version set dedupe prune")


def _packages(words: list[Word], command: Command, effects: Effects) -> None:
    """npm, pnpm, yarn, bun: what changes manifests, in the folder of --prefix, -C or --cwd, else here."""
    here = effects.cwd
    for folder in values(words, "--prefix", "-C", "--cwd", "--dir"):
        change_folder(folder, effects)
    from mcp_backend.hosts import programs

    if f"{effects.cwd}/package.json" in effects.written:
        effects.opaque("> " + effects.line)  # Scripts that this very line writes.
    verbs = [w.text for w in operands(words, "C", ("--prefix", "--cwd", "--dir", "--filter", "-w", "--workspace"))]
    verb = verbs[0] if verbs else "install"
    if verb in _CHANGING or (verb == "pkg" and verbs[1:2] != ["get"]):
        if verb not in ("install", "i") or verbs[1:]:
            effects.write("package.json")
        effects.write("package-lock.json")
    elif verb in ("exec", "x") and any(w.text in ("-c", "--call") for w in words):
        _npx(words[1:], command, effects)
    elif verb == "config" and verbs[1:2] in (["set"], ["delete"], ["edit"]):
        own = any(w.text in ("--location=project", "-L=project") for w in words) or "project" in [w.text for w in words]
        effects.write(".npmrc" if own else Word("~/.npmrc"))
    elif verb in ("exec", "x", "dlx") and (inner := after_options(words, "C")[1:]):
        programs.apply([w for w in inner if w.text != "--"], command, effects)
    elif verb in ("create", "run") or programs.known(verb):
        # `yarn prettier --write .` starts a program of the project; other words are its scripts.
        inner = words[next(i for i, w in enumerate(words) if w.text == verb) + (verb == "run") :]
        if verb == "create":
            generated(inner, command, effects)
        elif inner and programs.known(inner[0].text):
            programs.apply(inner, command, effects)
    effects.cwd = here


def _npx(words: list[Word], command: Command, effects: Effects) -> None:
    from mcp_backend.hosts import programs

    for code in values(words, "-c", "--call"):
        run(code.text, effects)
    if inner := after_options(words, "pc", ("--package", "--call")):
        name, at, _ = inner[0].text.rpartition("@") if "@" in inner[0].text[1:] else (inner[0].text, "", "")
        programs.apply([Word(name if at else inner[0].text, inner[0].plain), *inner[1:]], command, effects)


NODE: Mapping[str, Program] = {
    **dict.fromkeys(("npm", "pnpm", "yarn", "bun"), _packages), **dict.fromkeys(("npx", "pnpx", "bunx"), _npx),
}  # fmt: skip
