"""policy://effective: the promises and settings in force."""

import json
from collections.abc import Mapping

from mcp_backend.app import App
from mcp_backend.resources.base import Resource
from mcp_backend.settings import hide_credentials


async def _read(app: App, values: Mapping[str, str]) -> str:
    policy = app.policy
    return json.dumps(
        {
            "file": str(policy.path) if policy.path else None,
            "constraints": [
                {"id": c.id, "outcome": c.outcome, "guard": c.guard or None, "statement": c.statement,
                 **({"disabled_because": c.disabled_because} if c.disabled_because else {}),
                 **({"planned": c.planned} if c.planned else {})}
                for c in policy.constraints
            ],
            "engines": {
                n: {"kind": e.kind, "url": hide_credentials(e.url), "environment": e.environment,
                    "migrations": e.migrations, "origin": e.origin, **e.access.named()}
                for n, e in policy.engines.items()
            },
            "commands": dict(policy.commands),
            "paths": {"frontend": policy.frontend, "backend": policy.backend, "spec": policy.spec,
                      "protected": policy.protected, "templates": policy.templates},
            "sandbox": {"environment": policy.sandbox.environment, "ports": policy.sandbox.ports,
                        **policy.sandbox.loosened()},
            "people": {k: list(v) for k, v in policy.people.items()},
        },
        ensure_ascii=False,
    )  # fmt: skip


POLICY = Resource(
    "policy://effective", "policy", "Effective policy", "The promises and settings in force.",
    _read,
)  # fmt: skip
