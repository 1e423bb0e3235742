"""What another program sends to a service, through a door that lets only questions through.

The program is given the door's address and nothing of the credentials: they are added here. A request that is no GET or
HEAD is answered with 501 and never reaches the service, whatever the program meant by it.
"""

import http.client
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

ANSWER_SECONDS = 25.0
BODY_BYTES = 300_000
OWN = frozenset({"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"})
"""Headers of one connection (https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1), and its own."""


class Door(ThreadingHTTPServer):
    """Listens on a free port of the loopback. `passed` counts the requests that went through, `refused` the others."""

    daemon_threads = True

    def __init__(self, base: str, headers: Mapping[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.target = urlsplit(base.rstrip("/"))
        self.headers = dict(headers)
        self.passed = 0
        self.refused = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class _Asked(BaseHTTPRequestHandler):
    server: Door  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass()

    def do_HEAD(self) -> None:
        self._pass()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.server.refused += 1
        self.close_connection = True
        super().send_error(code, message, explain)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        """Says nothing: what was asked is told in the result."""

    def _pass(self) -> None:
        target = self.server.target
        kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        connection = kind(target.hostname or "", target.port, timeout=ANSWER_SECONDS)
        sent = {n: v for n, v in self.headers.items() if n.lower() not in OWN | {"host", "accept-encoding"}}
        try:
            # No body is passed on: nothing defines what one of a GET means, RFC 9110, section 9.3.1.
            self.close_connection = bool(self.headers.get("content-length") or self.headers.get("transfer-encoding"))
            connection.request(self.command, target.path + self.path, headers=sent | self.server.headers)
            answer = connection.getresponse()
            body = answer.read(BODY_BYTES)
            self.server.passed += 1
        except (OSError, ValueError, http.client.HTTPException):
            # No answer is an ended connection, not an answer of this door.
            self.close_connection = True
            return
        finally:
            connection.close()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in OWN:
                self.send_header(name, value)
        empty = self.command == "HEAD" or answer.status in (204, 304)
        if not empty:
            self.send_header("Content-Length", str(len(body)))
        with suppress(OSError):
            self.end_headers()
            self.wfile.write(b"" if empty else body)


@contextmanager
def opened(base: str, headers: Mapping[str, str]) -> Generator[Door]:
    """A door to the service at `base`, closed afterwards."""
    with Door(base, headers) as door:
        serving = Thread(target=door.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        serving.start()
        try:
            yield door
        finally:
            door.shutdown()
            serving.join()
