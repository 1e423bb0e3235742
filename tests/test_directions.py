"""Dependencies point one way: no room imports one that stands above it, not even inside a function."""

import re
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
IMPORT = re.compile(r"^[ \t]*from mcp_backend(\.[\w.]+)? import (\([^)]*\)|[^#\n]+)", re.MULTILINE)
FOR_READERS = re.compile(r"^if TYPE_CHECKING:.*\n(?:(?:[ \t]+.*)?\n)+", re.MULTILINE)


def imported(text: str) -> set[str]:
    """The rooms of this package that a file imports when it runs, in short names: what stands below
    `if TYPE_CHECKING:` is for readers."""
    found: set[str] = set()
    for module, names in IMPORT.findall(FOR_READERS.sub("", text)):
        found |= {module.split(".")[1]} if module else {name.split()[0] for name in names.strip("()\n ,").split(",")}
    return {"__init__" if name == "__version__" else name for name in found}


def tier(room: str) -> int:
    found = [number for number, rooms in enumerate(TIERS) if room in rooms]
    assert found, f"{room} stands in no tier: say where it belongs"
    return found[0]


def test_no_room_imports_one_above_it() -> None:
    paths, upwards = list(PACKAGE.rglob("*.py")), set[tuple[str, str]]()
    assert len(paths) > 500, "or the wrong folder was read"
    for path in paths:
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        upwards |= {
            (module, other) for other in imported(path.read_text("utf-8")) if tier(other) > tier(module.split(".")[0])
        }
    assert upwards == set()
