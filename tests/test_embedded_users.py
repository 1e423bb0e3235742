"""Local engines under root, with and without user namespaces, and under a plain user; the machine stays as it was."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg
import pytest

from mcp_backend.engines import binaries
from mcp_backend.settings import Workspace
from tests.lease_fixtures import KINDS, TESTS, Hold, has_ended, keeper_of, kept, uid_of

NOBODY = 65534
AS_NOBODY: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/"}

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about what root may do")


def modes(*paths: Path) -> dict[Path, tuple[int, int, int]]:
    """Mode and owners of the paths and of all folders above them."""
    found = {above: above.stat() for path in paths for above in (path, *path.parents)}
    return {path: (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) for path, info in found.items()}


@pytest.fixture
def untouched(tmp_path: Path) -> Generator[None]:
    """Proves that users and permissions of the machine are what they were."""
    watched = (tmp_path, binaries.find("postgresql"), Path(sys.executable).resolve(), Path("/root"))
    before, users = modes(*watched), Path("/etc/passwd").read_bytes()
    yield
    assert modes(*watched) == before
    assert Path("/etc/passwd").read_bytes() == users


@as_root
@pytest.mark.usefixtures("untouched")
def test_root_runs_postgresql_without_a_change_to_the_machine(local_place: Workspace, hold: Hold) -> None:
    said = hold("postgresql", local_place.state).said
    with psycopg.connect(said["url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@as_root
@pytest.mark.usefixtures("untouched")
def test_root_without_user_namespaces_runs_postgresql_as_nobody(local_cluster: Workspace, hold: Hold) -> None:
    # The folders above the data are closed to `nobody`, and the cluster belongs to root at first.
    holder = hold("postgresql", local_cluster.state, sys.executable, str(TESTS / "without_namespaces.py"))
    said = holder.said
    assert "error" not in said
    assert uid_of(said["engine"]) == NOBODY
    assert kept(said["url"]) == [("a committed row",)]
    os.kill(keeper_of(local_cluster, "postgresql"), signal.SIGKILL)
    assert has_ended(said["engine"])
    holder.leave()
    back = hold("postgresql", local_cluster.state).said
    assert kept(back["url"]) == [("a committed row",)], "and back, where namespaces are allowed"


@as_root
@pytest.mark.usefixtures("untouched")
def test_root_without_user_namespaces_makes_a_cluster_as_nobody(local_place: Workspace, hold: Hold) -> None:
    said = hold("postgresql", local_place.state, sys.executable, str(TESTS / "without_namespaces.py")).said
    with psycopg.connect(said["url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@as_root
def test_root_with_neither_namespaces_nor_a_reachable_program_is_told_what_to_do(
    local_place: Workspace, hold: Hold, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("postgres", "initdb"):
        (closed / name).write_text("#!/bin/sh\n")
        (closed / name).chmod(0o755)
    wall = (sys.executable, str(TESTS / "without_namespaces.py"))
    said = hold("postgresql", local_place.state, *wall, env={"MCP_BACKEND_POSTGRESQL_BIN": str(closed)}).said
    assert "user namespaces are blocked" in said["error"]
    assert "Run the server as an ordinary user" in said["error"]


@pytest.fixture
def home_of_nobody() -> Generator[Path]:
    """A folder of the user `nobody`, in a path with a space that everybody may walk."""
    folder = Path(mkdtemp(prefix="a home of nobody "))
    os.chown(folder, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


def python_for_everybody() -> str:
    """A Python that the user `nobody` can run too."""
    for python in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError, subprocess.CalledProcessError):
            check = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
            subprocess.run(check, check=True, **AS_NOBODY)
            return python
    pytest.skip("no Python here that the user nobody can run")


@as_root
@pytest.mark.usefixtures("untouched")
def test_a_plain_user_needs_nothing_special(home_of_nobody: Path, hold: Hold) -> None:
    place = Workspace(home_of_nobody, home_of_nobody / "the state", False)
    python = python_for_everybody()
    environment = {
        "MCP_BACKEND_POSTGRESQL_BIN": str(binaries.find("postgresql").parent),
        "MCP_BACKEND_NATS_SERVER": str(binaries.find("nats")),
    }
    holders = [hold(kind, place.state, python=python, env=environment, **AS_NOBODY) for kind in KINDS]
    said = [holder.said for holder in holders]
    with psycopg.connect(said[0]["url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert {uid_of(answer["engine"]) for answer in said} == {NOBODY}
    for holder in holders:
        holder.process.kill()
    assert all(has_ended(answer["engine"]) for answer in said)
    assert all(has_ended(keeper_of(place, kind)) for kind in KINDS)


@as_root
def test_a_folder_that_a_plain_user_may_not_write_is_named(home_of_nobody: Path, hold: Hold) -> None:
    home_of_nobody.chmod(0o500)
    said = hold(
        "nats",
        home_of_nobody / "state",
        python=python_for_everybody(),
        **AS_NOBODY,
        env={"MCP_BACKEND_NATS_SERVER": str(binaries.find("nats"))},
    ).said
    assert f"{home_of_nobody}/state/engines/nats cannot be made: Permission denied" in said["error"]
