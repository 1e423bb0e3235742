"""The promises and the repository's own settings, as frozen data. Standard library only: hooks import this.

`mcp-backend.toml` is found by walking up from the working directory. Tightening a promise is free; loosening one
needs `disabled_because`, which every audit record then carries.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast

from mcp_backend.errors import InvalidArgument
from mcp_backend.policy import access, asking, migrating, sandbox
from mcp_backend.policy.access import Access
from mcp_backend.policy.asking import Asking, Webhook, read_webhooks
from mcp_backend.policy.migrating import Migrating
from mcp_backend.policy.outboxes import Outbox, read_outbox
from mcp_backend.policy.sandbox import Sandbox
from mcp_backend.policy.services import Service, read_service
from mcp_backend.policy.serving import HTTP_KEYS, Http, read_http
from mcp_backend.policy.store import LOCAL, Shared, read_store
from mcp_backend.promises import ENVIRONMENTS, STRICTNESS, Constraint, Environment, Outcome, Verdict, looser, seconds
from mcp_backend.records import dataclass, field, replace

__all__ = [
    "ENVIRONMENTS", "KINDS", "POLICY_FILE", "STRICTNESS", "Constraint", "EngineSettings", "Environment", "Outcome",
    "Policy", "TemplateOwner", "Verdict", "find", "load", "seconds",
]  # fmt: skip

POLICY_FILE = "mcp-backend.toml"

TemplateOwner: TypeAlias = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """One engine of the policy. `url` is a reference (`env:NAME`, `file:PATH`, `embedded:KIND`) or a plain URL.

    `origin` says where the setting comes from: `policy`, `detected` or `default`.
    """

    name: str
    kind: str
    url: str
    environment: Environment = "production"
    migrations: str | None = None
    origin: str = "policy"
    migrating: Migrating = field(default_factory=Migrating)
    access: Access = field(default_factory=Access)


@dataclass(frozen=True, slots=True)
class Policy:
    """Constraints and settings of one workspace, read once at start."""

    constraints: tuple[Constraint, ...] = ()
    engines: Mapping[str, EngineSettings] = field(default_factory=lambda: MappingProxyType({}))
    commands: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    frontend: tuple[str, ...] = ()
    backend: tuple[str, ...] = ()
    spec: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    no_tests_needed: tuple[str, ...] = ()
    templates: TemplateOwner = "ask"
    people: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    contracts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    accepted_gaps: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Reasons by the keys of gaps in specifications that people accepted."""
    outboxes: Mapping[str, Outbox] = field(default_factory=lambda: MappingProxyType({}))
    """Tables that feed destinations, by the destination."""
    sandbox: Sandbox = field(default_factory=Sandbox)
    http: Http = field(default_factory=Http)
    services: Mapping[str, Service] = field(default_factory=lambda: MappingProxyType({}))
    asking: Mapping[str, Asking] = field(default_factory=lambda: MappingProxyType({}))
    store: Shared = LOCAL
    webhooks: Mapping[str, Webhook] = field(default_factory=lambda: MappingProxyType({}))
    allowed_signers: str = ""
    """The file of those whose signed commits decide (ssh-keygen(1), ALLOWED SIGNERS)."""
    deep_seconds: int = 0
    """How long `check_contract` asks a running service with schemathesis too; 0 where it does not."""
    path: Path | None = None

    def constraint(self, identifier: str) -> Constraint | None:
        """The constraint of that id, if the policy has it."""
        return next((c for c in self.constraints if c.id == identifier), None)


_SECTIONS = {
    "paths": {"frontend", "backend", "spec", "protected", "no_tests_needed", "templates"},
    "commands": {"test"},
    "engines": None,
    "people": None,
    "contracts": None,
    "check_contract": {"deep_seconds"},
    "accepted_gaps": None,
    "outboxes": None,
    "constraints": None,
    "sandbox": {*sandbox.KEYS},
    "http": {*HTTP_KEYS},
    "services": None,
    "escalations": None,
    "webhooks": None,
}
_ENGINE_KEYS = {"kind", "url", "environment", "migrations", *migrating.KEYS, *access.KEYS}
_CONSTRAINT_KEYS = {
    "outcome", "disabled_because", "approvers", "channels", "environments", "expires", "parameters"
}  # fmt: skip
KINDS = ("postgresql", "clickhouse", "nats", "redis", "kafka")


