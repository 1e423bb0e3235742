# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""The statuses that Go source names."""

import re
from collections.abc import Iterator

from mcp_backend.contracts.service.go_source import GoNode, children, text, walk

STATUS = {
    "OK": 200, "Created": 201, "Accepted": 202, "NonAuthoritativeInfo": 203, "NoContent": 204, "ResetContent": 205,
    "PartialContent": 206, "MovedPermanently": 301, "Found": 302, "SeeOther": 303, "NotModified": 304,
    "TemporaryRedirect": 307, "PermanentRedirect": 308, "BadRequest": 400, "Unauthorized": 401, "PaymentRequired": 402,
    "Forbidden": 403, "NotFound": 404, "NotAcceptable": 406, "RequestTimeout": 408,
    "Conflict": 409, "Gone": 410, "PreconditionFailed": 412, "RequestEntityTooLarge": 413, "UnsupportedMediaType": 415,
    "UnprocessableEntity": 422, "Locked": 423, "TooManyRequests": 429,
}  # fmt: skip
"""https://pkg.go.dev/net/http#pkg-constants; what begins with 5 is no answer that a contract promises,
and 405 none of the methods that it describes."""


def statuses(node: GoNode) -> Iterator[int]:
    """The statuses that calls of a block name, as constants or numbers."""
    for call in walk(node):
        if call.type != "call_expression":
            continue
        for argument in children(call.child_by_field_name("arguments")):
            written = text(argument)
            if (name := re.fullmatch(r"(?:http|fiber)\.Status(\w+)", written)) and name.group(1) in STATUS:
                yield STATUS[name.group(1)]
            elif (
                written != "405"
                and re.fullmatch(r"[2-4]\d\d", written)
                and re.search(
                    r"(?i)json|status|header|error|string|respond|write|fail|reply|render|nocontent|abort",
                    text(call.child_by_field_name("function")),
                )
            ):
                yield int(written)


def writes(body: GoNode, bodies: list[GoNode]) -> bool:
    """Whether something is sent without a status, which makes it 200."""
    return re.search(
        r"\.Encode\(|\bw\.Write\(|fmt\.Fprint|io\.WriteString|\.Execute\(", text(body)
    ) is not None and not any("WriteHeader" in text(b) for b in bodies)
