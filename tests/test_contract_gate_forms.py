# ruff: noqa: E501 - a line of a service is a line
"""The gate reads routes however a framework lets them be written: classes of views, rules, nested and derived routers."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import git
from tests.contract_gate import DJANGO as PLAIN_DJANGO
from tests.contract_gate import MAIN, MODELS, ROUTES, SPEC
from tests.service import write
from tests.test_contract_gate import Start

pytest_plugins = ("tests.service_fixtures",)
SMOREST = {
    "books/schemas.py": """\
import marshmallow as ma
class BookSchema(ma.Schema):
    id = ma.fields.Int()
    title = ma.fields.Str()
class QuerySchema(ma.Schema):
    limit = ma.fields.Int()
""",
    "books/resources.py": """\
from flask.views import MethodView
from flask_smorest import Blueprint, abort
from books.schemas import BookSchema, QuerySchema
blp = Blueprint("books", __name__, url_prefix="/books", description="Books")
@blp.route("/")
class Books(MethodView):
    @blp.arguments(QuerySchema, location="query")
    @blp.response(200, BookSchema(many=True))
    def get(self, args):
        return []
    @blp.arguments(BookSchema)
    @blp.response(201, BookSchema)
    def post(self, new):
        return {"id": 1}
@blp.route("/<int:book_id>")
class OneBook(MethodView):
    @blp.response(200, BookSchema)
    def get(self, book_id):
        if book_id == 0:
            abort(404, message="none")
        return {"id": 1}
""",
    "books/app.py": """\
from flask import Flask
from flask_smorest import Api
from books.resources import blp
def create_app():
    app = Flask(__name__)
    api = Api(app)
    api.register_blueprint(blp)
    return app
""",
}
RESTX = {
    "books/app.py": """\
from flask import Flask
from flask_restx import Api, Namespace, Resource
ns = Namespace("books", path="/books")
@ns.route("")
class Books(Resource):
    @ns.doc("list", params={"limit": "how many"})
    def get(self):
        return []
    @ns.marshal_with(None, code=201)
    def post(self):
        return {"id": 1}, 201
@ns.route("/<int:book_id>")
@ns.param("book_id", "id")
class OneBook(Resource):
    def get(self, book_id):
        if book_id == 0:
            ns.abort(404, "none")
        return {"id": 1}
app = Flask(__name__)
api = Api(app)
api.add_namespace(ns)
"""
}
RESTFUL = {
    "books/app.py": """\
from flask import Flask, request
from flask_restful import Api, Resource, abort
class Books(Resource):
    def get(self):
        request.args.get("limit")
        return []
    def post(self):
        return {"id": 1}, 201
class OneBook(Resource):
    def get(self, book_id):
        if book_id == 0:
            abort(404)
        return {"id": 1}
app = Flask(__name__)
api = Api(app)
api.add_resource(Books, "/books", "/books/")
api.add_resource(OneBook, "/books/<int:book_id>")
"""
}
VIEWS = {
    "books/app.py": """\
from flask import Flask, Blueprint, request, abort
from flask.views import MethodView
bp = Blueprint("b", __name__)
class Books(MethodView):
    def get(self):
        request.args.get("limit")
        return []
    def post(self):
        return {"id": 1}, 201
def one(book_id):
    if book_id == 0:
        abort(404)
    return {"id": 1}
bp.add_url_rule("/books", view_func=Books.as_view("books"))
bp.add_url_rule("/books/<int:book_id>", "one", one, methods=["GET"])
app = Flask(__name__)
app.register_blueprint(bp)
"""
}
DERIVED = {
    "books/models.py": MODELS,
    "books/routing.py": """\
from fastapi import APIRouter, Depends
class SecureRouter(APIRouter):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, dependencies=[Depends(check)], **kwargs)
def check(): ...
""",
    "books/routes.py": ROUTES.replace(
        "from fastapi import APIRouter, HTTPException, Query",
        "from fastapi import HTTPException, Query\nfrom books.routing import SecureRouter",
    ).replace("APIRouter(", "SecureRouter("),
    "books/main.py": MAIN,
}
PAIRS = {
    "books/models.py": MODELS,
    "books/routes.py": ROUTES.replace('prefix="/books"', ""),
    "books/main.py": """\
from fastapi import FastAPI
from books import routes
ROUTERS = [(routes.router, "/books")]
app = FastAPI(root_path="/x")
for router, prefix in ROUTERS:
    app.include_router(router, prefix=prefix)
""",
}
LISTED = {
    **PAIRS,
    "books/routes.py": ROUTES,
    "books/main.py": """\
from fastapi import FastAPI
from books import routes
app = FastAPI()
ROUTERS = [routes.router]
for router in ROUTERS:
    app.include_router(router)
""",
}
CBV = {
    "books/models.py": MODELS,
    "books/main.py": """\
