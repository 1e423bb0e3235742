"""find_symbol: what is defined and used where, in every language it knows, fresh after each edit, and honest."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import mcp_backend
from mcp_backend.settings import workspace
from mcp_backend.workspace.symbols import finding, languages, parsing, precise
from tests.conftest import ERAS, Connect, Era
from tests.service import Answer, ask, refused, write

PYTHON = '''\
"""Orders."""
from dataclasses import dataclass

LIMIT: int = 10
type Id = int


@dataclass(
    frozen=True,
)
class Order:
    """One order."""

    id: Id
    total = 0

    @property
    def paid(self) -> bool:
        def inner():
            return True

        return inner()

    class Line:
        def total(self): ...


async def load(
    id: int,
    *,
    deep: bool = False,
) -> Order:
    order = Order()
    return order
'''
GO = """\
package orders

import "context"

const Limit = 10

const (
	First = iota
	Second
)

var errGone, errLate error

// Order is one order.
type Order struct {
	ID, Total int
	Line
}

type Store interface {
	Load(ctx context.Context, id int) (*Order, error)
}

type Alias = Order

func New[T any](id T) *Order { return &Order{} }

func (o *Order) Paid() bool { local := 1; return local > 0 }

func (List[T]) Len() int { return 0 }
"""
TYPESCRIPT = """\
export const limit = 10;
export interface Order { id: string; paid(): boolean }
export type Id = string;
enum State { Open }
export default class Store<T> extends Base {
  private rows: T[] = [];
  #secret = 1;
  async load(id: Id): Promise<Order> { const inner = 1; return find(id); }
  #hidden() {}
}
export function make(id: Id): Order { return { id } as Order; }
abstract class Shape { abstract area(): number }
namespace Inner { export function deep() {} }
"""
OUTLINES = {
    "orders.py": [
        "4 variable LIMIT", "5 type Id", "11 class Order", "14 field Order.id", "15 field Order.total",
        "18 method Order.paid", "19 function Order.paid.inner", "24 class Order.Line", "25 method Order.Line.total",
        "28 function load",
    ],
    "orders.go": [
        "5 constant Limit", "8 constant First", "9 constant Second", "12 variable errGone", "12 variable errLate",
        "15 struct Order", "16 field Order.ID", "16 field Order.Total", "20 interface Store", "21 method Store.Load",
        "24 type Alias", "26 function New", "28 method Order.Paid", "30 method List.Len",
    ],
    "orders.ts": [
        "1 variable limit", "2 interface Order", "2 field Order.id", "2 method Order.paid", "3 type Id", "4 enum State",
        "5 class Store", "6 field Store.rows", "7 field Store.#secret", "8 method Store.load", "9 method Store.#hidden",
        "11 function make", "12 class Shape", "12 method Shape.area", "13 namespace Inner", "13 function Inner.deep",
    ],
}  # fmt: skip
SOURCES = {"orders.py": PYTHON, "orders.go": GO, "orders.ts": TYPESCRIPT}


def brief(answer: Answer) -> list[str]:
    return [f"{s['line']} {s['kind']} {s['name']}" for s in answer["symbols"]]


def where(answer: Answer) -> list[tuple[str, int]]:
    return [(d["path"], d["line"]) for d in answer["definitions"]]


@pytest.mark.parametrize("path", SOURCES)
@pytest.mark.parametrize("era", ERAS)
async def test_an_outline_shows_every_definition_of_a_file(
    repository: Path, connect: Connect, era: Era, path: str
) -> None:
    write(repository, SOURCES)
    async with connect(repository, mode=era) as client:
        found = await ask(client, "find_symbol", path=path, kind="outline")
    assert brief(found) == OUTLINES[path]
    assert (found["complete"], found["truncated"]) == (True, False)


async def test_a_definition_comes_with_its_signature_and_source(repository: Path, connect: Connect) -> None:
    write(repository, SOURCES)
    async with connect(repository) as client:
        found = await ask(client, "find_symbol", name="Order")
        assert where(found) == [("orders.go", 15), ("orders.py", 11), ("orders.ts", 2)]
        go, python, typescript = found["definitions"]
        assert (go["signature"], go["source"].splitlines()[-1]) == ("Order struct", "}")
        assert go["source"].startswith("type Order struct {")
        assert (python["end_line"], python["source"].startswith("@dataclass(")) == (25, True)
        assert typescript["source"].startswith("export interface Order {")
        load = await ask(client, "find_symbol", name="load")
        assert load["definitions"][0]["signature"] == "async def load( id: int, *, deep: bool = False, ) -> Order"
        assert (found["complete"], found["total"]) == (True, 3)


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("Order.total", None, [("orders.py", 15)]),
        ("Line.total", None, [("orders.py", 25)]),
        ("total", None, [("orders.py", 15), ("orders.py", 25)]),
        ("Order.Paid", None, [("orders.go", 28)]),
        ("load", "orders.ts", [("orders.ts", 8)]),
        ("load", "./orders.py", [("orders.py", 28)]),
        ("Len", ".", [("orders.go", 30)]),
        ("inner", None, [("orders.py", 19)]),
        ("order", None, []),
        ("Orders", None, []),
    ],
)
async def test_a_name_is_found_plain_or_qualified_and_below_a_path(
    repository: Path, connect: Connect, name: str, path: str | None, expected: list[tuple[str, int]]
) -> None:
    write(repository, SOURCES)
    async with connect(repository) as client:
        found = await ask(client, "find_symbol", name=name, **({"path": path} if path else {}))
    assert where(found) == expected


async def test_a_name_that_is_not_there_is_answered_with_those_like_it(repository: Path, connect: Connect) -> None:
    write(repository, SOURCES)
    async with connect(repository) as client:
        found = await ask(client, "find_symbol", name="Ordr")
    assert (found["total"], found["similar"][0], found["complete"]) == (0, "Order", True)


async def test_every_edit_is_seen_by_the_next_call(repository: Path, connect: Connect) -> None:
    """Also one that changes neither size nor times, a rename, a deletion, and a file that was only moved away."""
    path = repository / "a.py"
    async with connect(repository) as client:
        for turn in range(5):
            path.write_text(f"def name_{turn}(): return {turn}\n")
            found = await ask(client, "find_symbol", name=f"name_{turn}")
            assert [d["source"] for d in found["definitions"]] == [f"def name_{turn}(): return {turn}"]
            gone = await ask(client, "find_symbol", name=f"name_{turn - 1}")
            assert gone["total"] == 0
        state = path.stat()
        path.write_text("def other1(): return 4\n")
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert (await ask(client, "find_symbol", name="other1"))["total"] == 1
        path.rename(repository / "b.py")
        assert where(await ask(client, "find_symbol", name="other1")) == [("b.py", 1)]
        (repository / "b.py").unlink()
        assert (await ask(client, "find_symbol", name="other1"))["total"] == 0


async def test_a_stored_range_is_checked_before_it_is_shown(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changes between the look at all files and the answer is read again, not quoted at an old place."""
    path = repository / "a.py"
    path.write_text("def wanted():\n    return 1\n")
    real = finding._refresh  # pyright: ignore[reportPrivateUsage]

    def changed_after(*arguments: object) -> object:
        answer = real(*arguments)  # type: ignore[arg-type]
        path.write_text("# a line above\nSECRET = 1\n\ndef wanted():\n    return 2\n")
        return answer

    async with connect(repository) as client:
        await ask(client, "find_symbol", name="wanted")
        monkeypatch.setattr(finding, "_refresh", changed_after)
        found = await ask(client, "find_symbol", name="wanted")
    assert [(d["line"], d["source"]) for d in found["definitions"]] == [(4, "def wanted():\n    return 2")]


