"""Code that an interpreter is given: in the line, fed to it, or as a module of Python."""

import re

from mcp_backend.expressions import Expression
from mcp_backend.hosts import own_line
from mcp_backend.hosts.effects import Effects, after_options, operands, values
from mcp_backend.hosts.line_programs import decoded
from mcp_backend.workspace.shell_parts import Command, Word

INTERPRETER = Expression(
    r"(python|pypy|ipython|perl|ruby|node|nodejs|tsx|ts-node|deno|bun|php|lua|tclsh|Rscript|osascript|pwsh|powershell"
    r"|julia|jshell|groovy)[\d.]*|uvx?"
)
_NODE = ("-e", "--eval", "-p", "--print")
_POWERSHELL = ("-c", "-Command", "-command")
_CODE = {
    "python": ("-c",), "ipython": ("-c",), "pypy": ("-c",), "perl": ("-e", "-E"), "ruby": ("-e",), "php": ("-r",),
    "node": _NODE, "nodejs": _NODE, "tsx": _NODE, "ts-node": _NODE, "bun": _NODE, "deno": ("eval",), "lua": ("-e",),
    "Rscript": ("-e",), "pwsh": _POWERSHELL, "powershell": _POWERSHELL, "julia": ("-e", "-E", "--eval"),
}  # fmt: skip
"""The options that are followed by code."""


def apply(kind: str, rest: list[Word], command: Command, effects: Effects) -> None:
    """Adds the effects of an interpreter of that kind."""
    from mcp_backend.hosts import programs

    found = False
    for flag in _CODE.get(kind, ("-c", "-e")):
        for code in values(rest, flag):
            _read_code(kind, code.text, rest, effects)
            if not code.plain:
                effects.opaque(f"> {code.inner}")
                decoded(effects, code.inner)
            found = True
    for text in command.fed:
        _read_code(kind, text, rest, effects)
    if kind in ("perl", "ruby") and any(re.fullmatch(r"-[a-z]*i.*", w.text) for w in rest):
        for word in operands(rest, "eE"):
            effects.write(word)
    texts = [w.text for w in rest]
    if "-m" in texts and "mcp_backend" in texts:
        own_line.apply([Word("mcp-backend"), *rest[texts.index("mcp_backend") + 1 :]], effects)
    elif kind in ("python", "pypy") and "-m" in texts and (module := rest[texts.index("-m") + 1 :]):
        programs.apply(module, command, effects)
    elif kind == "uvx" or (kind == "uv" and texts[:1] in (["run"], ["tool"])):
        inner = after_options(
            rest if kind == "uvx" else rest[1 + (texts[1:2] == ["run"]) :], "pw", ("--from", "--with", "--python")
        )
        if inner:
            programs.apply(inner, command, effects)
    elif not found and command.piped and not operands(rest):
        effects.opaque(effects.line)
    elif not found and "-m" not in texts and (files := operands(rest)):
        programs.script(files[0], effects)


def _read_code(kind: str, text: str, rest: list[Word], effects: Effects) -> None:
    """Code in the line, or fed to an interpreter: what it names, and what the line hands to it."""
    before = len(effects.named)
    if own_line.CODE.search(text):
        effects.steers.append(("mcp_backend in code", "it decides or shows what the engineer is asked about"))
    effects.opaque(text)
    if kind in ("python", "pypy", "ipython") and len(effects.named) > before:
        from mcp_backend.hosts import python_code

        if python_code.only_looks(text):
            del effects.named[before:]
            return
    if len(effects.named) > before or "argv" in text or "ARGV" in text:
        for word in operands(rest, "cem"):
            if word.text != text and re.fullmatch(r"[\w./-]+", word.text):
                effects.named += effects.mentioned(word.text)
    if re.search(r"\b(exec|eval|system|popen|run|Function)\b", text):
        decoded(effects, text)
