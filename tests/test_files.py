"""read_file, write_file, edit_file through a real client: whose paths, what stays as it was, what the answers say."""

import hashlib
import os
from pathlib import Path

import pytest
from mcp.client import Client

from mcp_backend.workspace import beneath, masking
from tests.conftest import ERAS, Connect, Era, git
from tests.service import Answer, ask, refused, write

pytest_plugins = ("tests.service_fixtures",)
KEY = "AKIA" + "Q3EGRPLNZ7XWMT2B"
MANY = "\n".join(f"line {n}" for n in range(1, 5001)) + "\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def edit(client: Client, path: str, *pairs: tuple[str, str], **more: object) -> Answer:
    return await ask(client, "edit_file", path=path, edits=[{"old": old, "new": new, **more} for old, new in pairs])


@pytest.mark.parametrize("era", ERAS)
async def test_a_file_is_written_read_and_edited(repository: Path, connect: Connect, era: Era) -> None:
    text = "def total(prices):\n    return sum(prices)\n"
    async with connect(repository, mode=era) as client:
        made = await ask(client, "write_file", path="shop/totals.py", content=text)
        assert (made["created"], made["sha256"], made["bytes"]) == (True, sha256(text.encode()), len(text))
        seen = await ask(client, "read_file", path="shop/totals.py")
        assert (seen["content"], seen["sha256"], seen["lines"], seen["truncated"]) == (text, made["sha256"], 2, False)
        done = await edit(client, "shop/totals.py", ("sum(prices)", "sum(prices, start=0)"))
        assert done["diff"] == (
            "@@ -1,2 +1,2 @@\n def total(prices):\n-    return sum(prices)\n+    return sum(prices, start=0)"
        )
        assert done["lines_changed"] == 2
    assert (repository / "shop/totals.py").read_text() == text.replace("(prices)\n", "(prices, start=0)\n").replace(
        "total(prices, start=0)", "total(prices)"
    )


async def test_lines_are_read_in_pages_that_join_to_the_whole(repository: Path, connect: Connect) -> None:
    (repository / "long.txt").write_text(MANY)
    parts: list[str] = []
    offset: int | None = 1
    async with connect(repository) as client:
        while offset:
            page = await ask(client, "read_file", path="long.txt", offset=offset, limit=1200)
            parts.append(page["content"])
            assert (page["first_line"], page["lines"]) == (offset, 5000)
            assert page["sha256"] == sha256(MANY.encode())
            offset = page.get("next")
        assert "".join(parts) == MANY
        error = await refused(client, "read_file", path="long.txt", offset=5001)
        assert (error["code"], "5000 lines" in error["reason"]) == ("invalid_argument", True)


async def test_an_answer_is_bounded_whatever_the_file(repository: Path, connect: Connect) -> None:
    (repository / "wide.txt").write_text("x" * 300_000 + "\nshort\n")
    (repository / "big.txt").write_text("word " * 10 + "\n" * 50_000)
    async with connect(repository) as client:
        wide = await ask(client, "read_file", path="wide.txt")
        assert (wide["cut_lines"], wide["truncated"], len(wide["content"]) < 3000) == ([1], True, True)
        big = await ask(client, "read_file", path="big.txt", limit=10_000)
        assert big["next"] == 10_001
        assert len(big["content"]) <= 41_000


@pytest.mark.parametrize(
    ("data", "encoding", "shown"),
    [
        (b"\xef\xbb\xbfa = 1\r\nb = 2\r\n", "utf-8 with a byte order mark, CRLF", "a = 1\nb = 2\n"),
        ("a = 'é'\n".encode("utf-16"), "utf-16-le with a byte order mark, LF", "a = 'é'\n"),
        (b"# -*- coding: latin-1 -*-\na = '\xe9'\n", "iso8859-1, LF", "# -*- coding: latin-1 -*-\na = 'é'\n"),
        (b"caf\xe9\n", "unknown-8bit, LF", "café\n"),
        (b"no line end", "utf-8, LF", "no line end"),
        (b"", "utf-8, LF", ""),
    ],
    ids=["BOM and CRLF", "UTF-16", "declared", "unknown", "no line end", "empty"],
)
async def test_a_text_in_any_encoding_is_readable(
    repository: Path, connect: Connect, data: bytes, encoding: str, shown: str
) -> None:
    (repository / "a.py").write_bytes(data)
    async with connect(repository) as client:
        seen = await ask(client, "read_file", path="a.py")
    assert (seen["encoding"], seen["content"], seen["sha256"]) == (encoding, shown, sha256(data))


