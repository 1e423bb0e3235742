"""Over HTTP with authentication: who may come in, what their token allows, and what everybody else reads."""

import asyncio
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import EmptyResult, ResourceTemplateReference, SubscribeRequest, SubscribeRequestParams

from mcp_backend import policy
from mcp_backend.cli import main
from mcp_backend.errors import InvalidArgument
from tests.conftest import SOME_ERAS, Era, git
from tests.test_transports import QUESTION, SERVE, environment

STATIC = "a-static-token-of-the-ci-0123456789"
RESOURCE = "http://127.0.0.1:8765/mcp"
REMOTE = """
[engines.main]
kind = "postgresql"
url = "postgresql://nobody@127.0.0.1:1/orders"
[engines.events]
kind = "nats"
url = "nats://127.0.0.1:1"
"""


class Issuer:
    """An authorization server as far as a resource server needs one: metadata, keys, and tokens."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.other = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(ECAlgorithm.to_jwk(self._key.public_key()))
        self.documents = {
            "/.well-known/oauth-authorization-server": {"issuer": url, "jwks_uri": f"{url}/keys"},
            "/keys": {"keys": [{**public, "kid": "one", "use": "sig", "alg": "ES256"}]},
        }

    def token(self, key: Any = None, algorithm: str = "ES256", **claims: Any) -> str:
        """A good token of ana for reading databases, with some claims changed; `None` leaves one out."""
        body = {
            "iss": self.url, "sub": "ana", "aud": RESOURCE, "exp": time.time() + 600, "client_id": "host",
            "scope": "mcp-backend:database", **claims,
        }  # fmt: skip
        kept = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(kept, key or self._key, algorithm, headers={"kid": "one"})


@pytest.fixture(scope="module")
def issuer() -> Generator[Issuer]:
    """An issuer on loopback."""
    found: list[Issuer] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = found[0].documents.get(self.path)
            self.send_response(200 if document else 404)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    found.append(Issuer(f"http://127.0.0.1:{server.server_address[1]}"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found[0]
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def serving(folder: Path, transport: str, issuer: Issuer) -> Generator[str]:
    """The address of a server that takes the static token and those of the issuer."""
    root = folder / "orders service"
    root.mkdir()
    git(root, "init", "--quiet")
    (root / "mcp-backend.toml").write_text(
        f'[http]\nurl = "{RESOURCE}"\nissuer = "{issuer.url}"\ntokens.ci = "env:CI_TOKEN"\ncalls_per_minute = 30\n'
        + REMOTE
    )
    variables = environment() | {"CI_TOKEN": STATIC, "MCP_BACKEND_STATE": str(folder)}
    command = [sys.executable, *SERVE, "--transport", transport, "--port", "0", "--workspace", str(root)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=variables) as process:
        assert process.stderr is not None
        try:
            yield process.stderr.readline().decode().split()[-1]
        finally:
            process.terminate()
            logged = process.stderr.read()
    assert STATIC.encode() not in logged
    assert b"Traceback" not in logged


@pytest.fixture(scope="module")
def url(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A server over streamable HTTP, for all tests here: nothing that one does shows in another."""
    with serving(tmp_path_factory.mktemp("served"), "http", issuer) as address:
        yield address


def post(url: str, token: str | None = None, **headers: str) -> http.client.HTTPResponse:
    """`initialize` with these headers; the answer, read."""
    parts = urlsplit(url)
    body = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }  # fmt: skip
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **headers}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    connection.request("POST", parts.path, json.dumps(body), sent)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


@asynccontextmanager
async def client(url: str, token: str, era: Era) -> AsyncGenerator[Client]:
    """A client of the SDK that sends this token."""
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as requests,
        Client(streamable_http_client(url, http_client=requests), mode=era) as found,
    ):
        yield found


