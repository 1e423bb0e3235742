"""What ClickHouse refuses, in the taxonomy of this server.

Codes: https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
"""

import re

from mcp_backend.errors import BackendError, DeadlineExceeded, InvalidArgument, Json, PermissionDenied, Unavailable

TIMEOUT = frozenset({159, 160, 209, 473})
CANCELLED = frozenset({394, 734})
NO_ACCESS = frozenset({192, 193, 194, 195, 516})
"""Unknown user, wrong or required password, wrong address, authentication failed."""
NOT_GRANTED = frozenset({164, 291, 392, 452, 497, 482})
"""Read only, access denied, a setting's constraint."""
TOO_MUCH = frozenset({158, 191, 241, 307, 396, 422})
"""Rows, bytes, memory or result over a limit."""
GIVEN_UP = frozenset({3, 202, 203, 210, 236, 242, 373, 439, 745, 999})
"""The server is overloaded, ends, or has no keeper: later perhaps."""
MOST_MESSAGE = 600


class ServerError(Exception):
    """An error as the server sent it. `position` counts characters of the statement from 1; 0 when there is none."""

    def __init__(self, code: int, name: str, message: str, position: int = 0) -> None:
        self.code, self.name, self.message, self.position = code, name, message, position
        super().__init__(f"{message} (code {code} {name})")


def read(text: str) -> ServerError:
    """The parts of what the server wrote, of which nested exceptions repeat the beginning."""
    code = re.search(r"(?i)code: (\d+)", text)
    name = re.findall(r"\(([A-Z][A-Z0-9_]{3,})\)", text)
    message = re.sub(r"^Received ClickHouse exception, code: \d+, server response: | \(for url \S+\)$", "", text)
    message = re.sub(r"(?:Code: \d+\. )?DB::(?:Errno)?Exception: |Code: \d+\. ", "", message)
    message = re.sub(r"\s*\((?:[A-Z][A-Z0-9_]{3,}|version [^)]*\)?|official build)\)", "", message)
    message = re.sub(r"(?s)\. Expected one of: .*", "", message)
    message = re.sub(r"(?s): failed at position \d+ \((.*?)\)(?: \(line.*?\))?: .*", r" near '\1'", message)
    message = re.sub(r"(?s)[.:]? [Ii]n scope .*?(?=\. Maybe you meant|$)", "", message)
    position = re.search(r"failed at position (\d+)", text)
    return ServerError(
        int(code[1]) if code else 0,
        name[-1] if name else "",
        " ".join(message.split()).strip(". ")[:MOST_MESSAGE],
        int(position[1]) if position else 0,
    )


def refusal(error: ServerError, *, field: str = "sql", timeout_seconds: float | None = None) -> BackendError:
    """The error to raise for what the server said: which field, the code, and what to do next."""
    details: dict[str, Json] = {"code": error.code, "name": error.name}
    if error.position:
        details["position"] = error.position
    if error.code in TIMEOUT:
        after = f" after {timeout_seconds:g} s" if timeout_seconds else ""
        return DeadlineExceeded(
            f"the statement was stopped{after} ({error.message}); nothing changed. Filter on the leading columns of "
            'the table\'s ORDER BY or PARTITION BY, look at its plan with explain="plan", or raise timeout_seconds',
            details=details,
        )
    if error.code in CANCELLED:
        return DeadlineExceeded("the statement was killed in the server; nothing changed", details=details)
    if error.code in TOO_MUCH:
        return InvalidArgument(
            f"{field}: {error.message} (code {error.code}). Read less: a filter on the leading columns of ORDER BY, "
            "fewer columns, a smaller GROUP BY, uniq() in place of uniqExact()",
            details=details,
        )
    if error.code in NOT_GRANTED:
        return PermissionDenied(f"the server refuses: {error.message} (code {error.code})", details=details)
    if error.code in GIVEN_UP:
        return Unavailable(f"the server gave up: {error.message}; nothing changed", details=details)
    at = f" at character {error.position}" if error.position else ""
    named = f"{error.code} {error.name}".strip()
    return InvalidArgument(f"{field}: {error.message}{at} (code {named})", details=details)
