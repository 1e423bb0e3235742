"""What the policy says about destinations that a table feeds: `[outboxes."DESTINATION"]`. Standard library only.

```toml
[outboxes."orders.>"]
table = "shop.outbox"       # of the database `engine`, which may be left out where there is only one
id = "id"                   # its text, after `prefix`, is the message_id that the relay gives
payload = "body"
key = "order_id"            # left out: no key
sent = "sent_at"            # not null: the relay has published the row
on = "bus"                  # the messaging engine; left out: every one
```
"""

import re
from typing import cast

from mcp_backend.errors import InvalidArgument
from mcp_backend.records import dataclass

KEYS = ("table", "engine", "on", "id", "payload", "key", "sent", "prefix")
_NAME = re.compile(r"[^\x00-\x1f\"]{1,63}")


@dataclass(frozen=True, slots=True)
class Outbox:
    """A table whose committed rows a relay publishes to `destination`, which may have the wildcards of NATS."""

    destination: str
    table: str
    engine: str | None = None
    on: str | None = None
    id: str = "id"
    payload: str = "payload"
    key: str = ""
    sent: str = ""
    prefix: str = ""


def read_outbox(file: str, destination: str, value: object) -> Outbox:
    """One table of the policy. Raises `InvalidArgument` naming the key and what was expected."""
    at = f"{file}: outboxes.{destination}"
    if not isinstance(value, dict):
        raise InvalidArgument(f'{at}: expected a table such as table = "outbox"')
    given = cast("dict[str, object]", value)
    for name, text in given.items():
        if name not in KEYS:
            raise InvalidArgument(f"{at}.{name}: unknown; known: {', '.join(KEYS)}")
        if not isinstance(text, str) or not _NAME.fullmatch(text):
            raise InvalidArgument(f"{at}.{name}: expected a name")
    if "table" not in given:
        raise InvalidArgument(f"{at}.table: expected the table that the relay reads")
    return Outbox(destination, **cast("dict[str, str]", given))
