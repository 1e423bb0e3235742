"""ClickHouse's HTTP interface, as far as clients of a local server need it.

https://clickhouse.com/docs/interfaces/http governs it. Left out: sessions, multipart bodies (external tables),
compressed answers.
"""

import base64
import hmac
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

from mcp_backend.keeper.chdb import statement
from mcp_backend.keeper.chdb.changes import Changes
from mcp_backend.keeper.chdb.process import Answer, Asked, Gone, Process
from mcp_backend.keeper.chdb.statement import Refused, Statement

USER = "backend"
CHANGES = "X-Local-Changes"
"""The header of every answer with the word of `Changes`."""
NOT_SETTINGS = frozenset(
    {
        "database", "default_format", "query", "query_id", "session_id", "session_timeout", "session_check", "compress",
        "decompress", "enable_http_compression", "wait_end_of_query", "buffer_size", "client_protocol_version", "role",
        "send_progress_in_http_headers", "http_headers_progress_interval_ms", "user", "password", "quota_key",
        "cancel_http_readonly_queries_on_client_close",
    }
)  # fmt: skip
"""Parameters of the interface that mean nothing to chdb, or that are read here. Cancelling is always done."""
STATUS = {60: 404, 81: 404, 516: 403, 497: 403, 159: 408, 394: 499}
"""https://github.com/ClickHouse/ClickHouse/blob/master/src/Server/HTTPHandler.cpp, exceptionCodeToHTTPStatus"""


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    process: ClassVar[Process]
    password: ClassVar[str]
    changes: ClassVar[Changes] = Changes()
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "chdb", ""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Statements hold data: nothing is logged."""

    def do_GET(self) -> None:
        """A statement in the URL, read only, or a word of life."""
        place = urlsplit(self.path)
        if place.path == "/ping" or (place.path == "/" and not place.query):
            self._reply(200, b"Ok.\n", {})
        else:
            self._answer(b"", {"readonly": "2"})

    def do_POST(self) -> None:
        """A statement in the URL or the body."""
        self._answer(self._body(), {})

    def _answer(self, body: bytes, settings: dict[str, str]) -> None:
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        query_id = given.get("query_id", "")
        try:
            self._authenticate(given)
            asked, wanted = self._read(given, body, settings)
            counted = self.changes.counted(reads=wanted.reads)
            with counted, self.process.answer(wanted, asked, self.connection) as answer:
                self._send(wanted, answer, query_id)
        except Refused as refused:
            headers = {"X-ClickHouse-Exception-Code": str(refused.code), "X-ClickHouse-Query-Id": query_id}
            self._reply(STATUS.get(refused.code, 500), f"{refused}\n".encode(errors="replace"), headers)
        except Gone:
            self.close_connection = True

    def _read(self, given: dict[str, str], body: bytes, settings: dict[str, str]) -> tuple[Asked, Statement]:
        if self.headers.get("Content-Type", "").startswith("multipart/"):
            raise Refused("Code: 48. DB::Exception: Multipart bodies are not served here. (NOT_IMPLEMENTED)")
        if body and (compression := self.headers.get("Content-Encoding")):
            body = self.process.unpacked(body, compression)
        default = given.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated"
        wanted = statement.read(given.get("query", "").encode(), body, default)
        settings |= {name: value for name, value in given.items() if name not in NOT_SETTINGS}
        database = given.get("database") or self.headers.get("X-ClickHouse-Database") or ""
        return Asked(database, given.get("query_id", ""), settings), wanted

    def _send(self, wanted: Statement, answer: Answer, query_id: str) -> None:
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Format": wanted.format,
            "X-ClickHouse-Timezone": "UTC",
        }
        if answer.summary is not None:
            headers["X-ClickHouse-Summary"] = json.dumps(answer.summary)
            self._reply(200, b"".join(answer.pieces), headers)
            return
        self._begin(200, {**headers, "Transfer-Encoding": "chunked"})
        try:
            for piece in answer.pieces:
                self._chunk(piece)
        except Refused as refused:
            # As a server does it: the text in the data, and no end, so that no client takes it for whole.
            self._chunk(f"\n{refused}\n".encode(errors="replace"))
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, piece: bytes) -> None:
        if piece:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._begin(status, {**headers, "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("X-ClickHouse-Server-Display-Name", "local")
        self.send_header(CHANGES, self.changes.word())
        for name, value in headers.items():
            self.send_header(name, value.replace("\r", " ").replace("\n", " "))
        self.end_headers()

    def _authenticate(self, given: dict[str, str]) -> None:
        """By the headers of ClickHouse, basic authentication, or parameters."""
        user = self.headers.get("X-ClickHouse-User") or given.get("user", "")
        password = self.headers.get("X-ClickHouse-Key") or given.get("password", "")
        basic = self.headers.get("Authorization", "")
        if basic.startswith("Basic "):
            user, _, password = base64.b64decode(basic[6:] + "==").decode(errors="replace").partition(":")
        if user != USER or not hmac.compare_digest(password.encode(), self.password.encode()):
            raise Refused(
                f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, or there is no user "
                "with such name. (AUTHENTICATION_FAILED)"
            )

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return b"".join(self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
