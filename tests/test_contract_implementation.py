# ruff: noqa: E501 - a specification is read best in few lines
"""check_contract against implementations: what the corpus plants is found in each framework, clean ones stay silent."""

import json
import os
import shutil
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.contracts import sources
from mcp_backend.contracts.service.go_pointers import always_set
from mcp_backend.contracts.service.go_source import read
from mcp_backend.settings import Workspace
from tests.conftest import CORPORA, ERAS, Connect, Era
from tests.service import ask, refused, write

CASES = CORPORA / "contracts_corpus"
DEVIATIONS = sorted(p.parent.name for p in CASES.glob("dev-*/case.json"))
FEW = 3
"""Cases per framework in the suite; MCP_BACKEND_CONTRACT_CASES says another number."""
SPEC = """\
openapi: 3.0.3
info: {title: Notes, version: '1'}
security: [{bearer: []}]
paths:
  /notes:
    get:
      parameters: [{name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 10}}]
      responses:
        '200': {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Note'}}}}}
        '401': {description: who}
        '422': {description: bad}
    post:
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Note'}}}}
      responses: {'201': {description: made}, '401': {description: who}, '422': {description: bad}}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Note: {type: object, required: [id, text], properties: {id: {type: integer}, text: {type: string, maxLength: 20}}}
"""
STARLETTE = """\
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

print("noise on standard output")


async def notes(request):
    if request.method == "POST":
        body = await request.json()
        fits = isinstance(body.get("id"), int) and isinstance(body.get("text"), str) and len(body["text"]) <= 20
        return JSONResponse(None, 201 if fits else 422)
    return JSONResponse([{"id": 1, "text": "a"}, {"id": 2, "text": "b"}])


def create_app():
    return Starlette(routes=[Mount("/", routes=[Route("/notes", notes, methods=["GET", "POST"])])])
"""
FASTAPI = """\
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Path
from pydantic import BaseModel, Field


class Note(BaseModel):
    id: int
    text: Annotated[str, Field(max_length=20)]


inner = APIRouter(prefix="/notes")
outer = APIRouter()


@inner.get("")
def notes() -> list[Note]:
    return [Note(id=1, text="a"), Note(id=2, text="b")]


@inner.post("", status_code=201)
def make(body: Note) -> None:
    pass


outer.include_router(inner)
app = FastAPI(openapi_url=None)
app.include_router(outer)
"""
GO = """\
package main

import "github.com/go-chi/chi/v5"

type Note struct {
	ID   int64   `json:"id"`
	Text *string `json:"text,omitempty"`
}

func Router(names []string) chi.Router {
	r := chi.NewRouter()
	for _, name := range names {
		r.Get("/"+name, list)
	}
	r.With(auth).Post("/notes", create)
	return r
}

func create(w http.ResponseWriter, r *http.Request) { writeJSON(w, 202, Note{}) }
"""


