"""Regular expressions that are compiled when they are first used: most calls of a hook need few of them."""

import re
import sys
from collections.abc import Callable, Iterator


class Expression:
    """As the object that `re.compile` returns, as far as it is used here. Raises `re.error` at the first use."""

    __slots__ = ("_compiled", "_flags", "_text")

    def __init__(self, text: str, flags: "re.RegexFlag | int" = 0) -> None:
        self._text, self._flags = text, flags
        self._compiled: re.Pattern[str] | None = None

    @property
    def compiled(self) -> re.Pattern[str]:
        """The expression itself."""
        if self._compiled is None:
            self._compiled = re.compile(self._text, self._flags)
        return self._compiled

    def match(self, text: str, start: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        """At `start`, not beyond `end`."""
        return self.compiled.match(text, start, end)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """The whole text."""
        return self.compiled.fullmatch(text)

    def search(self, text: str, start: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        """Anywhere from `start` to `end`."""
        return self.compiled.search(text, start, end)

    def finditer(self, text: str, start: int = 0, end: int = sys.maxsize) -> Iterator[re.Match[str]]:
        """Every place from `start` to `end`."""
        return self.compiled.finditer(text, start, end)

    def sub(self, by: str | Callable[[re.Match[str]], str], text: str) -> str:
        """The text with every place replaced."""
        return self.compiled.sub(by, text)
