"""Go source as far as comments and test functions go. https://go.dev/ref/spec#Lexical_elements"""

import re

_TOKEN = re.compile(
    rb"""(?P<directive>//(?:go:|line |export |\s*\+build)[^\n]*)
    |(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<text>"(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\\n])*')
    |(?P<newline>\n)
    |(?P<space>[ \t\r]+)
    |(?P<word>[\w.]+|.)""",
    re.DOTALL | re.VERBOSE,
)
_TEST = re.compile(rb"^func (Test(?:[^a-z\W]\w*)?)\(\s*\w*\s*\*testing\.T\s*\)", re.MULTILINE)


def tokens(source: bytes) -> tuple[bytes, ...]:
    """Everything but comments and blank space. Directives (`//go:build` …) stay, and comments that `import "C"`
    would compile. A newline stays where it could end a statement."""
    keep_comments = b'import "C"' in source
    found: list[bytes] = []
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup
        if kind == "space" or (kind == "comment" and not keep_comments and b"\n" not in match[0]):
            continue
        if kind == "newline" or (kind == "comment" and not keep_comments):
            if found and found[-1] != b"\n":
                found.append(b"\n")
            continue
        found.append(match[0])
    return tuple(found)


def tests(source: bytes) -> list[str]:
    """The names of the test functions of a file (https://pkg.go.dev/testing), not those in comments or texts."""
    plain = _TOKEN.sub(lambda m: b"" if m.lastgroup in ("comment", "text") else m[0], source)
    return [name.decode("utf-8", "replace") for name in _TEST.findall(plain) if name != b"TestMain"]
