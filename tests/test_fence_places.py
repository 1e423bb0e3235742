"""Which layer holds for whom: root and a plain user, where namespaces are blocked, and where everything is."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.settings import Workspace
from mcp_backend.workspace.fence import probe

TESTS = Path(__file__).parent
NOBODY = 65534
SYSTEM_PYTHON = "/usr/bin/python3"
"""An interpreter that every user may run; the one of the tests may lie in a closed home."""
NO_NAMESPACES = (sys.executable, str(TESTS / "without_namespaces.py"))
NO_RIGHTS = ("--bounding-set=-all", "--inh-caps=-all")
AS_NOBODY = ("--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/usr/bin/setpriv").exists(), reason="takes root to become others"
)
plain = pytest.mark.skipif(not os.access(SYSTEM_PYTHON, os.X_OK), reason="no interpreter for everybody")


@pytest.fixture
def open_place() -> Generator[Path]:
    """A folder for everybody. Not one of pytest's, whose root every pytest that starts shuts for others again."""
    with tempfile.TemporaryDirectory(prefix="mcp-backend-tests-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def holds(folder: Path, *words: str, before: tuple[str, ...] = (), python: str = sys.executable) -> dict[str, Any]:
    """What blocked_fence.py found."""
    command = [*before, python, str(TESTS / "blocked_fence.py"), str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    if done.returncode == 77:
        pytest.skip("such a place cannot be made here")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@plain
def test_a_plain_user_has_namespaces(open_place: Path) -> None:
    found = holds(open_place, before=("/usr/bin/setpriv", *AS_NOBODY), python=SYSTEM_PYTHON)
    assert (found["uid"], found["tier"]) == (NOBODY, "namespaces")


@plain
def test_a_plain_user_without_namespaces_has_landlock(open_place: Path) -> None:
    before = (*NO_NAMESPACES, "/usr/bin/setpriv", *AS_NOBODY, *NO_RIGHTS)
    found = holds(open_place, before=before, python=SYSTEM_PYTHON)
    assert (found["uid"], found["tier"]) == (NOBODY, "landlock")
    assert set(found["failed"]) >= {"namespaces", "bubblewrap"}


def test_root_without_rights_and_namespaces_has_landlock(open_place: Path) -> None:
    found = holds(open_place, before=(*NO_NAMESPACES, "/usr/bin/setpriv", *NO_RIGHTS))
    assert (found["uid"], found["tier"]) == (0, "landlock")


def test_where_everything_is_blocked_no_layer_is_claimed(open_place: Path) -> None:
    found = holds(open_place, "nothing")
    assert found["tier"] == "none"
    assert "Operation not permitted" in found["failed"]["namespaces"]
    assert "Landlock version 3" in found["failed"]["landlock"]


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no /dev/shm")
def test_a_state_folder_in_shared_memory_takes_no_layer_away() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="mcp-backend-tests-") as folder:
        place = Workspace(Path(folder) / "repository", Path(folder) / "state", False)
        assert probe.attempt(place, "namespaces", "") == ""