from typing import Annotated
from fastapi import FastAPI, APIRouter, HTTPException, Query
from fastapi_utils.cbv import cbv
from books.models import Book, NewBook
router = APIRouter(prefix="/books")
@cbv(router)
class Books:
    @router.get("", response_model=list[Book])
    def list_books(self, limit: Annotated[int, Query(ge=1, le=100)] = 20):
        return []
    @router.post("", status_code=201)
    def create(self, body: NewBook) -> Book:
        return Book(id=1, title="")
def one(book_id: int) -> Book:
    if book_id == 0:
        raise HTTPException(404)
    return Book(id=1, title="")
router.add_api_route("/{book_id}", one, methods=["GET"])
app = FastAPI()
app.include_router(router)
""",
}
NESTED = dict(PLAIN_DJANGO)
NESTED["site/urls.py"] = """\
from django.contrib import admin
from django.urls import include, path
from rest_framework_nested import routers
from books import views
books_urls = [path("stats/", views.stats), path("stats/<int:year>/", views.Year.as_view())]
urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include([path("", include("books.urls")), path("", include((books_urls, "books")))])),
]
"""
NESTED["books/urls.py"] = """\
from rest_framework_nested import routers
from . import views
router = routers.SimpleRouter()
router.register("books", views.Books)
pages = routers.NestedSimpleRouter(router, "books", lookup="book")
pages.register("pages", views.Pages)
urlpatterns = []
urlpatterns += router.urls
urlpatterns.extend(pages.urls)
"""
NESTED["books/views.py"] = (
    PLAIN_DJANGO["books/views.py"]
    + """

class Pages(viewsets.ReadOnlyModelViewSet):
    lookup_field = "number"
    lookup_value_regex = "[0-9]+"
    @action(detail=True, url_path="notes/(?P<note>[^/.]+)")
    def notes(self, request, **kwargs):
        return Response({})
    @notes.mapping.delete
    def drop(self, request, **kwargs):
        return Response(status=204)
"""
)
NESTED["openapi.yaml"] = (
    PLAIN_DJANGO["openapi.yaml"]
    + """\
  /books/{book_id}/pages:
    get: {parameters: [{name: book_id, in: path, required: true}], responses: {'200': {description: ok}}}
  /books/{book_id}/pages/{number}:
    get: {parameters: [{name: book_id, in: path, required: true},{name: number, in: path, required: true}], responses: {'200': {description: ok}}}
  /books/{book_id}/pages/{number}/notes/{note}:
    get: {parameters: [{name: book_id, in: path, required: true},{name: number, in: path, required: true},{name: note, in: path, required: true}], responses: {'200': {description: ok}}}
    delete: {parameters: [{name: book_id, in: path, required: true},{name: number, in: path, required: true},{name: note, in: path, required: true}], responses: {'204': {description: ok}}}
"""
)
NINJA = {
    "site/settings.py": 'ROOT_URLCONF = "site.urls"\n',
    "site/urls.py": """\
from django.urls import path
from ninja import NinjaAPI
from books.api import router
api = NinjaAPI()
api.add_router("/books", router)
urlpatterns = [path("", api.urls)]
""",
    "books/api.py": """\
from ninja import Router, Schema
router = Router()
class Book(Schema):
    id: int
    title: str
@router.get("/", response=list[Book])
def list_books(request, limit: int = 20):
    return []
@router.post("/", response={201: Book})
def create(request, data: Book):
    return 201, {}
@router.get("/{book_id}")
def one(request, book_id: int):
    return {}