GIN = """\
package main

import "github.com/gin-gonic/gin"

func main() {
	r := gin.New()
	r.GET("notes", list)
	r.Match([]string{"POST"}, "/notes", made())
	r.GET("more", list)
}

func list(c *gin.Context) {
	limit := outside.Limit(c.Request)
	c.JSON(200, outside.Notes(limit))
}

func made() gin.HandlerFunc {
	checked := func(n outside.Note) bool { return outside.Check(n) }
	return gin.WrapF(outside.Handler(checked))
}
"""
GENERATED = """\
package main

import "github.com/labstack/echo/v4"

type Note struct {
	ID   int64  `json:"id"`
	Text string `json:"text"`
}
type Problem struct {
	Errors string `json:"errors"`
}

func problem(err error) Problem { return Problem{} }

func (Unimplemented) FindNotes(c echo.Context) error { return c.JSON(418, nil) }

func (s *Server) FindNotes(c echo.Context) error {
	if _, err := strconv.Atoi(c.QueryParam("limit")); err != nil {
		return c.JSON(http.StatusInternalServerError, problem(err))
	}
	return c.JSON(200, []Note{})
}

func (s *Server) AddNote(c echo.Context) error { return c.NoContent(http.StatusCreated) }

func RegisterHandlersWithBaseURL(router *echo.Echo, s *Server, base string) {
	RegisterHandlersWithOptions(router, s, Options{BaseURL: base})
}

func RegisterHandlersWithOptions(router *echo.Echo, s *Server, options Options) {
	router.GET(options.BaseURL+"/notes", s.FindNotes, options.Middlewares["a"]...)
	router.POST(options.BaseURL+"/notes", s.AddNote, options.Middlewares["b"]...)
}
"""
MUX = """\
package main

import "github.com/gorilla/mux"

type Note struct {
	model.Kept `json:",inline"`
	Text string `json:"text"`
}

func serve(h http.Handler) {
	r := h.(*mux.Router)
	r.Methods("GET").Path("/notes").HandlerFunc(list)
	r.Path("/notes").Methods("POST").HandlerFunc(add)
	r.Path("/more").HandlerFunc(list)
}

func list(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		http.Error(w, "no", http.StatusMethodNotAllowed)
		return
	}
	outside.Paged(r.URL.Query())
	writeJSON(w, 200, Note{})
}

func add(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201) }
"""
KEPT = "package %s\n\ntype Kept struct { %s }\n"
PROTO = """\
syntax = "proto3";
package jobs.v1;
message Job { string id = 1; }
service Jobs {
  rpc Get(Job) returns (Job);
  rpc List(Job) returns (Job);
  rpc Watch(Job) returns (stream Job);
}
"""
SERVICER = """\
from base import Base
from gen import jobs_pb2_grpc


class Server(Base, jobs_pb2_grpc.JobsServicer):
    def Get(self, request, context):
        return request

    def Watch(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "later")
"""
BASE = """\
class Base:
    def List(self, request, context):
        return request
"""
GRPC_GO = """\
package main

type base struct{}

func (base) List(ctx context.Context, r *pb.Job) (*pb.Job, error) { return r, nil }

type server struct {
	pb.UnimplementedJobsServer
	base
}

func (s *server) Get(ctx context.Context, r *pb.Job) (*pb.Job, error) { return r, nil }

func made() pb.JobsServer { return &server{} }

func main() {
	served := made()
	pb.RegisterJobsServer(grpc.NewServer(), served)
}
"""
CONNECT = """\
package main

type server struct{}

func (s *server) Get(ctx context.Context, r *connect.Request[pb.Job]) (*connect.Response[pb.Job], error) {
	return connect.NewResponse(r.Msg), nil
}

func (s *server) List(ctx context.Context, r *connect.Request[pb.Job]) (*connect.Response[pb.Job], error) {
	return connect.NewResponse(r.Msg), nil
}

func (s *server) Watch(ctx context.Context, r *connect.Request[pb.Job], o *connect.ServerStream[pb.Job]) error {
	return connect.NewError(connect.CodeUnimplemented, errors.New("later"))
}

type app struct{ jobs *server }

func (a *app) mount(mux *http.ServeMux) { mux.Handle(pbconnect.NewJobsHandler(a.jobs)) }
"""


@pytest.mark.skipif(not DEVIATIONS, reason="the corpus is not here")
async def test_the_deviations_of_the_corpus_are_found_and_clean_apps_stay_silent(
    tmp_path: Path, connect: Connect
) -> None:
    wrong: list[str] = []
    chosen = _chosen(int(os.environ.get("MCP_BACKEND_CONTRACT_CASES", FEW)))
    for name in chosen:
        shutil.copytree(CASES / name, tmp_path / _neutral(name), ignore=shutil.ignore_patterns("case.json"))
    async with connect(tmp_path) as client:
        for name in chosen:
            case = json.loads((CASES / name / "case.json").read_text())
            folder = _neutral(name)
            target = f"{folder}/{case['app']}" + (f":{case['app_object']}" if "app_object" in case else "")
            found = await ask(client, "check_contract", path=f"{folder}/{case['spec']}", implementation=target)
            got = {(d["id"], d["where"]) for d in found["deviations"]}
            expected = {(d["deviation"], d["at"]) for d in case["expect"]["deviations"]}
            if got != expected:
                wrong.append(f"{name}: found {sorted(got)}, expected {sorted(expected)}")
    assert wrong == []


