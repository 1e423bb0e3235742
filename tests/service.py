"""A small backend repository with real tests, in a path with a space, for the tests of git and of test runs."""

import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, TypeAlias

from mcp.client import Client

from tests.conftest import git

PYTEST = f"PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 {shlex.quote(sys.executable)} -m pytest"
"""pytest of this interpreter without the plugins that happen to be installed: they triple its start."""
GO = Path(sysconfig.get_paths()["purelib"]) / "go/bin/go"
Answer: TypeAlias = dict[str, Any]
FILES = {
    "mcp-backend.toml": f"[commands]\ntest = '''{PYTEST}'''\n",
    ".gitignore": "__pycache__/\n",
    "README.md": "# Orders\n",
    "orders/__init__.py": "",
    "orders/totals.py": '"""Totals."""\n\n\ndef total(prices):\n    return sum(prices)\n',
    "tests/test_totals.py": "from orders.totals import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n",
    "config/settings.yaml": "debug: false\n",
    "api/openapi.yaml": "openapi: 3.1.0\ninfo: {title: Orders, version: '1'}\npaths: {}\n",
    "frontend/package.json": '{"name": "web", "dependencies": {"react": "19"}}\n',
    "frontend/src/App.tsx": "export const App = () => <p>orders</p>;\n",
}
TOTALS = FILES["orders/totals.py"]
DISCOUNT = TOTALS + "\n\ndef discounted(prices, percent):\n    return total(prices) * (100 - percent) / 100\n"
DISCOUNT_TEST = (
    "from orders.totals import discounted, total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n\n\n"
    "def test_discounted():\n    assert discounted([100], 10) == 90\n"
)


def write(root: Path, files: dict[str, str]) -> None:
    """Writes files below a folder, with their parents."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def add_feature(root: Path) -> None:
    """A change of backend behaviour together with its test."""
    write(root, {"orders/totals.py": DISCOUNT, "tests/test_totals.py": DISCOUNT_TEST})


async def ask(client: Client, tool: str, **arguments: Any) -> Answer:
    """The structured answer of a call that works."""
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.structured_content
    assert answer.structured_content is not None
    return answer.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> Answer:
    """The error of a call that is refused or fails."""
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error, answer.structured_content
    assert answer.structured_content is not None
    return answer.structured_content["error"]


def index(root: Path) -> str:
    """The user's index, entry by entry."""
    return git(root, "ls-files", "--stage", "-z")


def objects(root: Path) -> set[str]:
    """Every object that the repository has."""
    options = ("--batch-all-objects", "--batch-check=%(objectname)")
    return set(git(root, "cat-file", *options).splitlines())


def shell(root: Path, line: str) -> None:
    """A preparation that a person or an attacker types."""
    subprocess.run(["bash", "-c", line], cwd=root, check=True, capture_output=True)
