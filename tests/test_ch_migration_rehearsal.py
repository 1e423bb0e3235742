"""rehearse_migration on ClickHouse: what it names, what it leaves alone, and that the target stays as it is."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from mcp_backend.engines.clickhouse import Clickhouse
from mcp_backend.migrations.clickhouse import grammar_hazards, shadow, subject, target, whole
from mcp_backend.migrations.clickhouse.language import statements
from mcp_backend.migrations.clickhouse.mapping import mapped
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import workspace
from tests.asking import either, result
from tests.ch_migration_cases import ALWAYS, CASES, SETUP, Case
from tests.clickhouse_fixtures import Sql, names_clickhouse
from tests.conftest import CORPORA, Connect
from tests.rehearsal_corpus import Tally, judge, rehearse_clickhouse

EVERYTHING = os.environ.get("MCP_BACKEND_CASES") == "all"
SHOWN = ("ch-drop-mv-target-table", "ch-on-cluster")
CHOSEN = [case for case in CASES if EVERYTHING or case[0] in ALWAYS]


def run(sql: Sql, text: str) -> None:
    """Runs statements one after the other."""
    for statement in statements(text, "test"):
        sql(statement.sql)


@pytest.fixture
def database(clickhouse_url: str, clickhouse: Sql) -> str:
    """The name of a database with events, a daily roll-up and the view between them."""
    name = urlsplit(clickhouse_url).path.strip("/")
    run(clickhouse, SETUP.format(db=name))
    return name


@pytest.fixture
def analytics_workspace(repository: Path, clickhouse_url: str) -> Path:
    """A repository whose engine `main` is that database."""
    names_clickhouse(repository, clickhouse_url)
    return repository


def ids(found: dict[str, Any]) -> set[str]:
    """The names of the hazards."""
    return {hazard["id"] for hazard in found["hazards"]}


@pytest.mark.parametrize("case", CHOSEN, ids=[case[0] for case in CHOSEN])
async def test_each_case_gets_the_verdict_it_deserves(
    case: Case, database: str, clickhouse: Sql, analytics_workspace: Path, connect: Connect
) -> None:
    _, up, verdicts, hazards, more = case
    run(clickhouse, more.format(db=database))
    async with connect(analytics_workspace) as client:
        found = await result(client, "rehearse_migration", sql=up.format(db=database))
    assert found["verdict"] in verdicts, found["hazards"]
    assert not hazards or ids(found) & {*hazards}
    assert hazards or not [h for h in found["hazards"] if h["severity"] != "info"]


def shown_cases() -> list[dict[str, Any]]:
    """The cases of the corpus that run this time."""
    found = [json.loads(path.read_text()) for path in sorted((CORPORA / "migrations_corpus").glob("ch-*.json"))]
    return [cast("dict[str, Any]", case) for case in found if EVERYTHING or case["id"] in SHOWN]


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the corpora are not here")
@pytest.mark.parametrize("case", shown_cases() if CORPORA.is_dir() else [], ids=lambda case: str(case["id"]))
async def test_the_corpus_gets_its_verdicts_at_the_sizes_it_names(
    case: dict[str, Any], clickhouse_url: str, repository: Path
) -> None:
    tally = Tally()
    judge(case, await rehearse_clickhouse(clickhouse_url, repository, case), tally)
    assert (tally.missed, tally.flagged, tally.other) == ([], [], {})


async def test_a_rehearsal_shows_effects_and_leaves_the_target_as_it_is(
    database: str, clickhouse: Sql, analytics_workspace: Path, connect: Connect
) -> None:
    looking = (
        "select (select groupArray((name, create_table_query, total_rows)) from (select * from system.tables where "
        "database = currentDatabase() order by name)), (select sum(cityHash64(*)) from events), "
        "(select count() from system.mutations where database = currentDatabase()), "
        "(select groupArray(name) from (select name from system.databases order by name))"
    )
    before = clickhouse(looking)
    async with connect(analytics_workspace) as client:
        found = await result(
            client, "rehearse_migration", sql="alter table events modify column code UInt32, drop column payload",
            down_sql="alter table events modify column code String, add column payload String after kind",
        )  # fmt: skip
    assert clickhouse(looking) == before
    assert found["verdict"] == "needs_approval"
    assert {"type_change_breaks_clients", "mutation_rewrites_parts", "destructive_data"} <= ids(found)
    assert f"~ column {database}.events.code: String -> UInt32" in found["schema_diff"]
    assert found["reversible"] == {"up_down_equal": True, "difference": []}
    (statement,) = found["statements"]
    assert statement["locks"] == [{"relation": f"{database}.events", "mode": "mutation", "blocks": "ddl"}]
    assert statement["rewrites"][0]["rows"] == 4000
    assert found["timeline"][0]["relation"] == f"{database}.events"
    assert not list((workspace(analytics_workspace).state / "shadows").iterdir())


async def test_rows_that_would_fail_are_counted_on_the_target_and_the_undoing_is_tried(
    database: str, analytics_workspace: Path, connect: Connect
) -> None:
    async with connect(analytics_workspace) as client:
        found = await result(client, "rehearse_migration", sql="alter table events modify column payload UInt32")
    by_id = {hazard["id"]: hazard for hazard in found["hazards"]}
    assert by_id["cast_failure"]["evidence"]["rows"] == 4000
    assert by_id["cast_failure"]["evidence"]["examples"][0].startswith("p")
    assert by_id["cast_failure"]["source"] == "target_data"
    assert by_id["stuck_mutation"]["evidence"]["undone"] is True
    assert "code 341" in found["statements"][0]["error"]


async def test_what_reaches_out_of_the_database_is_not_run_anywhere(
    database: str, analytics_workspace: Path, connect: Connect
) -> None:
    for sql in (
        "create dictionary d (id UInt64) primary key id source(executable(command 'id' format 'TSV')) layout(flat()) "
        "lifetime(1)",
        "system shutdown",
    ):
        async with connect(analytics_workspace) as client:
            found = await result(client, "rehearse_migration", sql=sql)
        assert found["verdict"] == "reject"
        assert ids(found) & {"filesystem_access", "server_command"}
        assert any("was not run on the shadow" in note for note in found["not_checked"])


async def test_what_cannot_be_rehearsed_is_said_by_field(analytics_workspace: Path, connect: Connect) -> None:
    async with connect(analytics_workspace) as client:
        for arguments, field in (
            ({"sql": "-- nothing"}, "sql"),
            ({"sql": "select 'x"}, "sql"),
            ({}, "migration folder"),
        ):
            ok, body = await either(client, "rehearse_migration", **arguments)
            assert not ok
            assert field in body["reason"]


def test_replication_clusters_and_storage_are_mapped_and_said() -> None:
    sql, notes = mapped(
        "create table r on cluster '{cluster}' (k UInt32) "
        "engine = ReplicatedReplacingMergeTree('/p/{shard}', '{replica}', k) order by k "
        "settings storage_policy = 'hot', index_granularity = 1024"
    )
    assert (
        sql == "create table r  (k UInt32) engine = ReplacingMergeTree(k) order by k SETTINGS index_granularity = 1024"
    )
    assert len(notes) == 3
    assert mapped("create table q (k UInt8) engine = Kafka('h', 't', 'g', 'CSV')")[0].endswith("engine = Null ")


def test_commands_of_an_alter_are_told_apart_however_they_are_written() -> None:
    (found,) = statements(
        "alter table a.b update x = 1, y = 'delete, drop' where z, (add column if not exists n Nested(a UInt8, "
        "b String)), modify ttl d + interval 1 day, e + interval 2 day to disk 'x', rename column `p q` to r, "
        "alter column c type LowCardinality(Nullable(String)) default ';'; -- end",
        "test",
    )
    assert [(c.kind, c.name) for c in found.commands] == [
        ("UPDATE", "x"), ("ADD COLUMN", "n"), ("MODIFY TTL", "d"), ("RENAME COLUMN", "p q"), ("MODIFY COLUMN", "c"),
    ]  # fmt: skip
    assert found.commands[-1].type == "LowCardinality(Nullable(String))"


async def test_the_pending_files_are_rehearsed_with_the_digest_of_what_would_run(
    database: str, clickhouse_url: str, analytics_workspace: Path, connect: Connect
) -> None:
    folder = analytics_workspace / "db" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20260101_note.sql").write_text(
        "-- migrate:up\nalter table events add column note String;\n"
        "-- migrate:down\nalter table events drop column note;\n"
    )
    async with connect(analytics_workspace) as client:
        found = await result(client, "rehearse_migration")
    engine = Clickhouse(
        EngineSettings("main", "clickhouse", clickhouse_url, "development"), workspace(analytics_workspace)
    )
    planned = await subject.pending(engine, analytics_workspace, None, "up")
    await engine.close()
    assert (found["digest"], found["at_version"]) == (planned.digest, planned.action.at_version)
    assert found["verdict"] == "safe"
    assert found["statements"][0]["file"] == "db/migrations/20260101_note.sql"
    assert found["version_after"].endswith("@20260101")


async def test_a_shadow_has_no_way_out(repository: Path) -> None:
    async with shadow.opened(workspace(repository), "default") as local:
        with pytest.raises(shadow.ServerError, match="fenced in"):
            await local.run("insert into function file('/tmp/out.csv', 'CSV') select 1")


def test_what_other_systems_are_reached_with_is_not_shown() -> None:
    for sql, secrets, kept in (
        ("create user u identified with sha256_password by 'pw'", ("pw'",), "create user u"),
        (
            "create table t (a String) engine = S3('https://x/y', 'AK', 'SECRET') order by a comment 'hi'",
            ("AK", "SECRET"),
            "'hi'",
        ),
        ("create dictionary d (a UInt8) primary key a source(mysql(user 'u' password 'pw'))", ("pw",), "source"),
        ("insert into t select 'a' from mysql('h', 'd', 't', 'u', 'pw') where x = 'ok'", ("pw",), "x = 'ok'"),
    ):
        (found,) = statements(sql, "test")
        assert not [secret for secret in secrets if secret in found.shown]
        assert kept in found.shown


def test_on_a_cluster_a_statement_for_one_server_only_is_named() -> None:
    table = target.Table(("app", "e"), "ReplicatedMergeTree", "", 1, 1, "", "", (), "u", {})
    there = target.Target("26.5", "app", target.Schema({table.name: table}), {"app": "Atomic"}, clusters={"prod": 3})
    for sql, missing in (
        ("create table app.x (a Int8) engine = ReplicatedMergeTree order by a", True),
        ("create table app.x on cluster prod (a Int8) engine = ReplicatedMergeTree order by a", False),
        ("drop table app.e", True),
        ("alter table app.e add column b Int8", False),
        ("insert into app.e values (1)", False),
    ):
        found = [h.id for h in grammar_hazards.of_statement(statements(sql, "test")[0], 1, there, ())]
        assert ("on_cluster_missing" in found) == missing
    copied = replace(there, databases={"app": "Replicated"})
    assert not copied.clustered(None)
    alone = replace(there, clusters={"default": 1})
    listed = statements(
        "alter table app.o on cluster prod add column a Int8; alter table app.o add column b Int8; "
        "alter table app.e add column b Int8; insert into app.o values (1)",
        "test",
    )
    found = whole.of_whole(alone, listed, set(), (), [])
    assert [(h.id, h.statement) for h in found] == [("on_cluster_missing", 2)]
    assert not whole.of_whole(alone, listed[1:], set(), (), [])
