"""The gate: a commit that makes the implementation deviate from its specification is refused, and no other."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from mcp_backend.cli import main
from mcp_backend.contracts import gate
from mcp_backend.facts import ContractDeviation
from mcp_backend.settings import workspace
from mcp_backend.workspace import git_environment
from mcp_backend.workspace.trees import Trees
from tests.conftest import ERAS, Connect, Era, git
from tests.contract_gate import DJANGO, FASTAPI, FLASK, GO, GRAPHQL, GRPC, MAIN, MODELS, ROUTES, SPEC
from tests.service import PYTEST, ask, refused, write

pytest_plugins = ("tests.service_fixtures",)
TEST = {"tests/test_books.py": "def test_books():\n    assert 1 + 1 == 2\n"}


@pytest.fixture
def start(tmp_path: Path, person: Path) -> "Start":
    return Start(tmp_path / "books service")


class Start:
    """A repository that is made of files, and judges what replaces some of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        git(root, "init", "--quiet", "--initial-branch=main")

    def commit(self, files: Mapping[str, str | None]) -> None:
        for path, text in files.items():
            if text is None:
                (self.root / path).unlink()
            else:
                write(self.root, {path: text})
        git(self.root, "add", "--all", ".")
        git(self.root, "commit", "--quiet", "--allow-empty", "-m", "more")

    def judge(self, *steps: Mapping[str, str | None]) -> list[ContractDeviation]:
        """What the last step makes of what the ones before it left."""
        for step in steps:
            self.commit(step)
        return self.judge_last(None if len(steps) == 1 else "HEAD^")

    def judge_last(self, old: str | None = "HEAD^") -> list[ContractDeviation]:
        place = workspace(self.root)
        trees = Trees(git_environment.open_repository(place), place.state)
        found, unjudged = gate.looked(trees, place, old, "HEAD", trees.between(old, "HEAD"))
        assert not unjudged
        return list(found)

    def held(self, *steps: Mapping[str, str | None]) -> list[tuple[str, str]]:
        """The words and places of what is held against the last step."""
        return [(d.id, d.where) for d in self.judge(*steps) if d.held]


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(FASTAPI, id="fastapi"),
        pytest.param(FLASK, id="flask"),
        pytest.param(GO, id="go"),
        pytest.param(GRPC, id="grpc"),
        pytest.param(GRAPHQL, id="graphql"),
        pytest.param(DJANGO, id="django"),
    ],
)
def test_a_service_that_does_what_its_specification_says_is_never_held(start: Start, files: Mapping[str, str]) -> None:
    assert start.judge({"openapi.yaml": SPEC}, files) == []


