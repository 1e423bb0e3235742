"""The prompt review_change shows the change as it is: files, owners, what the guards say, whether tests ran on it."""

from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError

from tests.conftest import ERAS, Connect, Era, git
from tests.service import DISCOUNT, add_feature, ask, write

pytest_plugins = ("tests.service_fixtures",)
SILENT = "def send(order):\n    try:\n        post(order)\n    except Exception:\n        pass\n"


async def shown(client: Client, **arguments: str) -> str:
    """The text of the prompt."""
    content: Any = (await client.get_prompt("review_change", arguments)).messages[0].content
    return str(content.text)


@pytest.mark.parametrize("era", ERAS)
async def test_what_is_not_committed_is_shown_with_owners_and_verdicts(
    service: Path, connect: Connect, era: Era
) -> None:
    write(service, {"orders/send.py": SILENT, "orders/totals.py": DISCOUNT, "web/package.json": '{"name": "x"}'})
    async with connect(service, mode=era) as client:
        text = await shown(client)
    assert "## The change" in text
    assert "  - orders/send.py +5 -0, backend\n" in text
    assert "orders/send.py:4 explicit-errors (refused): every error is swallowed here" in text
    assert "write-tests (refused): backend code changes without a test" in text
    assert "- Tests: no run is known" in text
    assert "Commits" not in text


async def test_a_branch_is_shown_with_its_commits_and_the_newest_run(service: Path, connect: Connect) -> None:
    git(service, "checkout", "--quiet", "-b", "work")
    add_feature(service)
    async with connect(service) as client:
        await ask(client, "run_tests")
        await ask(client, "git_commit", message="Add discounts")
        text = await shown(client, base="main")
        assert "- Commits:\n  - " in text
        assert "Add discounts" in text
        assert "orders/totals.py +" in text
        assert "passed on exactly this content" in text
        assert "What the guards say" not in text
        write(service, {"orders/totals.py": "X = 1\n"})
        assert "passed on other content than this" in await shown(client, base="main")


async def test_an_unknown_base_is_an_error_that_names_it(service: Path, connect: Connect) -> None:
    async with connect(service) as client:
        with pytest.raises(MCPError, match="nowhere"):
            await shown(client, base="nowhere")


async def test_where_nothing_changed_and_without_a_repository_the_steps_remain(
    service: Path, tmp_path: Path, connect: Connect
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    async with connect(service) as client:
        assert "- Tests: no run is known" in await shown(client)
    async with connect(plain) as client:
        text = await shown(client)
    assert "## The change" not in text
    assert "## Steps" in text


async def test_a_large_change_is_cut_and_counted(service: Path, connect: Connect) -> None:
    write(service, {f"orders/many_{n}.txt": "x\n" for n in range(80)})
    async with connect(service) as client:
        text = await shown(client)
    assert "  - and 20 more" in text
    assert len(text) < 30_000