async def test_a_binary_is_named_and_never_shown(repository: Path, connect: Connect) -> None:
    (repository / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    async with connect(repository) as client:
        seen = await ask(client, "read_file", path="logo.png")
        assert (seen["binary"], seen["type"], seen["bytes"]) == (True, "PNG image", 11)
        assert "content" not in seen
        error = await refused(client, "edit_file", path="logo.png", edits=[{"old": "a", "new": "b"}])
    assert "PNG image, not text" in error["reason"]


async def test_a_folder_is_listed_and_a_misspelt_path_is_helped(repository: Path, connect: Connect) -> None:
    write(repository, {"shop/totals.py": "", "shop/api/routes.py": ""})
    async with connect(repository) as client:
        seen = await ask(client, "read_file", path="shop")
        assert (seen["folder"], seen["entries"]) == (True, ["api/", "totals.py"])
        assert "shop/" in (await ask(client, "read_file", path="."))["entries"]
        near = await refused(client, "read_file", path="shop/total.py")
        assert (near["code"], "shop/totals.py" in near["reason"]) == ("not_found", True)
        moved = await refused(client, "read_file", path="api/routes.py")
        assert "shop/api/routes.py" in moved["reason"]


async def test_values_of_an_environment_file_stay_hidden(repository: Path, connect: Connect) -> None:
    write(repository, {".env": "PORT=8000\nDB_PASSWORD='hunter 2'\nexport TOKEN=abc # mine\nDEBUG=true\n"})
    (repository / "link").symlink_to(".env")
    async with connect(repository) as client:
        for path in (".env", "link"):
            seen = await ask(client, "read_file", path=path)
            assert seen["content"] == ("PORT=8000\nDB_PASSWORD=***masked***\nexport TOKEN=***masked***\nDEBUG=true\n")
            assert seen["masked"].startswith("2 ")


async def test_a_hidden_credential_can_be_replaced_without_being_seen(repository: Path, connect: Connect) -> None:
    write(repository, {"app.py": f"import os\nkey = '{KEY}'\nregion = 'eu'\n"})
    async with connect(repository) as client:
        seen = await ask(client, "read_file", path="app.py")
        assert KEY not in str(seen)
        assert f"key = '{masking.MASK}'" in seen["content"]
        copied = await refused(client, "write_file", path="app.py", content=seen["content"])
        assert "hidden from you" in copied["reason"]
        kept = await refused(client, "edit_file", path="app.py", edits=[{"old": "eu", "new": masking.MASK}])
        assert "reference to the environment" in kept["reason"]
        done = await edit(client, "app.py", (f"key = '{masking.MASK}'", "key = os.environ['KEY']"))
        assert KEY not in str(done)
    assert (repository / "app.py").read_text() == "import os\nkey = os.environ['KEY']\nregion = 'eu'\n"


@pytest.mark.proves("no-secrets", "refused")
async def test_a_credential_is_not_written_where_git_would_take_it(repository: Path, connect: Connect) -> None:
    write(repository, {".gitignore": ".env\n"})
    async with connect(repository) as client:
        error = await refused(client, "write_file", path="app.py", content=f"A = 1\nkey = '{KEY}'\n")
        assert (error["code"], error["constraint"]) == ("permission_denied", "no-secrets")
        assert "app.py:2" in error["reason"]
        assert KEY not in str(error)
        await ask(client, "write_file", path=".env", content=f"AWS_ACCESS_KEY_ID={KEY}\n")
        (repository / "old.py").write_text(f"key = '{KEY}'\nb = 1\n")
        await edit(client, "old.py", ("b = 1", "b = 2"))


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfa = 1\r\nb = 2\r\nc = 3",
        "a = 1\r\nb = 2\r\nc = 'é'\r\n".encode("utf-16"),
        b"a = 1\nb = 2\r\nc = 3\r\n",
        b"# coding: latin-1\na = 1\nb = 2\nc = '\xe9'\n",
        b"caf\xe9 a = 1\nb = 2\nc\n",
    ],
    ids=["BOM, CRLF, no end", "UTF-16 CRLF", "mixed", "latin-1", "unknown"],
)
async def test_an_edit_keeps_encoding_mark_and_line_ends(repository: Path, connect: Connect, data: bytes) -> None:
    (repository / "a.py").write_bytes(data)
    codec = "utf-16-le" if data[:2] == b"\xff\xfe" else "latin-1"
    piece, two = "b = 2".encode(codec), "b = 20\r\n+1" if b"\r" in data else "b = 20\n+1"
    async with connect(repository) as client:
        await edit(client, "a.py", ("b = 2", "b = 20\n+1"))
    assert (repository / "a.py").read_bytes() == data.replace(piece, two.encode(codec))


