"""The page of a rehearsal: complete, without a way in for what it shows, and there for every server."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.errors import NotFound
from mcp_backend.migrations.rehearsal.report import (
    Band,
    Hazard,
    Hold,
    Lock,
    Report,
    Reversible,
    Rewrite,
    Scan,
    Shadow,
    Statement,
)  # fmt: skip
from mcp_backend.settings import workspace
from mcp_backend.web import kept
from tests.conftest import ERAS, Connect, Era

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTILE = "\"'><script>alert(1)</script><img src=//x onerror=alert(1)><style>*{}</style>&amp;\u202e\u200b\x00\x1b[31m"
REPORT = Report(
    "main", "postgresql 18.6", "ab" * 32, "f1@20260101", "reject", "f2@20260102",
    statements=(
        Statement(1, "ALTER TABLE orders ADD COLUMN token uuid DEFAULT gen_random_uuid()", 3, "db/1.sql", 1, 41,
                  (Lock("public.orders", "AccessExclusiveLock", "reads+writes"),),
                  (Rewrite("public.orders", 48_200_000, 9_700_000_000),), (), 0, 8_800_000,
                  Band(21_000, 52_000, 155_000)),
        Statement(2, "CREATE INDEX i ON orders (token)", 4, "db/1.sql", 1, 12,
                  (Lock("public.orders", "ShareLock", "writes"),), (), (Scan("public.orders", 20, 48_200_000),), 7),
    ),
    holds=(Hold("public.orders", "AccessExclusiveLock", "reads+writes", 1, 2, 60, Band(31_000, 76_000, 230_000)),
           Hold("public.orders", "ShareLock", "writes", 2, 2, 12)),
    hazards=(Hazard("table_rewrite", 1, "reject", "it is written anew", "fill it in batches", "observed",
                    ("squawk/adding-field-with-default",), {"rows": 48_200_000},
                    "ALTER TABLE orders ADD token uuid", "safe"),
             Hazard("no_down", 0, "info", "nothing takes it back")),
    reversible=Reversible(False, ("- column orders.token",)), schema_diff=("+ column orders.token uuid",),
    shadow=Shadow(2000, "pg_class of the target", 1.2, "18.6", True), not_checked=("the load of the target",),
)  # fmt: skip


class Parsed(HTMLParser):
    """Tags, their attributes, and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(repository: Path, report: Report) -> str:
    """The page as it lies in the state folder."""
    told = kept.keep(workspace(repository), report, NOW)
    return Path(str(told["file"])).read_text("utf-8")


def test_the_page_says_everything_that_the_result_says(repository: Path) -> None:
    text = Parsed(page(repository, REPORT)).text
    for word in (
        "Do not run it", "table_rewrite", "fill it in batches", "rehearsed: safe", "ALTER TABLE orders ADD token uuid",
        "squawk/adding-field-with-default", "AccessExclusiveLock", "reads and writes", "1 to 2", "76 s",
        "31 s to 3.83 min", "9.7 GB", "8.8 MB", "db/1.sql:3", "+ column orders.token uuid", "- column orders.token",
        "the load of the target", "f1@20260101", REPORT.digest, "500 ms",
    ):  # fmt: skip
        assert word in text, word


def test_each_lock_is_drawn_over_the_statements_that_hold_it(repository: Path) -> None:
    bars = [a for tag, a in Parsed(page(repository, REPORT)).tags if tag == "rect" and "b-" in str(a["class"])]
    places = {str(a["class"]): (float(str(a["x"]).rstrip("%")), float(str(a["width"]).rstrip("%"))) for a in bars}
    assert places["b-rw"] == (0.0, 100.0)
    begin, width = places["b-w"]
    assert begin > 50
    assert begin + width == pytest.approx(100, abs=0.1)


def test_what_is_shown_has_no_way_into_the_page(repository: Path) -> None:
    h = HOSTILE
    statement = Statement(
        1, h, 1, h, 1, 1, (Lock(h, h, "writes"),), (Rewrite(h, 1, 1),), (Scan(h, 1, 1),), 1, 1, Band(1, 2, 3), h
    )
    hazard = Hazard(h, 1, "reject", h, h, "observed", (h,), {h: h, "x": [h]}, h, h)  # fmt: skip
    hostile = Report(
        h, h, "cd" * 32, h, "reject", h, "up", (statement,), (Hold(h, h, "writes", 1, 1, 1, Band(1, 2, 3)),), (hazard,),
        Reversible(False, (h,)), (h, f"+{h}"), Shadow(1, h, 1, h), (h,),
    )  # fmt: skip
    found = page(repository, hostile)
    known = {tag for tag, _ in Parsed(page(repository, REPORT)).tags}
    tags = Parsed(found).tags
    assert {tag for tag, _ in tags} <= known | {"p", "dt", "dd", "dl", "details", "summary"}
    assert not {tag for tag, _ in tags} & {"script", "img", "link", "iframe", "form", "a", "object"}
    assert not [
        name
        for _, attributes in tags
        for name in attributes
        if name.startswith("on") or name in ("src", "href", "style")
    ]
    assert not set("\u202e\u200b\x00\x1b") & set(found)
    assert "\\u202e" in found


def test_nothing_from_outside_is_loaded_and_the_style_is_the_one_that_is_allowed(repository: Path) -> None:
    found = page(repository, REPORT)
    (policy,) = [a["content"] for tag, a in Parsed(found).tags if tag == "meta" and "http-equiv" in a]
    assert str(policy).startswith("default-src 'none'; style-src 'sha256-")
    assert not re.search(r"https?://|//[a-z]|@import|url\(", found.replace("http-equiv", ""))
    assert "prefers-color-scheme:dark" in found
    assert "width=device-width" in found


@pytest.mark.parametrize("era", ERAS)
async def test_a_rehearsal_can_be_read_by_every_server_of_the_workspace(
    repository: Path, connect: Connect, era: Era
) -> None:
    kept.keep(workspace(repository), REPORT, NOW, {"second_opinion": {"tool": "squawk", "agrees": [], "alone": []}})
    async with connect(repository, mode=era) as client:
        answer: Any = (await client.read_resource(f"rehearsal://{REPORT.digest}")).contents[0]
        drawn: Any = (await client.read_resource(f"rehearsal://{REPORT.digest}/page")).contents[0]
    about = json.loads(answer.text)
    assert (about["verdict"], about["at_version"], about["made"]) == (
        "reject",
        "f1@20260101",
        "2026-03-01T12:00:00+00:00",
    )
    assert drawn.mime_type == "text/html"
    assert "Second opinion" in drawn.text


def test_an_unknown_digest_names_those_that_are_known_and_leads_nowhere_else(repository: Path) -> None:
    place = workspace(repository)
    kept.keep(place, REPORT, NOW)
    for digest in ("0" * 64, "../store", "ab/../../x", "*"):
        with pytest.raises(NotFound, match=REPORT.digest):
            kept.read(place, digest)
    assert kept.read(place, REPORT.digest[:12])["digest"] == REPORT.digest


def test_the_same_digest_is_kept_once_and_old_ones_go(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = workspace(repository)
    monkeypatch.setattr(kept, "KEPT", 3)
    for number in range(5):
        kept.keep(place, replace(REPORT, digest=f"{number:064x}"), NOW)
    kept.keep(place, replace(REPORT, digest=f"{4:064x}", verdict="warn"), NOW)
    assert kept.newest(place) == [f"{number:064x}" for number in (4, 3, 2)]
    assert kept.read(place, f"{4:064x}")["verdict"] == "warn"
    assert len(list((place.state / "rehearsals").iterdir())) == 6
