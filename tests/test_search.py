"""search_code: complete, in order, in pages; queries are data; what git ignores and what is secret stays out."""

import asyncio
from pathlib import Path

import pytest

from mcp_backend.workspace import ripgrep
from tests.conftest import ERAS, Connect, Era
from tests.service import Answer, ask, refused, write

FILES = {
    "shop/orders.py": "def total(order):\n    return order.total\n\n\ndef tax(order):\n    return 0\n",
    "shop/api/routes.py": "from shop.orders import total\n",
    "docs/how.md": "The total of an order.\n",
    ".hidden/total.yml": "total: 1\n",
    ".gitignore": "ignored.py\nbuild/\n",
    "ignored.py": "total = 1\n",
    "build/total.py": "total = 1\n",
}


def places(answer: Answer) -> list[tuple[str, int]]:
    return [(file["path"], match["line"]) for file in answer["files"] for match in file["matches"]]


def stand_in(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in ripgrep's place."""
    program = folder / "rg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)

    def found(root: Path) -> Path:
        return program

    monkeypatch.setattr(ripgrep, "program", found)


@pytest.mark.parametrize("era", ERAS)
async def test_every_match_is_found_by_file_and_line(repository: Path, connect: Connect, era: Era) -> None:
    write(repository, FILES)
    async with connect(repository, mode=era) as client:
        found = await ask(client, "search_code", query="total")
    assert places(found) == [
        (".hidden/total.yml", 1), ("docs/how.md", 1), ("shop/api/routes.py", 1), ("shop/orders.py", 1),
        ("shop/orders.py", 2),
    ]  # fmt: skip
    assert found["files"][3]["matches"][0] == {"line": 1, "text": "def total(order):"}
    assert (found["matching_lines"], found["matching_files"], found["truncated"]) == (5, 4, False)


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.py", ["shop/api/routes.py", "shop/orders.py"]),
        ("shop/*.py", ["shop/orders.py"]),
        ("docs/**", ["docs/how.md"]),
        ("!*.py", [".hidden/total.yml", "docs/how.md"]),
        ("*.{md,yml}", [".hidden/total.yml", "docs/how.md"]),
        ("ignored.py", []),
        ("build/**", []),
        (".git/**", []),
    ],
)
async def test_a_glob_narrows_and_never_adds_what_git_ignores(
    repository: Path, connect: Connect, glob: str, expected: list[str]
) -> None:
    write(repository, FILES)
    async with connect(repository) as client:
        found = await ask(client, "search_code", query="total", glob=glob)
    assert [file["path"] for file in found["files"]] == expected


@pytest.mark.parametrize(
    ("query", "regex", "lines"),
    [
        (r"def \w+\(", True, [1, 5]),
        (r"(?i)DEF T", True, [1, 5]),
        (r"\w+(", False, []),
        ("order.total", False, [2]),
        ("orderxtotal", False, []),
        ("--pre=./evil.sh", False, []),
        ("-e", False, []),
        ("--files", False, []),
    ],
)
async def test_a_query_is_text_unless_it_is_said_to_be_a_pattern(
    repository: Path, connect: Connect, query: str, regex: bool, lines: list[int]
) -> None:
    write(repository, {"orders.py": FILES["shop/orders.py"], "evil.sh": "#!/bin/sh\ntouch ran\n"})
    async with connect(repository) as client:
        found = await ask(client, "search_code", query=query, regex=regex, glob="orders.py")
    assert [line for _, line in places(found)] == lines
    assert not (repository / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"query": "(", "regex": True}, "query: rg: regex parse error"),
        ({"query": "(?<=a)b", "regex": True}, "query: rg: regex parse error"),
        ({"query": r"\p{Nope}", "regex": True}, "query: rg: regex parse error"),
        ({"query": r"a\nb", "regex": True}, "query: "),
        ({"query": "a\nb"}, "query: expected one line"),
        ({"query": ""}, "query: is empty"),
        ({"query": "x" * 6000}, "query: has 6000 characters"),
        ({"query": "a", "glob": "["}, "glob: rg: error parsing glob"),
        ({"query": "a", "after": "nonsense"}, "after: expected the `next`"),
    ],
)
async def test_what_cannot_be_searched_is_named(
    repository: Path, connect: Connect, arguments: dict[str, object], field: str
) -> None:
    async with connect(repository) as client:
        error = await refused(client, "search_code", **arguments)
    assert (error["code"], error["reason"].startswith(field)) == ("invalid_argument", True), error["reason"]


@pytest.mark.parametrize("limit", [1, 7, 50])
async def test_pages_join_to_the_whole_without_gap_or_repetition(
    repository: Path, connect: Connect, limit: int
) -> None:
    write(repository, {f"f{n:02}.txt": "needle\nhay\n" * (n % 5) + "needle" for n in range(12)})
    async with connect(repository) as client:
        whole = places(await ask(client, "search_code", query="needle", limit=500))
        assert len(whole) == 12 + sum(n % 5 for n in range(12))
        joined: list[tuple[str, int]] = []
        after: str | None = None
        while True:
            page = await ask(client, "search_code", query="needle", limit=limit, **({"after": after} if after else {}))
            assert len(places(page)) <= limit
            assert page["matching_lines"] == len(whole)
            joined += places(page)
            after = page.get("next")
            if after is None:
                break
    assert joined == whole


async def test_context_is_given_once_to_the_match_it_is_nearest_to(repository: Path, connect: Connect) -> None:
    write(repository, {"a.txt": "1\n2\nx 3\n4\nx 5\n6\n7\n8\n9\nx 10\n"})
    async with connect(repository) as client:
        found = await ask(client, "search_code", query="x", context=2)
    assert found["files"] == [
        {
            "path": "a.txt",
            "matches": [
                {"line": 3, "text": "x 3", "before": ["1", "2"], "after": ["4"]},
                {"line": 5, "text": "x 5", "after": ["6", "7"]},
                {"line": 10, "text": "x 10", "before": ["8", "9"]},
            ],
        }
    ]


