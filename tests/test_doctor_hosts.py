"""doctor looks at the hosts whose files are in the repository, as `render HOST --check` does."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.cli import main
from mcp_backend.people import seat
from tests.conftest import git


@pytest.fixture
def shop(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a frontend; a person sits before it."""
    (repository / "frontend").mkdir()
    (repository / "frontend/package.json").write_text('{"dependencies": {"react": "18"}}')
    git(repository, "add", ".")
    monkeypatch.setattr(seat, "agent", lambda: "")
    return repository


def hosts(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The findings about hosts, by name."""
    capsys.readouterr()
    main(["doctor", "--json", "--workspace", str(root)])
    rows = json.loads(capsys.readouterr().out)["findings"]
    return {row["name"]: row for row in rows if row["name"].startswith("host ")}


def test_a_repository_without_hosts_says_nothing_of_them(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hosts(shop, capsys) == {}


def test_a_host_without_the_guard_is_noted(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / ".cursor").mkdir()
    found = hosts(shop, capsys)["host cursor"]
    assert found["state"] == "note"
    assert "render cursor --write" in found["words"]


def test_what_was_rendered_is_compared(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "claude-code", "--write", "--workspace", str(shop)]) == 0
    assert hosts(shop, capsys)["host claude-code"]["state"] == "ok"
    (shop / "shopfront").mkdir()
    (shop / "shopfront/package.json").write_text('{"dependencies": {"vue": "3"}}')
    (shop / "shopfront/App.vue").write_text("<template/>")
    git(shop, "add", ".")
    found = hosts(shop, capsys)["host claude-code"]
    assert (found["state"], ".claude/settings.json" in found["stale"]) == ("bad", True)
