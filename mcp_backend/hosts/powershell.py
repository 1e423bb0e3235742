"""PowerShell: its cmdlets that change files, and a line of it as the reader of shell lines takes it.

https://learn.microsoft.com/en-us/powershell/module/microsoft.powershell.management/
"""

import re
from collections.abc import Iterator, Mapping

from mcp_backend.expressions import Expression
from mcp_backend.hosts.effects import Effects, Program
from mcp_backend.hosts.folders import change_folder
from mcp_backend.workspace.canonical import words as names
from mcp_backend.workspace.shell_parts import Command, Word

_ALIASES = {
    "ni": "New-Item", "ri": "Remove-Item", "del": "Remove-Item", "erase": "Remove-Item", "rd": "Remove-Item",
    "sc": "Set-Content", "ac": "Add-Content", "clc": "Clear-Content", "mi": "Move-Item", "move": "Move-Item",
    "cpi": "Copy-Item", "copy": "Copy-Item", "rni": "Rename-Item", "ren": "Rename-Item", "sl": "Set-Location",
    "iwr": "Invoke-WebRequest", "irm": "Invoke-RestMethod", "iex": "Invoke-Expression",
}  # fmt: skip
_STARTS = Expression(rf"(?im)(^|[;|&{{(]\s*)({'|'.join(_ALIASES)})(?=\s)")
_STATIC = Expression(r"(?i)\]::(?:Write|Append|Create|Delete|Move|Copy|Replace|Open(?!Read))\w*\(([^)]*)\)")
_PATHS = names("-path -literalpath -filepath -outfile -destination -destinationpath -outputdirectory -newname -target")
_VALUED = names(
    "-value -encoding -itemtype -filter -include -exclude -name -delimiter -inputobject -uri -method -body -headers "
    "-width"
)


def plain(line: str) -> str:
    """The line with its aliases written out, backslashes of paths as slashes, and what .NET writes as a cmdlet."""
    found = _STARTS.sub(lambda match: match[1] + _ALIASES[match[2].lower()], line)
    written = [path for match in _STATIC.finditer(line) for path in re.findall(r"['\"]([^'\"]+)['\"]", match[1])[:2]]
    found = found.replace("`", "").replace("\\", "/")
    return found + "".join(f"\nSet-Content '{path.replace(chr(92), '/')}'" for path in written)


def _named(words: list[Word]) -> Iterator[Word]:
    """The paths of a cmdlet: those of its parameters, or its first operand."""
    rest = iter(words)
    operands: list[Word] = []
    found = False
    for word in rest:
        name = word.text.lower().rstrip(":")
        if name in _PATHS and (value := next(rest, None)):
            found = True
            yield value
        elif name in _VALUED:
            next(rest, None)
        elif not word.text.startswith("-"):
            operands.append(word)
    if not found:
        yield from operands[:1]


def _writes(words: list[Word], command: Command, effects: Effects) -> None:
    for word in _given(words, command, effects):
        effects.write(word)


def _deletes(words: list[Word], command: Command, effects: Effects) -> None:
    for word in _given(words, command, effects):
        effects.delete(word)


def _given(words: list[Word], command: Command, effects: Effects) -> list[Word]:
    """The paths, several of them between commas. What comes through a pipe is what the line names."""
    given = [
        Word(text.strip(), word.plain, word.quoted)
        for word in _named(words)
        for text in word.text.split(",")
        if text.strip()
    ]
    if not given and command.piped:
        effects.named += effects.mentioned(effects.line)
    return given


def _moves(words: list[Word], command: Command, effects: Effects) -> None:
    """Move-Item, Rename-Item: the source is gone."""
    for word in _named(words):
        effects.delete(word)
    for word in [w for w in words if not w.text.startswith("-")][1:2]:
        effects.write(word)


def _copies(words: list[Word], command: Command, effects: Effects) -> None:
    """Copy-Item, Expand-Archive, Compress-Archive: -Destination, or the second operand."""
    texts = [word.text.lower() for word in words]
    at = next((i for i, text in enumerate(texts) if text in ("-destination", "-destinationpath")), None)
    target = words[at + 1 : at + 2] if at is not None else [w for w in words if not w.text.startswith("-")][1:2]
    for word in target:
        effects.write(word)


def _fetches(words: list[Word], command: Command, effects: Effects) -> None:
    """Invoke-WebRequest: -OutFile."""
    for index, word in enumerate(words[:-1]):
        if word.text.lower() in ("-outfile", "-filepath"):
            effects.write(words[index + 1])


def _goes(words: list[Word], command: Command, effects: Effects) -> None:
    change_folder(next(_named(words), None), effects)


def _evaluates(words: list[Word], command: Command, effects: Effects) -> None:
    effects.opaque("> " + " ".join(word.text for word in words))


CMDLETS: Mapping[str, Program] = {
    **dict.fromkeys(("set-content", "add-content", "clear-content", "out-file", "new-item", "tee-object", "export-csv",
                     "export-clixml", "set-item", "set-itemproperty", "set-acl", "start-transcript"), _writes),
    "remove-item": _deletes, **dict.fromkeys(("move-item", "rename-item"), _moves),
    **dict.fromkeys(("copy-item", "expand-archive", "compress-archive"), _copies),
    **dict.fromkeys(("invoke-webrequest", "invoke-restmethod", "start-bitstransfer"), _fetches),
    **dict.fromkeys(("set-location", "push-location"), _goes), "invoke-expression": _evaluates,
}  # fmt: skip
