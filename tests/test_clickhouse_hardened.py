"""The user that `doctor --harden` writes for ClickHouse, in an engine of its own: enough without any guard of ours.

The local engine keeps its users in a file, so the script's statements are read by the server's own parser, and their
grants and settings are given to the only user there is. No fence of the kernel is around it here.
"""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import pytest

from mcp_backend.cli import main
from mcp_backend.engines.ch import hardening
from mcp_backend.engines.ch.errors import ServerError
from mcp_backend.engines.ch.table import describe, find
from mcp_backend.engines.clickhouse import Clickhouse
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace
from tests.clickhouse_fixtures import Sql
from tests.conftest import CORPORA
from tests.test_clickhouse_corpora import CANARIES, SECRET, cases, trap

__all__ = ["trap"]

pytestmark = [
    pytest.mark.skipif(not CORPORA.is_dir(), reason="the canaries are not here"),
    pytest.mark.skipif(find_spec("chdb") is None, reason="chdb is not installed"),
]
SECONDS = "0.3"
"""Of a statement here, where the script allows a minute."""
PROGRAM = """
import json, sys
import chdb
connection = chdb.connect(sys.argv[1])
for sql in json.load(sys.stdin):
    try:
        found = connection.query(sql, "JSONCompactEachRow").bytes().decode(errors="replace")
        print(json.dumps([True, found[:100_000]]), flush=True)
    except Exception as error:
        print(json.dumps([False, str(error)[:2000]]), flush=True)
connection.close()
"""


def told(folder: Path, statements: Sequence[str], config: Path | None = None) -> list[tuple[bool, str]]:
    """What an engine on the data in a folder says to each statement: whether it ran, and its answer or error."""
    place = f"{folder / 'data'}?config-file={config}" if config else str(folder / "data")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, place],
        input=json.dumps(statements), capture_output=True, text=True, check=True, timeout=100, cwd=folder,
    )  # fmt: skip
    return [cast("tuple[bool, str]", tuple(json.loads(line))) for line in done.stdout.splitlines()]


def as_reader(folder: Path, script: str) -> Path:
    """A configuration whose user has what the script grants, and the settings of the profile it makes."""
    settings = dict(re.findall(r"(\w+) = ('[^']*'|\d+)", script.splitlines()[0]))
    settings["max_execution_time"] = SECONDS
    grants = [line.rpartition(" TO ")[0] for line in script.splitlines() if line.startswith("GRANT ")]
    profile = "".join(f"<{name}>{escape(value.strip(chr(39)))}</{name}>" for name, value in settings.items())
    users = "".join(f"<query>{escape(grant)}</query>" for grant in grants)
    (folder / "users.xml").write_text(
        f"<clickhouse><profiles><default/><reader>{profile}</reader></profiles><quotas><default/></quotas><users>"
        "<default><password/><networks><ip>::/0</ip></networks><profile>reader</profile><quota>default</quota>"
        f"<grants>{users}</grants></default></users></clickhouse>"
    )
    config = folder / "reader.xml"
    config.write_text(f"<clickhouse><users_config>{folder / 'users.xml'}</users_config></clickhouse>")
    return config


def test_without_any_analysis_the_hardened_user_can_do_no_harm(tmp_path: Path, trap: socket.socket) -> None:
    folder, target = tmp_path / "engine", tmp_path / "attacked"
    folder.mkdir()
    target.mkdir(mode=0o777)
    (target / "secret.txt").write_text(SECRET)
    setup = [s for s in (CORPORA / "canary_setup_clickhouse.sql").read_text().split(";\n") if s.strip()]
    script = hardening.script("reader", ["canary", "default"])
    parsed = [f"EXPLAIN AST {statement.strip().rstrip(';')}" for statement in script.split(";\n") if statement.strip()]
    made = told(folder, [*setup, *parsed, CANARIES])
    assert all(ok for ok, _ in made), [said for ok, said in made if not ok]
    config = as_reader(folder, script)
    filled = {"@@DIR@@": str(target), "@@SSRF@@": str(trap.getsockname()[1])}
    attacks: list[tuple[dict[str, Any], str]] = []
    for case in cases("sql_attacks.jsonl"):
        for sql in (case["sql"], *case.get("then", [])):
            for token, value in filled.items():
                sql = sql.replace(token, value)
            attacks.append((case, sql))
    asked = ["SHOW GRANTS", "SELECT toUInt8(getSetting('readonly'))", "SELECT count() > 0 FROM canary.events"]
    answers = told(folder, [*asked, *(sql for _, sql in attacks)], config)
    granted, readonly, reads = ([json.loads(line) for line in said.splitlines()] for _, said in answers[:3])
    assert (hardening.faults(1, granted), readonly, reads) == ((), [[1]], [[1]])
    for (case, sql), (_ok, said) in zip(attacks, answers[3:], strict=True):
        assert SECRET not in said, (case["id"], sql)
    left, _, noticed = told(folder, [CANARIES, "INSERT INTO canary.kw VALUES (1, 1)", CANARIES])
    assert left == made[-1] != noticed
    assert sorted(path.name for path in target.iterdir()) == ["secret.txt"]
    with pytest.raises(BlockingIOError):
        trap.accept()


def test_the_doctor_writes_the_script_and_judges_the_user_of_the_url(
    analytics: Path, clickhouse_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    database = urlsplit(clickhouse_url).path[1:]
    assert main(["doctor", "--workspace", str(analytics), "--harden", "main", "--role", "Reader of `x`"]) == 1
    script, said = capsys.readouterr()
    assert f"GRANT SELECT, SHOW, dictGet ON `{database}`.* TO `Reader of \\`x\\``;" in script
    assert "GRANT SELECT ON system.parts TO " in script
    assert "is not there" in said
    assert "default: readonly is 0 in its profile; was granted " in said
    assert main(["doctor", "--workspace", str(analytics), "--harden", "main", "--role", "default", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["exists"], found["holds"]) == (True, False)
    assert any("INSERT" in fault and "ALTER" in fault for fault in found["faults"])


class Poor(Clickhouse):
    """A user of a server that keeps its system tables back."""

    async def rows(self, sql: str, *arguments: Any, **named: Any) -> list[list[Any]]:
        if re.search(r"FROM system\.(parts|mutations)\b", sql):
            raise ServerError(497, "ACCESS_DENIED", "poor: Not enough privileges")
        return await super().rows(sql, *arguments, **named)


async def test_a_table_is_shown_without_what_the_user_may_not_see(
    clickhouse_url: str, clickhouse: Sql, tmp_path: Path
) -> None:
    clickhouse("CREATE TABLE t (id UInt32) ENGINE = MergeTree ORDER BY id")
    clickhouse("INSERT INTO t VALUES (1)")
    engine = Poor(EngineSettings("main", "clickhouse", clickhouse_url), Workspace(tmp_path, tmp_path, False))
    try:
        shown, following = await describe(engine, await find(engine, "t"), None)
    finally:
        await engine.close()
    assert (shown["rows"], shown["order_by"], following) == (1, "id", None)
    assert "parts" not in shown
    assert shown["not_granted"] == ["system.mutations", "system.parts"]