async def test_what_is_not_understood_makes_an_answer_incomplete(repository: Path, connect: Connect) -> None:
    write(
        repository, {"good.py": "def wanted(): ...\n", "broken.py": "def wanted(:\n  class ((\n", "else.py": "def ((\n"}
    )
    (repository / "huge.py").write_text("x = 1\n" * 300_000 + "def wanted(): ...\n")
    async with connect(repository) as client:
        found = await ask(client, "find_symbol", name="wanted")
        assert ("good.py", 1) in where(found)
        assert (found["complete"], found["not_understood"]) == (False, ["broken.py", "huge.py"])
        outline = await ask(client, "find_symbol", path="broken.py", kind="outline")
        assert outline["complete"] is False
        error = await refused(client, "find_symbol", path="huge.py", kind="outline")
        assert "more than are parsed" in error["reason"]


async def test_ignored_files_and_links_define_nothing(repository: Path, tmp_path: Path, connect: Connect) -> None:
    (tmp_path / "outside.py").write_text("def wanted(): ...\n")
    write(repository, {".gitignore": "build/\n", "build/a.py": "def wanted(): ...\n"})
    (repository / "link.py").symlink_to(tmp_path / "outside.py")
    async with connect(repository) as client:
        assert (await ask(client, "find_symbol", name="wanted"))["total"] == 0


