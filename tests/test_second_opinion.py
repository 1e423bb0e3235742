"""squawk beside a rehearsal: it agrees, or says something alone, and never changes a verdict."""

import os
from pathlib import Path

import pytest

from mcp_backend.migrations import second_opinion
from mcp_backend.migrations.rehearsal.report import Hazard, Report, Statement

INDEX = "create index users_email_idx\n  on users (email)"
WIDER = "alter table users alter column name type varchar(200)"


def report(*hazards: Hazard) -> Report:
    """A rehearsal of two statements."""
    listed = (Statement(1, INDEX, transaction=1), Statement(2, WIDER, transaction=1))
    return Report("main", "postgresql 18.6", "a" * 64, "f@1", "reject", statements=listed, hazards=hazards)


async def test_what_both_found_is_said_once_and_what_squawk_says_alone_by_statement() -> None:
    ours = Hazard("blocking_index_build", 1, "reject", "x", anchors=("squawk/require-concurrent-index-creation",))
    found = await second_opinion.ask(report(ours))
    assert found.agrees == ("require-concurrent-index-creation",)
    assert [(said.statement, said.rule) for said in found.alone] == [(2, "changing-column-type")]
    assert found.tool.startswith("squawk 2")


async def test_an_agreement_about_another_statement_is_none() -> None:
    elsewhere = Hazard("blocking_index_build", 2, "reject", "x", anchors=("squawk/require-concurrent-index-creation",))
    found = await second_opinion.ask(report(elsewhere))
    assert found.agrees == ()
    assert (1, "require-concurrent-index-creation") in [(said.statement, said.rule) for said in found.alone]


async def test_rules_of_taste_are_left_out() -> None:
    found = await second_opinion.ask(report())
    assert not {said.rule for said in found.alone} & second_opinion.NOISE


async def test_settings_of_the_repository_do_not_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".squawk.toml").write_text('excluded_rules = ["require-concurrent-index-creation"]\n')
    monkeypatch.chdir(tmp_path)
    found = await second_opinion.ask(report())
    assert "require-concurrent-index-creation" in [said.rule for said in found.alone]


async def test_without_squawk_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_opinion, "_program", lambda: None)
    found = await second_opinion.ask(report())
    assert "extra migrations" in str(found.as_json()["not_checked"])


async def test_a_program_that_says_nonsense_or_never_ends_costs_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "squawk"
    monkeypatch.setattr(second_opinion, "_program", lambda: os.fspath(program))
    for script, said in (("echo nonsense", "nothing that can be read"), ("exec sleep 60", "did not answer")):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        monkeypatch.setattr(second_opinion, "SECONDS", 0.3)
        assert said in (await second_opinion.ask(report())).missing
