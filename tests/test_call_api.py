# ruff: noqa: E501 - a specification is read best in few lines
"""call_api over HTTP: the answer is judged by the contract, credentials stay hidden, nothing leaves the checked address."""

import asyncio
import gzip
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from mcp_backend.contracts import reading, sources
from mcp_backend.contracts.calling import addresses
from mcp_backend.contracts.calling.line import Line, within
from mcp_backend.contracts.calling.over_http import exchange
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from tests.conftest import ERAS, Connect, Era
from tests.service import ask, refused, write

SECRET = "tok-9f8e7d6c5b4a"
SPEC = """\
openapi: 3.0.3
info: {title: Orders, version: '1'}
servers: [{url: /v1}]
paths:
  /orders:
    get:
      operationId: listOrders
      security: [{key: []}]
      parameters: [{name: limit, in: query, schema: {type: integer, maximum: 10}}]
      responses: {'200': {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Order'}}}}}}
    post:
      operationId: createOrder
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}
      responses: {'201': {description: made}, '422': {description: bad}}
  /orders/{id}:
    get:
      operationId: getOrder
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses:
        '200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}
        '404': {description: none}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Door}}
  schemas:
    Order: {type: object, required: [id, total], properties: {id: {type: integer}, total: {type: integer}, state: {type: string, enum: [open, paid]}}}
"""
Reply: TypeAlias = tuple[int, dict[str, str], bytes]
Answerer: TypeAlias = Callable[[str, str, dict[str, str], bytes], Reply | None]


