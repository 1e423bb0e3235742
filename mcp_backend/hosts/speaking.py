"""What `echo` and `printf` say."""

import re

from mcp_backend.workspace.shell_parts import Command, unescaped

SAYS = frozenset(("echo", "printf"))


def spoken(command: Command) -> list[str]:
    """What `echo` and `printf` hand to a pipe, where the line shows it whole."""
    name = command.words[0].text if command.words else ""
    if name not in SAYS or command.redirects or not all(word.plain for word in command.words):
        return []
    texts = [word.text for word in command.words[1:] if word.text != "--"]
    if name == "printf" and len(texts) > 1:
        return ["\n".join(unescaped(text) for text in texts)]
    flags = [text for text in texts if re.fullmatch(r"-[neE]+", text)] if name == "echo" else []
    text = " ".join(texts[len(flags) :])
    return [unescaped(text) if name == "printf" or any("e" in flag for flag in flags) else text]


def written_text(command: Command) -> str:
    """The content of a file that the line itself holds: what `echo` and `printf` say, what a here-document feeds."""
    name = command.words[0].text if command.words else ""
    texts = command.fed if name in ("cat", "tee") else [w.text for w in command.words[1:]] if name in SAYS else []
    return "\n".join(texts)