async def test_a_character_the_encoding_has_not_is_refused(repository: Path, connect: Connect) -> None:
    (repository / "a.txt").write_bytes(b"caf\xe9\n")
    async with connect(repository) as client:
        error = await refused(client, "edit_file", path="a.txt", edits=[{"old": "caf", "new": "→"}])
    assert "unknown-8bit" in error["reason"]
    assert (repository / "a.txt").read_bytes() == b"caf\xe9\n"


async def test_replacing_all_says_when_more_than_the_text_changes(repository: Path, connect: Connect) -> None:
    (repository / "a.py").write_bytes(b"\xef\xbb\xbfa = 1\r\n")
    async with connect(repository) as client:
        done = await ask(client, "write_file", path="a.py", content="a = 1\n")
    assert "CRLF" in done["notes"][0]
    assert (repository / "a.py").read_bytes() == b"a = 1\n", "exactly the content that was judged"


async def test_an_edit_that_is_not_unique_changes_nothing_and_says_where(repository: Path, connect: Connect) -> None:
    before = "a = 1\nb = 1\nc = 2\n"
    (repository / "a.py").write_text(before)
    async with connect(repository) as client:
        edits = [{"old": "c = 2", "new": "c = 3"}, {"old": "= 1", "new": "= 9"}]
        error = await refused(client, "edit_file", path="a.py", edits=edits)
        assert error["details"] == {"edit": "edits.1", "occurrences": 2, "lines": [1, 2]}
        assert (repository / "a.py").read_text() == before
        await ask(client, "edit_file", path="a.py", edits=[edits[0], {**edits[1], "all": True}])
    assert (repository / "a.py").read_text() == "a = 9\nb = 9\nc = 3\n"


@pytest.mark.parametrize(
    ("old", "said"),
    [
        ("return  sum( prices )", "differs only in white space from line 2"),
        ("    return sum(price)", "the nearest is at line 2"),
        ("\treturn sum(prices)\n", "differs only in white space"),
        ("quite another thing", "nor anything like it"),
    ],
)
async def test_what_is_not_found_is_shown_with_what_is_nearest(
    repository: Path, connect: Connect, old: str, said: str
) -> None:
    (repository / "a.py").write_text("def total(prices):\n    return sum( prices )\n" if "( " in old else
                                     "def total(prices):\n    return sum(prices)\n")  # fmt: skip
    async with connect(repository) as client:
        error = await refused(client, "edit_file", path="a.py", edits=[{"old": old, "new": "x"}])
    assert (error["code"], said in error["reason"]) == ("invalid_argument", True), error["reason"]


async def test_overlapping_places_are_counted_and_replaced_apart(repository: Path, connect: Connect) -> None:
    (repository / "a.txt").write_text("aaaa\n")
    async with connect(repository) as client:
        error = await refused(client, "edit_file", path="a.txt", edits=[{"old": "aaa", "new": "b"}])
        assert error["details"]["occurrences"] == 2
        await edit(client, "a.txt", ("aa", "b"), all=True)
    assert (repository / "a.txt").read_text() == "bb\n"


async def test_edits_build_on_each_other(repository: Path, connect: Connect) -> None:
    (repository / "a.txt").write_text("one\n")
    async with connect(repository) as client:
        await edit(client, "a.txt", ("one", "two two"), ("two two", "three"))
        error = await refused(
            client, "edit_file", path="a.txt", edits=[{"old": "three", "new": "x"}, {"old": "three", "new": "y"}]
        )
    assert "after the edits before it" in error["reason"]
    assert (repository / "a.txt").read_text() == "three\n"


async def test_an_unexpected_version_is_not_overwritten(repository: Path, connect: Connect) -> None:
    (repository / "a.py").write_text("a = 1\n")
    async with connect(repository) as client:
        read = (await ask(client, "read_file", path="a.py"))["sha256"]
        (repository / "a.py").write_text("a = 2\n")
        error = await refused(client, "write_file", path="a.py", content="a = 3\n", expected_sha256=read)
        assert (error["code"], error["retry"]) == ("aborted", "changed")
        assert sha256(b"a = 2\n") in error["reason"]
        now = sha256(b"a = 2\n").upper()
        await ask(client, "write_file", path="a.py", content="a = 3\n", expected_sha256=now)
        gone = await refused(client, "write_file", path="b.py", content="", expected_sha256=now)
        assert "does not exist" in gone["reason"]