async def error_of(found: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    result = await found.call_tool(tool, arguments)
    assert result.structured_content is not None
    return result.structured_content.get("error", {})


async def test_only_good_tokens_come_in(url: str, issuer: Issuer) -> None:
    good = issuer.token()
    bad = {
        "none": None,
        "empty": "",
        "made up": "made-up",
        "static, cut": STATIC[:-1],
        "another audience": issuer.token(aud="https://other.example/mcp"),
        "no audience": issuer.token(aud=None),
        "another issuer": issuer.token(iss="https://evil.example"),
        "expired": issuer.token(exp=time.time() - 120),
        "never expires": issuer.token(exp=None),
        "nobody": issuer.token(sub=None),
        "not yet": issuer.token(nbf=time.time() + 600),
        "another key": issuer.token(issuer.other),
        "a shared secret": issuer.token("0" * 64, "HS256"),
        "not signed": jwt.encode({"sub": "ana"}, None, "none"),  # pyright: ignore[reportArgumentType]
        "one character changed": good[:-2] + ("A" if good[-2] != "A" else "B") + good[-1],
    }
    for name, token in bad.items():
        answer = await asyncio.to_thread(post, url, token)
        assert answer.status == 401, name
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith("Bearer "), name
        assert "/.well-known/oauth-protected-resource/mcp" in challenge, name
    for token in (good, STATIC, issuer.token(aud=["https://other.example", RESOURCE])):
        assert (await asyncio.to_thread(post, url, token)).status == 200


async def test_metadata_and_health_are_open_and_foreign_hosts_are_refused(url: str, issuer: Issuer) -> None:
    origin = url.removesuffix("/mcp")
    async with httpx2.AsyncClient() as requests:
        metadata = (await requests.get(f"{origin}/.well-known/oauth-protected-resource/mcp")).json()
        assert (metadata["resource"], metadata["authorization_servers"]) == (RESOURCE, [issuer.url])
        for path in ("/healthz", "/readyz"):
            assert (await requests.get(origin + path)).text == "ok\n"
    good = issuer.token()
    assert (await asyncio.to_thread(post, url, good, Host="evil.example")).status == 421
    assert (await asyncio.to_thread(post, url, good, Origin="https://evil.example")).status == 403


@pytest.mark.parametrize("era", SOME_ERAS)
async def test_a_token_allows_what_its_scopes_say(url: str, issuer: Issuer, era: Era) -> None:
    async with client(url, issuer.token(), era) as reader:
        names = {tool.name for tool in (await reader.list_tools()).tools}
        assert {"db_schema", "db_query", "escalate", "check_escalation"} <= names
        assert not names & {"run_migration", "git_status", "run_command", "publish_message"}
        for tool, scope in (("run_migration", "mcp-backend:write"), ("git_status", "mcp-backend:git")):
            error = await error_of(reader, tool, {})
            assert (error["code"], error["retry"]) == ("permission_denied", "never")
            assert scope in error["reason"]
        asked = await reader.call_tool("escalate", QUESTION)
        assert asked.is_error is False
    async with client(url, STATIC, era) as everything:
        assert {"run_migration", "git_status"} <= {tool.name for tool in (await everything.list_tools()).tools}
        assert await error_of(everything, "git_status", {}) == {}
        records = await everything.read_resource("audit://recent")
        text = str(getattr(records.contents[0], "text", ""))
        assert '"principal": "ana"' in text or '"principal":"ana"' in text
        assert '"principal": "ci"' in text or '"principal":"ci"' in text


LOOKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("db_schema", {}), ("db_query", {"sql": "select 1"}), ("rehearse_migration", {}), ("message_topology", {}),
    ("peek_messages", {"destination": "orders"}),
)  # fmt: skip


@pytest.mark.parametrize("era", SOME_ERAS)
async def test_what_only_looks_at_production_needs_its_scope_too(url: str, issuer: Issuer, era: Era) -> None:
    scopes = "mcp-backend:database mcp-backend:messaging"
    async with client(url, issuer.token(scope=scopes), era) as reader:
        for tool, arguments in LOOKS:
            error = await error_of(reader, tool, arguments)
            assert error["code"] == "permission_denied", tool
            assert "mcp-backend:production" in error["reason"], tool
        for uri in ("schema://main", "schema://main/customers", "migrations://main", "topology://events"):
            with pytest.raises(MCPError, match="mcp-backend:production"):
                await reader.read_resource(uri)
        named = await reader.complete(
            ResourceTemplateReference(uri="schema://{engine}/{table}"), {"name": "table", "value": ""},
            context_arguments={"engine": "main"},
        )  # fmt: skip
        assert named.completion.values == []
        with pytest.raises(MCPError, match="mcp-backend:production"):
            await watch(reader, "schema://main")
    async with client(url, issuer.token(sub="bo", scope=f"{scopes} mcp-backend:production"), era) as trusted:
        for tool, arguments in LOOKS:
            error = await error_of(trusted, tool, arguments)
            assert error["code"] in ("unavailable", "not_found", "invalid_argument"), (tool, error)


