"""`RESOURCES`: one resource (or template), one file, one line. `VIEWS`: documents that show results, not listed."""

from mcp_backend.resources import (
    audit_recent,
    contract,
    decision,
    escalation,
    migrations,
    persona_,
    policy_effective,
    receipt,
    rehearsal,
    schema,
    topology,
)
from mcp_backend.resources.base import Resource
from mcp_backend.resources.views import VIEWS

RESOURCES: tuple[Resource, ...] = (
    persona_.PERSONA,
    policy_effective.POLICY,
    escalation.OPEN,
    escalation.PAGE,
    escalation.ONE,
    decision.DECISION,
    topology.TOPOLOGY,
    receipt.RECEIPT,
    audit_recent.RECENT,
    schema.TABLE,
    schema.DATABASE,
    migrations.MIGRATIONS,
    rehearsal.PAGE,
    rehearsal.REHEARSAL,
    contract.CONTRACT,
)

__all__ = ["RESOURCES", "VIEWS", "Resource"]