async def test_uses_are_names_in_code_with_what_is_done_to_them(repository: Path, connect: Connect) -> None:
    source = '''\
"""Order in a docstring."""
from orders import Order, Order as Other

# Order in a comment
def make(order: Order) -> "Order":
    text = "Order"
    return Order(orders.Order.total, Orders, MyOrder, f"{Order}")


class Special(Order):
    @Order.wraps
    def go(self):
        self.Order()
'''
    write(repository, {"use.py": source, "orders.py": "class Order: ...\n", "notes.md": "Order\n"})
    async with connect(repository) as client:
        found = await ask(client, "find_symbol", name="Order", kind="references")
    seen = {f["path"]: [(u["line"], u["how"], u.get("within", "")) for u in f["uses"]] for f in found["files"]}
    assert seen["orders.py"] == [(1, "definition", "")]
    assert seen["use.py"] == [
        (2, "import", ""), (2, "import", ""), (5, "use", "make"), (7, "call", "make"), (7, "use", "make"),
        (7, "use", "make"), (10, "use", "Special"), (11, "use", "Special.go"), (13, "call", "Special.go"),
    ]  # fmt: skip
    assert (found["complete"], found["truncated"]) == ("textual", False)
    assert found["files_with_name"] == 2


ORDERS = "class Order:\n    def total(self) -> int:\n        return 1\n"
TOTALS = """from orders import Order


class Other:
    def total(self) -> int:
        return 2


def both(unknown) -> int:
    return Order().total() + Other().total() + unknown.total()
"""


@pytest.mark.skipif(shutil.which("ty") is None, reason="ty is not installed")
async def test_a_language_server_tells_the_uses_of_one_definition(repository: Path, connect: Connect) -> None:
    write(repository, {"orders.py": ORDERS, "totals.py": TOTALS})
    async with connect(repository) as client:
        found = await ask(client, "find_symbol", name="Order.total", kind="references")
        whole = await ask(client, "find_symbol", name="Order", kind="references")
    uses = {file["path"]: [use.get("resolved", False) for use in file["uses"]] for file in found["files"]}
    assert uses == {"orders.py": [True], "totals.py": [False, True, False, False]}
    assert found["complete"] == "textual"
    assert found["resolved_by"].startswith("ty ")
    assert (whole["complete"], whole.get("by_other_names")) == ("resolved", None)


@pytest.mark.parametrize("script", ["exit 1", "cat > /dev/null", "printf 'Content-Length: x\\r\\n\\r\\n'; sleep 9"])
async def test_a_language_server_that_gives_no_answer_leaves_the_search_by_name(
    repository: Path, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ty").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin/ty").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(precise, "SECONDS", 1.0)
    write(repository, {"orders.py": ORDERS, "totals.py": TOTALS})
    async with connect(repository) as client:
        found = await ask(client, "find_symbol", name="Order", kind="references")
    assert (found["complete"], "resolved_by" in found, found["lines_with_name"]) == ("textual", False, 3)


