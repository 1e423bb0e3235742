"""Dependencies point one way: no room imports one that stands above it, not even inside a function."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "mcp_backend"
TIERS: tuple[frozenset[str], ...] = (
    frozenset({"__init__", "errors", "expressions", "installing", "records"}),
    frozenset({"settings", "terminal", "telling", "busy", "listening", "threads", "deadlines"}),
    frozenset({"actions", "facts", "promises", "policy", "persona", "telemetry", "ui"}),
    frozenset({"guards"}),
    frozenset({"keeper", "store", "engines", "workspace", "contracts", "migrations", "pipelines"}),
    frozenset({"audit", "approvals", "escalations", "people", "recording"}),
    frozenset({"app", "web", "tools"}),
    frozenset({"entry", "call", "resources", "scopes"}),
    frozenset({"server", "serving", "hosts", "hook", "doctor", "demo", "cli", "__main__"}),
)
"""From what everything stands on to what a person starts; rooms of one tier may know each other."""


def imported(path: Path) -> set[str]:
    """The rooms of this package that a file imports when it runs, in short names."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = [ast.Pass()]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "mcp_backend":
            found |= {name.name if name.name != "__version__" else "__init__" for name in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mcp_backend."):
            found.add((node.module or "").split(".")[1])
    return found


def tier(room: str) -> int:
    found = [number for number, rooms in enumerate(TIERS) if room in rooms]
    assert found, f"{room} stands in no tier: say where it belongs"
    return found[0]


def test_no_room_imports_one_above_it() -> None:
    paths, upwards = list(PACKAGE.rglob("*.py")), set[tuple[str, str]]()
    assert len(paths) > 500, "or the wrong folder was read"
    for path in paths:
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        upwards |= {(module, other) for other in imported(path) if tier(other) > tier(module.split(".")[0])}
    assert upwards == set()
