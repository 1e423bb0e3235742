"""Opaque tokens: the authorization server says what they are (RFC 7662), and its word is checked."""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from mcp_backend.policy.serving import read_http
from mcp_backend.serving.access import Verifier

RESOURCE, SECRET = "https://b.example/mcp", "s:ecret ä"
GOOD: dict[str, Any] = {"active": True, "sub": "ana", "aud": RESOURCE, "scope": "mcp-backend:git", "client_id": "host"}


class Issuer:
    """What it says of each token, and how often it was asked."""

    def __init__(self) -> None:
        soon, past = time.time() + 600, time.time() - 1
        self.known: dict[str, object] = {
            "good": {**GOOD, "exp": soon},
            "without an end": GOOD,
            "several audiences": {**GOOD, "aud": ["https://x.example", RESOURCE]},
            "revoked": {"active": False},
            "active in words": {**GOOD, "active": "true"},
            "another audience": {**GOOD, "aud": "https://x.example"},
            "no audience": {key: value for key, value in GOOD.items() if key != "aud"},
            "another issuer": {**GOOD, "iss": "https://evil.example"},
            "expired": {**GOOD, "exp": past},
            "not yet": {**GOOD, "nbf": soon},
            "nobody": {"active": True, "aud": RESOURCE},
            "no object": [GOOD],
        }
        self.asked = Counter[str]()


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[Issuer, str]]:
    found = Issuer()
    monkeypatch.setenv("INTROSPECTION_SECRET", SECRET)
    basic = "Basic " + base64.b64encode(b"backend:s%3Aecret%20%C3%A4").decode()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            token = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["token"][0]
            found.asked[token] += 1
            moved = token == "moved"
            self.send_response(307 if moved else 200 if self.headers["Authorization"] == basic else 401)
            if moved:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(json.dumps(found.known.get(token, {"active": False})).encode())

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_only_what_the_issuer_calls_active_and_ours_comes_in(issuer: tuple[Issuer, str], tmp_path: Path) -> None:
    asked, url = issuer
    table = {"url": RESOURCE, "issuer": url, "introspection": f"{url}/i", "client": "backend",
             "secret": "env:INTROSPECTION_SECRET"}  # fmt: skip
    verifier = Verifier(read_http("f", table))
    taken = {"good", "without an end", "several audiences"}
    for token in (*asked.known, "unknown", "moved"):
        access = await verifier.verify_token(token)
        assert (access is not None) == (token in taken), token
        if access is not None:
            assert (access.subject, access.client_id, access.scopes) == ("ana", "host", ["mcp-backend:git"])
    assert await verifier.verify_token("good")
    assert asked.asked["good"] == 1, "a good answer holds for a while"
    assert asked.asked["moved"] == 1, "a secret follows no redirect"
    assert await verifier.verify_token("a.b.c") is None
    assert not asked.asked["a.b.c"], "a token that looks signed is verified by its signature"