@contextmanager
def serving(answer: Answerer) -> Generator[tuple[str, list[str]]]:
    """A service on this machine, and what it was asked. An answer of `None` breaks the connection."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append(f"{self.command} {self.path}")
            reply = answer(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            self.close_connection = True
            if reply is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, headers, content = reply
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()


def says(value: Any, status: int = 200, **headers: str) -> Answerer:
    """Answers everything with one JSON value."""
    given = {"Content-Type": "application/json"} | {n.replace("_", "-"): v for n, v in headers.items()}
    return always(status, given, json.dumps(value).encode())


def always(status: int, headers: dict[str, str] | None = None, content: bytes = b"") -> Answerer:
    """Answers everything with the same."""

    def answer(method: str, path: str, given: dict[str, str], body: bytes) -> Reply:
        return status, headers or {}, content

    return answer


def breaks(method: str, path: str, headers: dict[str, str], body: bytes) -> None:
    """Ends the connection instead of an answer."""


def one_order(**changed: Any) -> AbstractContextManager[tuple[str, list[str]]]:
    return serving(says({"id": 1, "total": 5, "state": "open"} | changed))


@pytest.fixture
def orders(repository: Path) -> Path:
    write(repository, {"openapi.yaml": SPEC})
    return repository


@pytest.mark.parametrize("era", ERAS)
async def test_an_answer_that_keeps_to_the_contract_matches(orders: Path, connect: Connect, era: Era) -> None:
    with one_order() as (url, seen):
        async with connect(orders, mode=era) as client:
            by_path = await ask(client, "call_api", target=url, method="GET", path="/v1/orders/1")
            by_id = await ask(client, "call_api", target=url, operation="getOrder", path="/orders/1")
            under_base = await ask(
                client, "call_api", target=f"{url}/v1", operation="GET /orders/{id}", path="/orders/1"
            )
    assert seen == ["GET /v1/orders/1"] * 3
    for found in (by_path, by_id, under_base):
        assert (found["status"], found["verdict"], found["deviations"], found["truncated"]) == (
            200,
            "matches",
            [],
            False,
        )
        assert found["contract"] == {"path": "openapi.yaml", "operation": "getOrder"}
        assert found["body"] == {"id": 1, "total": 5, "state": "open"}


async def test_deviations_of_an_answer_are_named(orders: Path, connect: Connect) -> None:
    with one_order(total="5", state="lost") as (url, _):
        async with connect(orders) as client:
            found = await ask(client, "call_api", target=url, path="/v1/orders/1")
    assert found["verdict"] == "deviates"
    assert {(d["id"], d["where"]) for d in found["deviations"]} == {
        ("type-mismatch", "Order.total"), ("enum-value-extra", "Order.state"),
    }  # fmt: skip
    assert {d["source"] for d in found["deviations"]} == {"response"}


async def test_a_status_that_the_contract_does_not_have_is_no_match(orders: Path, connect: Connect) -> None:
    with serving(says({}, 202)) as (accepted, _), serving(says({}, 503)) as (down, _):
        async with connect(orders) as client:
            first = await ask(client, "call_api", target=accepted, path="/v1/orders/1")
            second = await ask(client, "call_api", target=down, path="/v1/orders/1")
            third = await ask(client, "call_api", target=accepted, path="/v2/else")
    assert [d["id"] for d in first["deviations"]] == ["status-undocumented"]
    assert (second["verdict"], third["verdict"], third["contract"]) == ("unverified", "unverified", None)
    assert "no OpenAPI document here has GET /v2/else" in third["unverified"][0]["why"]


async def test_a_write_is_sent_to_a_service_on_this_machine_and_told_of_its_own_faults(
    orders: Path, connect: Connect
) -> None:
    with serving(always(201)) as (url, seen):
        async with connect(orders) as client:
            good = await ask(client, "call_api", target=url, operation="createOrder", body={"id": 1, "total": 2})
            odd = await ask(client, "call_api", target=url, operation="createOrder", body={"id": "x"})
    assert seen == ["POST /v1/orders"] * 2
    assert (good["status"], good["verdict"], good["environment"]) == (201, "matches", "development")
    assert "request_problems" not in good
    assert any("Order.total" in problem for problem in odd["request_problems"])


WRONG: tuple[tuple[dict[str, Any], str, str], ...] = (
        ({"operation": "getOrdr"}, "not_found", "getOrder"),
        ({"operation": "getOrder"}, "invalid_argument", "path: GET /orders/{id} has parameters"),
        ({"operation": "getOrder", "path": "/else"}, "invalid_argument", "path: expected one of GET /orders/{id}"),
        ({"operation": "getOrder", "path": "/orders/1", "method": "POST"}, "invalid_argument", "method: getOrder is GET"),
        ({"operation": "nope.yaml#x"}, "not_found", "openapi.yaml"),
        ({"path": "orders"}, "invalid_argument", "path: expected to begin with /"),
        ({"path": "/a\r\nHost: b"}, "invalid_argument", "path: expected no blanks"),
        ({"path": "/", "method": "TRACE"}, "invalid_argument", "method: expected one of GET"),
        ({"path": "/", "body": {"a": 1}, "method": "GET"}, "invalid_argument", "body: GET takes none"),
        ({"path": "/", "headers": {"Host": "else"}}, "invalid_argument", "headers.Host: is set by this server"),
        ({"path": "/", "headers": {"Transfer-Encoding": "chunked"}}, "invalid_argument", "headers.Transfer-Encoding"),
        ({"path": "/", "headers": {"X-A": "b\r\nX-C: d"}}, "invalid_argument", "headers.X-A: expected"),
        ({"path": "/", "headers": {"Authorization": "Bearer abc"}}, "invalid_argument", "a credential is given by reference"),
        ({"path": "/", "headers": {"X-Door": "abc"}}, "invalid_argument", "a credential is given by reference"),
        ({"path": "/", "headers": {"X-Note": "ghp_" + hashlib.sha256(b"orders").hexdigest()[:36]}}, "invalid_argument", "a credential is given by reference"),
        ({"path": "/?api_key=abc"}, "invalid_argument", "query parameter api_key is a credential"),
        ({"path": "/", "headers": {"X-Api-Key": "env:NOT_SET_HERE"}}, "invalid_argument", "NOT_SET_HERE is not set"),
        ({"path": "/", "headers": {"X-Api-Key": "env:AWS_SECRET_ACCESS_KEY"}}, "invalid_argument", "belongs to another program"),
        ({"path": "/", "headers": {"X-Api-Key": "file:/etc/passwd"}}, "invalid_argument", "headers.X-Api-Key"),
        ({"path": "/", "timeout_seconds": 0}, "invalid_argument", "timeout_seconds"),
)  # fmt: skip


async def test_a_wrong_request_is_named_before_anything_is_sent(
    orders: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with one_order() as (url, seen):
        async with connect(orders) as client:
            for arguments, code, expected in WRONG:
                error = await refused(client, "call_api", target=url, **arguments)
                assert error["code"] == code, arguments
                assert expected in error["reason"]
    assert seen == []


async def test_what_a_service_lets_pass_is_a_deviation_of_it_and_what_it_refuses_is_none(
    orders: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_DOOR", SECRET)
    calls: list[dict[str, Any]] = [
        {"operation": "listOrders"},
        {"operation": "listOrders", "path": "/orders?limit=11", "headers": {"X-Door": "env:ORDERS_DOOR"}},
        {"operation": "listOrders", "path": "/orders?limit=9", "headers": {"X-Door": "env:ORDERS_DOOR"}},
        {"operation": "createOrder", "body": {"id": 1}},
        {"operation": "createOrder", "body": {"id": 1, "total": 2, "state": "lost"}},
        {"operation": "getOrder", "path": "/orders/x"},
    ]

    def lax(method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        one = {"id": 1, "total": 5}
        status, content = (
            (201, None)
            if method == "POST"
            else (200, [one] if path.startswith("/v1/orders?") or path == "/v1/orders" else one)
        )
        return status, {"Content-Type": "application/json"}, json.dumps(content).encode()

    with serving(lax) as (accepts, _), serving(says({}, 422)) as (refuses, _), serving(says({}, 405)) as (knows, _):
        async with connect(orders) as client:
            passed = [await ask(client, "call_api", target=accepts, **call) for call in calls]
            stopped = [await ask(client, "call_api", target=refuses, **call) for call in calls[3:5]]
            missing = await ask(client, "call_api", target=knows, **calls[3])
    assert [[(d["id"], d["where"]) for d in found["deviations"]] for found in passed] == [
        [("auth-not-enforced", "GET /orders")],
        [("constraint-not-enforced", "GET /orders limit")],
        [],
        [("request-required-not-enforced", "Order.total")],
        [("constraint-not-enforced", "Order.state")],
        [("constraint-not-enforced", "GET /orders/{id} id")],
    ]
    assert [(found["verdict"], len(found["request_problems"])) for found in stopped] == [("matches", 1), ("matches", 1)]
    assert [d["id"] for d in missing["deviations"]] == ["route-missing"]


async def test_credentials_are_sent_by_reference_and_shown_nowhere(
    orders: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_TOKEN", SECRET)
    write(orders, {"door.txt": "door-8d7c6b5a\n"})

    def echo(method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        assert headers["authorization"] == f"Bearer {SECRET}"
        assert (headers["x-door"], headers["x-plain"]) == ("door-8d7c6b5a", "yes")
        assert path == f"/echo?api_key={SECRET}&page=2"
        content = {"heard": headers["authorization"], "at": path, "password": "hunter2", "next_page_token": "abc"}
        return (
            200,
            {"Content-Type": "application/json", "Set-Cookie": "sid=abcdef123; Path=/", "X-Echo": SECRET},
            json.dumps(content).encode(),
        )

    sent = {"Authorization": "Bearer env:ORDERS_TOKEN", "X-Door": "file:door.txt", "X-Plain": "yes"}
    with serving(echo) as (url, seen):
        async with connect(orders) as client:
            found = await ask(
                client, "call_api", target=url, path="/echo?api_key=env:ORDERS_TOKEN&page=2", headers=sent
            )
            audit = await client.read_resource("audit://recent")
    assert len(seen) == 1
    assert found["status"] == 200
    whole = json.dumps(found) + audit.model_dump_json()
    for secret in (SECRET, "door-8d7c6b5a", "hunter2", "abcdef123"):
        assert secret not in whole
    assert found["body"]["next_page_token"] == "abc"
    assert found["redacted"] >= 4
    assert "env:ORDERS_TOKEN" in audit.model_dump_json()


async def test_a_body_has_references_and_no_token_of_a_real_service(
    orders: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_PASSWORD", SECRET)
    bodies: list[Any] = []

    def login(method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        bodies.append(json.loads(body))
        return 200, {"Content-Type": "application/json"}, body

    token = "ghp_" + hashlib.sha256(b"orders").hexdigest()[:36]
    with serving(login) as (url, _):
        async with connect(orders) as client:
            call = {"target": url, "method": "POST", "path": "/login"}
            body = {"user": "env:HOME", "password": "env:ORDERS_PASSWORD", "more": [{"api_key": "plain-for-tests"}]}
            found = await ask(client, "call_api", **call, body=body)
            error = await refused(client, "call_api", **call, body={"note": token})
            audit = (await client.read_resource("audit://recent")).model_dump_json()
    assert bodies == [{"user": "env:HOME", "password": SECRET, "more": [{"api_key": "plain-for-tests"}]}]
    assert (error["code"], error["constraint"]) == ("permission_denied", "no-secrets")
    for secret in (SECRET, token):
        assert secret not in json.dumps(found) + json.dumps(error) + audit


def test_a_document_is_parsed_again_only_when_what_is_in_its_files_changed(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"api.yaml": SPEC.replace("'#/components/schemas/Order'", "'order.yaml'", 1), "order.yaml": "type: object\n"},
    )
    source = sources.work_tree(Workspace(tmp_path, tmp_path, False))
    first = reading.api(source, "api.yaml")
    assert first.documents.load("order.yaml") == {"type": "object"}
    (tmp_path / "api.yaml").touch()
    assert reading.api(source, "api.yaml") is first
    (tmp_path / "order.yaml").write_text("type: number\n")
    assert reading.api(source, "api.yaml") is not first


async def test_a_redirect_is_told_and_not_followed(orders: Path, connect: Connect) -> None:
    with (
        one_order() as (elsewhere, reached),
        serving(always(307, {"Location": f"{elsewhere}/v1/orders/1"})) as (url, _),
    ):
        async with connect(orders) as client:
            found = await ask(client, "call_api", target=url, path="/v1/orders/1")
    assert (found["status"], found["redirect"]) == (307, "not followed")
    assert found["headers"]["location"].startswith(elsewhere)
    assert reached == []


async def test_a_large_answer_is_cut_and_says_so(
    orders: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_DOOR", SECRET)
    call: dict[str, Any] = {"operation": "listOrders", "headers": {"X-Door": "env:ORDERS_DOOR"}}
    many = [{"id": i, "total": 1, "state": "open"} for i in range(2_000)]
    with serving(says(many)) as (url, _), serving(says("x" * 1_200_000)) as (huge, _):
        async with connect(orders) as client:
            found = await ask(client, "call_api", target=url, **call)
            beyond = await ask(client, "call_api", target=huge, **call)
    assert (found["truncated"], found["verdict"]) == (True, "matches")
    assert found["bytes"] > len(found["body"])
    assert (beyond["truncated"], beyond["verdict"]) == (True, "unverified")
    assert len(json.dumps(beyond)) < 12_000


async def test_a_service_that_is_down_is_unavailable_and_nothing_was_sent(orders: Path, connect: Connect) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with connect(orders) as client:
            for method in ("GET", "POST"):
                url = f"http://127.0.0.1:{taken.getsockname()[1]}"
                error = await refused(client, "call_api", target=url, method=method, path="/")
                assert error["code"] == "unavailable"
                assert "nothing was sent" in error["reason"]


async def test_a_write_that_died_midway_is_unknown_and_a_read_is_repeated(orders: Path, connect: Connect) -> None:
    with serving(breaks) as (url, seen):
        async with connect(orders) as client:
            write_ = await refused(client, "call_api", target=url, method="DELETE", path="/v1/orders/1")
            read = await refused(client, "call_api", target=url, path="/v1/orders/1")
            audit = (await client.read_resource("audit://recent")).model_dump_json()
    assert len(seen) == 2
    assert (write_["code"], read["code"]) == ("unavailable", "unavailable")
    assert "may or may not have had its effect" in write_["reason"]
    assert "only reads" in read["reason"]
    assert "unknown" in audit


async def test_a_call_that_the_host_cancels_ends_its_connection() -> None:
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                while connection.recv(65_536):
                    heard.set()
            ended.set()

        heard = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        target = addresses.place(f"http://127.0.0.1:{server.getsockname()[1]}", Policy(), "rest")
        line = Line(target, 30)
        call = asyncio.create_task(
            within(line, 30, lambda: exchange(line, "GET", "/", {}, b"", reads=True), reads=True)
        )
        assert await asyncio.to_thread(heard.wait, 60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.to_thread(ended.wait, 60)
        thread.join()


async def test_answers_that_are_no_whole_http_are_told(orders: Path, connect: Connect) -> None:
    packed = gzip.compress(b'{"id": 1, "total": 5}')
    json_ = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    raw = {
        "garbage": b"\x00\x01\x02\r\n\r\n",
        "nothing": b"",
        "short": json_ + b'Content-Length: 50\r\n\r\n{"id": 1',
        "chunked": json_ + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"id"\r\n',
        "packed": json_ + b"Content-Encoding: gzip\r\n\r\n" + packed,
        "bomb": json_ + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b" " * 30_000_000),
        "none": b"HTTP/1.1 404 Not Found\r\n\r\n",
        "unchanged": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 900\r\n\r\n",
        "many": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    }
    found: dict[str, Any] = {}
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for content in raw.values():
                connection, _ = server.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(content)

        thread = threading.Thread(target=serve)
        thread.start()
        async with connect(orders) as client:
            for name in raw:
                url = f"http://127.0.0.1:{server.getsockname()[1]}/v1/orders/1"
                answer = await client.call_tool("call_api", {"target": url})
                content: dict[str, Any] = answer.structured_content or {}
                found[name] = content.get("error", content)
        thread.join()
    assert {found[n]["code"] for n in ("garbage", "nothing", "many")} == {"unavailable"}
    for name in ("short", "chunked", "bomb"):
        assert (found[name]["status"], found[name]["truncated"], found[name]["verdict"]) == (200, True, "unverified")
    assert (found["packed"]["verdict"], found["packed"]["body"]) == ("matches", {"id": 1, "total": 5})
    assert (found["none"]["verdict"], found["unchanged"]["truncated"]) == ("matches", False)


async def test_time_is_over_for_a_service_that_drips(orders: Path, connect: Connect) -> None:
    stop = threading.Event()

    def drip(*_: object) -> None:
        stop.wait(60)

    with serving(drip) as (url, _):
        async with connect(orders) as client:
            read = await refused(client, "call_api", target=url, path="/v1/orders/1", timeout_seconds=1)
            written = await refused(
                client, "call_api", target=url, method="PUT", path="/v1/orders/1", timeout_seconds=1
            )
            stop.set()
    assert (read["code"], written["code"]) == ("deadline_exceeded", "unavailable")
    assert "may or may not" in written["reason"]


async def test_an_odd_answer_is_shown_as_far_as_it_can_be(orders: Path, connect: Connect) -> None:
    bodies = {
        "nan": (b'{"id": NaN, "total": 1e999}', "application/json"),
        "broken": (b'{"id": ', "application/json"),
        "bytes": (b"\xff\xfe\x00", "image/png"),
        "surrogate": (b'{"id": "\\ud800"}', "application/json"),
        "deep": (b"[" * 90_000, "application/json"),
    }

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        content, media = bodies[path.rpartition("=")[2]]
        return 200, {"Content-Type": media}, content

    with serving(answer) as (url, _):
        async with connect(orders) as client:
            found = {n: await ask(client, "call_api", target=url, path=f"/v1/orders/1?n={n}") for n in bodies}
    assert {f["verdict"] for f in found.values()} == {"deviates"}
    assert found["bytes"]["body"] == "3 bytes of image/png"
    assert "NaN" in str(found["nan"]["body"])
    assert "content-type-mismatch" in {d["id"] for d in found["broken"]["deviations"]}
