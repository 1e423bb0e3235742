"""Whose the files of a repository are, in numbers and names: what `init` writes down and `doctor` shows."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mcp_backend.facts import Owner
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import listing
from mcp_backend.workspace.canonical import parents
from mcp_backend.workspace.current import roots_of
from mcp_backend.workspace.ownership import classify
from mcp_backend.workspace.roots import Root

GREY: tuple[Owner, ...] = ("grey_template", "grey_js", "grey_asset", "grey_embed")


@dataclass(frozen=True, slots=True)
class Overview:
    """`frontends` are the outermost folders that a manifest or their content marks, `servers` those of JavaScript
    servers. `files` counts by owner, `specs` and `protected` name the files."""

    frontends: tuple[Root, ...]
    servers: tuple[Root, ...]
    files: Mapping[Owner, int]
    specs: tuple[str, ...]
    protected: tuple[str, ...]
    elsewhere: int
    """Frontend files outside `frontends`, such as style sheets of a server."""

    @property
    def grey(self) -> int:
        """Files that either side may own."""
        return sum(self.files.get(owner, 0) for owner in GREY)


def overview(workspace: Workspace, policy: Policy) -> Overview:
    """The overview of a workspace as it is now."""
    roots = roots_of(workspace, policy)
    counts: Counter[Owner] = Counter()
    named: dict[Owner, list[str]] = {"spec": [], "policy": []}
    elsewhere = 0
    for path in listing.files(workspace):
        found = classify(path, roots)
        counts[found.owner] += 1
        if found.owner in named:
            named[found.owner].append(path)
        elsewhere += found.owner == "frontend" and not found.rule.startswith(("R2", "R3"))
    return Overview(
        frontends=_outermost(roots.of("frontend", "voted")),
        servers=roots.of("node"),
        files=counts,
        specs=tuple(named["spec"]),
        protected=tuple(named["policy"]),
        elsewhere=elsewhere,
    )


def _outermost(roots: tuple[Root, ...]) -> tuple[Root, ...]:
    folders = {root.folder for root in roots}
    return tuple(root for root in roots if folders.isdisjoint(parents(root.folder)))
