"""Names of destinations with places in them: NATS wildcards and the parameters of AsyncAPI addresses."""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Token: TypeAlias = str | re.Pattern[str] | Literal[True]
"""A text, what a text must match, or `True` for one or more tokens of any kind."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A destination with places. NATS: `*` is one token, `>` the rest, one token or more.

    https://docs.nats.io/nats-concepts/subjects#wildcards
    """

    text: str
    tokens: tuple[Token, ...]

    def matches(self, destination: str) -> bool:
        """Whether a destination, a name without places, is one of these."""
        parts = destination.split(".")
        for index, token in enumerate(self.tokens):
            if token is True:
                return index < len(parts)
            if index >= len(parts) or not _one(token, parts[index]):
                return False
        return len(parts) == len(self.tokens)

    def overlaps(self, other: "Pattern") -> bool:
        """Whether some destination may be one of both. Two places that exclude each other count as overlapping."""
        for index in range(max(len(self.tokens), len(other.tokens))):
            if index >= len(self.tokens) or index >= len(other.tokens):
                return False
            ours, theirs = self.tokens[index], other.tokens[index]
            if ours is True or theirs is True:
                return True
            if isinstance(ours, str) and not _one(theirs, ours):
                return False
            if isinstance(theirs, str) and not _one(ours, theirs):
                return False
        return True

    @property
    def exact(self) -> bool:
        """Whether it has no places."""
        return all(isinstance(token, str) for token in self.tokens)

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts the most specific first."""
        places = sum(1 for token in self.tokens if not isinstance(token, str))
        return (1000 if True in self.tokens else 0) + places, -len(self.tokens)


def _one(token: Token, part: str) -> bool:
    if isinstance(token, str):
        return token == part
    return token is True or token.fullmatch(part) is not None


_ANY = re.compile(r".+", re.DOTALL)


def subject(text: str) -> Pattern:
    """A NATS subject, perhaps with wildcards."""
    parts = text.split(".")
    last = len(parts) - 1
    return Pattern(
        text, tuple(True if p == ">" and i == last else _ANY if p == "*" else p for i, p in enumerate(parts))
    )


def address(text: str, choices: dict[str, tuple[str, ...]]) -> Pattern:
    """An AsyncAPI address: `{name}` is one token or a part of one, limited to `choices[name]` where given. A path
    with `/` is written as a subject with dots."""
    dotted = text.strip("/").replace("/", ".")
    return Pattern(dotted, tuple(_token(part, choices) for part in re.split(r"\.(?![^{]*\})", dotted)))


def _token(part: str, choices: dict[str, tuple[str, ...]]) -> Token:
    pieces = re.split(r"\{([^{}]*)\}", part)
    if len(pieces) == 1:
        return _ANY if part == "*" else True if part == ">" else part
    expression = "".join(
        re.escape(piece)
        if index % 2 == 0
        else f"({'|'.join(map(re.escape, choices[piece]))})"
        if choices.get(piece)
        else r"[^.]+"
        for index, piece in enumerate(pieces)
    )
    return re.compile(expression)
