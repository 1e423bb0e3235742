"""A small repository with a frontend, a specification and host settings."""

from pathlib import Path

import pytest

from tests.conftest import git
from tests.shell_corpus import FILES


@pytest.fixture
def guarded(tmp_path: Path) -> Path:
    """The repository, committed, in a path with a space."""
    root = tmp_path / "orders service"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "first")
    return root
