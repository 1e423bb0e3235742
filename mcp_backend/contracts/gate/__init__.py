"""The gate of a commit: whether what is to be committed still does what the API specifications say."""

from collections.abc import Sequence

from mcp_backend.errors import Unavailable
from mcp_backend.facts import ContractDeviation
from mcp_backend.settings import Workspace
from mcp_backend.workspace.trees import Difference, Trees

SOURCES = (".py", ".go")


def looked(
    trees: Trees, workspace: Workspace, old: str | None, new: str, differences: Sequence[Difference]
) -> tuple[tuple[ContractDeviation, ...], str]:
    """What deviates in tree-ish `new`, and what of it `old` (`None`: the empty tree) did not have; and why nothing
    could be compared, empty when it was. `differences` are the changes that are judged: costs nothing unless a source
    of a service is among them."""
    if not any(touched(d) for d in differences):
        return (), ""
    from mcp_backend.contracts.gate import judging

    try:
        return judging.judged(trees, workspace, old, new, differences), ""
    except Unavailable as error:
        return (), error.reason


def touched(difference: Difference) -> bool:
    """Whether a source changed that may belong to a service."""
    return any(path.endswith(SOURCES) for path in (difference.path, difference.source or ""))
