"""Fixtures: a small backend repository, and a git configuration of its own."""

from pathlib import Path

import pytest

from mcp_backend.settings import Workspace, workspace
from tests.conftest import Committed
from tests.service import FILES


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git configuration of the user's own, and nothing else of whoever runs the tests."""
    configuration = tmp_path / "gitconfig"
    configuration.write_text("[user]\n\tname = Back End\n\temail = backend@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    roles = [f"GIT_{role}_{part}" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")]
    for name in ("EMAIL", "GIT_DIR", *roles):
        monkeypatch.delenv(name, raising=False)
    return configuration


@pytest.fixture
def service(tmp_path: Path, person: Path, committed: Committed) -> Path:
    """The repository, with everything committed."""
    return committed(tmp_path / "orders service", FILES)


@pytest.fixture
def place(service: Path) -> Workspace:
    """The workspace of the repository, for what is tested without a server."""
    return workspace(service)
