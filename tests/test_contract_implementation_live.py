# ruff: noqa: E501 - a specification is read best in few lines
"""check_contract against services that run, and against WebSocket applications: gRPC by reflection and by calls."""

import threading
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.contracts.calling.rpcs import REFLECTIONS
from mcp_backend.contracts.service import talking
from tests.conftest import ERAS, Connect, Era, long_proof
from tests.daemon import free_port
from tests.service import ask, refused, write
from tests.test_call_api import always, serving
from tests.test_call_api_protocols import PROTO, SERVED, get, grpc_server, many, odd, put, websocket_server

CHAT = """\
asyncapi: 3.0.0
info: {title: Chat, version: '1'}
channels:
  chat:
    address: /chat/{room}
    parameters: {room: {}}
    messages:
      said: {payload: {type: object, required: [text], properties: {text: {type: string}}, additionalProperties: false}}
      say: {payload: {type: object, required: [say], properties: {say: {type: string}}}}
      leave: {payload: {type: object, required: [leave], properties: {leave: {type: boolean}}}}
  ticks: {address: /ticks, messages: {tick: {payload: {type: object, required: [at]}}}}
operations:
  hear: {action: receive, channel: {$ref: '#/channels/chat'}, messages: [{$ref: '#/channels/chat/messages/say'}, {$ref: '#/channels/chat/messages/leave'}]}
  tell: {action: send, channel: {$ref: '#/channels/chat'}, messages: [{$ref: '#/channels/chat/messages/said'}]}
  tick: {action: send, channel: {$ref: '#/channels/ticks'}}
"""
APP = """\
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.routing import Mount, WebSocketRoute


class Chat(WebSocketEndpoint):
    encoding = "json"

    async def on_receive(self, socket, message):
        if "say" in message:
            await socket.send_json({"text": message["say"]})
        else:
            await socket.close(1000 if message["leave"] else 1007)


async def ticks(socket):
    await socket.accept()
    while True:
        await socket.send_json({"at": 1})


app = Starlette(routes=[Mount("/", routes=[WebSocketRoute("/chat/{room}", Chat), WebSocketRoute("/ticks", ticks)])])
"""


def found_in(answer: dict[str, Any]) -> set[tuple[str, str]]:
    return {(d["id"], d["where"]) for d in answer["deviations"]}


@pytest.mark.parametrize(("era", "versions"), [*zip(ERAS, (REFLECTIONS, REFLECTIONS[1:]), strict=True)])
async def test_a_running_grpc_server_is_compared_by_reflection_and_by_calls(
    repository: Path, connect: Connect, tmp_path: Path, era: Era, versions: tuple[str, ...]
) -> None:
    write(
        repository,
        {"proto/orders.proto": PROTO.replace("rpc Gone", "rpc Lost(GetRequest) returns (Order);\n  rpc Gone")},
    )
    paid: list[str] = []

    def pay(sent: Any, context: Any, answer: Any) -> Any:
        paid.append(sent.id)
        return answer()

    behave = {"Get": odd, "Pay": pay, "Watch": many, "Put": put}
    with grpc_server(tmp_path / "served", SERVED, behave, versions) as target:
        async with connect(repository, mode=era) as client:
            found = await ask(client, "check_contract", url=f"http://{target}")
    assert found_in(found) == {
        ("type-mismatch", "orders.v1.Order.total"),
        ("field-extra", "orders.v1.Order.note"),
        ("enum-value-extra", "orders.v1.State.STATE_LOST"),
        ("enum-value-extra", "Order.state"),
        ("rpc-missing", "orders.v1.Orders.Lost"),
        ("rpc-unimplemented", "orders.v1.Orders.Gone"),
    }
    assert found["sources"] == [f"reflection {versions[0].split('.')[2]}", "descriptor", "call"]
    assert not paid  # what may change something is not called
    assert {u["where"] for u in found["unverified"]} >= {"orders.v1.Orders.Pay", "orders.v1.Orders.Put"}


async def test_a_grpc_server_that_tells_nothing_of_itself_is_called_all_the_same(
    repository: Path, connect: Connect, tmp_path: Path
) -> None:
    write(repository, {"proto/orders.proto": PROTO})
    with grpc_server(tmp_path / "served", PROTO, {"Get": get, "Pay": get, "Watch": many}) as target:
        async with connect(repository) as client:
            found = await ask(client, "check_contract", url=f"grpc://{target}")
            elsewhere = await refused(client, "check_contract", url="grpc://192.0.2.1:50051")
    assert found_in(found) == {("rpc-unimplemented", "orders.v1.Orders.Gone")}
    assert any("does not describe itself" in u["why"] for u in found["unverified"])
    assert "only services on this machine" in elsewhere["reason"]


