"""What a connection to ClickHouse leaves behind when the server lets nobody in."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mcp_backend.engines.ch import address, errors
from mcp_backend.engines.ch.transport import Lost, Transport


class Server(ThreadingHTTPServer):
    """Answers everything with the same words and status, and counts those who are still connected."""

    daemon_threads = True

    def __init__(self, status: int, words: bytes) -> None:
        server = self
        self.connected, self.left = 0, threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                server.connected += 1
                super().handle()
                server.left.set()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Length", str(len(words)))
                if status != 200:
                    self.send_header("X-ClickHouse-Exception-Code", "516")
                self.end_headers()
                self.wfile.write(words)

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - so it is called there
                """Nothing on standard error."""

        super().__init__(("127.0.0.1", 0), Handler)


@contextmanager
def serving(status: int, words: bytes) -> Generator[Server]:
    with Server(status, words) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "words"), [(403, b"Code: 516. u: Authentication failed"), (200, b"no ClickHouse\n")]
)
async def test_a_server_that_lets_nobody_in_keeps_no_connection(status: int, words: bytes) -> None:
    with serving(status, words) as server:
        transport = Transport(address.parse(f"clickhouse://u:p@127.0.0.1:{server.server_port}/d", where="x"))
        with pytest.raises((Lost, errors.ServerError)):
            await transport.run(
                "SELECT 1", lambda pieces, _: b"".join(pieces), settings={}, parameters={}, form="TSV", seconds=60
            )
        assert server.left.wait(60), "the connection is closed while whoever asked goes on"
        assert server.connected == 1
        await transport.close()
