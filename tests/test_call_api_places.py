# ruff: noqa: E501 - a policy is read best in few lines
"""call_api goes to this machine and to services of the policy, at the address that was checked, and nowhere else."""

import ipaddress
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from mcp_backend import escalations
from mcp_backend.app import open_app
from mcp_backend.contracts.calling import addresses
from mcp_backend.errors import InvalidArgument
from mcp_backend.policy import EngineSettings, Policy
from mcp_backend.policy.services import Service
from tests.conftest import Connect
from tests.service import ask, refused, write
from tests.test_call_api import Reply, says, serving

NAMED = "orders.staging.test"


def looked_up(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Names lead to these addresses, a new one with each look-up; what was looked up."""
    names: list[str] = []
    real = socket.getaddrinfo

    def answer(host: Any, port: Any, *arguments: Any, **more: Any) -> Any:
        if not isinstance(host, str) or not host.endswith(".test"):
            return real(host, port, *arguments, **more)
        names.append(host)
        found = answers[min(len(names), len(answers)) - 1].split()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return names


ELSEWHERE = (
        "http://example.com", "http://10.0.0.1:8000", "http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]",
        "http://[::ffff:169.254.169.254]", "http://[64:ff9b::a9fe:a9fe]", "http://[2002:a9fe:a9fe::1]", "http://0.0.0.0:80",
        "http://[::]", "http://[fe80::1]", "http://2130706433", "http://0x7f.1", "http://localhost.example.com",
        "http://127.0.0.1.nip.io", "http://metadata.google.internal", "http://224.0.0.1",
)  # fmt: skip


async def test_an_address_that_nobody_named_is_not_called_nor_looked_up(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> Any:
        raise AssertionError("looked up or connected")

    async with connect(repository) as client:
        monkeypatch.setattr(socket, "getaddrinfo", never)
        monkeypatch.setattr(socket.socket, "connect", never)
        for target in ELSEWHERE:
            error = await refused(client, "call_api", target=target, path="/")
            assert (error["code"], error["constraint"]) == ("permission_denied", "known-services"), target


FORBIDDEN = ("169.254.169.254", "10.1.2.3 169.254.1.1", "100.100.100.200", "168.63.129.16", "0.0.0.0", "240.0.0.1")


async def test_a_named_host_that_leads_to_a_forbidden_address_is_refused(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository, {"mcp-backend.toml": f'[services.orders]\nurl = "http://{NAMED}"\n'})
    async with connect(repository) as client:
        for address in FORBIDDEN:
            names = looked_up(monkeypatch, address)
            error = await refused(client, "call_api", target="orders", path="/")
            assert (error["code"], error["constraint"]) == ("permission_denied", "known-services"), address
            assert names == [NAMED]


async def test_a_name_is_looked_up_once_and_the_connection_goes_to_that_address(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(says({})) as (url, seen):
        port = url.rpartition(":")[2]
        write(
            repository,
            {"mcp-backend.toml": f'[services.orders]\nurl = "http://{NAMED}:{port}/api"\nenvironment = "staging"\n'},
        )
        async with connect(repository) as client:
            names = looked_up(monkeypatch, "127.0.0.1", "169.254.169.254")
            found = await ask(client, "call_api", target="orders", path="/orders")
    assert (names, seen) == ([NAMED], ["GET /api/orders"])
    assert (found["environment"], found["status"]) == ("staging", 200)


async def test_a_write_outside_development_waits_for_a_person_also_through_a_tunnel(
    repository: Path, connect: Connect
) -> None:
    with serving(says({})) as (url, seen):
        write(repository, {"mcp-backend.toml": f'[services.orders]\nurl = "{url}"\nenvironment = "production"\n'})
        async with connect(repository) as client:
            by_name = await refused(client, "call_api", target="orders", method="POST", path="/orders", body={"a": 1})
            same = await refused(client, "call_api", target=url, method="POST", path="/orders", body={"a": 1})
            other = await refused(client, "call_api", target="orders", method="POST", path="/orders", body={"a": 2})
            tunnelled = await refused(
                client,
                "call_api",
                target=url.replace("127.0.0.1", "localhost"),
                path="/",
                headers={"X-HTTP-Method-Override": "DELETE"},
            )
            read = await ask(client, "call_api", target="orders", path="/orders")
    assert {e["code"] for e in (by_name, same, other, tunnelled)} == {"failed_precondition"}
    assert by_name["escalation"] == same["escalation"] != other["escalation"]
    assert (seen, read["environment"]) == (["GET /orders"], "production")


async def test_headers_of_the_policy_go_to_their_service_only(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_TOKEN", "tok-1a2b3c4d5e")

    def echo(method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        return 200, {"Content-Type": "application/json"}, json.dumps(headers).encode()

    with serving(echo) as (url, _), serving(says({})) as (other, reached):
        toml = f'[services.orders]\nurl = "{url}"\nheaders.Authorization = "Bearer env:ORDERS_TOKEN"\n'
        write(repository, {"mcp-backend.toml": toml})
        async with connect(repository) as client:
            found = await ask(client, "call_api", target="orders", path="/")
            error = await refused(
                client, "call_api", target=other, path="/", headers={"Authorization": "env:ORDERS_TOKEN"}
            )
    assert "authorization" in found["body"]
    assert "tok-1a2b3c4d5e" not in json.dumps(found)
    assert "belongs to the service orders" in error["reason"]
    assert reached == []


async def test_an_engine_of_the_policy_is_not_called_as_a_service(repository: Path, connect: Connect) -> None:
    toml = '[engines.events]\nkind = "clickhouse"\nurl = "clickhouse://127.0.0.1:9000/db"\nenvironment = "production"\n'
    write(repository, {"mcp-backend.toml": toml})
    async with connect(repository) as client:
        error = await refused(
            client, "call_api", target="http://localhost:8123", method="POST", path="/", body="DROP TABLE t"
        )
    assert (error["code"], error["constraint"]) == ("permission_denied", "known-services")
    assert "engine events" in error["reason"]


NONE = (
    "", "orders", "ftp://127.0.0.1", "http://", "http://u:p@127.0.0.1", "http://127.0.0.1:99999", "http://127.0.0.1:0",
    "http://127.0.0.1\\@example.com", "http://127.0.0.1 .example.com", "http://exämple.com", "file:///etc/passwd", "http://127.0.0.1/#a",
    "http://[::1", "http://127.0.0.1/\u0001",
)  # fmt: skip


async def test_a_target_that_is_none_is_named(repository: Path, connect: Connect) -> None:
    async with connect(repository) as client:
        for target in NONE:
            error = await refused(client, "call_api", target=target, path="/")
            assert error["code"] == "invalid_argument", target
            assert error["reason"].startswith("target: ")


def test_what_an_address_stands_for_is_judged() -> None:
    allowed = (
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "fd12::1",
        "93.184.216.34",
        "2606:2800:220:1::1",
    )
    refused_ = (
        "169.254.0.1",
        "fe80::1",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "::",
        "255.255.255.255",
        "ff02::1",
    )
    assert not [a for a in allowed if addresses.forbidden(ipaddress.ip_address(a))]
    assert [a for a in refused_ if addresses.forbidden(ipaddress.ip_address(a))] == list(refused_)


def test_of_several_services_at_one_address_the_one_that_matters_most_counts() -> None:
    services = {
        "a": Service("a", "http://localhost:8000", "development"), "b": Service("b", "http://127.0.0.1:8000/x", "production"),
    }  # fmt: skip
    assert addresses.place("http://127.0.0.1:8000", Policy(services=services), "rest").environment == "production"


def test_a_bare_host_and_port_is_understood_and_engines_that_are_not_set_are_passed_over() -> None:
    engines = {"main": EngineSettings("main", "postgresql", "env:NOT_SET_HERE")}
    target = addresses.place("localhost:50051", Policy(engines=engines), "grpc")
    assert (target.origin, target.refused) == ("grpc://localhost:50051", "")
    with pytest.raises(InvalidArgument):
        addresses.place("localhost", Policy(), "grpc")


async def approve(root: Path, escalation: str) -> str:
    """What a person does at a terminal: looks at the question and says yes. The question as it was shown."""
    async with open_app(root) as app:
        asked = await escalations.get(app.store, escalation)
        await escalations.decide(
            app.store, escalation, status="approved", answer="", by="ana", channel="terminal", now=app.now(),
            constraint=app.policy.constraint("data-consistency"),
        )  # fmt: skip
        return str(json.loads(asked["details"])["preview"])


async def test_an_approved_request_is_sent_once_exactly_as_it_was_shown(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_TOKEN", "tok-1a2b3c4d5e")
    with serving(says({}, 201)) as (url, seen):
        write(repository, {"mcp-backend.toml": f'[services.orders]\nurl = "{url}"\nenvironment = "staging"\n'})
        async with connect(repository) as client:
            call: dict[str, Any] = {
                "target": "orders", "method": "POST", "path": "/orders", "body": {"total": 7},
                "headers": {"Authorization": "Bearer env:ORDERS_TOKEN"},
            }  # fmt: skip
            asked = await refused(client, "call_api", **call)
            shown = await approve(repository, asked["escalation"])
            other = await refused(client, "call_api", **{**call, "headers": {}})
            sent = await ask(client, "call_api", **call)
            again = await refused(client, "call_api", **call)
    assert f"POST {url}/orders (staging)" in shown
    assert '{"total":7}' in shown
    assert "tok-1a2b3c4d5e" not in shown
    assert other["escalation"] != asked["escalation"]
    assert (sent["status"], seen) == (201, ["POST /orders"])
    assert again["code"] == "failed_precondition"


async def test_check_contract_sends_no_credential_of_another_program(
    repository: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tok-1a2b3c4d5e")
    with serving(says({})) as (url, seen):
        async with connect(repository) as client:
            for reference in ("env:AWS_SECRET_ACCESS_KEY", "file:/etc/hostname"):
                error = await refused(client, "check_contract", url=url, headers={"X-A": reference})
                assert error["code"] == "invalid_argument"
                assert error["reason"].startswith("headers.X-A")
    assert seen == []
