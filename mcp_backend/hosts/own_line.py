"""The command line of this project in a line: what only shows, and what a person decides with it."""

from mcp_backend.expressions import Expression
from mcp_backend.hosts.effects import Effects
from mcp_backend.workspace.shell_parts import Word

OWN = frozenset(("mcp-backend", "mcp-backend-hook"))
_OWN_ALLOWED = frozenset(("check", "doctor", "--version", "--help", "-h", "hook"))
_OWN_LOOKS = {"inbox": ("list", "show", ""), "audit": ("verify", "tail", ""), "engines": ("status", "start", "")}
"""What only shows; `engines start` gives the development engines that the server would start too."""
CODE = Expression(r"(?s)\bmcp_backend\b.*\b(?:inbox|answer|approv\w*|escalations|store|cli|main|audit)\b")
"""Code that reaches for what decides."""


def apply(words: list[Word], effects: Effects) -> None:
    texts = [w.text for w in words]
    start = next(i for i, text in enumerate(texts) if text.rpartition("/")[2].startswith("mcp-backend"))
    if "mcp-backend-hook" in texts[start]:
        return
    verb = next((text for text in texts[start + 1 :] if text != "--" and not text.startswith("--from")), "--help")
    said = texts[start + 1 :]
    after = (
        next((text for text in said[said.index(verb) + 1 :] if not text.startswith("-")), "") if verb in said else ""
    )
    if verb in _OWN_ALLOWED or (verb == "render" and "--write" not in texts) or after in _OWN_LOOKS.get(verb, ()):
        return
    effects.steers.append(
        (f"mcp-backend {verb}", "a person's command: it decides or shows what the engineer is asked about")
    )
