"""GraphQL over HTTP: one query or mutation, checked against the schema in the repository, and the shape of its answer.

https://graphql.github.io/graphql-over-http/draft/, https://spec.graphql.org/draft/#sec-Response-Format
"""

from dataclasses import replace
from typing import Any, cast

from mcp_backend.contracts import specs
from mcp_backend.contracts.calling.asking import Asked, Got, Request, encoded, split
from mcp_backend.contracts.calling.graphql_shape import Shape
from mcp_backend.contracts.calling.line import Line
from mcp_backend.contracts.calling.over_http import exchange, text_of
from mcp_backend.contracts.documents import Broken, mapping
from mcp_backend.contracts.graphql.loading import MISSING, schema_of
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.words import Deviation, Unverified
from mcp_backend.errors import InvalidArgument, NotFound, Unavailable

PATH = "/graphql"
_KEYS = {"query", "variables", "operationName", "extensions"}


def prepare(asked: Asked) -> Request:
    """The request. Raises `InvalidArgument`, `NotFound`, `Unavailable` without the extra."""
    try:
        from graphql import GraphQLError, OperationDefinitionNode, get_operation_ast, parse, validate
    except ImportError as error:
        raise Unavailable(MISSING) from error
    if asked.method not in ("", "POST"):
        raise InvalidArgument("method: GraphQL is sent by POST; leave it out")
    spec_path, name = split(asked.operation)
    body = _body(asked.body, name)
    try:
        document = parse(str(body["query"]))
    except (GraphQLError, RecursionError) as error:
        raise InvalidArgument(f"body: not a GraphQL document: {str(error)[:300]}") from error
    operation = get_operation_ast(document, cast("str | None", body.get("operationName")))
    if operation is None:
        names = [d.name.value for d in document.definitions if isinstance(d, OperationDefinitionNode) and d.name]
        raise InvalidArgument(f"operation: expected the name of one operation of the document: {', '.join(names)}")
    kind = operation.operation.value
    if kind == "subscription":
        raise InvalidArgument("body: a subscription is no single request; call it with protocol websocket")
    spec, schema, note = _schema(asked.source, spec_path)
    problems: list[str] = []
    if schema is not None:
        problems = [error.message[:200] for error in validate(schema, document)[:5]]
    path = asked.target.path + asked.path if asked.path or asked.target.path else PATH
    if asked.target.query or "?" in path or not path.startswith("/"):
        raise InvalidArgument("path: expected the path of the GraphQL endpoint, such as /graphql, without a query")
    content, secret_content = encoded(body), encoded(asked.resolve(body))
    # Outside development only an endpoint that a person named is known to speak GraphQL: another might do something
    # with any POST at all.
    service = asked.target.service
    declared = asked.target.environment == "development" or (
        service is not None and asked.target.path != "" and not asked.path and _path(service.url) == asked.target.path
    )
    reads = kind == "query" and declared and not asked.headers.overrides_method
    why = "a mutation changes something" if kind == "mutation" else (
        "a POST may change something where the policy does not name the path as a GraphQL endpoint (services.NAME.url)"
    )  # fmt: skip

    def send(line: Line) -> Got:
        headers = {"Accept": "application/graphql-response+json, application/json"} | dict(asked.headers.sent)
        got = exchange(line, "POST", path, headers | {"Content-Type": "application/json"}, secret_content, reads=reads)
        got.body = text_of(got)
        _judge(got, Shape(schema, document, operation) if schema is not None else None, note)
        return got

    named = operation.name.value if operation.name else kind
    return Request(kind, asked.target.origin + path, content, reads, why, send, spec, named, tuple(problems))


def _body(body: Any, name: str) -> dict[str, Any]:
    """The parameters of the request: a document alone, or an object with it."""
    given = {"query": body} if isinstance(body, str) else mapping(body)
    if not isinstance(given.get("query"), str) or not given["query"].strip() or set(given) - _KEYS:
        raise InvalidArgument('body: expected a GraphQL document, or {"query": …, "variables": …, "operationName": …}')
    if not isinstance(given.get("variables") or {}, dict):
        raise InvalidArgument("body: variables: expected an object")
    if name:
        if given.get("operationName") not in (None, name):
            raise InvalidArgument("operation: differs from operationName of body; give one of them")
        return {**given, "operationName": name}
    return given


def _schema(source: Source, path: str) -> tuple[str, Any, str]:
    """The specification, its schema, and why there is none."""
    found = [s for s in specs.find(source, path) if s.kind == "graphql"]
    if path and not found:
        raise NotFound(f"operation: {path} is no GraphQL schema")
    if len(found) != 1:
        names = ", ".join(s.path for s in found[:8])
        return "", None, (f"several schemas are here, name one as operation: PATH#NAME: {names}" if found
                          else "no GraphQL schema is in this repository")  # fmt: skip
    try:
        return found[0].path, schema_of(source, found[0]), ""
    except Broken as error:
        return found[0].path, None, str(error)[:300]


def _path(url: str) -> str:
    """The path of a service's URL; that of a reference is not known."""
    return "/" + url.partition("://")[2].partition("/")[2].rstrip("/") if "://" in url else ""


def _judge(got: Got, shape: Shape | None, note: str) -> None:
    answer = mapping(got.body)
    if not got.whole:
        got.unverified.append(Unverified("*", "the answer was not read to its end"))
    elif not answer.keys() & {"data", "errors"}:
        expected = "an object with data or errors"
        got.deviations.append(Deviation("type-mismatch", "different", "*", expected, "something else", "response"))
    elif shape is None:
        got.unverified.append(Unverified("*", note))
    elif mapping(answer.get("data")) or not answer.get("errors"):
        found = shape.look(answer.get("data"), failed=bool(answer.get("errors")))
        got.deviations += [replace(d, source="response") for d in found]
    if answer.get("errors"):
        got.more["failed"] = True