CHANGES = [
    ("books/routes.py", '"/{book_id}"', '"/by-id/{book_id}"', {"route-missing", "route-extra"}),
    ("books/routes.py", "status_code=201", "status_code=200", {"status-undocumented"}),
    ("books/routes.py", "limit: Annotated[int, Query(ge=1, le=100)] = 20", "size: int = 20", {"query-param-missing"}),
    ("books/routes.py", "Query(ge=1, le=100)", "Query(ge=1)", {"constraint-not-enforced"}),
    ("books/routes.py", "get_book(book_id: int)", "get_book(book_id: bool)", {"type-mismatch"}),
    ("books/routes.py", "status_code=404", "status_code=409", {"status-undocumented"}),
    ("books/models.py", "    id: int\n", "    id: str\n", {"type-mismatch"}),
    ("books/models.py", "    id: int\n    title", "    title", {"required-field-missing"}),
    ("books/models.py", "    genre: Genre =", "    stock: int = 0\n    genre: Genre =", {"field-extra"}),
    ("books/models.py", "    genre: Genre =", "    genre: Genre | None =", {"null-not-allowed"}),
    ("books/models.py", 'science = "science"', 'science = "sci"', {"enum-value-extra"}),
    ("books/models.py", "title: str = Field(max_length=100)", 'title: str = Field("", max_length=100)',
     {"request-required-not-enforced"}),
    ("books/models.py", "pages: int = 0", "pages: int", {"request-property-extra-required"}),
    ("books/main.py", "routes.router)", 'routes.router, prefix="/v2")', {"route-missing", "route-extra"}),
    ("books/main.py", '"/health"', '"/debug"', {"route-extra"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "old", "new", "words"), CHANGES, ids=lambda v: v if isinstance(v, str) else "")
def test_a_change_of_fastapi_code_that_deviates_is_held(
    start: Start, path: str, old: str, new: str, words: set[str]
) -> None:
    changed = FASTAPI[path].replace(old, new)
    assert changed != FASTAPI[path]
    assert {word for word, _ in start.held(FASTAPI, {path: changed})} == words


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('request.args.get("limit", "20")', '"20"', {"query-param-missing"}),
        ('["title"]), 201', '["title"])', {"status-undocumented"}),
        ('"/<int:book_id>"', '"/<int:book_id>/full"', {"route-missing", "route-extra"}),
        ("abort(404)", "abort(410)", {"status-undocumented"}),
    ],
)
def test_a_change_of_flask_code_that_deviates_is_held(start: Start, old: str, new: str, words: set[str]) -> None:
    changed = FLASK["books/app.py"].replace(old, new)
    assert changed != FLASK["books/app.py"]
    assert {word for word, _ in start.held(FLASK, {"books/app.py": changed})} == words


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("POST /books", "PUT /books", {"route-missing", "route-extra"}),
        ("StatusCreated", "StatusAccepted", {"status-undocumented"}),
        ('`json:"title"`', '`json:"name"`', {"required-field-missing", "field-extra"}),
        ("ID    int ", "ID    string ", {"type-mismatch"}),
        ('Get("limit")', 'Get("size")', {"query-param-missing"}),
    ],
)
def test_a_change_of_go_code_that_deviates_is_held(start: Start, old: str, new: str, words: set[str]) -> None:
    changed = GO["main.go"].replace(old, new)
    assert changed != GO["main.go"]
    assert {word for word, _ in start.held(GO, {"main.go": changed})} == words


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        ("books/views.py", "def retrieve(", "def _retrieve(", {("route-missing", "GET /books/{id}")}),
        ("books/views.py", "mixins.CreateModelMixin, ", "", {("route-missing", "POST /books")}),
        ("books/views.py", "    @action(detail=True, methods=[\"post\"])\n", "",
         {("route-missing", "POST /books/{id}/lend")}),
        ("books/views.py", '@api_view(["GET"])', '@api_view(["POST"])',
         {("route-missing", "GET /stats"), ("route-extra", "POST /stats")}),
        ("books/urls.py", 'r"books"', 'r"volumes"', None),
        ("books/urls.py", ", re_path(", ", path(\"export/\", views.stats), re_path(", {("route-extra", "GET /export")}),
        ("site/urls.py", '"api/"', '"v2/"', None),
        ("books/views.py", "mixins.CreateModelMixin, ", "made.Mixin, ", set[tuple[str, str]]()),
        ("books/urls.py", "urlpatterns += router.urls", "urlpatterns += made(router)", set[tuple[str, str]]()),
    ],
)  # fmt: skip
def test_a_route_of_django_that_is_gone_is_held(
    start: Start, path: str, old: str, new: str, words: set[tuple[str, str]] | None
) -> None:
    assert old in DJANGO[path]
    found = set(start.held(DJANGO, {path: DJANGO[path].replace(old, new)}))
    assert found == words if words is not None else len(found) >= 3


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        ("server.py", "    def Get(", "    def Fetch(", [("rpc-unimplemented", "books.v1.Books.Get")]),
        ("base.py", "return request", "raise NotImplementedError", [("rpc-unimplemented", "books.v1.Books.List")]),
        ("server.py", "(Base, ", "(Base, vendor.More, ", []),
        ("server.py", "class Server(", "class Served(", []),
        ("main.go", "Get(ctx", "get(ctx", [("rpc-unimplemented", "films.v1.Films.Get")]),
        ("main.go", "return r, nil", "return nil, status.Error(codes.Unimplemented, r.Id)",
         [("rpc-unimplemented", "films.v1.Films.Get")]),
        ("main.go", "pb.UnimplementedFilmsServer", "vendor.Films; pb.UnimplementedFilmsServer", []),
    ],
)  # fmt: skip
def test_an_rpc_that_is_not_implemented_any_more_is_held(
    start: Start, path: str, old: str, new: str, words: list[tuple[str, str]]
) -> None:
    assert old in GRPC[path]
    changed = GRPC[path].replace(old, new)
    if path == "main.go" and not words:
        changed = changed.replace("Get(ctx", "get(ctx")
    assert start.held(GRPC, {path: changed}) == words


