"""Credentials in content, found by their published form or by where they stand. The value itself is never kept.

A false alarm stops honest work, so each rule asks for evidence: a form that its issuer publishes (the source is beside
it), or a value that no placeholder, identifier or sample looks like. Samples (`EXAMPLE`, `changeme`, `xxxx`, `${VAR}`,
`{{…}}`) are never credentials. Throw-away passwords and keys are normal in tests; tokens of real services are not.
"""

import base64
import binascii
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from os.path import commonprefix

from mcp_backend.expressions import Expression
from mcp_backend.facts import Secret
from mcp_backend.workspace import manifest_secrets, plausible
from mcp_backend.workspace.token_formats import FORMATS

_AWS_SECRET = Expression(r"(?:aws|AWS|Aws).{0,24}(?i:secret).{0,24}?[:=]\s*[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])")
_KEY_BLOCK = Expression(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_NKEY = Expression(r"S(?<![A-Za-z0-9_]S)[UAOCNX][A-Z2-7]{56}(?![A-Za-z0-9_])")
_JWT = Expression(r"eyJ(?<!\weyJ)[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}")
_URL = Expression(
    r"://(?P<user>[^\s:/?#@\"'`<>]{0,64}):(?P<password>[^\s/@\"'`<>]{1,128})@(?P<host>[^\s/:?#\"'`<>,;)\]\\]+)"
)
_ASSIGNED = Expression(r"(?::=|=>|[:=])\s{0,4}[a-zA-Z]{0,2}[\"'`](?P<value>[^\"'`\s]{8,200})[\"'`]")
_HEADER = Expression(
    r"(?i)authorization[\"'`]?\s{0,4}[:=,]\s{0,4}[\"'`]?(?P<scheme>bearer|basic|token|api-token)\s{1,4}"
    r"(?P<value>[\w~.+/=-]{16,400})"
)
_CURL = Expression(
    r"\bcurl\b(?P<before>(?:\\\n|[^\n|;]){0,400}?)\s(?:-u|--user)[ =]{1,4}[\"']?[^\s:\"'$<{]{0,64}[\"']?:[\"']?"
    r"(?P<password>[^\s\"']{6,128})(?P<after>[^\n]{0,200})"
)
_NAMES = ("pass", "pwd", "secret", "token", "key", "credential")
"""One of them is in everything that `_NAMED` matches."""
_NAMED = Expression(
    r"(?i)(?<!public)(?<!public[_-])(?:pass(?:word|wd)|pwd|secret|token|(?:api|access|private|auth|secret)[_-]?key|credential)s?[\"'`]?\s*"
    r"(?:\??:\s*(?:str|string|String|\w+\[str\])\s*)?$"
)
_DOTENV_LINE = Expression(
    r"(?m)^\s*(?:export\s+)?(?P<name>[A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY"
    r"|SECRET_?KEY|CREDENTIALS?))\s*=\s*[\"']?(?P<value>[^\s\"'#]{8,})"
)
_DOTENV = Expression(r"(?:.*/)?(?:\.env(?:\.[\w-]+)*|[\w-]+\.env)")
_SAMPLE_FILE = Expression(r"(?i)[._-](?:example|sample|template|tmpl|dist|defaults?|tests?|ci|schema|docs?)\b")
_TESTS = Expression(
    r"(?i)(?:^|/)(?:tests?|testing|testdata|test[_-]\w+|__tests__|__fixtures__|fixtures|spec|specs|e2e|mocks?|examples?|"
    r"cassettes|integration[_-]tests?)/|(?:^|/)(?:test_[^/]*|conftest\.py|tests?\.\w+|testing\.\w+|[^/]*[._-](?:test|tests|spec)\.\w+)$"
)
_PROSE = Expression(r"(?i)\.(?:md|mdx|rst|adoc|txt)$")
_LOCKS = Expression(
    r"(?i)(?:^|/)(?:[\w-]+\.lock|[\w-]+-lock\.(?:json|yaml)|go\.sum|[^/]*\.min\.\w+|[^/]*\.(?:map|svg|ipynb))$"
)
_FORMS = tuple((commonprefix(form.contains), form, form.searched()) for form in FORMATS)  # noqa: RUF071 - characters
"""With what all words begin that one of them must be there: several are looked for as one."""
LONGEST = 10_000_000
"""Bytes of one file that are looked at for tokens and keys."""
SMALL = 4_000
"""Characters that are looked through as they are."""
LONGEST_SOURCE = 1_000_000
"""Characters that are looked at for passwords: beyond it is data, not something people wrote."""


def scan(path: str, data: bytes, added_lines: set[int] | None = None) -> list[Secret]:
    """The credentials in a file's content, by line. `added_lines` (from 1) limits the search to what a change adds.

    Content that is not text has none.
    """
    text = _text(data[:LONGEST])
    if text is None:
        return []
    credentials = list(_all(path, text))
    if not credentials:
        return []
    starts = [0, *(m.end() for m in re.finditer("\n", text))]
    found: dict[int, Secret] = {}
    for kind, begin, end in credentials:
        line, last = _line(starts, begin), _line(starts, end)
        if added_lines is None or not added_lines.isdisjoint(range(line, last + 1)):
            found.setdefault(line, Secret(path, line, kind))
    return [found[line] for line in sorted(found)]


def spans(path: str, text: str) -> Iterator[tuple[int, int]]:
    """Where the credentials in a text stand: begin and end of each, in no order, some of them twice."""
    return ((begin, end) for _, begin, end in _all(path, text[:LONGEST]))


def _all(path: str, text: str) -> Iterator[tuple[str, int, int]]:
    """Kind and extent of every credential, the surest rules first."""
    words = distinct(text)
    for begins, form, pattern in _FORMS:
        if begins in words and any(word in words for word in form.contains):
            for match in re.finditer(pattern, text):
                if plausible.token(match[0]) and not _shown(path, match):
                    yield form.kind, match.start(), match.end()
    folded = words.casefold()
    for match in _AWS_SECRET.finditer(text) if "secret" in folded else ():
        if plausible.token(match[1]):
            yield "AWS secret key", match.start(1), match.end(1)
    for match in _NKEY.finditer(text):
        if _sealed(match[0]):
            yield "NATS seed", match.start(), match.end()
    if _TESTS.search(path):
        return
    prose = _PROSE.search(path) is not None
    for match in () if prose else _KEY_BLOCK.finditer(text):
        if end := _key_ends(text, match.end()):
            yield "private key", match.start(), end
    if _LOCKS.search(path):
        return
    if (
        not path.startswith(".")
        and manifest_secrets.SETTINGS.search(path)
        and not _SAMPLE_FILE.search(path)
        and len(text) < LONGEST_SOURCE
    ):
        yield from manifest_secrets.found(text)
    rules: list[tuple[str, Expression, Callable[[re.Match[str]], bool]]] = [
        ("JSON Web Token", _JWT, _signed),
        ("password in a URL", _URL, lambda m: plausible.in_url(m["user"], m["password"], m["host"])),
    ]
    if not prose and "uthorization" in text:
        rules.append(("credential in a header", _HEADER, _sent))
    if not prose and "curl" in text:
        rules.append(("password of a curl command", _CURL, _asked_with))
    if _DOTENV.fullmatch(path) and not _SAMPLE_FILE.search(path):
        rules.append(("credential in an environment file", _DOTENV_LINE, lambda m: plausible.password(m["value"])))
    if not prose and any(word in folded for word in _NAMES) and not _SAMPLE_FILE.search(path):
        rules.append(("password or key in the source", _ASSIGNED, _named))
    for kind, pattern, real in rules:
        for match in pattern.finditer(text, 0, LONGEST_SOURCE):
            if real(match):
                value = next((name for name in ("value", "password") if name in pattern.compiled.groupindex), 0)
                yield kind, match.start(value), match.end(value)


def distinct(text: str) -> str:
    """What stands between the quotation marks of a text, each once, which takes a fraction of the look for sixty words
    that have none: messages and tables repeat most of what they say."""
    return '"'.join(dict.fromkeys(text.split('"'))) if len(text) > SMALL else text


def _text(data: bytes) -> str | None:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return None if b"\0" in data[:8192] else data.decode("utf-8", "replace")


def _line(starts: list[int], position: int) -> int:
    return bisect_right(starts, position)


def _key_ends(text: str, begin: int) -> int | None:
    """Where the key material after a header ends, or `None` when there is none: code often names the header only.
    Lines may be written as escapes in a string (https://www.rfc-editor.org/rfc/rfc7468)."""
    body = text[begin : begin + 8000].partition("-----END")[0]
    plain = re.sub(r"\\[nr]|[\s\"'+,\\]|^[A-Za-z-]+: .*$", "", body, flags=re.MULTILINE)
    material = re.match(r"[A-Za-z0-9+/=]{64,}", plain)
    return begin + len(body) if material and plausible.token(material[0][:200]) else None


def _sealed(seed: str) -> bool:
    """Whether the checksum of an nkey holds: CRC-16 over all but its last two bytes (https://github.com/nats-io/nkeys)."""
    raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    return binascii.crc_hqx(raw[:-2], 0) == int.from_bytes(raw[-2:], "little")


def _shown(path: str, match: re.Match[str]) -> bool:
    """Whether a token is there to be seen: the hint of an input field, or a key that every copy of an app carries."""
    before = match.string[max(0, match.start() - 40) : match.start()].rpartition("\n")[2]
    public = path.rpartition("/")[2] in ("google-services.json", "GoogleService-Info.plist")
    return public or re.search(r"(?i)placeholder|example|\be\.g\.", before) is not None


_BY_UUID = Expression(r"(?i)(?:heroku|snyk|hubspot|hapi|messagebird|postmark|scaleway|vercel)\w*\W")
"""Services whose keys are UUIDs."""


def _named(match: re.Match[str]) -> bool:
    """Whether what is assigned stands beside a name that says it is secret, and looks it."""
    before = match.string[max(0, match.start() - 48) : match.start()]
    folded = before.casefold()  # most of what is assigned has no such word anywhere near, which is told much faster so
    if not any(word in folded for word in _NAMES):
        return False
    if _NAMED.search(before) is None:
        return False
    value = match["value"]
    return plausible.password(value) or (_BY_UUID.search(before) is not None and plausible.identifier(value))


def _sent(match: re.Match[str]) -> bool:
    """Whether a header carries a real token, or a real password in base64 (https://www.rfc-editor.org/rfc/rfc7617)."""
    value = match["value"]
    if match["scheme"].lower() != "basic":
        return not value.startswith("eyJ") and plausible.password(value)
    try:
        _, colon, secret = base64.b64decode(value + "=" * (-len(value) % 4)).decode().partition(":")
    except ValueError:
        return False
    return bool(colon) and plausible.password(secret)


def _asked_with(match: re.Match[str]) -> bool:
    """Whether a curl command hands a real password to another machine. https://curl.se/docs/manpage.html#-u"""
    line = match["before"] + match["after"]
    return "$" not in match["password"] and not _OWN.search(line) and plausible.password(match["password"])


_OWN = Expression(r"//(?:localhost|127\.|\[::1\]|0\.0\.0\.0|host\.docker)|\.(?:local|test|example|internal)\b")


def _signed(match: re.Match[str]) -> bool:
    """Whether a token has a real header and payload (https://www.rfc-editor.org/rfc/rfc7519) and is no known sample."""
    parts = match[0].split(".")
    try:
        header, payload = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
    except (ValueError, RecursionError):
        return False
    if not isinstance(header, dict) or not isinstance(payload, dict) or "alg" not in header:
        return False
    if payload.get("role") == "anon":  # pyright: ignore[reportUnknownMemberType]
        return False
    return "1234567890" not in str(payload.get("sub", "")) and not plausible.placeholder(json.dumps(payload))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
