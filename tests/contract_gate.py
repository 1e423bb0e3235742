"""A small FastAPI service, a Flask one and a Go one, each with its specification, for the tests of the gate."""

SPEC = """\
openapi: 3.1.0
info: {title: Books, version: '1'}
paths:
  /books:
    get:
      operationId: listBooks
      parameters:
        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100}}
      responses:
        '200': {description: ok, content: {application/json: {schema:
          {type: array, items: {$ref: '#/components/schemas/Book'}}}}}
    post:
      operationId: createBook
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/NewBook'}}}}
      responses:
        '201': {description: created, content: {application/json: {schema: {$ref: '#/components/schemas/Book'}}}}
        '422': {description: refused}
  /books/{book_id}:
    get:
      operationId: getBook
      parameters: [{name: book_id, in: path, required: true, schema: {type: integer}}]
      responses:
        '200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Book'}}}}
        '404': {description: none}
components:
  schemas:
    NewBook:
      {type: object, required: [title], properties: {title: {type: string, maxLength: 100}, pages: {type: integer}}}
    Book:
      type: object
      additionalProperties: false
      required: [id, title]
      properties:
        id: {type: integer}
        title: {type: string}
        genre: {type: string, enum: [fiction, science]}
"""
MODELS = """\
from enum import Enum

from pydantic import BaseModel, Field


class Genre(str, Enum):
    fiction = "fiction"
    science = "science"


class NewBook(BaseModel):
    title: str = Field(max_length=100)
    pages: int = 0


class Book(BaseModel):
    id: int
    title: str
    genre: Genre = Genre.fiction
"""
ROUTES = """\
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from books.models import Book, NewBook

router = APIRouter(prefix="/books")
SHELF = {}


@router.get("", response_model=list[Book])
def list_books(limit: Annotated[int, Query(ge=1, le=100)] = 20):
    return list(SHELF.values())[:limit]


@router.post("", status_code=201)
def create_book(body: NewBook) -> Book:
    return Book(id=1, title=body.title)


@router.get("/{book_id}", response_model=Book)
def get_book(book_id: int):
    if book_id not in SHELF:
        raise HTTPException(status_code=404)
    return SHELF[book_id]
"""
MAIN = """\
from fastapi import FastAPI

from books import routes

app = FastAPI()
app.include_router(routes.router)


@app.get("/health")
def health():
    return {"ok": True}
"""
FASTAPI = {
    "openapi.yaml": SPEC, "books/__init__.py": "", "books/models.py": MODELS, "books/routes.py": ROUTES,
    "books/main.py": MAIN,
}  # fmt: skip
FLASK = {
    "openapi.yaml": SPEC,
    "books/app.py": """\
from flask import Blueprint, Flask, abort, jsonify, request

books = Blueprint("books", __name__, url_prefix="/books")
SHELF = {}


@books.get("")
def list_books():
    limit = int(request.args.get("limit", "20"))
    return jsonify(list(SHELF.values())[:limit])


@books.route("", methods=["POST"])
def create_book():
    return jsonify(id=1, title=request.get_json()["title"]), 201


@books.get("/<int:book_id>")
def get_book(book_id):
    if book_id not in SHELF:
        abort(404)
    return jsonify(SHELF[book_id])


def create_app():
    app = Flask(__name__)
    app.register_blueprint(books)
    return app
""",
}
GO = {
    "openapi.yaml": SPEC,
    "go.mod": "module example.org/books\n\ngo 1.24\n",
    "main.go": """\
package main

import (
	"encoding/json"
	"net/http"
)

type Book struct {
	ID    int    `json:"id"`
	Title string `json:"title"`
	Genre string `json:"genre,omitempty"`
}

func listBooks(w http.ResponseWriter, r *http.Request) {
	_ = r.URL.Query().Get("limit")
	json.NewEncoder(w).Encode([]Book{})
}

func createBook(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(Book{ID: 1})
}

func getBook(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("book_id") == "0" {
		http.Error(w, "none", http.StatusNotFound)
		return
	}
	json.NewEncoder(w).Encode(Book{ID: 1})
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /books", listBooks)
	mux.HandleFunc("POST /books", createBook)
	mux.HandleFunc("GET /books/{book_id}", getBook)
	http.ListenAndServe(":8080", mux)
}
""",
}
GRPC = {
    "books.proto": """\
syntax = "proto3";
package books.v1;  // service Nothing {
message Book { string id = 1; }
service Books {
  rpc Get(Book) returns (Book) { option deprecated = true; }
  rpc List(Book) returns (stream Book);
}
""",
    "films.proto": """\
syntax = "proto3";
package films.v1;
message Film { string id = 1; }
service Films { rpc Get(Film) returns (Film); }
""",
    "server.py": """\
import books_pb2_grpc
from base import Base


class Server(Base, books_pb2_grpc.BooksServicer):
    def Get(self, request, context):
        return request
""",
    "base.py": """\
class Base:
    def List(self, request, context):
        return request
""",
    "main.go": """\
package main

type films struct{ pb.UnimplementedFilmsServer }

func (f *films) Get(ctx context.Context, r *pb.Film) (*pb.Film, error) { return r, nil }

func main() { pb.RegisterFilmsServer(grpc.NewServer(), &films{}) }
""",
}
GRAPHQL = {
    "schema.graphql": """\
type Book { id: ID! title: String! pageCount: Int! }
type Author { id: ID! name: String }
type Query { book(id: ID!): Book books(first: Int! = 10): [Book!]! }
""",
    "schema.py": """\
import strawberry


@strawberry.type
class Book:
    id: strawberry.ID
    title: str
    page_count: int


@strawberry.type
class Query:
    @strawberry.field
    def book(self, id: strawberry.ID) -> Book | None:
        return None

    @strawberry.field
    def books(self, first: int = 10) -> list[Book]:
        return []
""",
    "old.py": """\
import graphene


class Author(graphene.ObjectType):
    id = graphene.ID(required=True)
    name = graphene.String()
""",
}
DJANGO = {
    "openapi.yaml": """\
openapi: 3.0.3
info: {title: Books, version: '1'}
servers: [{url: /api}]
paths:
  /books:
    get: {responses: {'200': {description: ok}}}
    post: {responses: {'201': {description: made}}}
  /books/{id}:
    get: {parameters: [{name: id, in: path, required: true}], responses: {'200': {description: ok}}}
  /books/{id}/lend:
    post: {parameters: [{name: id, in: path, required: true}], responses: {'204': {description: ok}}}
  /stats:
    get: {responses: {'200': {description: ok}}}
  /stats/{year}:
    get: {parameters: [{name: year, in: path, required: true}], responses: {'200': {description: ok}}}
""",
    "site/settings.py": 'ROOT_URLCONF = "site.urls"\n',
    "site/urls.py": """\
from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("api/", include("books.urls"))]
""",
    "books/urls.py": """\
from django.urls import path, re_path
from rest_framework.routers import DefaultRouter

from . import views

router = DefaultRouter()
router.register(r"books", views.Books)
urlpatterns = [path("stats/", views.stats), re_path(r"^stats/(?P<year>[0-9]{4})/$", views.Year.as_view())]
urlpatterns += router.urls
""",
    "books/views.py": """\
from rest_framework import generics, mixins, viewsets
from rest_framework.decorators import action, api_view
from rest_framework.response import Response


class Books(mixins.ListModelMixin, mixins.CreateModelMixin, viewsets.GenericViewSet):
    def retrieve(self, request, pk=None):
        return Response({})

    @action(detail=True, methods=["post"])
    def lend(self, request, pk=None):
        return Response(status=204)


@api_view(["GET"])
def stats(request):
    return Response({})


class Year(generics.RetrieveAPIView):
    pass
""",
}
