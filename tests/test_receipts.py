"""Receipts: what they speak for, and that nobody can make one up."""

import json
import sqlite3
from pathlib import Path

import pytest

from mcp_backend.settings import Workspace
from mcp_backend.store import local, open_store
from mcp_backend.workspace import receipts
from tests.conftest import Connect, git
from tests.service import DISCOUNT, PYTEST, add_feature, ask, refused, write

pytest_plugins = ("tests.service_fixtures",)


async def test_a_receipt_tells_what_ran_and_its_key_lies_outside_the_repository(
    service: Path, place: Workspace, connect: Connect
) -> None:
    add_feature(service)
    async with connect(service) as client:
        receipt = (await ask(client, "run_tests"))["receipt"]
        answer = await client.read_resource(f"receipt://{receipt}")
        body = json.loads(answer.contents[0].text)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    assert body["counts"] == {"passed": 2, "failed": 0, "errors": 0, "skipped": 0}
    assert (body["scope"], body["passed"], body["exit_code"]) == ("all", True, 0)
    assert body["files"] == {"tests/test_totals.py": 2}
    assert body["command"] == PYTEST
    key = place.state / "receipt.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert not place.state.is_relative_to(service)


async def test_an_unknown_receipt_is_not_found(service: Path, connect: Connect) -> None:
    async with connect(service) as client:
        with pytest.raises(Exception, match="no receipt"):
            await client.read_resource("receipt://r_0000000000")


async def test_a_receipt_that_was_written_or_changed_by_hand_counts_for_nothing(
    service: Path, place: Workspace, connect: Connect
) -> None:
    add_feature(service)
    write(service, {"tests/test_bad.py": "def test_bad():\n    assert 0\n"})
    async with connect(service) as client:
        run = (await ask(client, "run_tests"))["run"]
        (service / "tests/test_bad.py").unlink()
        await ask(client, "run_tests", selection="tests/test_totals.py")
        database = sqlite3.connect(place.state / "store.db")
        with database:
            row = database.execute("select body from receipt where id = ?", (run,)).fetchone()
            body = {**json.loads(row[0]), "passed": True, "tree": git(service, "write-tree")}
            database.execute("update receipt set passed = 1, body = ?", (json.dumps(body),))
            database.execute(
                "insert into receipt select 'r_forged', tree, command, 1, body, mac, created + 100 from receipt limit 1"
            )
        database.close()
        error = await refused(client, "git_commit", message="Forged")
        assert "no test run is known" in error["reason"]
        assert (await ask(client, "git_status"))["receipt"] is None


async def test_of_a_part_of_the_tests_only_a_failure_speaks_against_an_earlier_pass(
    service: Path, connect: Connect
) -> None:
    write(service, {
        "orders/totals.py": DISCOUNT,
        "tests/test_flaky.py": "import pathlib\n\ndef test_flaky():\n    assert not pathlib.Path('flag').exists()\n",
        ".gitignore": "__pycache__/\nflag\n",
    })  # fmt: skip
    async with connect(service) as client:
        first = (await ask(client, "run_tests"))["receipt"]
        for selection, passed in (("tests/test_flaky.py", 1), ("nothing_is_called_so", 0)):
            part = await ask(client, "run_tests", selection=selection)
            assert (part["passed"], part["receipt"]) == (passed, None)
            shown = (await ask(client, "git_status"))["receipt"]
            assert (shown["id"], shown["for_this_tree"]) == (first, True)
        (service / "flag").touch()
        failed = await ask(client, "run_tests", selection="tests/test_flaky.py")
        error = await refused(client, "git_commit", message="Flaky")
        assert failed["failed"] == 1
        assert failed["run"] in error["reason"]
        assert "did not pass" in error["reason"]
        (service / "flag").unlink()
        again = (await ask(client, "run_tests"))["receipt"]
        assert (await ask(client, "git_commit", message="Flaky"))["receipt"] == again != first


async def test_only_what_the_tests_depend_on_must_be_the_same(service: Path, connect: Connect) -> None:
    add_feature(service)
    async with connect(service) as client:
        receipt = (await ask(client, "run_tests"))["receipt"]
        write(service, {"frontend/src/App.tsx": "theirs\n", "README.md": "# Explained\n", "docs/a.md": "a\n"})
        done = await ask(client, "git_commit", message="Discounts", paths=["orders", "tests"])
        assert done["receipt"] == receipt


async def test_tests_that_passed_thanks_to_a_file_that_is_not_committed_are_no_evidence(
    service: Path, connect: Connect
) -> None:
    add_feature(service)
    write(service, {"orders/helper.py": "PERCENT = 10\n"})
    async with connect(service) as client:
        await ask(client, "run_tests")
        error = await refused(client, "git_commit", message="Discounts", paths=["orders/totals.py", "tests"])
        assert "orders/helper.py" in error["reason"]
        await ask(client, "git_commit", message="Discounts and helper", paths=["orders", "tests"])


async def test_another_test_command_is_another_kind_of_evidence(service: Path, connect: Connect) -> None:
    add_feature(service)
    async with connect(service) as client:
        await ask(client, "run_tests")
    write(service, {"mcp-backend.toml": f"[commands]\ntest = '''{PYTEST} -v'''\n"})
    async with connect(service) as client:
        error = await refused(client, "git_commit", message="Discounts")
        assert "no test run is known" in error["reason"]


async def test_a_changed_test_counts_only_when_it_ran(service: Path, connect: Connect) -> None:
    write(service, {"orders/totals.py": DISCOUNT, "unseen/test_unseen.py": "def test_unseen():\n    pass\n",
                    "pytest.ini": "[pytest]\ntestpaths = tests\n"})  # fmt: skip
    async with connect(service) as client:
        assert (await ask(client, "run_tests"))["receipt"]
        error = await refused(client, "git_commit", message="Discounts")
    assert error["constraint"] == "write-tests"


async def test_two_first_users_of_a_workspace_agree_on_one_key(tmp_path: Path) -> None:
    keys = {local.key(tmp_path / "state") for _ in range(3)}
    assert len(keys) == 1
    assert sorted(p.name for p in (tmp_path / "state").iterdir()) == ["receipt.key"]


async def test_the_newest_come_first(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for number in range(3):
        await receipts.add(store, tree=f"{number}", command="c", scope="all", passed=True, body={}, now=number)
    assert [receipt.tree for receipt in await receipts.recent(store, 2)] == ["2", "1"]
    store.close()
