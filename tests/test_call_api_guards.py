"""Who may be called, and what of it waits for a person: the guards over requests to running services."""

from pathlib import Path

import pytest

from mcp_backend import persona, policy
from mcp_backend.actions import CallApi
from mcp_backend.errors import InvalidArgument
from mcp_backend.facts import Facts, ServiceFacts
from mcp_backend.guards import judge
from mcp_backend.policy import Policy, Verdict

POLICY = Policy(constraints=persona.load().constraints)


def verdict(method: str, environment: str, *, reads: bool, refused: str = "") -> Verdict:
    url = "https://orders.example/orders"
    facts = Facts(service=ServiceFacts(url, reads, "it may change something", refused))
    return judge([CallApi(method, url, None, environment)], POLICY, facts)[0]


@pytest.mark.proves("known-services", "refused")
def test_an_address_that_nobody_named_is_refused_also_for_a_read() -> None:
    said = verdict("GET", "production", reads=True, refused="nobody named that host")
    assert (said.outcome, said.constraint) == ("deny", "known-services")
    assert "[services.NAME]" in said.remedy


@pytest.mark.proves("known-services", "allowed")
@pytest.mark.parametrize("environment", ["development", "staging", "production"])
def test_a_read_of_a_named_service_is_allowed_everywhere(environment: str) -> None:
    assert verdict("GET", environment, reads=True).outcome == "allow"


@pytest.mark.proves("data-consistency", "refused")
@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("method", ["POST", "rpc", "mutation", "websocket"])
def test_a_request_that_may_write_waits_for_a_person_outside_development(method: str, environment: str) -> None:
    said = verdict(method, environment, reads=False)
    assert (said.outcome, said.constraint) == ("approve", "data-consistency")
    assert f"{method} https://orders.example/orders ({environment})" in said.reason


@pytest.mark.proves("data-consistency", "allowed")
@pytest.mark.proves("reads-stay-reads", "allowed")
def test_a_request_that_may_write_is_sent_in_development() -> None:
    assert verdict("DELETE", "development", reads=False).outcome == "allow"


def loaded(folder: Path, text: str) -> Policy:
    path = folder / policy.POLICY_FILE
    path.write_text(text)
    return policy.load(path, ())


def test_a_service_of_the_policy_is_production_unless_it_is_said_or_on_this_machine(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        '[services.a]\nurl = "https://a.example"\n[services.b]\nurl = "http://localhost:8000"\n'
        '[services.c]\nurl = "env:C_URL"\nenvironment = "staging"\nheaders.Authorization = "Bearer env:C_TOKEN"\n',
    ).services
    assert {n: s.environment for n, s in found.items()} == {"a": "production", "b": "development", "c": "staging"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[services.a]\nurl = "orders.example"', "services.a.url: expected http://"),
        ('[services.a]\nurl = "https://a:b@orders.example"', "services.a.url: expected http://"),
        ('[services.a]\nurl = "https://a.example"\nenvironment = "test"', "services.a.environment: expected one of"),
        ('[services.a]\nurl = "https://a.example"\nheaders.X = "plain"', "services.a.headers.X: expected env:NAME"),
        ('[services.a]\nurl = "https://a.example"\nmethod = "GET"', "unknown key services.a.method"),
    ],
)
def test_a_wrong_entry_of_a_service_is_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        loaded(tmp_path, text)
    assert expected in caught.value.reason
    assert "plain" not in caught.value.reason
