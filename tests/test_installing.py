"""What is missing is named with the command that adds it to this very installation."""

import sys
from pathlib import Path

import pytest

from mcp_backend import installing


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
