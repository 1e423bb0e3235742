"""What a form of token is."""

import re

from mcp_backend.records import dataclass

_BEGINS = re.compile(r"\\b([A-Za-z0-9_-]{2,})(?![*+?{|])")
"""A pattern that begins at a word with letters of its own."""


@dataclass(frozen=True, slots=True)
class Format:
    """A form of token. `contains` are words of which every token of this form has one: a quick look first."""

    kind: str
    contains: tuple[str, ...]
    pattern: str
    source: str

    def searched(self) -> str:
        """The pattern as a search is quickest: it begins with letters, which are looked for before all else."""
        begins = _BEGINS.match(self.pattern)
        if begins is None:
            return self.pattern
        letters = begins[1]
        return f"{letters}(?<!\\w{letters}){self.pattern[begins.end() :]}"