def _chosen(count: int) -> list[str]:
    """Some of each framework: those that need no process cost next to nothing, so all of them."""
    quick = [n for n in DEVIATIONS if n.startswith(("dev-go", "dev-grpc"))]
    slow = [[n for n in DEVIATIONS if n.startswith(f"dev-{f}")] for f in ("fastapi", "flask", "graphql")]
    return (
        quick + [name for names in slow for name in names[: max(1, count // 3 + (names is slow[1]))]]
        if count < 60
        else DEVIATIONS
    )


def _neutral(name: str) -> str:
    return f"work{DEVIATIONS.index(name)}"


@pytest.mark.parametrize(
    ("era", "app", "path", "called"),
    [
        pytest.param(ERAS[0], f"from shop import NAME\n{STARLETTE}", "src/shop/app.py", "create_app()", id="starlette"),
        pytest.param(ERAS[1], FASTAPI, "service/app.py", "app", id="fastapi with included routers"),
    ],
)
async def test_a_service_that_asks_for_no_credentials_deviates(
    repository: Path, connect: Connect, era: Era, app: str, path: str, called: str
) -> None:
    write(repository, {"api.yaml": SPEC, "src/shop/__init__.py": "NAME = 'notes'\n", path: app})
    async with connect(repository, mode=era) as client:
        found = await ask(client, "check_contract", implementation="auto")
        shown = {(d["id"], d["where"]) for d in found["deviations"]}
        assert shown == {
            ("auth-not-enforced", "GET /notes"),
            ("auth-not-enforced", "POST /notes"),
            ("query-param-missing", "GET /notes limit"),
        }
        assert (found["verdict"], found["implementation"]) == ("deviates", f"{path}:{called}")
        assert [s for s in found["sources"] if s != "schema"] == ["routes", "probe"]


async def test_what_go_source_does_not_tell_is_unverified_not_missing(repository: Path, connect: Connect) -> None:
    write(repository, {"api.yaml": SPEC, "cmd/main.go": GO, "go.mod": "module example.com/notes\n"})
    async with connect(repository) as client:
        found = await ask(client, "check_contract", implementation="cmd")
        places = {u["where"]: u["why"] for u in found["unverified"]}
        assert "GET /notes" in places
        assert any("cmd/main.go:13" in where for where in places)
        assert [(d["id"], d["where"]) for d in found["deviations"]] == [("status-undocumented", "POST /notes 202")]


async def test_servers_that_a_generator_makes_are_read_with_the_code_behind_them(
    repository: Path, connect: Connect
) -> None:
    write(repository, {"api.yaml": SPEC, "main.go": GENERATED, "go.mod": "module example.com/notes\n"})
    async with connect(repository) as client:
        found = await ask(client, "check_contract", implementation=".")
        assert not found["deviations"]  # not the stand-in's answers, not the error's struct for that of success
        assert {u["where"] for u in found["unverified"]} == {"*"}
        write(repository, {"main.go": GENERATED.replace("BaseURL: base}", 'BaseURL: "/v2"}')})
        found = await ask(client, "check_contract", implementation=".")
        assert {d["id"] for d in found["deviations"]} == {"route-missing", "route-extra"}


async def test_what_gorilla_mux_builds_in_steps_and_embedded_structs_of_a_package_are_read(
    repository: Path, connect: Connect
) -> None:
    one = SPEC.replace(
        "schema: {type: array, items: {$ref: '#/components/schemas/Note'}}",
        "schema: {$ref: '#/components/schemas/Note'}",
    )
    kept = {"a/kept.go": KEPT % ("a", "N int"), "model/kept.go": KEPT % ("model", 'ID int64 `json:"id"`')}
    write(repository, {"api.yaml": one, "main.go": MUX, **kept, "go.mod": "module example.com/notes\n"})
    async with connect(repository) as client:
        found = await ask(client, "check_contract", implementation="auto")
        assert [(d["id"], d["where"]) for d in found["deviations"]] == [("route-extra", "* /more")]
        assert "GET /notes limit" in {u["where"] for u in found["unverified"]}
        (repository / "model/kept.go").unlink()  # of another module
        (repository / "a/kept.go").unlink()
        write(repository, {"main.go": MUX.replace('Path("/notes").Methods("POST")', "Path(where).Methods(verb)")})
        found = await ask(client, "check_contract", implementation="auto")
        assert [(d["id"], d["where"]) for d in found["deviations"]] == [("route-extra", "* /more")]
        assert {"POST /notes", "Note.id"} <= {u["where"] for u in found["unverified"]}
        write(repository, {"main.go": "package main\n", "go.mod": "require github.com/kataras/iris/v12 v12.2.0\n"})
        found = await ask(client, "check_contract", implementation="auto")
        assert not found["deviations"]
        assert "kataras/iris" in json.dumps(found["unverified"])


def test_a_pointer_that_every_literal_sets_is_never_nil(tmp_path: Path) -> None:
    code = "package main\ntype A struct { N int }\ntype B struct { At int; One *A }\n"
    code += "func made() *B { a := new(A); return &B{1, a} }\n"
    write(tmp_path, {"main.go": code})
    place = Workspace(tmp_path, tmp_path / "state", False)
    assert always_set(read(sources.work_tree(place), ""), "B", "one")
    write(tmp_path, {"other.go": "package main\nfunc none(a *A) *B { return &B{2, a} }\n"})
    assert not always_set(read(sources.work_tree(place), ""), "B", "one")


async def test_gin_puts_the_slash_and_what_is_handed_on_is_not_missing(repository: Path, connect: Connect) -> None:
    write(
        repository, {"api.yaml": SPEC, "main.go": GIN, "example/echo.go": GIN, "go.mod": "module example.com/notes\n"}
    )
    async with connect(repository) as client:
        found = await ask(client, "check_contract", implementation=".")
    assert [(d["id"], d["where"]) for d in found["deviations"]] == [("route-extra", "GET /more")]
    assert {u["where"] for u in found["unverified"]} >= {"GET /notes limit", "POST /notes"}


@pytest.mark.parametrize(
    ("files", "implementation"),
    [
        pytest.param({"server.py": SERVICER, "base.py": BASE}, "auto", id="grpcio"),
        pytest.param({"main.go": GRPC_GO, "go.mod": "module example.com/jobs\n"}, "auto", id="grpc-go"),
        pytest.param({"cmd/main.go": CONNECT, "go.mod": "module example.com/jobs\n"}, "cmd", id="connect-go"),
    ],
)
async def test_an_rpc_that_only_the_generated_code_answers_deviates(
    repository: Path, connect: Connect, files: dict[str, str], implementation: str
) -> None:
    write(repository, {"proto/jobs/v1/jobs.proto": PROTO, **files})
    async with connect(repository) as client:
        found = await ask(client, "check_contract", implementation=implementation)
    assert [(d["id"], d["where"]) for d in found["deviations"]] == [("rpc-unimplemented", "jobs.v1.Jobs.Watch")]


async def test_an_application_that_cannot_be_loaded_is_said_with_its_reason(repository: Path, connect: Connect) -> None:
    write(repository, {"api.yaml": SPEC, "app.py": "import no_such_package\n"})
    async with connect(repository) as client:
        error = await refused(client, "check_contract", implementation="app:app")
        assert (error["code"], "no_such_package" in error["reason"]) == ("failed_precondition", True)
        assert (await refused(client, "check_contract", implementation="-c:x"))["code"] == "invalid_argument"
        assert (await refused(client, "check_contract"))["code"] == "invalid_argument"
        assert (await refused(client, "check_contract", url="http://example.com"))["code"] == "invalid_argument"
        assert (await refused(client, "check_contract", url="http://169.254.169.254/"))["code"] == "invalid_argument"


class _Service(BaseHTTPRequestHandler):
    """Redirects what has no credentials, answers text for a number, and keeps what it was asked."""

    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.command)
        known = self.headers.get("Authorization") == "Bearer secret-for-tests"
        self.send_response(200 if known else 302)
        self.send_header("Content-Type", "application/json")
        self.send_header("Location", "http://example.com/")
        self.end_headers()
        self.wfile.write(b'[{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]')

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass


class _Graph(_Service):
    """Answers introspection of a schema that has a field more and one less."""

    def do_POST(self) -> None:
        from graphql import build_schema, introspection_from_schema

        served = introspection_from_schema(build_schema("type Query { a: Int b(first: Int = 5): String }"))
        self.send_response(200)
        self.end_headers()
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(json.dumps({"data": served}).encode())


async def test_a_running_graphql_service_is_asked_for_its_schema(repository: Path, connect: Connect) -> None:
    write(repository, {"schema.graphql": "type Query { b(first: Int = 10): String c: Int }\n"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Graph)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        async with connect(repository) as client:
            found = await ask(client, "check_contract", url=f"http://127.0.0.1:{server.server_address[1]}/graphql")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert {(d["id"], d["where"]) for d in found["deviations"]} == {
        ("field-extra", "Query.a"),
        ("field-missing", "Query.c"),
        ("argument-default-mismatch", "Query.b(first)"),
    }


@pytest.fixture
def service() -> Generator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_a_running_service_is_asked_only_what_changes_nothing(
    repository: Path, connect: Connect, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository, {"api.yaml": SPEC})
    monkeypatch.setenv("NOTES_TOKEN", "Bearer secret-for-tests")
    _Service.asked.clear()
    async with connect(repository) as client:
        found = await ask(client, "check_contract", url=service, headers={"Authorization": "env:NOTES_TOKEN"})
    assert {(d["id"], d["where"]) for d in found["deviations"]} == {
        ("type-mismatch", "Note.id"),
        ("query-param-missing", "GET /notes limit"),
    }
    assert any(u["where"] == "POST /notes" for u in found["unverified"])
    assert "secret-for-tests" not in json.dumps(found)
