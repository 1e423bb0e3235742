"""REST: one request by its OpenAPI operation or by method and path, its answer judged by what is documented."""

import http.client
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast
from urllib.parse import parse_qsl, quote, unquote, urlencode

from mcp_backend.actions import SAFE_METHODS
from mcp_backend.contracts.calling import breaches
from mcp_backend.contracts.calling.asking import LIMIT, Asked, Got, Request, encoded, limited, split
from mcp_backend.contracts.calling.breaches import Breach
from mcp_backend.contracts.calling.headers import References, credential
from mcp_backend.contracts.calling.line import Line, lost
from mcp_backend.contracts.calling.operations import Found, Operations, fits, method_and_path
from mcp_backend.contracts.documents import mapping
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.service.answers import Findings
from mcp_backend.contracts.service.talking import Answer
from mcp_backend.contracts.words import Deviation, Unverified
from mcp_backend.errors import InvalidArgument

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "QUERY")
_REFERENCE = re.compile(r"(?:env:[A-Za-z_]\w*|file:.+)")


def secret_names(source_of: Operations) -> frozenset[str]:
    """Headers that a document names as keys, in lower case."""
    found: set[str] = set()
    for api in source_of.apis:
        keys = ("securityDefinitions",) if api.swagger else ("components", "securitySchemes")
        holder = api.child(api.root, *keys)
        schemes = [api.child(holder, name).map for name in holder.map]
        found |= {str(s.get("name")).lower() for s in schemes if s.get("type") == "apiKey" and s.get("in") == "header"}
    return frozenset(found)


def prepare(asked: Asked, known: Operations, references: References) -> Request:
    """The request, and the operation that it is meant for. Raises `InvalidArgument`, `NotFound`."""
    method, path, found = _meant(asked, known)
    if method not in METHODS:
        raise InvalidArgument(f"method: expected one of {', '.join(METHODS)}, got {method[:20]!r}")
    target = asked.target
    path, _, query = path.partition("?")
    shown, sent = _query("&".join(q for q in (target.query, query) if q), references)
    whole = _path(target.path, path)
    content, media = _content(asked, found, asked.body)
    secret_content, _ = _content(asked, found, asked.resolve(asked.body))
    if content and method in ("GET", "HEAD"):
        raise InvalidArgument(f"body: {method} takes none; put it in the query of path")
    headers = dict(asked.headers.sent)
    if media and not asked.headers.get("content-type"):
        headers["Content-Type"] = media
    headers.setdefault("Accept", "application/json, */*;q=0.5")
    reads = method in SAFE_METHODS and not asked.headers.overrides_method
    unknown = "" if found else _unknown(known, method, whole)
    url = target.origin + whole
    broken: list[Breach] = []
    if found is not None:
        names = {name.lower(): value for name, value in headers.items()}
        broken = breaches.of(found, whole, parse_qsl(shown, keep_blank_values=True), names, asked.body)

    def send(line: Line) -> Got:
        got = exchange(line, method, whole + (f"?{sent}" if sent else ""), headers, secret_content, reads=reads)
        return _judged(got, found, unknown, broken)

    return Request(
        method, url + (f"?{shown}" if shown else ""), content, reads, f"{method} may change something", send,
        found.api.path if found else "", (found.operation.id or found.operation.name) if found else "",
        tuple(b.text for b in broken),
    )  # fmt: skip


def exchange(line: Line, method: str, path: str, headers: Mapping[str, str], content: bytes, *, reads: bool) -> Got:
    """Sends one request over a line and reads the answer, which may end before it is whole. Redirects are not followed.

    Raises `Unavailable`, `OutcomeUnknown`, `DeadlineExceeded`.
    """
    connection = http.client.HTTPConnection(line.target.host, line.target.port)
    connection.sock = line.secured(line.open())
    status, given, body, whole = 0, dict[str, str](), b"", True
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", line.target.authority)
        connection.putheader("Accept-Encoding", "identity")
        connection.putheader("Connection", "close")
        for name, value in headers.items():
            connection.putheader(name, value.encode("latin-1"))
        if content or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(content)))
        line.sent = True
        connection.endheaders(content or None)
        answer = connection.getresponse()
        status = answer.status
        for name, value in answer.getheaders():
            given[name.lower()] = f"{given[name.lower()]}, {value}" if name.lower() in given else value
        while len(body) <= LIMIT and (piece := answer.read1(65_536)):
            body += piece
        expected = given.get("content-length", "")
        bare = method == "HEAD" or status in (204, 304)  # RFC 9110 section 6.4.1
        whole = len(body) <= LIMIT and (bare or not expected.isdigit() or len(body) >= int(expected))
        if whole and given.get("content-encoding", "") in ("gzip", "deflate"):  # though identity was asked for
            unpacking = zlib.decompressobj(wbits=47)
            body = unpacking.decompress(body, LIMIT)
            whole = not unpacking.unconsumed_tail
    except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
        if not status:
            why = "timeout_seconds passed" if line.late or isinstance(error, TimeoutError) else "the connection ended"
            line.late = line.late or isinstance(error, TimeoutError)
            raise lost(line, reads, why) from error
        whole = False
    finally:
        connection.close()
    return Got(status, given, body[:LIMIT], len(body), whole)


def text_of(got: Got) -> Any:
    """The body of an answer as it is shown: JSON, text, or how many bytes there are."""
    body = cast("bytes", got.body)
    media = got.headers.get("content-type", "").partition(";")[0].strip().lower()
    if "json" in media and got.whole:
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            return body.decode("utf-8", "replace")
    try:
        return body.decode("utf-8", "strict" if got.whole else "ignore")
    except UnicodeDecodeError:
        return f"{len(body)} bytes of {media or 'no content type'}"