ODD = """\
  odd:
    address: /odd/{room}
    parameters: {room: {}}
    messages:
      answered: {payload: {type: object, required: [text], properties: {text: {type: string}}, additionalProperties: false}}
      odd_say: {payload: {type: object, required: [say], properties: {say: {type: string}}}}
      odd_leave: {payload: {type: object, required: [leave], properties: {leave: {type: boolean}}}}
  odd_ticks: {address: /odd_ticks, messages: {odd_tick: {payload: {type: object, required: [at]}}}}
operations:
  odd_hear: {action: receive, channel: {$ref: '#/channels/odd'}, messages: [{$ref: '#/channels/odd/messages/odd_say'}, {$ref: '#/channels/odd/messages/odd_leave'}]}
  odd_tell: {action: send, channel: {$ref: '#/channels/odd'}, messages: [{$ref: '#/channels/odd/messages/answered'}]}
  odd_tick: {action: send, channel: {$ref: '#/channels/odd_ticks'}}
"""
ODD_APP = """

class Odd(WebSocketEndpoint):
    encoding = "json"

    async def on_receive(self, socket, message):
        if "say" in message:
            await socket.send_json({"text": 7, "more": 1})
        else:
            await socket.close(1000 if message["leave"] is None else 1007)


async def odd_ticks(socket):
    await socket.accept()
    while True:
        await socket.send_json({"when": 1})


app.router.routes[:0] = [WebSocketRoute("/odd/{room}", Odd), WebSocketRoute("/odd_ticks", odd_ticks), WebSocketRoute("/tocks", ticks)]
"""


@pytest.mark.parametrize(
    ("chat", "app", "expected"),
    [
        pytest.param(CHAT, APP, set[tuple[str, str]](), id="as specified", marks=long_proof),
        pytest.param(
            CHAT.replace("operations:\n", ODD),
            APP + ODD_APP,
            {
                ("type-mismatch", "answered.text"), ("field-extra", "answered.more"),
                ("message-not-accepted", "odd odd_leave"), ("required-field-missing", "odd_tick.at"),
                ("route-extra", "WEBSOCKET /tocks"),
            },
            id="half of it otherwise",
        ),
    ],
)  # fmt: skip
async def test_a_websocket_application_is_compared_with_asyncapi(
    repository: Path, connect: Connect, chat: str, app: str, expected: set[tuple[str, str]]
) -> None:
    write(repository, {"asyncapi.yaml": chat, "service/app.py": app})
    async with connect(repository) as client:
        found = await ask(client, "check_contract", implementation="service/app.py:app")
    assert found_in(found) == expected
    assert (found["verdict"], found["sources"]) == ("deviates" if expected else "matches", ["routes", "exchange"])


async def test_a_running_websocket_service_is_only_listened_to(repository: Path, connect: Connect) -> None:
    heard: list[Any] = []

    def talk(socket: Any) -> None:
        socket.send('{"text": 7}' if "chat" in socket.request.path else '{"at": 1}')
        heard.extend(socket)

    write(repository, {"asyncapi.yaml": CHAT})
    with websocket_server(talk) as target:
        async with connect(repository) as client:
            found = await ask(client, "check_contract", url=f"http://{target.partition('://')[2] or target}")
    assert found_in(found) == {("type-mismatch", "said.text")}
    assert not heard
    assert {u["where"] for u in found["unverified"]} == {"chat say", "chat leave", "*"}


def of_paths(*names: str) -> str:
    paths = "".join(f"  /{n}: {{get: {{responses: {{'200': {{description: OK}}}}}}}}\n" for n in names)
    return "openapi: 3.1.0\ninfo: {title: A, version: '1'}\npaths:\n" + paths


async def test_a_service_that_has_nothing_of_the_document_is_not_said_to_deviate_everywhere(
    repository: Path, connect: Connect
) -> None:
    write(repository, {"api.yaml": of_paths("p0", "p1", "p2", "p3", "p4")})
    with serving(always(404)) as (url, _):
        async with connect(repository) as client:
            found = await ask(client, "check_contract", url=url)
    assert (found["verdict"], found["deviations"]) == ("unverified", [])
    assert "below another" in found["unverified"][0]["why"]


