"""Whether anything may have changed: a word that stays the same while only reads were run.

ClickHouse has no such token, and a look at all of its tables costs as much as showing them.
"""

import contextlib
import os
import threading
from collections.abc import Generator

from mcp_backend.keeper.chdb.tokens import Token

READS = frozenset(["SELECT", "FROM", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK", ""])
"""First words of statements that change nothing; a parenthesis has none."""


def only_reads(words: list[Token]) -> bool:
    """Whether the statement changes nothing for certain; WITH may also begin an INSERT."""
    first = words[0].upper
    return first in READS or (first == "WITH" and not any(word.upper == "INSERT" for word in words))


class Changes:
    """Counts the statements of one process that may change something."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._life = os.urandom(6).hex()
        self._begun = self._running = 0

    @contextlib.contextmanager
    def counted(self, *, reads: bool) -> Generator[None]:
        """Around one statement."""
        if reads:
            yield
            return
        with self._lock:
            self._begun += 1
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def word(self) -> str:
        """The word for now; nothing while a change is under way."""
        with self._lock:
            return "" if self._running else f"{self._life}-{self._begun}"