async def test_permissions_stay_and_equal_content_is_not_written_again(repository: Path, connect: Connect) -> None:
    script = repository / "run.sh"
    script.write_text("echo 1\n")
    script.chmod(0o750)
    async with connect(repository) as client:
        await edit(client, "run.sh", ("1", "2"))
        assert script.stat().st_mode & 0o7777 == 0o750
        before = script.stat()
        again = await ask(client, "write_file", path="run.sh", content="echo 2\n")
        assert again["unchanged"]
        after = script.stat()
        assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
            before.st_ino,
            before.st_mtime_ns,
            before.st_ctime_ns,
        )
    assert sorted(path.name for path in repository.iterdir()) == [".git", "README.md", "run.sh"], "nothing is left"


async def test_a_grey_zone_warns_and_is_written(repository: Path, connect: Connect) -> None:
    async with connect(repository) as client:
        done = await ask(client, "write_file", path="shop/templates/page.html", content="<p/>\n")
    assert done["warnings"][0]["constraint"] == "no-frontend"
    assert (repository / "shop/templates/page.html").read_text() == "<p/>\n"


NOT_OURS = {
    "frontend/src/App.tsx": "x",
    "frontend/new/deep.ts": "x",
    "orders/widget.vue": "x",
    "site/package.json": '{"dependencies": {"vue": "3"}}',
    "package.json": '{"devDependencies": {"react": "19"}}',
    "tool.js": "import { useState } from 'react'\n",
    "frontend/glue.py": "x = 1\n",
    "shop/vite.config.ts": "export default {}\n",
}


@pytest.mark.proves("no-frontend", "refused")
async def test_frontend_is_refused_also_where_the_content_makes_it_so(service: Path, connect: Connect) -> None:
    async with connect(service) as client:
        for path, content in NOT_OURS.items():
            error = await refused(client, "write_file", path=path, content=content)
            assert (error["code"], error["constraint"]) == ("permission_denied", "no-frontend"), (path, error)
            assert error["details"]["escalate"] == "frontend_contract"
    assert git(service, "status", "--porcelain") == ""


HONEST = {
    "orders/ui_events.py": "x = 1\n",
    "tools/package.json": '{"dependencies": {"pg": "8", "express": "5"}}',
    "tool.mjs": "import fs from 'node:fs'\n",
    "frontend/embed.go": 'package frontend\n\nimport "embed"\n\n//go:embed dist\nvar Files embed.FS\n',
    "docs/App.tsx.md": "# How\n",
    "orders/a file [with] (odd) näme, #1 & more@2~.py": "x = 1\n",
    "orders/日本語.py": "x = 1\n",
    "orders/12:30 report.txt": "x\n",
    "orders/Outer$Inner.java": "x\n",
    "orders/..data/...x": "x\n",
    "./orders//./plain.py": "x\n",
    'orders/it\'s "quoted" <here>.txt': "x\n",
}


@pytest.mark.proves("no-frontend", "allowed")
async def test_backend_work_is_written_under_any_honest_name(service: Path, connect: Connect) -> None:
    async with connect(service) as client:
        for path, content in HONEST.items():
            await ask(client, "write_file", path=path, content=content)
            assert (await ask(client, "read_file", path=path))["content"] == content
            assert (service / path).read_text() == content


async def test_a_spec_or_a_setting_is_refused_before_anything_is_looked_for(service: Path, connect: Connect) -> None:
    edits = [{"old": "not there", "new": "x"}]
    async with connect(service) as client:
        for path, constraint in (("api/openapi.yaml", "follow-api-spec"), (".git/config", "guarded-settings")):
            error = await refused(client, "edit_file", path=path, edits=edits)
            assert (error["code"], error["constraint"]) == ("permission_denied", constraint)


MEANT_OTHERWISE = (
    "../outside.py", "orders/../../outside.py", "/etc/passwd", "~/x.py", "$HOME/x.py", "${HOME}/x", "$(id).py",
    "file:///etc/passwd", "https://example.org/x", "orders\\x.py", "orders/%2e%2e/x.py", "a%2Fb.py", "orders/x\n.py",
    "orders/\u202ex.py", "orders/x\u200b.py", "ｏrders/x.py", "orders/x.py.", "orders/x.py ", "orders /x.py", "x.py:12",
    "orders/x.py:stream", "orders/x.py::$DATA", "C:/x.py", "FRONTE~1/x.py", "orders/*.py", "orders/", ".", " ",
    "orders/ﬁle.py", "orders/x\x7f.py", "/proc/self/cwd/x.py", "o" * 300, "orders/e\u0301.py", "orders/\u2025/x.py",
)  # fmt: skip


