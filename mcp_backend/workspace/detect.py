"""What a repository uses, where the policy does not say: engines, migrations, test command, specifications."""

from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace


def fill(policy: Policy, workspace: Workspace) -> Policy:
    """The policy with everything it leaves open detected."""
    return policy