def _meant(asked: Asked, known: Operations) -> tuple[str, str, Found | None]:
    """Method, path and operation."""
    operation = asked.operation.strip()
    pair = method_and_path(operation) if operation else None
    if pair and "{" not in pair[1] and not asked.path:
        # Named by what is asked: GET /orders/1
        return _meant(replace(asked, operation="", method=asked.method or pair[0], path=pair[1]), known)
    if operation:
        found = known.named(split(operation)[1])
        method = found.operation.method.upper()
        if asked.method and asked.method.upper() != method:
            raise InvalidArgument(f"method: {operation} is {found.operation.name}; leave method out")
        base = "" if asked.target.path.endswith(found.base) else found.base
        if not asked.path:
            if "{" in found.operation.path:
                raise InvalidArgument(
                    f"path: {found.operation.name} has parameters; give the path itself, such as "
                    f"{re.sub('{[^}]*}', '1', found.operation.path)}"
                )
            return method, base + found.operation.path, found
        plain = unquote(asked.path.partition("?")[0])
        if fits(found.operation, found.base, asked.target.path + plain) or fits(found.operation, found.base, plain):
            return method, asked.path, found
        if fits(found.operation, "", plain):
            return method, base + asked.path, found
        raise InvalidArgument(f"path: expected one of {found.operation.name}, got {asked.path[:100]!r}")
    method = (asked.method or ("POST" if asked.body is not None else "GET")).upper()
    plain = unquote(asked.path.partition("?")[0])
    hits = known.at(method, tuple(dict.fromkeys((asked.target.path + plain or "/", plain or "/"))))
    return method, asked.path, hits[0] if len(hits) == 1 else None


def _unknown(known: Operations, method: str, path: str) -> str:
    hits = known.at(method, (unquote(path),))
    if len(hits) > 1:
        return f"several specifications have {method} {path}; name it as operation: {hits[0].api.path}#{method} {path}"
    if not known.apis:
        return known.broken[0][:300] if known.broken else "no OpenAPI document is in this repository"
    return f"no OpenAPI document here has {method} {path}"


def _path(base: str, path: str) -> str:
    if path and not path.startswith("/"):
        raise InvalidArgument("path: expected to begin with /")
    if "#" in path or "\\" in path or any(ord(c) < 33 or ord(c) == 127 for c in path):
        raise InvalidArgument("path: expected no blanks, backslashes, # or control characters; percent-encode them")
    return quote(base + path, safe="/%:@!$&'()*+,;=-._~") or "/"


def _query(text: str, references: References) -> tuple[str, str]:
    """The query as it is shown and as it is sent: credentials in it are references, too."""
    shown: list[tuple[str, str]] = []
    sent: list[tuple[str, str]] = []
    for name, value in parse_qsl(text, keep_blank_values=True):
        field = f"path: the query parameter {name[:60]}"
        shown.append((name, value))
        if _REFERENCE.fullmatch(value):
            value = references.read(field, value)
        elif credential(name):
            raise InvalidArgument(f"{field} is a credential: give it by reference, {name[:60]}=env:NAME")
        sent.append((name, value))
    return urlencode(shown, safe=":/"), urlencode(sent)


def _content(asked: Asked, found: Found | None, body: Any) -> tuple[bytes, str]:
    """The body and its media type: the caller's, the operation's, or what the value looks like."""
    if body is None:
        return b"", ""
    documented = list(found.operation.body.content) if found and found.operation.body else []
    media = asked.headers.get("content-type").lower() or next((m for m in documented if "json" in m), "")
    media = media or (documented[0] if documented else "")
    if isinstance(body, str):
        return limited(body.encode()), media or ("application/json" if _is_json(body) else "text/plain")
    if "x-www-form-urlencoded" in media and (fields := mapping(body)):
        return limited(urlencode(fields, doseq=True).encode()), media
    if media and "json" not in media:
        raise InvalidArgument(f"body: expected a text of {media[:80]}")
    return encoded(body), media or "application/json"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _judged(got: Got, found: Found | None, unknown: str, broken: list[Breach]) -> Got:
    if 300 <= cast("int", got.status) < 400 and "location" in got.headers:
        got.more["redirect"] = "not followed"
    if found is None:
        got.unverified.append(Unverified("*", unknown))
    else:
        _compare(got, found)
        if 200 <= cast("int", got.status) < 300:
            got.deviations += [one.accepted(got.status) for one in broken]
    got.body = text_of(got)
    return got


def _compare(got: Got, found: Found) -> None:
    operation, status = found.operation, str(got.status)
    findings = Findings(Flattener(found.api))
    where = f"{operation.name} {status}"
    documented = {status, f"{status[0]}XX", "default"} & set(operation.responses)
    if not got.whole:
        got.unverified.append(Unverified(where, "the body was not read to its end"))
        answer = Answer(cast("int", got.status), got.headers, b"")
        if not documented:
            findings.answered(operation, answer)
    else:
        findings.answered(operation, Answer(cast("int", got.status), got.headers, cast("bytes", got.body)))
    if not documented and got.status in (405, 501):
        got.deviations.append(Deviation("route-missing", "missing", operation.name, "a route", status, "response"))
    elif not documented and not findings.deviations:
        got.unverified.append(Unverified(where, "the contract says nothing of this status"))
    got.deviations += [replace(d, source="response") for d in findings.deviations.values()]
    got.unverified += findings.unverified
