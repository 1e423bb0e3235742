"""A schema registry of a test's own: the part of Confluent's protocol that a reader uses, and a count of registrations.

No real one can be installed here, so this is a stand-in: https://docs.confluent.io/platform/current/schema-registry/
"""

import base64
import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


class Registryd:
    """Serves subjects on the loopback interface. `asked` are the requests, `password` what it demands of `worker`."""

    def __init__(self, password: str = "") -> None:
        self.subjects: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.password = password
        self.moved = ""
        self.slow = threading.Event()
        """Set: the end of an answer never comes, only spaces."""
        self._stop = threading.Event()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.answer(self, None)

            def do_POST(self) -> None:
                registry.answer(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - so it is called there
                """Nothing on standard error."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, subject: str, schema_id: int, schema: str, kind: str = "AVRO", *references: tuple[str, str]) -> None:
        """A new version of a subject. `references` are names and the subjects they are in."""
        versions = self.subjects.setdefault(subject, [])
        known = [{"name": name, "subject": other, "version": 1} for name, other in references]
        entry = {"subject": subject, "version": len(versions) + 1, "id": schema_id, "schema": schema}
        versions.append({**entry, "references": known} | ({} if kind == "AVRO" else {"schemaType": kind}))

    def close(self) -> None:
        self.slow.clear()
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        self.asked.append(f"{handler.command} {handler.path}")
        wanted = f"Basic {base64.b64encode(f'worker:{self.password}'.encode()).decode()}"
        code, told = 404, dict[str, Any]()
        if self.moved:
            handler.send_response(302)
            handler.send_header("Location", self.moved)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if self.password and handler.headers.get("Authorization") != wanted:
            code, told = 401, {"error_code": 401, "message": "Unauthorized"}
        elif (found := self._found([unquote(part) for part in handler.path.split("/")[1:]], body)) is not None:
            code, told = 200, found
        data = json.dumps(told).encode()
        handler.send_response(code)
        handler.send_header("Content-Length", str(len(data) + 100_000 * self.slow.is_set()))
        handler.end_headers()
        with suppress(OSError):  # whoever asked is gone
            while self.slow.is_set():
                handler.wfile.write(b" ")
                self._stop.wait(0.05)
            handler.wfile.write(data)

    def _found(self, parts: list[str], body: Any) -> dict[str, Any] | None:
        match parts:
            case ["schemas", "ids", number]:
                every = [entry for versions in self.subjects.values() for entry in versions]
                hits = [entry for entry in every if str(entry["id"]) == number]
                return (
                    {k: v for k, v in hits[0].items() if k in ("schema", "schemaType", "references")} if hits else None
                )
            case ["subjects", name, "versions", which] if body is None:
                versions = self.subjects.get(name, [])
                number = len(versions) if which == "latest" else int(which)
                return versions[number - 1] if 0 < number <= len(versions) else None
            case ["subjects", name]:
                texts = [
                    e for e in self.subjects.get(name, []) if json.loads(e["schema"]) == json.loads(body["schema"])
                ]
                return texts[0] if texts else None
            case _:
                return None
