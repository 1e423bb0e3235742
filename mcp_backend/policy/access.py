"""What the policy says about the way into one engine: credentials by reference, certificates, a schema registry.
Standard library only."""

from collections.abc import Mapping
from pathlib import Path

from mcp_backend.errors import InvalidArgument
from mcp_backend.records import dataclass
from mcp_backend.settings import hide_credentials, resolve

_TLS = ("tls_ca", "tls_cert", "tls_key")
_KINDS: Mapping[str, tuple[str, ...]] = {
    "nats": ("username", "password", "token", "nkey", "creds", *_TLS, "schema_registry"),
    "kafka": ("username", "password", "sasl_mechanism", *_TLS, "schema_registry", "transactional_id"),
    "redis": ("username", "password", *_TLS),
}
KEYS = frozenset(key for keys in _KINDS.values() for key in keys)
_SECRET = ("password", "token", "nkey", "creds")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class Access:
    """Each is a reference (`env:NAME`, `file:PATH`), or for what is no secret the text itself; empty: not said.

    `nkey` is a seed and `creds` a credentials file of NATS; `tls_…` are files in PEM; `schema_registry` is the URL of a
    registry that speaks Confluent's protocol. With a `transactional_id` batches to Kafka are transactions.
    """

    username: str = ""
    password: str = ""
    token: str = ""
    nkey: str = ""
    creds: str = ""
    sasl_mechanism: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    schema_registry: str = ""
    transactional_id: str = ""

    def named(self) -> dict[str, str]:
        """What the policy says, as it says it: references, and never what they stand for."""
        return {key: hide_credentials(said) for key in sorted(KEYS) if (said := str(getattr(self, key)))}

    def text(self, key: str, engine: str) -> str | None:
        """What the reference of a key stands for, `None` where the policy does not say it. Raises `InvalidArgument`
        naming the key and the missing variable or file, never the value."""
        reference = str(getattr(self, key))
        return resolve(reference, field=f"engines.{engine}.{key}") if reference else None

    def file(self, key: str, engine: str, root: Path) -> str | None:
        """The path that `file:PATH`, `PATH` (below `root` unless absolute) or `env:NAME` gives. Raises
        `InvalidArgument` where no file is there."""
        reference = str(getattr(self, key))
        if not reference:
            return None
        field = f"engines.{engine}.{key}"
        text = resolve(reference, field=field) if reference.startswith("env:") else reference.removeprefix("file:")
        path = root / Path(text).expanduser()
        if not path.is_file():
            raise InvalidArgument(f"{field}: {reference} leads to no file; expected a file in PEM")
        return str(path)


def read(file: str, name: str, kind: str, table: Mapping[str, object]) -> Access:
    """The keys of an engine's table. Raises `InvalidArgument` naming the key and what was expected."""
    found: dict[str, str] = {}
    for key in sorted(KEYS & set(table)):
        place, value = f"{file}: engines.{name}.{key}", table[key]
        if key not in _KINDS.get(kind, ()):
            raise InvalidArgument(f"{place}: not known for {kind}; known: {', '.join(_KINDS.get(kind, ())) or 'none'}")
        if not isinstance(value, str) or not value.strip():
            raise InvalidArgument(f"{place}: expected env:NAME or file:PATH")
        if key in _SECRET and not value.startswith(("env:", "file:")):
            raise InvalidArgument(f"{place}: expected env:NAME or file:PATH; a secret does not stand in the policy")
        found[key] = value.strip()
    if (found.get("sasl_mechanism") or "PLAIN") not in MECHANISMS:
        raise InvalidArgument(f"{file}: engines.{name}.sasl_mechanism: expected one of {', '.join(MECHANISMS)}")
    for one, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if one in found and other not in found:
            raise InvalidArgument(f"{file}: engines.{name}.{one}: needs {other} beside it")
    ways = [key for key in ("creds", "nkey", "token", "username") if key in found]
    if len(ways) > 1:
        raise InvalidArgument(f"{file}: engines.{name}: {' and '.join(ways)}: expected one of them")
    if kind != "redis" and ("username" in found) != ("password" in found):
        raise InvalidArgument(f"{file}: engines.{name}: expected username and password together")
    return Access(**found)
