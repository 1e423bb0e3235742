# ruff: noqa: E501 - a specification is read best in few lines
"""call_api over gRPC, GraphQL and WebSocket: against real servers, judged by what the repository declares."""

import json
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.contracts import sources
from mcp_backend.contracts.calling import rpcs
from mcp_backend.contracts.specs import find
from mcp_backend.settings import workspace
from tests.conftest import ERAS, Connect, Era, git
from tests.service import ask, refused, write
from tests.test_call_api import Reply, always, breaks, says, serving

PROTO = """\
syntax = "proto3";
package orders.v1;
import "google/protobuf/timestamp.proto";
enum State { STATE_UNSPECIFIED = 0; STATE_OPEN = 1; }
message GetRequest { string id = 1; }
message Order { string id = 1; int64 total = 2; State state = 3; google.protobuf.Timestamp at = 4; map<string, Order> parts = 5; }
service Orders {
  rpc Get(GetRequest) returns (Order) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Pay(GetRequest) returns (Order);
  rpc Watch(GetRequest) returns (stream Order);
  rpc Put(stream Order) returns (Order);
  rpc Gone(GetRequest) returns (Order);
}
"""
SERVED = (
    PROTO.replace("int64 total = 2", "string total = 2")
    .replace("STATE_OPEN = 1;", "STATE_OPEN = 1; STATE_LOST = 7;")
    .replace("parts = 5;", "parts = 5; string note = 9;")
)
SDL = """\
type Query { order(id: ID!): Order, orders: [Node!]! }
type Mutation { pay(id: ID!): Order! }
interface Node { id: ID! }
enum State { OPEN PAID }
type Order implements Node { id: ID!, total: Int!, state: State, parts: [Order!] }
"""
ASYNCAPI = """\
asyncapi: 3.0.0
info: {title: Feed, version: '1'}
channels:
  feed:
    address: /feed/{room}
    parameters: {room: {}}
    messages:
      said: {payload: {type: object, required: [text], properties: {text: {type: string}}}}
      say: {payload: {type: object, required: [say], properties: {say: {type: string}}}}
operations:
  tell: {action: send, channel: {$ref: '#/channels/feed'}, messages: [{$ref: '#/channels/feed/messages/said'}]}
  hear: {action: receive, channel: {$ref: '#/channels/feed'}, messages: [{$ref: '#/channels/feed/messages/say'}]}
"""


@pytest.fixture(autouse=True)
def proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that would send everything to a proxy, which is not there."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def grpc_server(
    folder: Path, proto: str, behave: dict[str, Callable[..., Any]], versions: tuple[str, ...] = ()
) -> Generator[str]:
    """A server of the orders service made from a proto, and reflection under these names of the protocol."""
    import grpc
    from google.protobuf import descriptor_pool
    from grpc_reflection.v1alpha import reflection

    folder.mkdir()
    write(folder, {"orders.proto": proto})
    git(folder, "init", "--quiet")
    source = sources.work_tree(workspace(folder))
    found = rpcs.declared(source, "", "Get")[0]
    assert found is not None
    handlers: dict[str, Any] = {}
    kinds: dict[tuple[bool, bool], Any] = {
        (False, False): grpc.unary_unary_rpc_method_handler, (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
    }  # fmt: skip
    for name, function in behave.items():
        rpc = rpcs.declared(source, "", name)[0]
        assert rpc is not None

        def handle(sent: Any, context: Any, f: Any = function, answer: Any = rpc.response) -> Any:
            return f(sent, context, answer)

        handlers[name] = kinds[rpc.client_streaming, rpc.server_streaming](
            handle, request_deserializer=rpc.request.FromString, response_serializer=rpc.response.SerializeToString
        )
    server: Any = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("orders.v1.Orders", handlers),))
    pool: Any = descriptor_pool.DescriptorPool()
    for file in rpcs.descriptors(source, find(source)[0]).files:
        pool.AddSerializedFile(file.SerializeToString())
    servicer: Any = reflection.ReflectionServicer(("orders.v1.Orders",), pool=pool)
    from grpc_reflection.v1alpha import reflection_pb2 as pb

    messages: Any = pb
    for version in versions:
        described = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo, request_deserializer=messages.ServerReflectionRequest.FromString,
            response_serializer=messages.ServerReflectionResponse.SerializeToString,
        )  # fmt: skip
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(version, {"ServerReflectionInfo": described}),)
        )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def get(sent: Any, context: Any, answer: Any) -> Any:
    return answer(id=sent.id, total=5, state=1)


def odd(sent: Any, context: Any, answer: Any) -> Any:
    return answer(id=sent.id, total="5", state=7, note="x")


