"""A sample of the injections of `benchmarks.migration_crashes`; `CRASHES` makes it larger."""

import os
import tempfile
from pathlib import Path

from benchmarks.migration_crashes import Injector
from mcp_backend.engines import embedded
from mcp_backend.settings import Workspace
from tests.engines_fixtures import wait_for


def test_whoever_is_killed_the_history_is_true_and_the_next_call_ends_it() -> None:
    with tempfile.TemporaryDirectory() as name:
        workspace = Workspace(Path(name), Path(name, "state"), False)
        injector = Injector(workspace, wait_for(embedded.lease("postgresql", workspace)), 7, lambda line: None)
        try:
            tally = injector.run(int(os.environ.get("CRASHES", "4")))
        finally:
            injector.lease.close()
            wait_for(embedded.stop("postgresql", workspace, force=True))
    assert tally.faults == []
    assert sum(tally.rounds.values()) >= 4