def find(start: Path) -> Path | None:
    """The policy file of `start` or of its nearest parent, never above the root of a git work tree."""
    for folder in (start, *start.parents):
        candidate = folder / POLICY_FILE
        if candidate.is_file():
            return candidate
        if (folder / ".git").exists():
            return None
    return None


def load(path: Path | None, promises: tuple[Constraint, ...]) -> Policy:
    """The policy file at `path` over the persona's promises.

    Raises `InvalidArgument` naming the key and what was expected; an unknown key is an error, because a misspelt
    protection that is silently ignored is worse than none.
    """
    if path is None:
        return Policy(constraints=promises)
    import tomllib  # Hooks keep what they read: they start without it.

    file = path.name
    try:
        with path.open("rb") as opened:
            data = tomllib.load(opened)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{file}: not valid TOML: {error}") from error
    store = data.pop("store", None)
    signers = _string(file, "allowed_signers", data.pop("allowed_signers", ""))
    for section, value in data.items():
        _check_section(file, section, value)
    paths = _table(data, "paths")
    templates = paths.get("templates", "ask")
    if templates not in ("allow", "ask", "deny"):
        raise InvalidArgument(f'{file}: paths.templates: expected "allow", "ask" or "deny"')
    return Policy(
        constraints=_override(file, promises, _table(data, "constraints")),
        engines=MappingProxyType({name: _engine(file, name, value) for name, value in _table(data, "engines").items()}),
        commands=MappingProxyType({k: _string(file, f"commands.{k}", v) for k, v in _table(data, "commands").items()}),
        frontend=_strings(file, "paths.frontend", paths.get("frontend", [])),
        backend=_strings(file, "paths.backend", paths.get("backend", [])),
        spec=_strings(file, "paths.spec", paths.get("spec", [])),
        protected=_strings(file, "paths.protected", paths.get("protected", [])),
        no_tests_needed=_strings(file, "paths.no_tests_needed", paths.get("no_tests_needed", [])),
        templates=templates,
        people=MappingProxyType({k: _strings(file, f"people.{k}", v) for k, v in _table(data, "people").items()}),
        contracts=MappingProxyType(
            {k: _string(file, f"contracts.{k}", v) for k, v in _table(data, "contracts").items()}
        ),
        accepted_gaps=MappingProxyType(
            {k: _reason(file, f"accepted_gaps.{k}", v) for k, v in _table(data, "accepted_gaps").items()}
        ),
        outboxes=MappingProxyType({d: read_outbox(file, d, t) for d, t in _table(data, "outboxes").items()}),
        sandbox=sandbox.read(file, _table(data, "sandbox")),
        http=read_http(file, _table(data, "http")),
        services=MappingProxyType({n: read_service(file, n, t) for n, t in _table(data, "services").items()}),
        asking=asking.read(file, _table(data, "escalations")),
        webhooks=read_webhooks(file, _table(data, "webhooks")),
        store=LOCAL if store is None else read_store(path, store),
        allowed_signers=signers,
        deep_seconds=_seconds(file, _table(data, "check_contract").get("deep_seconds", 0)),
        path=path,
    )