def refuses(sent: Any, context: Any, answer: Any) -> Any:
    import grpc

    context.abort(grpc.StatusCode.NOT_FOUND, "no such order")


def many(sent: Any, context: Any, answer: Any) -> Iterator[Any]:
    for number in range(100):
        yield answer(id=str(number))


def put(sent: Any, context: Any, answer: Any) -> Any:
    return answer(id="-".join(one.id for one in sent))


@pytest.mark.parametrize("era", ERAS)
async def test_an_rpc_is_called_by_the_proto_of_the_repository(
    repository: Path, connect: Connect, tmp_path: Path, era: Era
) -> None:
    write(repository, {"proto/orders.proto": PROTO})
    behave = {"Get": get, "Pay": refuses, "Watch": many, "Put": put}
    with grpc_server(tmp_path / "served", PROTO, behave) as target:
        async with connect(repository, mode=era) as client:
            call = {"target": target, "protocol": "grpc"}
            got = await ask(client, "call_api", **call, operation="orders.v1.Orders/Get", body={"id": "7"})
            failed = await ask(client, "call_api", **call, operation="Orders.Pay", body={"id": "7"})
            streamed = await ask(client, "call_api", **call, operation="Watch", body={"id": "7"})
            sent = await ask(client, "call_api", **call, operation="Put", body=[{"id": "a"}, {"id": "b"}])
            gone = await ask(client, "call_api", **call, operation="Gone", body={})
            wrong = await refused(client, "call_api", **call, operation="Get", body={"idd": "7"})
            unknown = await refused(client, "call_api", **call, operation="Got")
    assert (got["status"], got["verdict"], got["body"]["id"], got["body"]["state"]) == (
        "OK",
        "matches",
        "7",
        "STATE_OPEN",
    )
    assert (failed["status"], failed["details"]) == ("NOT_FOUND", "no such order")
    assert (len(streamed["body"]), streamed["truncated"], streamed["verdict"]) == (20, True, "unverified")
    assert sent["body"]["id"] == "a-b"
    assert [d["id"] for d in gone["deviations"]] == ["rpc-unimplemented"]
    assert wrong["code"] == "invalid_argument"
    assert "orders.v1.GetRequest" in wrong["reason"]
    assert unknown["code"] == "not_found"


async def test_what_the_proto_does_not_have_is_found_in_the_answer(
    repository: Path, connect: Connect, tmp_path: Path
) -> None:
    write(repository, {"proto/orders.proto": PROTO})
    with grpc_server(tmp_path / "served", SERVED, {"Get": odd}) as target:
        async with connect(repository) as client:
            found = await ask(client, "call_api", target=target, protocol="grpc", operation="Get", body={"id": "7"})
    assert {(d["id"], d["where"]) for d in found["deviations"]} == {
        ("type-mismatch", "Order.total"), ("enum-value-extra", "Order.state"), ("field-extra", "Order.9"),
    }  # fmt: skip


@pytest.mark.parametrize("version", rpcs.REFLECTIONS)
async def test_without_a_proto_the_server_is_asked_for_it(
    repository: Path, connect: Connect, tmp_path: Path, version: str
) -> None:
    with grpc_server(tmp_path / "served", PROTO, {"Get": get}, (version,)) as target:
        async with connect(repository) as client:
            found = await ask(
                client, "call_api", target=target, protocol="grpc", operation="orders.v1.Orders/Get", body={"id": "7"}
            )
            unknown = await refused(
                client, "call_api", target=target, protocol="grpc", operation="orders.v1.Orders/Got"
            )
    assert (found["status"], found["body"]["id"], found["reflection"]) == ("OK", "7", version)
    assert (found["verdict"], found["contract"]) == ("unverified", None)
    assert unknown["code"] == "not_found"
    assert "orders.v1.Orders/Get" in unknown["reason"]


async def test_a_server_that_is_down_or_does_not_describe_itself_is_told(
    repository: Path, connect: Connect, tmp_path: Path
) -> None:
    with grpc_server(tmp_path / "served", PROTO, {"Get": get}) as target:
        async with connect(repository) as client:
            silent = await refused(client, "call_api", target=target, protocol="grpc", operation="orders.v1.Orders/Get")
    async with connect(repository) as client:
        down = await refused(client, "call_api", target=target, protocol="grpc", operation="orders.v1.Orders/Get")
    write(repository, {"proto/orders.proto": PROTO})
    with serving(says({})) as (http, _):
        async with connect(repository) as client:
            other = await refused(client, "call_api", target=http, protocol="grpc", operation="Pay")
    assert (silent["code"], down["code"], other["code"]) == ("not_found", "unavailable", "unavailable")
    assert "the request was not sent" in other["reason"]
    assert "nothing was sent" in down["reason"]


