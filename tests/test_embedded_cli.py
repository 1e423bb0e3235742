"""`mcp-backend engines`: engines for other programs, under the names of the policy."""

import json
import socket
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mcp_backend.engines import binaries, embedded
from mcp_backend.keeper.serve import GRACE_SECONDS
from mcp_backend.settings import workspace
from tests.lease_fixtures import Hold, copy, has_ended, keeper_of, publish


def engines(folder: Path, *arguments: str, code: int = 0) -> str:
    """What `mcp-backend engines …` prints, on stdout or, when it says no, on stderr."""
    program = Path(sysconfig.get_path("scripts")) / "mcp-backend"
    done = subprocess.run([program, "engines", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def told(folder: Path, *arguments: str) -> dict[str, Any]:
    """What `engines` says of the NATS server; a workspace has a PostgreSQL by default, too."""
    [nats] = [e for e in json.loads(engines(folder, *arguments, "--json")) if e["name"] == "nats"]
    return nats


async def test_a_pinned_engine_serves_other_programs_until_it_is_stopped(repository: Path) -> None:
    started = json.loads(engines(repository, "start", "nats", "--json"))
    assert started["pinned"]
    assert await publish(started["url"], "from another program") == 1
    status = told(repository, "status")
    assert (status["pid"], status["running"], status["leases"]) == (started["pid"], True, 0)
    assert status["url"] == f"nats://backend@127.0.0.1:{started['url'].rpartition(':')[2]}", "and no password"
    shown = told(repository, "status", "--show-url")
    assert shown["url"] == started["url"]
    engines(repository, "stop", "nats")
    assert has_ended(started["pid"], 0)
    after = told(repository)
    assert (after["running"], after["url"], after["pid"]) == (False, None, None)
    assert "was not running" in engines(repository, "stop", "nats")


def test_a_pinned_engine_outlives_its_leases(repository: Path, made_cluster: Path, hold: Hold) -> None:
    copy(made_cluster, workspace(repository))
    started = json.loads(engines(repository, "start", "postgresql", "--json"))
    with psycopg.connect(started["url"]) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == ("backend", "backend")
    holder = hold("postgresql", Path(started["data_dir"]).parents[2])
    assert holder.said["engine"] == started["pid"]
    holder.leave()
    assert not has_ended(started["pid"], GRACE_SECONDS + 0.5)
    engines(repository, "stop", "postgresql")
    assert has_ended(started["pid"], 0)


def test_stopping_an_engine_in_use_is_refused_unless_forced(repository: Path, hold: Hold) -> None:
    started = json.loads(engines(repository, "start", "nats", "--json"))
    holder = hold("nats", Path(started["data_dir"]).parents[2])
    assert holder.said["engine"] == started["pid"]
    assert "1 server(s) of this workspace use it" in engines(repository, "stop", "nats", code=1)
    status = told(repository, "status")
    assert (status["running"], status["pinned"]) == (True, False)
    engines(repository, "stop", "nats", "--force")
    assert has_ended(started["pid"], 0)


def test_the_engines_of_the_policy_go_by_their_names(repository: Path) -> None:
    (repository / "mcp-backend.toml").write_text(
        '[engines.events]\nkind = "nats"\nurl = "embedded:nats"\n[engines.main]\nkind = "postgresql"\n'
        'url = "env:DATABASE_URL"\n'
    )
    [before] = json.loads(engines(repository, "status", "--json"))
    assert (before["name"], before["kind"], before["running"]) == ("events", "nats", False)
    started = json.loads(engines(repository, "start", "events", "--json", "--workspace", str(repository)))
    assert (started["name"], started["kind"]) == ("events", "nats")
    engines(repository, "stop", "events")
    assert "is not embedded" in engines(repository, "start", "main", code=1)
    assert "no such local engine; known: events, postgresql, nats" in engines(repository, "start", "x", code=1)


def test_who_gives_up_while_an_engine_starts_leaves_none(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = workspace(repository)
    folder = embedded.engine_folder("nats", place)
    embedded._start_keeper("nats", folder, binaries.find("nats"))  # pyright: ignore[reportPrivateUsage]
    monkeypatch.chdir(folder)  # a path within it stays below the limit of unix(7)
    with socket.socket(socket.AF_UNIX) as person:
        person.connect("keeper.sock")
        person.sendall(b'{"do": "pin"}\n')
    assert has_ended(keeper_of(place, "nats"), GRACE_SECONDS + 10)
