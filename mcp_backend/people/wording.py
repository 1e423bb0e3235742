"""Whether two questions ask the same thing in other words. Standard library only.

Only what cannot change the meaning is ignored: articles, prepositions, auxiliary verbs, plural and verb endings.
"Round up" and "round down" differ in one word and are two questions: a near miss is shown, never answered.
"""

import re
from collections.abc import Iterable

NEAR = 0.5
"""The share of common words from which an earlier question is worth a look."""
_FILLER = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been being by did do does for from had has have i if in into is it its of on our please "
        "shall should so than that the their then there these this those to us was we were what which will with would "
        "you your",
    )
)
_ENDINGS = ("ings", "ing", "edly", "ed", "ies", "es", "s", "ly", "y", "e")


def stems(*texts: str) -> tuple[str, ...]:
    """The words of `texts` that carry meaning, in their order, without their endings; names and numbers as they are."""
    words = re.findall(r"[^\W_]+(?:[._/:-]+\w+)*|\w+", " ".join(texts).casefold())
    return tuple(_stem(word) for word in words if word not in _FILLER)


def likeness(one: Iterable[str], other: Iterable[str]) -> float:
    """The share of words that both have, 0 to 1 (the Jaccard index)."""
    ours, theirs = frozenset(one), frozenset(other)
    return len(ours & theirs) / len(ours | theirs) if ours and theirs else 0.0


def nearest(words: Iterable[str], others: Iterable[tuple[str, Iterable[str]]], count: int = 3) -> list[str]:
    """The keys of the most alike of `others`, at least `NEAR`, the most alike first."""
    rated = sorted(((likeness(words, theirs), key) for key, theirs in others), reverse=True)
    return [key for rate, key in rated[:count] if rate >= NEAR]


def _stem(word: str) -> str:
    if not word.isalpha():
        return word
    return next((word[: -len(end)] for end in _ENDINGS if word.endswith(end) and len(word) - len(end) >= 3), word)