async def watch(found: Client, uri: str) -> None:
    """Subscribes in the way of the era."""
    if found.protocol_version == "2026-07-28":
        async with found.listen(resource_subscriptions=[uri]):
            return
    await found.session.send_request(SubscribeRequest(params=SubscribeRequestParams(uri=uri)), EmptyResult)


async def test_a_principal_has_its_share_of_calls(url: str, issuer: Issuer) -> None:
    async with client(url, issuer.token(sub="eve"), "auto") as eager:
        errors = [await error_of(eager, "check_escalation", {}) for _ in range(40)]
        refused = [error for error in errors if error]
        assert refused
        assert {(error["code"], error["retry"]) for error in refused} == {("unavailable", "later")}
        assert "this one was not made" in refused[0]["reason"]
        async with client(url, STATIC, "auto") as other:
            assert await error_of(other, "check_escalation", {}) == {}


async def test_sse_asks_for_the_token_too(tmp_path: Path, issuer: Issuer) -> None:
    with serving(tmp_path, "sse", issuer) as url:
        async with httpx2.AsyncClient() as requests:
            assert (await requests.get(url)).status_code == 401
            path = url.removesuffix("/sse") + "/messages/?session_id=" + "0" * 32
            assert (await requests.post(path, json={})).status_code == 401
        headers = {"Authorization": f"Bearer {issuer.token()}"}
        async with Client(sse_client(url, headers=headers)) as reader:
            assert "run_migration" not in {tool.name for tool in (await reader.list_tools()).tools}
            assert "git" in (await error_of(reader, "git_status", {}))["reason"]


def test_beyond_loopback_only_with_authentication(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["serve", "--transport", "http", "--host", "0.0.0.0", "--port", "0", "--workspace", str(tmp_path)]
    assert main(arguments) == 1
    assert "without authentication ([http] tokens or issuer" in capsys.readouterr().err
    (tmp_path / "mcp-backend.toml").write_text(f'[http]\nurl = "{RESOURCE}"\ntokens.ci = "env:NOT_THERE"\n')
    assert main(arguments) == 1
    assert "NOT_THERE is not set" in capsys.readouterr().err
    (tmp_path / "short").write_text("short\n")
    (tmp_path / "mcp-backend.toml").write_text(f'[http]\nurl = "{RESOURCE}"\ntokens.ci = "file:{tmp_path}/short"\n')
    assert main(arguments) == 1
    assert "at least 24 characters" in capsys.readouterr().err
    assert main([*arguments, "--tls-cert", "x.pem"]) == 1
    assert "--tls-cert and --tls-key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ('tokens.ci = "env:A"', "http.url: expected the address"),
        ('tokens.ci = "a-real-token-pasted-here"', "http.tokens.ci: expected env:NAME or file:PATH"),
        ('tokens = "env:A"', "http.tokens: expected a table"),
        ('url = "http://example.org/mcp"', "http.url: expected an https:// address"),
        ('url = "example.org"', "http.url: expected an https:// address"),
        ('jwks = "https://a.example/keys"', "http.issuer: expected"),
        ('introspection = "https://a.example/i"', "expected introspection, client and secret together"),
        ('introspection = "https://a.example/i"\nclient = "c"\nsecret = "env:S"', "http.issuer: expected"),
        (
            'issuer = "https://a.example"\nurl = "https://b.example"\nintrospection = "https://a.example/i"\n'
            'client = "c"\nsecret = "plain"',
            "http.secret: expected env:NAME",
        ),
        ("calls_per_minute = 0", "http.calls_per_minute: expected a number"),
        ("max_sessions = true", "http.max_sessions: expected a number"),
        ("token = 1", "unknown key http.token"),
    ],
)
def test_a_section_that_is_wrong_is_named(tmp_path: Path, section: str, problem: str) -> None:
    file = tmp_path / "mcp-backend.toml"
    file.write_text(f"[http]\n{section}\n")
    with pytest.raises(InvalidArgument, match=problem.replace("(", r"\(").replace("[", r"\[")):
        policy.load(file, ())