def _table(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", data.get(name, {}))


def _check_section(file: str, section: str, value: object) -> None:
    if section not in _SECTIONS:
        raise InvalidArgument(f"{file}: unknown section [{section}]; known: {', '.join((*_SECTIONS, 'store'))}")
    if not isinstance(value, dict):
        raise InvalidArgument(f"{file}: {section}: expected a table")
    allowed = _SECTIONS[section]
    for key in cast("dict[str, object]", value):
        if allowed is not None and key not in allowed:
            raise InvalidArgument(f"{file}: unknown key {section}.{key}; known: {', '.join(sorted(allowed))}")


def _string(file: str, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(f"{file}: {key}: expected a string")
    return value


def _seconds(file: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 300:
        raise InvalidArgument(f"{file}: check_contract.deep_seconds: expected a whole number from 0 (off) to 300")
    return value


def _reason(file: str, key: str, value: object) -> str:
    if len(text := _string(file, key, value).strip()) < 10:
        raise InvalidArgument(f"{file}: {key}: expected the reason in words")
    return text


def _strings(file: str, key: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[object]", value)):
        raise InvalidArgument(f"{file}: {key}: expected a list of strings")
    return tuple(cast("list[str]", value))


def _engine(file: str, name: str, value: object) -> EngineSettings:
    if not isinstance(value, dict):
        raise InvalidArgument(f"{file}: engines.{name}: expected a table")
    table = cast("dict[str, object]", value)
    for key in table:
        if key not in _ENGINE_KEYS:
            raise InvalidArgument(f"{file}: unknown key engines.{name}.{key}; known: {', '.join(sorted(_ENGINE_KEYS))}")
    kind = _string(file, f"engines.{name}.kind", table.get("kind", name))
    if kind not in KINDS:
        raise InvalidArgument(f"{file}: engines.{name}.kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    url = _string(file, f"engines.{name}.url", table.get("url", f"embedded:{kind}"))
    default = "development" if url.startswith("embedded:") else "production"
    environment = table.get("environment", default)
    if environment not in ENVIRONMENTS:
        raise InvalidArgument(f"{file}: engines.{name}.environment: expected one of {', '.join(ENVIRONMENTS)}")
    migrations = table.get("migrations")
    return EngineSettings(
        name=name,
        kind=kind,
        url=url,
        environment=environment,
        migrations=None if migrations is None else _string(file, f"engines.{name}.migrations", migrations),
        migrating=migrating.read(file, name, table),
        access=access.read(file, name, kind, table),
    )


def _override(file: str, promises: tuple[Constraint, ...], tables: dict[str, Any]) -> tuple[Constraint, ...]:
    known = {promise.id: promise for promise in promises}
    for identifier, table in tables.items():
        if identifier not in known:
            raise InvalidArgument(f"{file}: unknown constraint {identifier!r}; known: {', '.join(known)}")
        if not isinstance(table, dict):
            raise InvalidArgument(f"{file}: constraints.{identifier}: expected a table")
        known[identifier] = _overridden(file, known[identifier], cast("dict[str, Any]", table))
    return tuple(known[promise.id] for promise in promises)


def _overridden(file: str, promise: Constraint, table: dict[str, Any]) -> Constraint:
    key = f"constraints.{promise.id}"
    for name in table:
        if name not in _CONSTRAINT_KEYS:
            raise InvalidArgument(f"{file}: unknown key {key}.{name}; known: {', '.join(sorted(_CONSTRAINT_KEYS))}")
    parameters = table.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidArgument(f"{file}: {key}.parameters: expected a table")
    changed = replace(
        promise,
        outcome=cast("Outcome", _string(file, f"{key}.outcome", table.get("outcome", promise.outcome))),
        disabled_because=_string(file, f"{key}.disabled_because", table.get("disabled_because", "")).strip(),
        approvers=_strings(file, f"{key}.approvers", table.get("approvers", list(promise.approvers))),
        channels=_strings(file, f"{key}.channels", table.get("channels", list(promise.channels))),
        environments=_strings(file, f"{key}.environments", table.get("environments", list(promise.environments))),
        expires=_string(file, f"{key}.expires", table.get("expires", promise.expires)),
        parameters=MappingProxyType({**promise.parameters, **cast("dict[str, Any]", parameters)}),
    )
    if changed.outcome not in STRICTNESS:
        raise InvalidArgument(f"{file}: {key}.outcome: expected one of {', '.join(STRICTNESS)}")
    if not set(changed.environments) <= set(ENVIRONMENTS):
        raise InvalidArgument(f"{file}: {key}.environments: expected some of {', '.join(ENVIRONMENTS)}")
    try:
        seconds(changed.expires)
    except ValueError as error:
        raise InvalidArgument(f"{file}: {key}.expires: {error}") from error
    if looser(promise, changed) and not changed.disabled_because:
        raise InvalidArgument(f'{file}: {key}: loosening a promise needs disabled_because = "why"')
    return changed