def test_a_new_rpc_and_half_a_new_server_are_held_against_nobody(start: Start) -> None:
    more = GRPC["books.proto"].replace("rpc Get", "rpc Drop(Book) returns (Book);\n  rpc Get")
    changed = {"books.proto": more, "server.py": GRPC["server.py"] + "\n\nLIMIT = 3\n"}
    assert start.held(GRPC, changed) == []
    assert start.held({**changed, "server.py": None, "base.py": None}, {"server.py": GRPC["server.py"]}) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        ("schema.py", "    page_count: int\n", "", [("field-missing", "Book.pageCount")]),
        (
            "schema.py",
            "def books(self, first: int",
            "def all_books(self, first: int",
            [("field-missing", "Query.books")],
        ),
        ("schema.py", "first: int = 10", "size: int = 10", [("argument-missing", "Query.books(first)")]),
        ("schema.py", "class Book:", "class Book(made()):", []),
        ("schema.py", "    page_count: int\n", '    sheets: int = strawberry.field(name="pageCount")\n', []),
        ("old.py", "    name = graphene.String()\n", "", [("field-missing", "Author.name")]),
        ("old.py", "class Author(graphene.ObjectType)", "class Author(DjangoObjectType)", []),
    ],
)
def test_a_field_that_graphql_code_does_not_define_any_more_is_held(
    start: Start, path: str, old: str, new: str, words: list[tuple[str, str]]
) -> None:
    changed = GRAPHQL[path].replace(old, new)
    assert changed != GRAPHQL[path]
    assert start.held(GRAPHQL, {path: changed}) == words


def test_what_deviated_before_is_told_and_not_held(start: Start) -> None:
    before = {**FASTAPI, "books/models.py": MODELS.replace("    id: int\n", "    id: str\n")}
    found = start.judge(before, {"books/models.py": before["books/models.py"].replace("pages", "sheets")})
    assert [(d.id, d.where, d.held, d.fresh) for d in found] == [("type-mismatch", "Book.id", False, False)]


def test_moving_what_deviates_to_another_file_is_not_held(start: Start) -> None:
    models = MODELS.replace("    id: int\n", "    id: str\n")
    before = {**FASTAPI, "books/models.py": models}
    moved = {
        "books/models.py": None,
        "books/schemas.py": models,
        "books/routes.py": ROUTES.replace(".models", ".schemas"),
    }
    assert start.held(before, moved) == []


def test_a_specification_that_promises_more_holds_nothing_against_those_who_implement_it_later(start: Start) -> None:
    spec = {"openapi.yaml": SPEC.replace("  /books/{book_id}:\n    get:", "  /books/{book_id}:\n    delete:")}
    assert start.held(FASTAPI, {**spec, "books/routes.py": ROUTES + "\n\nLIMIT = 3\n"}) == []


def test_the_first_half_of_a_service_is_not_held_for_the_other_half(start: Start) -> None:
    half = {**FASTAPI, "books/routes.py": ROUTES[: ROUTES.index('@router.get("/{book_id}"')]}
    assert start.held({"openapi.yaml": SPEC}, half) == []


def test_a_route_beside_others_that_nobody_described_is_told_only(start: Start) -> None:
    before = {**FASTAPI, "books/main.py": MAIN.replace('"/health"', '"/internal/stats"')}
    more = before["books/main.py"] + '\n\n@app.get("/internal/jobs")\ndef jobs():\n    return []\n'
    found = start.judge(before, {"books/main.py": more})
    assert [(d.where, d.held) for d in found if d.fresh] == [("GET /internal/jobs", False)]


