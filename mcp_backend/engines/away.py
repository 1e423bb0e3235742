"""What is said of an engine that cannot be used: which, since when, why, that nothing happened, and what to do."""

from collections.abc import Mapping
from datetime import datetime

from mcp_backend.errors import Json, Unavailable
from mcp_backend.settings import hide_credentials

HELP: Mapping[str, str] = {
    "credentials": "A person corrects the credentials of its entry of the policy",
    "tls": "A person corrects the certificates of its entry of the policy, or its url",
}
LONGEST = 400


def away(name: str, kind: str, why: str, since: datetime, cause: str = "") -> Unavailable:
    """The error of an engine that did nothing because it is not there. `why` names the server, without credentials;
    `cause` is one word for programs."""
    moment = since.isoformat(timespec="seconds").replace("+00:00", "Z")
    details: dict[str, Json] = {"engine": name, **({"cause": cause} if cause else {}), "since": moment}
    return Unavailable(
        f"engine {name} ({kind}) is not usable since {moment}: {hide_credentials(why)[:LONGEST].rstrip('.')}. "
        f"Nothing was done. {HELP.get(cause, 'Repeat the call once it is back')}",
        details=details,
    )