""",
}
VERSIONED = {
    **PLAIN_DJANGO,
    "openapi.yaml": PLAIN_DJANGO["openapi.yaml"].replace("url: /api", "url: /api/v1"),
    "site/urls.py": PLAIN_DJANGO["site/urls.py"]
    .replace('"api/"', r'r"^api/v(?P<version>\d+)/"')
    .replace("path", "re_path"),
}
CHANGES: dict[str, tuple[Mapping[str, str], list[tuple[str, str, str, set[str]]]]] = {
    "smorest": (
        SMOREST,
        [
            ("books/resources.py", '"/<int:book_id>"', '"/by/<int:book_id>"', {"route-missing"}),
            ("books/resources.py", "response(201", "response(200", {"status-undocumented"}),
            ("books/resources.py", "def post", "def put", {"route-missing", "route-extra"}),
        ],
    ),
    "restx": (
        RESTX,
        [
            ("books/app.py", '"/<int:book_id>"', '"/by/<int:book_id>"', {"route-missing"}),
            ("books/app.py", '{"id": 1}, 201', '{"id": 1}, 202', {"status-undocumented"}),
        ],
    ),
    "restful": (
        RESTFUL,
        [
            ("books/app.py", '"/books/<int:book_id>"', '"/by/<int:book_id>"', {"route-missing"}),
            ("books/app.py", '{"id": 1}, 201', '{"id": 1}, 202', {"status-undocumented"}),
            ("books/app.py", '        request.args.get("limit")\n', "", {"query-param-missing"}),
        ],
    ),
    "views": (
        VIEWS,
        [
            ("books/app.py", '"/books/<int:book_id>"', '"/by/<int:book_id>"', {"route-missing"}),
            ("books/app.py", '{"id": 1}, 201', '{"id": 1}, 202', {"status-undocumented"}),
            ("books/app.py", '        request.args.get("limit")\n', "", {"query-param-missing"}),
            ("books/app.py", "abort(404)", "abort(409)", {"status-undocumented"}),
        ],
    ),
    "derived": (
        DERIVED,
        [
            ("books/routes.py", '"/{book_id}"', '"/by/{book_id}"', {"route-missing"}),
            ("books/routes.py", "status_code=201", "status_code=202", {"status-undocumented"}),
            ("books/routes.py", "le=100", "le=1000", {"constraint-not-enforced"}),
        ],
    ),
    "pairs": (
        PAIRS,
        [
            ("books/routes.py", '"/{book_id}"', '"/by/{book_id}"', {"route-missing"}),
            ("books/main.py", '"/books"', '"/book"', {"route-missing"}),
        ],
    ),
    "listed": (LISTED, [("books/routes.py", '"/{book_id}"', '"/by/{book_id}"', {"route-missing"})]),
    "cbv": (
        CBV,
        [
            ("books/main.py", '"/{book_id}"', '"/by/{book_id}"', {"route-missing"}),
            ("books/main.py", "status_code=201", "status_code=202", {"status-undocumented"}),
            ("books/main.py", "HTTPException(404)", "HTTPException(409)", {"status-undocumented"}),
        ],
    ),
    "versioned": (VERSIONED, [("books/urls.py", '"stats/"', '"stat/"', {"route-missing"})]),
    "nested": (
        NESTED,
        [
            ("books/urls.py", '"pages", views', '"sheets", views', {"route-missing"}),
            ("site/urls.py", '"stats/"', '"stat/"', {"route-missing"}),
            ("books/views.py", "notes/(?P", "note/(?P", {"route-missing"}),
            ("books/views.py", "@notes.mapping.delete", "@notes.mapping.post", {"route-missing"}),
        ],
    ),
    "ninja": (
        NINJA,
        [
            ("books/api.py", '"/{book_id}"', '"/by/{book_id}"', {"route-missing"}),
            ("site/urls.py", '"/books"', '"/book"', {"route-missing"}),
        ],
    ),
}


@pytest.fixture
def start(tmp_path: Path, person: Path) -> Start:
    return Start(tmp_path / "books service")


@pytest.mark.parametrize("form", CHANGES)
def test_routes_are_read_as_this_framework_writes_them(start: Start, form: str) -> None:
    files, changes = CHANGES[form]
    assert start.judge({"openapi.yaml": SPEC}, files) == []
    start.commit({})
    for path, old, new, words in changes:
        changed = files[path].replace(old, new)
        assert changed != files[path]
        write(start.root, {path: changed})
        git(start.root, "commit", "--quiet", "--all", "--allow-empty", "--amend", "-m", "changed")
        held = {deviation.id for deviation in start.judge_last() if deviation.held}
        assert held >= words, (old, new)
        assert held <= {*words, "route-extra"}, (old, new)
        write(start.root, {path: files[path]})


MORE = {
    "openapi.yaml": SPEC,
    "books/paging.py": """\
from flask import request


def page():
    return request.args.get("limit", "20")
""",
    "books/app.py": """\
from flask import Flask, abort, jsonify, request

from books.paging import page

app = Flask(__name__)


@app.route("/books", methods=["GET", "POST"])
def books():
    if request.method == "POST":
        return jsonify({"id": 1}), 201
    limit = page()
    return jsonify([limit])


@app.get("/books/<int:book_id>")
def one(book_id):
    return jsonify({}) if book_id else abort(404)
""",
}


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        ("books/app.py", '{"id": 1}), 201', '{"id": 1}), 202', [("status-undocumented", "POST /books 202")]),
        ("books/app.py", "[limit])", "[limit]), 206", [("status-undocumented", "GET /books 206")]),
        ("books/paging.py", '"limit"', '"size"', [("query-param-missing", "GET /books limit")]),
        ("books/app.py", "page()", "made.parameters()", []),
    ],
)
def test_a_handler_of_several_methods_and_its_helpers_are_read(
    start: Start, path: str, old: str, new: str, words: list[tuple[str, str]]
) -> None:
    assert old in MORE[path]
    assert start.held(MORE, {path: MORE[path].replace(old, new)}) == words
