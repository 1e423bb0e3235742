"""What a form of token is."""

from mcp_backend.records import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """A form of token. `contains` are words of which every token of this form has one: a quick look first."""

    kind: str
    contains: tuple[str, ...]
    pattern: str
    source: str