async def test_only_an_rpc_declared_to_be_harmless_goes_unasked_outside_development(
    repository: Path, connect: Connect, tmp_path: Path
) -> None:
    with grpc_server(tmp_path / "served", PROTO, {"Get": get, "Pay": get}) as target:
        toml = f'[services.orders]\nurl = "grpc://{target}"\nenvironment = "staging"\n'
        write(repository, {"proto/orders.proto": PROTO, "mcp-backend.toml": toml})
        async with connect(repository) as client:
            read = await ask(client, "call_api", target="orders", protocol="grpc", operation="Get", body={"id": "7"})
            written = await refused(
                client, "call_api", target="orders", protocol="grpc", operation="Pay", body={"id": "7"}
            )
    assert read["environment"] == "staging"
    assert (written["code"], written["constraint"]) == ("failed_precondition", "data-consistency")
    assert "NO_SIDE_EFFECTS" in written["reason"]


async def test_an_rpc_that_may_write_and_got_no_answer_is_unknown(
    repository: Path, connect: Connect, tmp_path: Path
) -> None:
    write(repository, {"proto/orders.proto": PROTO})
    stop = threading.Event()

    def hangs(sent: Any, context: Any, answer: Any) -> Any:
        stop.wait(60)
        return answer()

    with grpc_server(tmp_path / "served", PROTO, {"Get": hangs, "Pay": hangs}) as target:
        async with connect(repository) as client:
            call: dict[str, Any] = {"target": target, "protocol": "grpc", "body": {}, "timeout_seconds": 1.5}
            read = await refused(client, "call_api", **call, operation="Get")
            written = await refused(client, "call_api", **call, operation="Pay")
            stop.set()
    assert read["code"] == "deadline_exceeded"
    assert (written["code"], "may or may not" in written["reason"]) == ("unavailable", True)


@pytest.mark.parametrize("era", ERAS)
async def test_a_graphql_answer_is_compared_with_the_schema(repository: Path, connect: Connect, era: Era) -> None:
    write(repository, {"schema.graphql": SDL})
    query = "query One($id: ID!) { order(id: $id) { id sum: total state parts { id } } }"
    good = {"data": {"order": {"id": "1", "sum": 5, "state": "OPEN", "parts": [{"id": "2"}]}}}
    bad = {"data": {"order": {"id": None, "sum": "5", "state": "LOST", "more": 1}}}
    asked: list[Any] = []

    def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        asked.append((method, path, json.loads(body)))
        return 200, {"Content-Type": "application/json"}, json.dumps(bad if len(asked) > 1 else good).encode()

    with serving(answer) as (url, _):
        async with connect(repository, mode=era) as client:
            call = {"target": url, "protocol": "graphql", "body": {"query": query, "variables": {"id": "1"}}}
            first = await ask(client, "call_api", **call)
            second = await ask(client, "call_api", **call, operation="One", path="/graphql")
    assert asked[0] == ("POST", "/graphql", {"query": query, "variables": {"id": "1"}})
    assert (first["verdict"], first["contract"]) == ("matches", {"path": "schema.graphql", "operation": "One"})
    assert {(d["id"], d["where"]) for d in second["deviations"]} == {
        ("nullability-mismatch", "Order.id"), ("type-mismatch", "Order.total"), ("enum-value-extra", "Order.state"),
        ("field-missing", "Order.parts"), ("field-extra", "Order.more"),
    }  # fmt: skip


async def test_fragments_directives_and_errors_are_no_deviations(repository: Path, connect: Connect) -> None:
    write(repository, {"schema.graphql": SDL})
    query = "{ orders { id __typename ...T } order(id: 1) @include(if: false) { id } } fragment T on Order { total state @skip(if: true) }"
    data = {"orders": [{"id": "1", "__typename": "Order", "total": 1}]}
    with (
        serving(says({"data": data})) as (fine, _),
        serving(says({"errors": [{"message": "no"}], "data": None})) as (failing, _),
    ):
        async with connect(repository) as client:
            first = await ask(client, "call_api", target=fine, protocol="graphql", body=query)
            second = await ask(client, "call_api", target=failing, protocol="graphql", body=query)
            wrong = await ask(client, "call_api", target=failing, protocol="graphql", body="{ nothing }")
    assert (first["verdict"], second["verdict"], second["failed"]) == ("matches", "matches", True)
    assert "nothing" in wrong["request_problems"][0]


