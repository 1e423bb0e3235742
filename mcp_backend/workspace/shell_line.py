"""A shell line as simple commands: words with quotes, variables, braces and substitutions resolved as far as the text
tells. For warning early and in plain words; what it cannot tell is marked as not plain, never guessed.

POSIX.1-2024, Shell Command Language, 2.2 to 2.9; Bash Reference Manual, 3.1.2 and 3.5 for `$'…'`, braces, `<<<`.
"""

import re

from mcp_backend.expressions import Expression
from mcp_backend.workspace.canonical import words
from mcp_backend.workspace.shell_parts import Command, Word, braces, closed, unescaped

_BREAKS = " \t\n;|&()<>"
_OPERATOR = Expression(r"\d*(?:&>>|&>|>&|<&|>>|>\||<>|<<<|<<-|<<|>|<)|&&|\|\||;;&?|;&|\|&|[;|&()\n]")
_REDIRECT = Expression(r"\d*([<>&].*)")
_NAME = Expression(r"[A-Za-z_]\w*")
_SIMPLE = Expression(r"\$(?:\{(\w+)\}|(\w+)|([$?#!@*-]))")
_FUNCTION = Expression(r"\s*[^\s(){}]*")
_KEYWORDS = words("if then else elif fi do done while until for case esac in { } ! select function coproc")
_SECOND = Expression(r"(?s)\\.|\$\(|`")
DEEPEST = 12


class Unreadable(ValueError):
    """The line is not one this reader understands: quotes that do not end, or nested too deep."""