async def test_an_answer_is_bounded_by_characters_too(repository: Path, connect: Connect) -> None:
    write(
        repository, {"min.js": "a" * 500_000 + "needle" + "b" * 500_000, "z.txt": ("needle " + "y" * 250 + "\n") * 400}
    )
    async with connect(repository) as client:
        found = await ask(client, "search_code", query="needle", limit=500)
    text = found["files"][0]["matches"][0]["text"]
    assert "needle" in text
    assert len(text) < 310
    assert text.startswith("…")
    assert (found["truncated"], len(str(found)) < 40_000) == (True, True)
    assert found["matching_lines"] == 401


async def test_binaries_and_links_are_left_out_and_odd_names_and_bytes_are_not(
    repository: Path, tmp_path: Path, connect: Connect
) -> None:
    (repository / "data.bin").write_bytes(b"needle\0\1\2")
    (repository / "late.bin").write_bytes(b"needle\n" + b"x" * 200_000 + b"\0")
    (tmp_path / "outside.txt").write_text("needle\n")
    (repository / "link.txt").symlink_to(tmp_path / "outside.txt")
    (repository / "latin.txt").write_bytes(b"caf\xe9 needle\n")
    (repository / "wide.txt").write_bytes("é needle\n".encode("utf-16"))
    (repository / "with space & \n line.txt").write_text("needle\n")
    (repository / "-e.txt").write_text("needle\n")
    with open(bytes(repository) + b"/odd\xff.txt", "w") as file:
        file.write("needle\n")
    async with connect(repository) as client:
        found = await ask(client, "search_code", query="needle")
    names = [file["path"] for file in found["files"]]
    assert names == ["-e.txt", "latin.txt", '"odd\\377.txt"', "wide.txt", '"with space & \\n line.txt"']


async def test_a_file_that_is_data_is_left_out_of_every_count(repository: Path, connect: Connect) -> None:
    (repository / "dump.sql").write_bytes(b"needle\n" + b"x" * 11_000_000)
    (repository / "a.sql").write_text("needle\n")
    async with connect(repository) as client:
        for more in ({}, {"glob": "*.sql"}):
            found = await ask(client, "search_code", query="needle", **more)
            assert (places(found), found["matching_files"]) == ([("a.sql", 1)], 1)


async def test_no_configuration_of_anybody_changes_a_search(
    repository: Path, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rc").write_text("--invert-match\n--hidden\n--no-ignore\n")
    (tmp_path / ".ignore").write_text("*.py\n")
    monkeypatch.setenv("RIPGREP_CONFIG_PATH", str(tmp_path / "rc"))
    write(repository, FILES)
    async with connect(repository) as client:
        found = await ask(client, "search_code", query="def tax")
    assert places(found) == [("shop/orders.py", 5)]


async def test_credentials_in_lines_stay_hidden(repository: Path, connect: Connect) -> None:
    key = "AKIA" + "Q3EGRPLNZ7XWMT2B"
    body = "\n".join("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ" + f"{n:02}Kz7vXw9pQ" for n in range(8))
    pem = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    write(repository, {"app.py": f"needle = '{key}'\n", ".env": "NEEDLE_A=something\nneedle=other\n", "tls.key": pem})
    async with connect(repository) as client:
        found = await ask(client, "search_code", query="(?i)needle|MIIE", regex=True, context=1)
    assert key not in str(found)
    assert "something" not in str(found)
    assert "other" not in str(found)
    assert "BgkqhkiG9w0" not in str(found)
    assert "needle = '***masked***'" in str(found)


async def test_outside_git_ignore_files_still_count(tmp_path: Path, connect: Connect) -> None:
    write(tmp_path / "plain", FILES)
    async with connect(tmp_path / "plain") as client:
        found = await ask(client, "search_code", query="total", glob="*.py")
    assert [file["path"] for file in found["files"]] == ["shop/api/routes.py", "shop/orders.py"]


async def test_without_ripgrep_the_answer_says_what_to_install(
    repository: Path, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the workspace stands in for it, even on the PATH."""
    ripgrep.program.cache_clear()
    monkeypatch.setattr(ripgrep, "_installed", lambda: ())
    (repository / "bin").mkdir()
    (repository / "bin/rg").write_text("#!/bin/sh\ntouch ran\n")
    (repository / "bin/rg").chmod(0o755)
    monkeypatch.setenv("PATH", str(repository / "bin"))
    async with connect(repository) as client:
        error = await refused(client, "search_code", query="x")
    ripgrep.program.cache_clear()
    assert (error["code"], "mcp-backend[workspace]" in error["reason"]) == ("unavailable", True)
    assert not (repository / "ran").exists()


async def test_a_search_that_nobody_waits_for_ends(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, f"echo $$ > '{tmp_path}/pid'\nexec sleep 100", monkeypatch)
    search = asyncio.ensure_future(ripgrep.output(repository, []))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        await asyncio.sleep(0.01)
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    pid = (tmp_path / "pid").read_text().strip()
    assert not Path("/proc", pid).exists(), "it was stopped and collected"


async def test_a_search_that_takes_too_long_is_stopped(
    repository: Path, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "exec sleep 100", monkeypatch)
    monkeypatch.setattr(ripgrep, "SECONDS", 0.2)
    async with connect(repository) as client:
        error = await refused(client, "search_code", query="x")
    assert error["code"] == "deadline_exceeded"
