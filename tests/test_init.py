"""`init` writes a policy that loads and says what holds; `doctor` says what is in place and what is not."""

import json
import re
import shlex
import socket
import subprocess
import time
import tomllib
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from mcp_backend import persona, policy
from mcp_backend.cli import draft, main
from mcp_backend.hosts import connecting
from mcp_backend.policy import Policy
from mcp_backend.settings import workspace
from mcp_backend.store import open_store
from mcp_backend.workspace import detect
from mcp_backend.workspace.overview import overview
from tests.clickhouse_fixtures import names_clickhouse

SHOP = {
    "web/package.json": '{"dependencies": {"react": "19"}}',
    "web/src/App.tsx": "",
    "api/openapi.yaml": "openapi: 3.1.0",
    "compose.yaml": "services:\n  db:\n    image: postgres:18\n  cache:\n    image: redis:8\n",
    "db/migrations/20260101000000_a.sql": "-- migrate:up\nselect 1;\n-- migrate:down\nselect 1;\n",
    "pyproject.toml": '[project]\ndependencies = ["fastapi"]\n[tool.pytest.ini_options]\n',
    "tests/test_a.py": "",
    ".env": "POSTGRES_PASSWORD=nobody-may-see-this\n",
    ".github/workflows/ci.yml": "",
}


