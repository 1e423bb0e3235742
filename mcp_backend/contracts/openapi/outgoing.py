"""Requests that the API makes: who answers them receives what it sends.

https://spec.openapis.org/oas/v3.1.1#oas-webhooks, https://spec.openapis.org/oas/v3.1.1#callback-object
"""

from collections.abc import Mapping

from mcp_backend.contracts.openapi.finding import Found, plain_media
from mcp_backend.contracts.openapi.model import Api, Operation

Sent = Mapping[str, tuple[Operation, ...]]


def webhooks(old: Api, new: Api, found: Found) -> None:
    """Those that the document declares for itself."""
    _compared("webhook", "", old.webhooks, new.webhooks, "", found)


def callbacks(old: Api, new: Api, one: Operation, two: Operation, found: Found) -> None:
    """Those that follow a request."""
    before, after = old.callbacks(one), new.callbacks(two)
    if before or after:
        _compared("callback", f"{two.name} ", before, after, two.name, found)


def _compared(kind: str, prefix: str, before: Sent, after: Sent, operation: str, found: Found) -> None:
    for name, operations in before.items():
        where = f"{prefix}{kind} {name}"
        later = {o.method: o for o in after.get(name, ())}
        if not later or not all(o.method in later for o in operations):
            found.say(f"{kind}-removed", "breaking", where, "sent", "removed", operation)
        for one in operations:
            two = later.get(one.method)
            if one.body is None or two is None or two.body is None:
                continue
            contents = plain_media(two.body.content)
            for media, schema in plain_media(one.body.content).items():
                if schema is not None and (now := contents.get(media)) is not None:
                    found.schema(schema, now, "response", where, operation)
    for name in sorted(after.keys() - before.keys()):
        found.say(f"{kind}-added", "safe", f"{prefix}{kind} {name}", "not there", "sent", operation)