async def test_a_mutation_waits_outside_development_and_a_query_where_nobody_named_the_endpoint(
    repository: Path, connect: Connect
) -> None:
    with serving(says({"data": {"order": None}})) as (url, seen):
        toml = f'[services.api]\nurl = "{url}/graphql"\nenvironment = "staging"\n'
        write(repository, {"schema.graphql": SDL, "mcp-backend.toml": toml})
        async with connect(repository) as client:
            mutation = await refused(
                client, "call_api", target="api", protocol="graphql", body="mutation { pay(id: 1) { id } }"
            )
            hidden = await refused(
                client, "call_api", target="api", protocol="graphql", operation="B",
                body="query A { order(id: 1) { id } } mutation B { pay(id: 1) { id } }",
            )  # fmt: skip
            elsewhere = await refused(
                client,
                "call_api",
                target=url,
                path="/orders/1/cancel",
                protocol="graphql",
                body="{ order(id: 1) { id } }",
            )
            read = await ask(client, "call_api", target="api", protocol="graphql", body="{ order(id: 1) { id } }")
    assert {e["code"] for e in (mutation, hidden, elsewhere)} == {"failed_precondition"}
    assert (seen, read["verdict"]) == (["POST /graphql"], "matches")


async def test_a_wrong_graphql_request_is_named_and_a_broken_mutation_is_unknown(
    repository: Path, connect: Connect
) -> None:
    bodies = (
        "",
        "{ order(",
        7,
        {"query": "{ a }", "x": 1},
        "subscription { a }",
        "query A { a } query B { b }",
        {"query": "{ a }", "variables": [1]},
    )
    with serving(breaks) as (url, seen):
        async with connect(repository) as client:
            for body in bodies:
                error = await refused(client, "call_api", target=url, protocol="graphql", body=body)
                assert error["code"] == "invalid_argument", body
            assert seen == []
            lost = await refused(
                client, "call_api", target=url, protocol="graphql", body="mutation { pay(id: 1) { id } }"
            )
    assert "may or may not" in lost["reason"]


@contextmanager
def websocket_server(talk: Callable[[Any], None]) -> Generator[str]:
    from websockets.sync.server import serve

    with serve(talk, "127.0.0.1", 0, close_timeout=1) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("era", ERAS)
async def test_messages_of_a_websocket_are_compared_with_asyncapi(repository: Path, connect: Connect, era: Era) -> None:
    write(repository, {"asyncapi.yaml": ASYNCAPI})

    def talk(socket: Any) -> None:
        said = json.loads(socket.recv())
        socket.send(json.dumps({"text": said["say"]}))
        if said["say"] == "odd":
            socket.send(json.dumps({"text": 5}))
        socket.close(code=1000, reason="done")

    with websocket_server(talk) as url:
        async with connect(repository, mode=era) as client:
            call = {"target": url, "protocol": "websocket", "path": "/feed/one"}
            good = await ask(client, "call_api", **call, body={"say": "hello"})
            odd = await ask(client, "call_api", **call, body={"say": "odd", "more": 1})
            asked = await ask(client, "call_api", **call, operation="hear", body={"say": 5})
    assert (good["status"], good["body"], good["verdict"], good["ended"]) == (
        101,
        [{"text": "hello"}],
        "matches",
        "closed 1000 done",
    )
    assert good["contract"] == {"path": "asyncapi.yaml", "operation": "feed"}
    assert [(d["id"], d["where"]) for d in odd["deviations"]] == [("type-mismatch", "said.text")]
    assert "say.say: expected string" in asked["request_problems"][0]


async def test_a_websocket_is_refused_or_ends_and_says_so(repository: Path, connect: Connect) -> None:
    def silent(socket: Any) -> None:
        socket.recv()

    def breaking(socket: Any) -> None:
        socket.recv()
        socket.socket.close()

    with (
        websocket_server(silent) as url,
        websocket_server(breaking) as broken,
        serving(always(403, {}, b"no")) as (http, _),
    ):
        async with connect(repository) as client:
            quiet = await ask(client, "call_api", target=url, protocol="websocket", path="/x", timeout_seconds=1.5)
            rejected = await ask(client, "call_api", target=http, protocol="websocket", path="/x")
            lost = await refused(client, "call_api", target=broken, protocol="websocket", path="/x", body={"a": 1})
    assert (quiet["body"], quiet["ended"], quiet["verdict"]) == ([], "timeout", "unverified")
    assert (rejected["status"], rejected["verdict"]) == (403, "unverified")
    assert "may or may not" in lost["reason"]


async def test_a_missing_package_is_named_by_its_extra(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(repository) as client:
        for protocol, module in (("grpc", "grpc_reflection"), ("websocket", "websockets"), ("graphql", "graphql")):
            monkeypatch.setitem(sys.modules, module, None)
            error = await refused(
                client, "call_api", target="127.0.0.1:9", protocol=protocol, operation="A/B", body="{ a }"
            )
            assert error["code"] == "unavailable"
            assert "mcp-backend[contracts]" in error["reason"]