def write(root: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def init(root: Path, *options: str) -> int:
    return main(["init", "--workspace", str(root), *options])


def loaded(root: Path) -> Policy:
    return policy.load(root / policy.POLICY_FILE, persona.load().constraints)


def test_what_init_writes_loads_and_names_what_was_found(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, SHOP)
    assert init(repository) == 0
    written = (repository / policy.POLICY_FILE).read_text()
    found = loaded(repository)
    assert found.commands["test"] == "pytest"
    engine = found.engines["postgresql"]
    assert (engine.url, engine.environment, engine.migrations) == (
        "embedded:postgresql",
        "development",
        "db/migrations",
    )
    assert "nats" not in found.engines
    for words in ("web/  (package.json depends on react)", "api/openapi.yaml", "[engines.redis]", "# [engines.nats]"):
        assert words in written
    assert "nobody-may-see" not in written + capsys.readouterr().out


def test_with_the_written_policy_the_same_holds_as_without_it(repository: Path) -> None:
    write(repository, SHOP)
    place = workspace(repository)
    promises = persona.load().constraints
    before = detect.fill(policy.load(None, promises), place, {})
    assert init(repository) == 0
    after = detect.fill(loaded(repository), place, {})
    assert after.constraints == before.constraints
    assert dict(after.commands) == dict(before.commands)
    assert {n: (e.url, e.environment, e.migrations) for n, e in after.engines.items()} == {
        n: (e.url, e.environment, e.migrations) for n, e in before.engines.items()
    }
    assert overview(place, after).frontends == overview(place, before).frontends


def test_a_policy_that_is_there_stays_as_it_is(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = '[paths]\nfrontend = ["mine/"]\n'
    write(repository, {policy.POLICY_FILE: mine})
    assert init(repository) == 1
    assert "stays as it is" in capsys.readouterr().err
    assert (repository / policy.POLICY_FILE).read_text() == mine
    assert init(repository, "--force") == 0
    assert loaded(repository).frontend == ()
    assert [p.name for p in repository.iterdir() if "toml" in p.name] == [policy.POLICY_FILE]


def test_print_writes_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, SHOP)
    assert init(repository, "--print") == 0
    assert tomllib.loads(capsys.readouterr().out)["commands"] == {"test": "pytest"}
    assert not (repository / policy.POLICY_FILE).exists()


def test_a_url_of_the_environment_is_written_as_a_reference(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:nobody-may-see-this@db.acme.io/app")
    assert init(repository) == 0
    engine = loaded(repository).engines["postgresql"]
    assert (engine.url, engine.environment) == ("env:DATABASE_URL", "production")
    out = capsys.readouterr().out
    assert "needs DATABASE_URL in its environment" in out
    assert "postgresql: wait for a person" in out
    assert "nobody-may-see" not in out + (repository / policy.POLICY_FILE).read_text()


def test_names_that_break_other_formats_do_not_break_the_file(tmp_path: Path) -> None:
    odd = 'a"b\\c\n[x]\u007f\u202e'
    write(tmp_path, {f"{odd}/package.json": '{"dependencies": {"vue": "3"}}', f"{odd}/a.vue": "",
                     f"{odd}2/setup.cfg": "", f"{odd}2/test_a.py": "", f"{odd}/openapi.yaml": "",
                     "😀/go.mod": "", "😀/a_test.go": ""})  # fmt: skip
    place = workspace(tmp_path)
    text = draft.toml(detect.look(place, {}), overview(place, Policy()))
    (tmp_path / policy.POLICY_FILE).write_text(text)
    assert loaded(tmp_path).commands["test"] == detect.look(place, {}).test


def test_init_says_what_is_guarded_and_what_is_not(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, SHOP)
    init(repository)
    out = capsys.readouterr().out
    for words in ("web/", "api/openapi.yaml", "host's own tools", "codex mcp add", "Claude Code", "Claude Desktop",
                  "Cursor", "VS Code", "postgresql, redis", "fastapi"):  # fmt: skip
        assert words in out


def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--workspace", str(tmp_path / "nowhere")]) == 1
    assert "is not a folder" in capsys.readouterr().err


def test_the_lines_for_hosts_start_this_server(tmp_path: Path) -> None:
    root = tmp_path / "with space"
    lines = connecting.lines(root, ["DATABASE_URL"])
    words = shlex.split(next(line for line in lines if "claude mcp add" in line))
    start = words[words.index("--") + 1 :]
    entries = [json.loads(line) for line in lines if line.strip().startswith("{")]
    for entry in (*(e["mcpServers"]["backend"] for e in entries[:2]), entries[2]["servers"]["backend"]):
        assert [entry["command"], *entry["args"]] == start
    cursor, vscode = (urlsplit(line.strip()) for line in lines if re.match(r" +(cursor|vscode):", line))
    assert json.loads(b64decode(parse_qs(cursor.query)["config"][0])) == entries[1]["mcpServers"]["backend"]
    assert json.loads(unquote(vscode.query)) == {"name": "backend", **entries[2]["servers"]["backend"]}
    assert start[-2:] == ["--workspace", str(root)]
    said = subprocess.run([*start[: start.index("serve")], "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("mcp-backend ")


def doctor(root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["doctor", "--workspace", str(root), "--json"])
    body = json.loads(capsys.readouterr().out)
    assert body["ok"] == (code == 0)
    return code, {finding["name"]: finding for finding in body["findings"]}


def test_doctor_is_content_with_a_bare_repository_and_starts_nothing(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = doctor(repository, capsys)
    assert code == 0
    assert found["engine postgresql"]["reachable"] is None
    assert found["engine postgresql"]["words"].startswith("not running now, starts on first use")
    assert found["policy"]["file"] is None
    assert found["tests"]["state"] == "note"
    assert found["sandbox"]["tier"] in ("namespaces", "bubblewrap", "landlock")
    assert found["sandbox"]["words"].startswith("programs of the repository run in a fence: ")
    assert found["promises"]["explicit-errors"] == "kept"
    assert not (workspace(repository).state / "engines" / "postgresql" / "data").exists()


def test_doctor_reaches_real_engines_and_tells_their_version_and_no_password(
    repository: Path,
    nats_url: str,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NATS_URL", nats_url)
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    code, found = doctor(repository, capsys)
    assert code == 0
    for kind in ("nats", "postgresql"):
        engine = found[f"engine {kind}"]
        assert engine["reachable"] is True
        assert re.match(r"\d+\.\d+", engine["version"])
        assert (engine["environment"], engine["origin"]) == ("production", "detected")
    secrets = [re.split(r"[:@]", url.partition("//")[2])[1] for url in (nats_url, postgres_url)]
    assert not any(secret in json.dumps(found) for secret in secrets)


def test_doctor_reaches_a_clickhouse_server(
    repository: Path, clickhouse_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names_clickhouse(repository, clickhouse_url)
    _, found = doctor(repository, capsys)
    engine = found["engine main"]
    assert engine["reachable"] is True
    assert re.match(r"\d+\.\d+", engine["version"])


def test_doctor_says_why_an_engine_is_down_within_seconds(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("DATABASE_URL", f"postgresql://app:secret-word@127.0.0.1:{port}/x")
        monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")
        began = time.monotonic()
        code, found = doctor(repository, capsys)
        took = time.monotonic() - began
    assert code == 1
    assert found["engine nats"]["state"] == found["engine postgresql"]["state"] == "bad"
    assert "refused" in found["engine nats"]["words"]
    assert re.search(r"does not answer within|timeout expired", found["engine postgresql"]["words"])
    assert "secret-word" not in json.dumps(found)
    assert took < 30


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[paths]\nfrontned = []\n", "unknown key paths.frontned"),
        ("[paths\n", "not valid TOML"),
        ('[engines.main]\nkind = "postgresql"\nurl = "env:NOT_SET_ANYWHERE"\n', "NOT_SET_ANYWHERE is not set"),
        ('[commands]\ntest = "no-such-program --all"\n', "no-such-program is not found"),
        ('[commands]\ntest = "cd nowhere && pytest"\n', "nowhere is not a folder"),
    ],
)
def test_doctor_finds_what_is_wrong_with_a_policy(
    repository: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    write(repository, {policy.POLICY_FILE: text})
    code, found = doctor(repository, capsys)
    assert code == 1
    assert any(f["state"] == "bad" and words in f["words"] for f in found.values()), found


def test_doctor_notices_a_broken_audit_log(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sqlite3

    place = workspace(repository)
    open_store(place.state).close()
    with sqlite3.connect(place.state / "store.db") as connection:
        connection.execute("insert into audit (seq, record, hash) values (1, '{\"seq\": 1}', 'wrong')")
    connection.close()
    code, found = doctor(repository, capsys)
    assert code == 1
    assert "broken" in found["store"]["words"]


def test_doctor_reads_well_for_people(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, SHOP)
    assert main(["doctor", "--workspace", str(repository)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^ok    frontend\s+web/; 2 files are refused", out, re.MULTILINE)
    assert "\x1b" not in out


def test_check_why_answers_for_paths_relative_to_where_it_is_asked(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(repository, SHOP)
    assert main(["check", "--workspace", str(repository / "web"), "--why", "src/App.tsx", "../api/openapi.yaml"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "web/src/App.tsx: frontend (refused: the frontend engineer's). "
        "R2: below the frontend root web/ (package.json depends on react)",
        "api/openapi.yaml: spec (refused: the architect's). R4: an API specification, by its name or folder",
    ]
    assert main(["check", "--workspace", str(repository), "--json", "--why", "db/migrations/2_b.sql"]) == 0
    assert json.loads(capsys.readouterr().out)["paths"] == [
        {"path": "db/migrations/2_b.sql", "owner": "backend", "rule": "R5: backend source (.sql)"}
    ]