async def test_uses_in_go_and_typescript(repository: Path, connect: Connect) -> None:
    go = 'package a\n\nimport "x/orders"\n\nfunc f() { orders.New(1); s := "New"; _ = New /* New */ }\n'
    typescript = "import { New } from './x';\nconst a = new New<string>();\nx.New(`New ${New}`);\n"
    write(repository, {"a.go": go, "a.ts": typescript})
    async with connect(repository) as client:
        found = await ask(client, "find_symbol", name="New", kind="references")
    seen = {f["path"]: [(u["line"], u["how"]) for u in f["uses"]] for f in found["files"]}
    assert seen["a.go"] == [(5, "call"), (5, "use")]
    assert seen["a.ts"] == [(1, "import"), (2, "call"), (3, "call"), (3, "use")]


async def test_definitions_and_uses_come_in_pages(repository: Path, connect: Connect) -> None:
    write(repository, {f"m{n:03}.py": "def wanted(): ...\nwanted()\nwanted()\n" for n in range(50)})
    async with connect(repository) as client:
        for kind, part, total in (("definition", "definitions", 50), ("references", "files", 150)):
            seen: list[str] = []
            after: str | None = None
            while True:
                page = await ask(client, "find_symbol", name="wanted", kind=kind, **({"after": after} if after else {}))
                entries = page[part]
                flat = [f"{e['path']}:{u['line']}" for e in entries for u in e.get("uses", [e])]
                seen += flat
                after = page.get("next")
                if after is None:
                    break
            assert len(seen) == len(set(seen)) == total, kind
        wide = "\n".join(f"x{n} = {n}" for n in range(700))
        write(repository, {"wide.py": wide})
        first = await ask(client, "find_symbol", path="wide.py", kind="outline")
        rest = await ask(client, "find_symbol", path="wide.py", kind="outline", after=first["next"])
        assert rest["symbols"][0]["name"] == "x300"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ({}, "invalid_argument", "name: is required"),
        ({"kind": "references"}, "invalid_argument", "name: is required"),
        ({"kind": "outline"}, "invalid_argument", "path: is required"),
        ({"name": "two words"}, "invalid_argument", "name: expected one name"),
        ({"name": "a..b"}, "invalid_argument", "name: expected one name"),
        ({"name": "x", "path": "../up"}, "invalid_argument", "path: "),
        ({"name": "x", "path": "nowhere"}, "not_found", "path: no file or folder"),
        ({"kind": "outline", "path": "README.md"}, "invalid_argument", "is not Python, Go"),
        ({"kind": "outline", "path": "gone.py"}, "not_found", "path: no file"),
        ({"name": "x", "after": "gone.py:1"}, "invalid_argument", "after: "),
    ],
)
async def test_a_question_that_cannot_be_answered_says_what_is_missing(
    repository: Path, connect: Connect, arguments: dict[str, str], code: str, said: str
) -> None:
    async with connect(repository) as client:
        error = await refused(client, "find_symbol", **arguments)
    assert (error["code"], error["reason"].startswith(said) or said in error["reason"]) == (code, True), error


async def test_a_credential_in_a_definition_stays_hidden(repository: Path, connect: Connect) -> None:
    key = "AKIA" + "Q3EGRPLNZ7XWMT2B"
    write(repository, {"a.py": f"API_KEY = '{key}'\n\n\ndef use():\n    return API_KEY, '{key}'\n"})
    async with connect(repository) as client:
        answers = [
            await ask(client, "find_symbol", name="API_KEY"),
            await ask(client, "find_symbol", name="use"),
            await ask(client, "find_symbol", name="API_KEY", kind="references"),
            await ask(client, "find_symbol", path="a.py", kind="outline"),
        ]
    assert key not in str(answers)
    assert "***masked***" in str(answers)


