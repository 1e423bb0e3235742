"""A small repository with a frontend, a specification and host settings."""

from pathlib import Path

import pytest

from tests.conftest import Committed
from tests.shell_corpus import FILES


@pytest.fixture
def guarded(tmp_path: Path, committed: Committed) -> Path:
    """The repository, committed, in a path with a space."""
    return committed(tmp_path / "orders service", FILES)
