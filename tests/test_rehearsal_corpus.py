"""The corpus of migrations. A dozen in the suite; `MCP_BACKEND_CORPUS=all` tries every case."""

import os
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.engines.embedded import Lease
from tests.conftest import CORPORA, Connect
from tests.rehearsal_corpus import Tally, cases, judge, rehearse
from tests.rehearsal_fixtures import Case, database

FOLDER = CORPORA / "migrations_corpus"
SOME = (
    "pg-add-default-volatile", "pg-check-not-valid-then-validate-2files", "pg-detach-partition", "pg-down-not-inverse",
    "pg-drop-column-view-dep", "pg-drop-pk-published", "pg-enum-add-value", "pg-if-not-exists-masks-invalid",
    "pg-index-concurrently-explicit-tx", "pg-rename-column", "pg-set-not-null-with-valid-check",
    "pg-unique-index-concurrently-dups",
)  # fmt: skip


WANTED = [
    about for about in (cases(FOLDER, "postgresql") if FOLDER.is_dir() else [])
    if about["id"] in SOME or os.environ.get("MCP_BACKEND_CORPUS") == "all"
]  # fmt: skip


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the corpus is not here")
@pytest.mark.parametrize("about", WANTED, ids=lambda about: about["id"])
async def test_a_migration_is_judged_as_the_corpus_says(
    postgres_lease: Lease, shadow_url: str, repository: Path, connect: Connect, about: dict[str, Any]
) -> None:
    tally = Tally()
    with database(postgres_lease, "corpus_case") as (url, admin):
        place = Case(repository, url, shadow_url, connect, admin)
        place.policy()
        judge(about, await rehearse(place, about), tally)
    assert (tally.missed, tally.flagged, tally.other) == ([], [], {})