@pytest.mark.parametrize("damage", ["garbage", "another version", "a folder"])
async def test_a_damaged_table_is_made_again(repository: Path, connect: Connect, damage: str) -> None:
    write(repository, SOURCES)
    async with connect(repository) as client:
        await ask(client, "find_symbol", name="Order")
    table = workspace(repository).state / "symbols.db"
    for end in ("-wal", "-shm"):
        table.with_name(table.name + end).unlink(missing_ok=True)
    if damage == "garbage":
        table.write_bytes(b"not a database" * 1000)
    elif damage == "another version":
        with sqlite3.connect(table) as connection:
            connection.execute("pragma user_version = 99")
            connection.execute("drop table file")
        connection.close()
    else:
        table.unlink()
        table.mkdir()
    async with connect(repository) as client:
        if damage == "a folder":
            error = await refused(client, "find_symbol", name="Order")
            assert (error["code"], "search_code" in error["reason"]) == ("unavailable", True)
        else:
            assert (await ask(client, "find_symbol", name="Order"))["total"] == 3


async def test_two_servers_share_one_table(repository: Path, connect: Connect) -> None:
    write(repository, {f"m{n}.py": f"def f{n}(): ...\n" for n in range(40)})
    async with connect(repository) as one, connect(repository) as two:
        questions = [ask(client, "find_symbol", name=f"f{n}") for n in range(8) for client in (one, two)]
        answers = await asyncio.gather(*questions)
    assert [answer["total"] for answer in answers] == [1] * 16


def test_a_question_about_a_large_repository_needs_no_full_parse_to_be_complete(tmp_path: Path) -> None:
    write(tmp_path, {f"m{n:03}.py": f"def f{n}(x):\n    return wanted(x, wanted)\n" for n in range(300)})
    write(tmp_path, {"z.py": "def wanted(x): ...\n"})
    answer = finding.definitions(workspace(tmp_path), "wanted", seconds=-10)
    assert [place.path for place in answer.places] == ["z.py"]
    assert not answer.unclear
    again = finding.definitions(workspace(tmp_path), "f17", seconds=60)
    assert (again.parsed, again.files) == (301, 301)


def test_every_definition_is_where_the_hint_says_that_it_may_be() -> None:
    """Files without the hint are not parsed for a question: a definition it misses would be lost silently."""
    missed: list[str] = []
    seen = 0
    for folder in (Path(mcp_backend.__file__).parent, Path(asyncio.__file__).parent, Path(__file__).parent):
        for path in sorted(folder.rglob("*.py"))[:80]:
            seen += _missed(path.name, path.read_bytes(), missed)
    for path, text in SOURCES.items():
        seen += _missed(path, text.encode(), missed)
    assert seen > 1500
    assert missed == []


def _missed(path: str, data: bytes, missed: list[str]) -> int:
    grammar = languages.of(path)
    assert grammar is not None
    found, _ = parsing.symbols(data, grammar)
    missed += [f"{path}:{s.line} {s.name}" for s in found if not finding._may_define(path, data, s.name)]  # pyright: ignore[reportPrivateUsage]
    return len(found)


def test_no_grammar_is_loaded_before_it_is_needed() -> None:
    script = (
        "import sys, mcp_backend.server, mcp_backend.tools.find_symbol\n"
        "print([m for m in sys.modules if 'tree_sitter' in m])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_go_that_is_newer_than_its_grammar_is_understood() -> None:
    method = b"func (r *Rand) N[Int intType, B any](n Int) Int {\n\treturn *new(int64(-64)) + *new(42)\n}\n"
    source = b"package a\n\n" + method + b'\nvar X = new("x")\n'
    found, complete = parsing.symbols(source, languages.BY_SUFFIX[".go"])
    assert complete
    assert [(s.qualified, s.line, s.end_line) for s in found] == [("Rand.N", 3, 5), ("X", 7, 7)]
    assert "N[Int intType, B any](n Int) Int" in found[0].signature
    assert not parsing.symbols(source + b"func (", languages.BY_SUFFIX[".go"])[1]


async def test_source_of_a_language_that_is_not_read_is_counted_when_nothing_is_found(
    repository: Path, connect: Connect
) -> None:
    write(repository, {"src/message.rs": "fn create_message() {}\n"})
    async with connect(repository) as client:
        for more in ({}, {"path": "src"}):
            found = await ask(client, "find_symbol", name="create_message", **more)
            assert (found["total"], found["complete"]) == (0, False)
            assert found["not_read"] == "1 files .rs: search_code finds text in them"