async def test_a_path_that_means_another_one_is_refused_with_what_was_expected(
    service: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(service)
    async with connect(service) as client:
        for path in MEANT_OTHERWISE:
            error = await refused(client, "write_file", path=path, content="x = 1\n")
            assert error["code"] == "invalid_argument", (path, error)
            assert error["reason"].startswith("path: ")
    assert git(service, "status", "--porcelain", "--ignored") == ""


@pytest.mark.parametrize("kernel", [True, False], ids=["openat2", "one by one"])
@pytest.mark.parametrize(
    "where", ["file", "folder", "chain", "dangling", "absolute", "outside", "hard", "pipe", "file below"]
)
async def test_links_and_special_files_are_not_written_through(
    service: Path, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch, where: str, kernel: bool
) -> None:
    if not kernel:
        monkeypatch.setattr(beneath, "_kernel_resolves", lambda: False)
    outside = tmp_path / "outside.txt"
    outside.write_text("theirs\n")
    path, place = "orders/link.py", service / "orders/link.py"
    match where:
        case "file":
            place.symlink_to("totals.py")
        case "folder" | "chain":
            (service / "orders/two").symlink_to("../frontend")
            place.symlink_to("two" if where == "chain" else "../frontend")
            path = "orders/link.py/src/new.py"
        case "dangling":
            place.symlink_to(tmp_path / "not there")
        case "absolute":
            place.symlink_to(service / "orders/totals.py")
        case "outside":
            place.symlink_to(outside)
        case "hard":
            os.link(service / "frontend/src/App.tsx", place)
        case "pipe":
            os.mkfifo(place)
        case _:
            place.write_text("x = 1\n")
            path = "orders/link.py/deeper.py"
    before = {p: p.read_bytes() for p in service.rglob("*") if p.is_file() and ".git" not in p.parts}
    async with connect(service) as client:
        error = await refused(client, "write_file", path=path, content="mine\n")
    assert error["code"] == "invalid_argument", error
    assert {p: p.read_bytes() for p in service.rglob("*") if p.is_file() and ".git" not in p.parts} == before
    assert outside.read_text() == "theirs\n"
    assert not (tmp_path / "not there").exists()


@pytest.mark.parametrize("kernel", [True, False], ids=["openat2", "one by one"])
async def test_a_link_inside_is_read_and_one_that_leaves_is_not(
    repository: Path, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch, kernel: bool
) -> None:
    if not kernel:
        monkeypatch.setattr(beneath, "_kernel_resolves", lambda: False)
    (tmp_path / "secret.txt").write_text("theirs\n")
    (repository / "inside").symlink_to(repository / "README.md")
    (repository / "outside").symlink_to(tmp_path / "secret.txt")
    (repository / "up").symlink_to("..")
    async with connect(repository) as client:
        seen = await ask(client, "read_file", path="inside")
        assert (seen["path"], seen["content"]) == ("README.md", "# orders\n")
        for path in ("outside", "up/secret.txt", "up"):
            error = await refused(client, "read_file", path=path)
            assert (error["code"], "outside the workspace" in error["reason"]) == ("invalid_argument", True), error


async def test_an_absolute_path_inside_is_accepted_by_every_name_of_the_workspace(
    repository: Path, tmp_path: Path, connect: Connect
) -> None:
    (tmp_path / "other name").symlink_to(repository)
    async with connect(repository) as client:
        for place in (repository, tmp_path / "other name"):
            done = await ask(client, "write_file", path=f"{place}/shop/a.py", content=f"x = {str(place)!r}\n")
            assert done["path"] == "shop/a.py"


async def test_a_read_only_file_is_a_persons_to_open(repository: Path, connect: Connect) -> None:
    (repository / "a.py").write_text("a = 1\n")
    (repository / "a.py").chmod(0o444)
    async with connect(repository) as client:
        error = await refused(client, "write_file", path="a.py", content="a = 2\n")
    assert (error["code"], "read-only" in error["reason"]) == ("failed_precondition", True)


async def test_a_server_that_only_reads_has_no_tool_to_write(repository: Path, connect: Connect) -> None:
    async with connect(repository, read_only=True) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    assert {"read_file", "search_code", "find_symbol"} <= names
    assert not {"write_file", "edit_file"} & names


async def test_the_audit_names_the_file_and_not_its_content(repository: Path, connect: Connect) -> None:
    async with connect(repository) as client:
        await ask(client, "write_file", path="shop/a.py", content="unusual_content = 1\n")
        seen = await client.read_resource("audit://recent")
    text = seen.model_dump_json()
    assert "write shop/a.py" in text
    assert "unusual_content" not in text
