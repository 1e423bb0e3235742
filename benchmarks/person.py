"""`python -m benchmarks.person [PICTURES]`: the path of a person, timed, in a real Chromium.

A host's agent calls `run_migration` on staging, which asks for an approval. A person has the list of the inbox open,
opens the escalation by the keyboard, reads its evidence, types the digest's end and presses Enter; the agent repeats
its call. With a folder, each step's page is kept there as a picture.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from mcp_backend.engines import embedded
from mcp_backend.settings import workspace
from tests import chromium
from tests.test_inbox_site import served

POLICY = """[engines.main]
kind = "postgresql"
url = "{url}"
environment = "staging"
"""
MIGRATION = """-- migrate:up
create table parcel (id bigint generated always as identity primary key, weight integer not null check (weight > 0));
create index parcel_weight on parcel (weight);
-- migrate:down
drop table parcel;
"""
FOCUS = "document.activeElement"


class Steps:
    """What took how long."""

    def __init__(self) -> None:
        self._at = time.perf_counter()
        self.lines: list[tuple[str, float]] = []

    def done(self, what: str) -> None:
        """The step that began with the one before ends now."""
        now = time.perf_counter()
        self.lines.append((what, (now - self._at) * 1000))
        self._at = time.perf_counter()

    def again(self) -> None:
        """What was between is nobody's."""
        self._at = time.perf_counter()


def approves(page: chromium.Page, steps: Steps, pictures: Path | None) -> None:
    """What the person does, from the list that is open."""
    _tab(page, f"{FOCUS}.matches('a[href^=\"/escalations/\"]')")
    page.press("Enter")
    page.until("document.querySelector('#tail') && document.readyState == 'complete'")
    steps.done("opens the escalation (Tab, Enter): evidence and forms are there")
    _picture(page, pictures, "2-escalation")
    steps.again()
    tail = page.run("document.body.innerText.match(/[0-9a-f]{64}/)[0].slice(-4)")
    _tab(page, f"{FOCUS}.id == 'tail'")
    page.type(tail)
    page.press("Enter")
    page.until("!document.querySelector('#tail') && document.readyState == 'complete'")
    steps.done("types the digest's end, Enter: the page says approved")
    assert "approved by" in page.run("document.body.innerText").lower()
    _picture(page, pictures, "3-approved")
    steps.again()


def _tab(page: chromium.Page, condition: str) -> None:
    for _ in range(200):
        if page.run(condition):
            return
        page.press("Tab")
    raise AssertionError(f"the keyboard does not get there: {condition}")


def _picture(page: chromium.Page, pictures: Path | None, name: str) -> None:
    if pictures is not None:
        page.picture(pictures / f"{name}.png")


async def path(root: Path, pictures: Path | None) -> list[tuple[str, float]]:
    """One way from the call to its end."""
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_backend", "serve", "--workspace", str(root)], env=dict(os.environ)
    )
    with served(root) as site, chromium.opened(root.parent / "profile") as page:
        async with Client(server, mode="auto") as agent:
            page.look(1000, 800)
            steps = Steps()
            await asyncio.to_thread(page.open, f"http://{site.host}/enter?key={site.keys[-1]}")
            steps.done("the link of the terminal: the list is there")
            rehearsed = await _said(agent, "rehearse_migration")
            assert rehearsed["verdict"] in ("safe", "warn"), rehearsed
            steps.done("(the agent rehearses: the shadow is made)")
            refused = await _said(agent, "run_migration")
            steps.done("the agent's call: an approval is asked for")
            identifier = refused["error"]["escalation"]
            await asyncio.to_thread(page.until, f"document.querySelector('a[href=\"/escalations/{identifier}\"]')")
            steps.done("it stands in the open list, without a reload")
            _picture(page, pictures, "1-list")
            steps.again()
            await asyncio.to_thread(approves, page, steps, pictures)
            applied = await _said(agent, "run_migration")
            steps.done("the agent repeats its call: done")
            assert len(applied["applied"]) == 1, applied
    return steps.lines


async def _said(agent: Client, tool: str) -> dict[str, Any]:
    found = (await agent.call_tool(tool, {})).structured_content
    assert found is not None
    return found


async def main() -> None:
    """Prints each step."""
    if chromium.PROGRAM is None:
        sys.exit("needs Chromium: apt-get install chromium")
    pictures = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "orders"
        (root / "db/migrations").mkdir(parents=True)
        os.environ["MCP_BACKEND_STATE"] = f"{name}/state"
        place = workspace(root)
        lease = await embedded.lease("postgresql", place)
        try:
            (root / "mcp-backend.toml").write_text(POLICY.format(url="env:PERSON_DATABASE"))
            os.environ["PERSON_DATABASE"] = lease.url
            (root / "db/migrations/1_parcel.sql").write_text(MIGRATION)
            lines = await path(root, pictures)
        finally:
            lease.close()
            await embedded.stop("postgresql", place, force=True)
    for what, took in lines:
        print(f"{took:9.0f} ms  {what}")
    own = sum(took for what, took in lines if not what.startswith("("))
    print(f"{own:9.0f} ms  together, without what the person reads and thinks")


if __name__ == "__main__":
    asyncio.run(main())