async def test_a_service_that_is_not_there_is_no_service_that_matches(repository: Path, connect: Connect) -> None:
    write(repository, {"api.yaml": of_paths("a", "b")})
    async with connect(repository) as client:
        absent = await refused(client, "check_contract", url=f"http://127.0.0.1:{free_port()}")
    assert (absent["code"], absent["retry"]) == ("unavailable", "later")
    assert "start the service" in absent["reason"]


async def test_what_a_slow_service_was_not_asked_in_the_time_of_a_check_is_named(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talking, "SECONDS", 2.0)
    write(repository, {"api.yaml": of_paths("a", "b", "c")})
    over = threading.Event()

    def late(method: str, path: str, given: dict[str, str], body: bytes) -> None:
        over.wait(60)

    with serving(late) as (url, seen):
        async with connect(repository) as client:
            found = await ask(client, "check_contract", url=url)
        over.set()
    assert ({*seen}, found["verdict"]) == ({"GET /a"}, "unverified")
    assert {u["where"]: u["why"] for u in found["unverified"] if u["where"] != "*"} == {
        "GET /a": "no answer: the 2 s of one check are over",
        "GET /b": "not asked: the 2 s of one check are over",
        "GET /c": "not asked: the 2 s of one check are over",
    }


LEAVES = """\
import os
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

app = Starlette(routes=[
    Route("/a", lambda request: Response("")), Route("/b", lambda request: os._exit(3)),
    Route("/c", Response("")),
])
"""


async def test_an_application_that_ends_is_named_at_each_operation_it_was_not_asked_for(
    repository: Path, connect: Connect
) -> None:
    write(repository, {"api.yaml": of_paths("a", "b", "c"), "leaves.py": LEAVES})
    async with connect(repository) as client:
        found = await ask(client, "check_contract", implementation="leaves.py:app")
    assert {u["where"]: u["why"] for u in found["unverified"]} == {
        "GET /b": "no answer: the process of the application ended with 3",
        "GET /c": "not asked: the process of the application ended with 3",
        "/c": "the handler takes every method; which it answers is not declared",
    }
    assert not found["deviations"]


@long_proof
async def test_an_application_that_takes_too_long_to_load_is_said_to_be_stopped_for_its_time(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talking, "SECONDS", 8.0)
    write(repository, {"api.yaml": of_paths("a"), "slow.py": "import threading\nthreading.Event().wait(100)\n"})
    async with connect(repository) as client:
        error = await refused(client, "check_contract", implementation="slow.py:app")
    assert "stopped after 8 s, the limit of one check" in error["reason"]


SCHEMA = """\
type Query { order(id: ID!): Order }
type Mutation { pay(id: ID!): Order! }
type Order { id: ID!, total(currency: String = "EUR"): Int! }
"""
GQLGEN = """\
package graph

func (r *mutationResolver) Pay(ctx context.Context, id string) (*Order, error) {
	panic(fmt.Errorf("not implemented: Pay - pay"))
}

func (r *queryResolver) Order(ctx context.Context, id string) (*Order, error) { return r.orders.Find(id) }
"""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            ('panic(fmt.Errorf("not implemented: Pay - pay"))', "return r.orders.Pay(id)"),
            set[tuple[str, str]](),
            id="as specified",
        ),
        pytest.param(
            ("", ""),
            {
                ("resolver-unimplemented", "Mutation.pay"),
                ("argument-default-mismatch", "Order.total(currency)"),
                ("field-extra", "Order.note"),
            },
            id="otherwise",
        ),
    ],
)
async def test_a_server_of_gqlgen_is_compared_by_its_generated_schema_and_its_resolvers(
    repository: Path, connect: Connect, change: tuple[str, str], expected: set[tuple[str, str]]
) -> None:
    served = SCHEMA.replace("EUR", "USD").replace("Int! }", "Int!, note: Int }") if expected else SCHEMA
    generated = (
        'package graph\n\nvar sources = []*ast.Source{\n\t{Name: "../api.graphql", Input: `'
        + served
        + "`, BuiltIn: false},\n}\n"
    )
    resolvers = GQLGEN.replace(*change) if change[0] else GQLGEN
    write(repository, {"api.graphql": SCHEMA, "graph/generated.go": generated, "graph/resolvers.go": resolvers})
    async with connect(repository) as client:
        found = await ask(client, "check_contract", implementation="graph")
    assert found_in(found) == expected
    assert found["sources"] == ["static", "schema"]