class Reader:
    """Reads one line; `variables` are those whose values are known, and grow by the line's own assignments."""

    def __init__(self, text: str, variables: dict[str, str], level: int = 0) -> None:
        if level > DEEPEST:
            raise Unreadable("nested too deep")
        self.text = text
        self.at, self.level, self.depth = 0, level, 0
        self.variables = variables
        self.commands: list[Command] = []
        self.current = Command()
        self.pending: list[tuple[Command, str, bool]] = []
        self.inner: list[str] = []

    def read(self) -> list[Command]:
        """Every simple command, those in substitutions before the one they stand in. Raises `Unreadable`."""
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in " \t\r":
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif character == "#":
                # A backslash before the end of its line continues no comment (POSIX, 2.3).
                self.at = self._line_end()
            elif character in "<>" and self.text[self.at + 1 : self.at + 2] == "(":
                self._word()
            elif operator := self._operator():
                self._operate(operator)
            else:
                self._word()
        self._end()
        return self.commands

    def _operator(self) -> str | None:
        return match[0] if (match := _OPERATOR.match(self.text, self.at)) else None

    def _operate(self, operator: str) -> None:
        self.at += len(operator)
        if (redirect := _REDIRECT.fullmatch(operator)) and operator not in ("&", "&&"):
            self._redirect(redirect[1])
            return
        piped = operator in ("|", "|&")
        self._end(piped)
        if operator == "(":
            self.depth += 1
        elif operator == ")":
            # The bracket of a pattern of `case` opens nowhere.
            self.depth = max(self.depth - 1, 0)
        elif operator == "\n":
            self._documents()
        self.current.depth = self.depth

    def _redirect(self, operator: str) -> None:
        while self.text[self.at : self.at + 1] in (" ", "\t") or self.text.startswith("\\\n", self.at):
            self.at += 2 if self.text[self.at] == "\\" else 1
        start = self.at
        target = self._one()
        if target is None:
            raise Unreadable("a redirection without a target")
        if operator == "<<<":
            self.current.fed.append(target.text)
        elif operator in ("<<", "<<-"):
            raw = self.text[start : self.at]
            self.pending.append((self.current, target.text, not re.search(r"['\"\\]", raw)))
        elif not (operator in (">&", "<&") and re.fullmatch(r"\d+-?|-", target.text)):
            self.current.redirects.append((operator, target))

    def _documents(self) -> None:
        for command, mark, expands in self.pending:
            lines: list[str] = []
            while self.at < len(self.text):
                end = self._line_end()
                line = self.text[self.at : end]
                self.at = min(end + 1, len(self.text))
                if line.lstrip("\t") == mark:
                    break
                lines.append(line)
            body = "\n".join(lines)
            command.fed.append(body)
            if expands:
                self.substitutions(body)
        self.pending = []

    def _line_end(self) -> int:
        end = self.text.find("\n", self.at)
        return len(self.text) if end < 0 else end

    def _word(self) -> None:
        start, depth = self.at, self.depth
        word = self._one()
        if word is None:
            raise Unreadable(f"unexpected {self.text[self.at : self.at + 1]!r}")
        raw = self.text[start : self.at]
        if not self.current.words and (match := re.match(r"([A-Za-z_]\w*)(?:\[[^]]*\])?\+?=", raw)):
            value = Word(word.text.partition("=")[2], word.plain, word.quoted, word.inner)
            self.current.assigned[match[1]] = value
            return
        if not self.current.words and raw in _KEYWORDS:
            if raw == "function":
                self.at = _FUNCTION.match(self.text, self.at).end()  # pyright: ignore[reportOptionalMemberAccess]
            return
        self.current.depth = depth
        if word.quoted:
            self.current.words.append(word)
            return
        # What a variable holds is split where it is not quoted (POSIX, 2.6.5).
        between = self.variables.get("IFS", "")
        text = word.text.translate(dict.fromkeys(map(ord, between), " ")) if between and "$" in raw else word.text
        parts = [part for one in text.split() or [""] for part in braces(one)]
        self.current.words += [Word(part, word.plain, inner=word.inner) for part in parts]

    def _end(self, piped: bool = False) -> None:
        command = self.current
        if command.words or command.redirects or command.assigned:
            self.commands.append(command)
            if not command.words:
                for name, value in command.assigned.items():
                    self._assign(name, value)
            elif command.words[0].text in ("export", "declare", "local", "readonly", "typeset"):
                named = any(word.text.startswith("-") and "n" in word.text for word in command.words[1:])
                for word in command.words[1:]:
                    name, equals, text = word.text.partition("=")
                    if named and equals:
                        # A name of another variable: whatever is read through it is not known.
                        self.variables.pop(name, None)
                        continue
                    if equals and _NAME.fullmatch(name):
                        self._assign(name, Word(text, word.plain))
        self.current = Command(piped=piped, depth=self.depth)

    def _assign(self, name: str, value: Word) -> None:
        if value.plain:
            self.variables[name] = value.text
        else:
            self.variables.pop(name, None)

    def _one(self) -> Word | None:
        """The word that starts here, or `None` where none does."""
        out: list[str] = []
        plain, quoted, start, inner = True, False, self.at, len(self.inner)
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in "<>" and self.at == start and self.text[self.at + 1 : self.at + 2] == "(":
                self.at += 1
                self._nested(self._until_closed("(", ")"))
                return Word("/dev/fd/63", False, inner="\n".join(self.inner[inner:]))
            if character in _BREAKS:
                break
            if character in "@?*+!" and self.text[self.at + 1 : self.at + 2] == "(" and self.at + 2 < len(self.text):
                # A pattern of `extglob`, or of `case`: either is read as text.
                self.at += 1
                out.append(f"{character}({self._until_closed('(', ')')})")
                plain = False
            elif self.text.startswith("\\\n", self.at):
                self.at += 2
            elif character == "\\":
                out.append(self.text[self.at + 1 : self.at + 2])
                quoted = quoted or out[-1] in " \t*?["
                self.at += 2
            elif character == "'":
                out.append(self._single())
                quoted = True
            elif character == '"':
                text, known = self._double()
                out.append(text)
                plain, quoted = plain and known, True
            elif character in "$`":
                text, known = self._dollar(False)
                out.append(text)
                plain = plain and known
            else:
                out.append(character)
                self.at += 1
        return Word("".join(out), plain, quoted, "\n".join(self.inner[inner:])) if self.at > start else None

    def _single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise Unreadable("a quote that does not end")
        text, self.at = self.text[self.at + 1 : end], end + 1
        return text

    def _double(self) -> tuple[str, bool]:
        out: list[str] = []
        plain = True
        self.at += 1
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == '"':
                self.at += 1
                return "".join(out), plain
            if self.text.startswith("\\\n", self.at):
                self.at += 2
            elif character == "\\" and self.text[self.at + 1 : self.at + 2] in '$`"\\':
                out.append(self.text[self.at + 1])
                self.at += 2
            elif character in "$`":
                text, known = self._dollar(True)
                out.append(text)
                plain = plain and known
            else:
                out.append(character)
                self.at += 1
        raise Unreadable("a quote that does not end")

    def _dollar(self, within: bool) -> tuple[str, bool]:
        text = self.text
        if text[self.at] == "`":
            end = re.compile(r"(?<!\\)`").search(text, self.at + 1)
            if not end:
                raise Unreadable("a backquote that does not end")
            inner, self.at = text[self.at + 1 : end.start()], end.end()
            self._nested(inner.replace("\\`", "`"))
            return "", False
        following = text[self.at + 1 : self.at + 2]
        if following == "'" and not within:
            self.at += 1
            return self._ansi(), True
        if following == '"' and not within:
            self.at += 1
            return self._double()
        if following in ("(", "["):
            self.at += 1
            inner = self._until_closed(following, ")" if following == "(" else "]")
            if following == "(" and not inner.startswith("("):
                self._nested(inner)
            else:
                self.substitutions(inner)
            return "", False
        if match := _SIMPLE.match(text, self.at):
            self.at = match.end()
            name = match[1] or match[2] or match[3]
            known = self.variables.get(name)
            return (known, True) if known is not None else ("0", True) if name == "$" else ("", False)
        if following == "{":
            self.at += 1
            self.substitutions(self._until_closed("{", "}"))
            return "", False
        self.at += 1
        return "$", True

    def _ansi(self) -> str:
        if not (match := re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL).match(self.text, self.at)):
            raise Unreadable("a quote that does not end")
        self.at = match.end()
        return unescaped(match[1])

    def _until_closed(self, opening: str, closing: str) -> str:
        """What stands between the bracket here and the one that closes it."""
        start, end = self.at + 1, closed(self.text, self.at, opening, closing)
        if end is None:
            raise Unreadable("a bracket that does not close")
        self.at = end + 1
        return self.text[start:end]

    def substitutions(self, text: str, *, escapes: bool = True) -> list[Command]:
        """Adds the commands in a text read a second time; `escapes`: whether a backslash hides what follows it."""
        at = 0
        while match := _SECOND.search(text, at):
            at = match.end()
            if match[0][0] == "\\":
                at -= not escapes
                continue
            reader = Reader(text[match.start() :], dict(self.variables), self.level + 1)
            reader._dollar(True)
            at = match.start() + reader.at
            self.commands += reader.commands
        return self.commands

    def _nested(self, text: str) -> None:
        self.inner.append(text)
        self.commands += Reader(text, dict(self.variables), self.level + 1).read()
