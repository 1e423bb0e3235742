"""Views of MCP Apps: only for hosts that declare them, nothing from outside, no way in, and no way to decide."""

import asyncio
import json
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.extension import advertise

from mcp_backend import ui
from mcp_backend.app import Caller, open_app
from mcp_backend.errors import PermissionDenied
from mcp_backend.resources import escalation
from mcp_backend.server import Options, build
from mcp_backend.settings import workspace
from mcp_backend.web import kept
from tests import chromium
from tests.conftest import ERAS, Era
from tests.test_inbox_evidence import DIGEST, opened
from tests.test_rehearsal_report import HOSTILE, NOW, REPORT, Parsed
from tests.test_surface import LIST_LIMIT

SHOWS = advertise(ui.EXTENSION, {"mimeTypes": [ui.MIME]})
QUESTION: dict[str, Any] = {
    "kind": "spec_clarification", "title": "Which <script> rounding?", "question": HOSTILE.replace("\0", ""),
    "details": {"spec_ref": "spec.md#tax", "readings": ["half <b>even", "half up"], "recommended": "half up"},
}  # fmt: skip
PAPER = {
    ui.REHEARSAL: {"light": "rgb(251, 250, 248)", "dark": "rgb(20, 22, 26)"},
    ui.ESCALATION: {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"},
}
HOST = """<!doctype html><meta charset="utf-8">
<iframe sandbox="allow-scripts allow-same-origin" style="width:100%;border:0"></iframe>
<script>
const frame = document.querySelector("iframe"), seen = window.seen = [], given = GIVEN;
const say = (message) => frame.contentWindow.postMessage({ jsonrpc: "2.0", ...message }, "*");
addEventListener("message", ({ source, data }) => {
  if (source !== frame.contentWindow) return;
  seen.push(data);
  if (data.method === "ui/initialize") say({ id: data.id, result: { protocolVersion: "2026-01-26",
    hostInfo: { name: "h", version: "1" }, hostCapabilities: given.served ? { serverResources: {} } : {},
    hostContext: { theme: given.theme } } });
  if (data.method === "ui/notifications/initialized") {
    say({ method: "ui/notifications/tool-input", params: { arguments: {} } });
    say({ method: "ui/notifications/tool-result", params: { content: [], structuredContent: given.result } });
  }
  if (data.method === "resources/read") {
    const text = given.pages[data.params.uri];
    say({ id: data.id, ...(text ? { result: { contents: [{ text }] } } : { error: { code: -32602, message: "no" } }) });
  }
  if (data.method === "ui/notifications/size-changed") frame.style.height = `${data.params.height}px`;
});
frame.srcdoc = given.view;
</script>"""


async def read(client: Client, uri: str) -> Any:
    """What lies there."""
    return (await client.read_resource(uri)).contents[0]


@pytest.mark.parametrize("era", ERAS)
async def test_tools_name_their_views_to_hosts_that_show_views_and_to_no_others(tmp_path: Path, era: Era) -> None:
    listed: list[dict[str, Any]] = []
    for extensions in ([SHOWS], [advertise(ui.EXTENSION)], []):
        async with Client(build(Options(tmp_path)), mode=era, extensions=extensions) as client:
            tools = (await client.list_tools()).tools
            listed.append({tool.name: tool.model_dump(by_alias=True, exclude_none=True) for tool in tools})
            for uri in set(ui.LINKS.values()):
                assert (await read(client, uri)).mime_type == ui.MIME
    assert len(json.dumps([*listed[0].values()], separators=(",", ":"), ensure_ascii=False).encode()) < LIST_LIMIT
    views = {name: tool["_meta"].pop("ui")["resourceUri"] for name, tool in listed[0].items() if name in ui.LINKS}
    assert views == ui.LINKS
    [rehearsing] = [name for name, tool in listed[0].items() if tool.get("_meta") == {}]
    del listed[0][rehearsing]["_meta"]
    assert listed[0] == listed[1] == listed[2]
    assert [name for name, tool in listed[2].items() if "_meta" in tool] == [*ui.ALWAYS]


async def test_a_view_loads_nothing_and_asks_for_nothing(tmp_path: Path) -> None:
    async with Client(build(Options(tmp_path))) as client:
        for uri in set(ui.LINKS.values()):
            content = await read(client, uri)
            csp = content.meta["ui"]["csp"]
            assert "permissions" not in content.meta["ui"]
            assert set(map(len, csp.values())) == {0}
            assert not re.search(r"https?:|//[a-z]|@import|url\(", content.text)
            assert not re.search(r"tools/call|ui/message|fetch\(|innerHTML", content.text)
            [policy] = [a["content"] for _, a in Parsed(content.text).tags if a.get("http-equiv")]
            assert re.fullmatch(
                r"default-src 'none'; style-src 'sha256-[^' ]+'; base-uri 'none'; form-action 'none'; "
                r"script-src 'sha256-[^' ]+'",
                str(policy),
            )


@pytest.mark.parametrize("era", ERAS)
async def test_the_page_of_a_question_shows_it_and_offers_no_way_to_decide(tmp_path: Path, era: Era) -> None:
    async with Client(build(Options(tmp_path)), mode=era) as client:
        asked: Any = (await client.call_tool("escalate", QUESTION)).structured_content
        content = await read(client, f"escalation://{asked['id']}/page")
    page = Parsed(content.text)
    assert "Which <script> rounding?" in page.text
    assert "half <b>even" in page.text
    assert f"mcp-backend inbox show {asked['id']}" in page.text
    assert not {tag for tag, _ in page.tags} & {"form", "input", "button", "textarea", "a", "script", "img", "link"}


async def test_who_may_not_read_what_a_question_rests_on_may_not_read_its_page(tmp_path: Path) -> None:
    kept.keep(workspace(tmp_path), REPORT, NOW)
    rehearsed = await asyncio.to_thread(opened, tmp_path, "approval", {"rehearsal": REPORT.digest})
    about_contract = await asyncio.to_thread(opened, tmp_path, "frontend_contract")
    async with open_app(tmp_path) as app:
        page = await escalation.PAGE.read(app, {"id": rehearsed})
        assert "Locks over time" in page
        assert DIGEST[-4:] not in page, "what an approver types is in the inbox only"
        for identifier, toolset in ((rehearsed, "database"), (about_contract, "contracts")):
            for scope in (toolset, "git"):
                caller = Caller("ana", scopes=frozenset({f"mcp-backend:{scope}"}))
                with nullcontext() if scope == toolset else pytest.raises(PermissionDenied, match=toolset):
                    await escalation.PAGE.read(replace(app, caller=caller), {"id": identifier})


@pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium on this machine")
async def test_a_real_browser_shows_results_through_the_host(tmp_path: Path) -> None:
    """With the pages of the server; and from the result alone, where a host reads no resources for its views."""
    hostile = {**QUESTION, "id": "x", "<script>": [HOSTILE, "<img src=x onerror=alert(1)>"]}
    report = kept.keep(workspace(tmp_path), REPORT, NOW)
    async with Client(build(Options(tmp_path))) as client:
        asked: Any = (await client.call_tool("escalate", QUESTION)).structured_content
        uris = [f"escalation://{asked['id']}/page", f"{report['resource']}/page"]
        pages = {uri: (await read(client, uri)).text for uri in uris}
        views = {uri: (await read(client, uri)).text for uri in set(ui.LINKS.values())}
    hostile_page = pages[uris[0]].replace("</main>", "<img src=x onerror='parent.postMessage(1,\"*\")'></main>")
    shown: list[tuple[str, dict[str, Any], dict[str, str], str, str]] = [
        (ui.REHEARSAL, {**REPORT.as_result(), "report": report}, pages, "light", "Do not run it"),
        (ui.ESCALATION, asked, pages, "dark", "Which <script> rounding?"),
        (ui.ESCALATION, {"error": {"code": "failed_precondition", "escalation": asked["id"]}}, pages, "light",
         "Which <script> rounding?"),
        (ui.ESCALATION, asked, {uris[0]: hostile_page}, "light", "Which <script> rounding?"),
        (ui.ESCALATION, hostile, {}, "dark", "<img src=x onerror=alert(1)>"),
    ]  # fmt: skip
    with chromium.opened(tmp_path / "profile") as page:
        page.look(760, 900)
        for number, (view, result, offered, theme, words) in enumerate(shown):
            given = {"view": views[view], "result": result, "pages": offered, "theme": theme, "served": bool(offered)}
            file = tmp_path / f"host{number}.html"
            file.write_text(HOST.replace("GIVEN", json.dumps(given).replace("<", "\\u003c")))
            page.open(file.as_uri())
            page.until(f"frame.contentDocument?.body?.innerText.includes({json.dumps(words)})")
            page.until("[...frame.contentDocument.images].every((image) => image.complete)")
            page.until("frame.clientHeight >= Math.floor(frame.contentDocument.documentElement.offsetHeight)")
            assert page.run("getComputedStyle(frame.contentDocument.body).backgroundColor") == PAPER[view][theme]
            page.picture(tmp_path / f"view{number}.png")
            methods = page.run("seen.map((m) => m.method)")
            known = {"ui/initialize", "ui/notifications/initialized", "ui/notifications/size-changed", "resources/read"}
            assert set(methods) <= known, "it asks for nothing else, and nothing that is shown speaks"
    assert not [url for url in page.asked if not url.startswith(("file:", "about:"))]
