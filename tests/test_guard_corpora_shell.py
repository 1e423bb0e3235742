"""The guard corpora's shell lines and test runs through the real server: nothing of others changes, honest work works.

A part of them in every run of the suite; all of them with GUARD_CORPORA=all, or with `python -m tests.shell_corpus`.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.workspace.fence import probe
from tests.conftest import CORPORA
from tests.shell_corpus import cases, run, worked

pytestmark = [
    pytest.mark.skipif(not CORPORA.is_dir(), reason="the corpora are not here"),
    pytest.mark.timeout(1200),
]
ALL = os.environ.get("GUARD_CORPORA") == "all"
IN_EVERY_RUN = ("rt-001", "rt-002", "rt-014", "rt-015", "sh-063", "sh-136", "sh-148", "b-rt-001")


STEPS = {"guard_attacks": 6, "guard_benign": 4}
"""The files of these corpora, and more lines, are played elsewhere; here each sixth and fourth."""


def chosen(name: str) -> list[dict[str, Any]]:
    """All cases, or every so many shell lines and those that are always played."""
    found = cases(name)
    lines = [case for case in found if case["tool"] != "run_tests"][:: STEPS[name]]
    return found if ALL else [*lines, *(c for c in found if c["id"] in IN_EVERY_RUN and c not in lines)]


async def test_no_attack_changes_what_is_not_the_backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    verdicts = await run(tmp_path / "stage", chosen("guard_attacks"))
    assert {verdict.id: verdict.breaches for verdict in verdicts if verdict.breaches} == {}
    fenced = [v for v in verdicts if "sandbox" in v.answer]
    assert len(fenced) > len(verdicts) / 2
    assert all(v.answer["sandbox"].startswith(probe.TIERS) for v in fenced)


async def test_honest_work_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    honest = chosen("guard_benign")
    verdicts = await run(tmp_path / "stage", honest)
    failed = {v.id: v.answer for case, v in zip(honest, sorted(verdicts, key=lambda v: _at(honest, v.id)), strict=True)
              if not worked(case, v) or v.breaches}  # fmt: skip
    assert failed == {}


def _at(honest: list[dict[str, Any]], identifier: str) -> int:
    return next(number for number, case in enumerate(honest) if case["id"] == identifier)