def test_a_specification_that_the_code_writes_holds_nothing(start: Start) -> None:
    spec = SPEC.replace("    NewBook:\n", "    HTTPValidationError: {type: object}\n    NewBook:\n", 1)
    changed = {"books/routes.py": ROUTES.replace('"/{book_id}"', '"/by-id/{book_id}"')}
    assert start.held({**FASTAPI, "openapi.yaml": spec}, changed) == []


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"books/routes.py": ROUTES.replace("limit: Annotated[int, Query(ge=1, le=100)] = 20", "**query")},
                     id="any parameter"),
        pytest.param({"books/routes.py": ROUTES.replace("limit: Annotated[int, Query(ge=1, le=100)] = 20", "page: Page")
                      .replace("import Book", "import Page, Book")}, id="a dependency that cannot be read"),
        pytest.param({"books/main.py": MAIN.replace("routes.router)", "routes.router, prefix=prefix())")},
                     id="a prefix that is computed"),
        pytest.param({"books/models.py": MODELS.replace("class Book(BaseModel):\n    id: int\n", "class Book(Made):\n")
                      .replace("class New", "Made = made()\n\n\nclass New")}, id="a base that is made"),
        pytest.param({"books/routes.py": ROUTES + "\n\ndef broken(:\n"}, id="a file that is no Python"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_holds_nothing(start: Start, changed: Mapping[str, str]) -> None:
    assert start.held(FASTAPI, changed) == []


def test_of_two_copies_of_a_specification_both_have_to_say_it(start: Start) -> None:
    newer = SPEC.replace("'201': {description: created", "'200': {description: created")
    changed = {"books/routes.py": ROUTES.replace("status_code=201", "status_code=200")}
    assert start.held({**FASTAPI, "docs/openapi.yaml": SPEC}, {**changed, "openapi.yaml": newer}) == []
    both = {"books/routes.py": ROUTES.replace("status_code=201", "status_code=202")}
    assert start.held({**FASTAPI, "docs/openapi.yaml": newer}, both) == [("status-undocumented", "POST /books 202")]


def test_a_model_of_a_root_is_what_its_root_is(start: Start) -> None:
    models = MODELS.replace("import BaseModel", "import BaseModel, RootModel")
    shelf = {"books/models.py": f"{models}\n\nclass Shelf(RootModel):\n    root: list[Book]\n"}
    routes = ROUTES.replace("import Book,", "import Book, Shelf,").replace(
        "response_model=list[Book]", "response_model=Shelf"
    )
    assert start.held({**FASTAPI, **shelf}, {"books/routes.py": routes}) == []
    one = {"books/models.py": shelf["books/models.py"].replace("root: list[Book]", "root: Book")}
    assert start.held({"books/routes.py": routes}, one) == [("type-mismatch", "GET /books 200")]


def test_a_new_handler_may_check_limits_in_its_own_words(start: Start) -> None:
    without = ROUTES[: ROUTES.index('@router.get("",')] + ROUTES[ROUTES.index("@router.post") :]
    again = ROUTES.replace("Query(ge=1, le=100)", "Query()")
    assert start.held({**FASTAPI, "books/routes.py": without}, {"books/routes.py": again}) == []


def test_nothing_is_looked_at_without_a_changed_source(start: Start, state: Path) -> None:
    assert start.judge(FASTAPI, {"README.md": "# Books\n", "openapi.yaml": SPEC.replace("'1'", "'2'")}) == []
    assert not list(state.rglob("contracts.sqlite"))


def test_a_damaged_store_of_answers_costs_time_only(start: Start, state: Path) -> None:
    changed = {"books/routes.py": ROUTES.replace("status_code=201", "status_code=200")}
    first = start.judge(FASTAPI, changed)
    (kept,) = state.rglob("contracts.sqlite")
    kept.write_bytes(b"no database" * 1000)
    place = workspace(start.root)
    trees = Trees(git_environment.open_repository(place), place.state)
    again, _ = gate.looked(trees, place, "HEAD^", "HEAD", trees.between("HEAD^", "HEAD"))
    assert [*again] == first
    assert first


@pytest.mark.proves("follow-api-spec", "refused")
@pytest.mark.parametrize("era", ERAS)
async def test_a_commit_that_deviates_is_refused_in_words(start: Start, connect: Connect, era: Era) -> None:
    start.commit(FASTAPI)
    before = git(start.root, "rev-parse", "HEAD")
    write(start.root, {"books/routes.py": ROUTES.replace("status_code=201", "status_code=200"), **TEST})
    async with connect(start.root, mode=era) as client:
        error = await refused(client, "git_commit", message="Create books")
    assert (error["code"], error["constraint"]) == ("permission_denied", "follow-api-spec")
    assert "books/routes.py:16: POST /books 200 (status-undocumented): openapi.yaml says 201, 422" in error["reason"]
    assert 'spec_ref "openapi.yaml POST /books"' in error["details"]["instead"]
    assert error["details"]["escalate"] == "spec_clarification"
    assert git(start.root, "rev-parse", "HEAD") == before


@pytest.mark.proves("follow-api-spec", "allowed")
async def test_a_commit_that_follows_the_specification_passes(start: Start, connect: Connect) -> None:
    start.commit({**FASTAPI, "mcp-backend.toml": f"[commands]\ntest = '''{PYTEST}'''\n", **TEST})
    changed = ROUTES.replace("Book(id=1, title=body.title)", "Book(id=len(SHELF), title=body.title)")
    write(
        start.root,
        {
            "books/routes.py": changed,
            "tests/test_books.py": TEST["tests/test_books.py"].replace("1 + 1 == 2", "2 + 2 == 4"),
        },
    )
    async with connect(start.root) as client:
        await ask(client, "run_tests")
        done = await ask(client, "git_commit", message="Number the books")
    assert "warnings" not in done
    assert done["commit"] == git(start.root, "rev-parse", "HEAD")


def test_the_same_gate_stands_in_ci(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    start.commit(FASTAPI)
    write(start.root, {"books/routes.py": ROUTES.replace("status_code=201", "status_code=200"), **TEST})
    git(start.root, "add", ".")
    assert main(["check", "--staged", "--workspace", str(start.root)]) == 1
    staged = capsys.readouterr().out
    git(start.root, "commit", "--quiet", "-m", "deviate")
    assert main(["check", "--diff", "HEAD~1", "--workspace", str(start.root)]) == 1
    assert staged == capsys.readouterr().out
    assert staged.startswith("books/routes.py:16: follow-api-spec: this commit makes the implementation deviate")
