# ruff: noqa: BLE001, S110, SIM105 - whatever an application raises is its answer
# pyright: basic
"""Calls an ASGI or WSGI application without a network. Runs beside `child.py`, with the standard library alone."""

import asyncio
import io

BODY = 300_000
"""Bytes of one answer."""


class Asgi:
    """Calls an ASGI application: https://asgi.readthedocs.io/en/latest/specs/www.html"""

    def __init__(self, app):
        self.app = app
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.life = None
        self.loop.run_until_complete(self._start())

    async def _start(self):
        started, given = asyncio.Event(), asyncio.Queue()
        await given.put({"type": "lifespan.startup"})

        async def send(message):
            if message["type"].startswith("lifespan.startup"):
                started.set()

        async def live():
            try:
                await self.app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, given.get, send)
            except BaseException:
                pass
            started.set()

        self.life = asyncio.ensure_future(live())
        try:
            await asyncio.wait_for(started.wait(), 20)
        except TimeoutError:
            pass

    def __call__(self, method, path, query, headers, body):
        return self.loop.run_until_complete(asyncio.wait_for(self._call(method, path, query, headers, body), 20))

    async def _call(self, method, path, query, headers, body):
        sent, parts, asked = {}, [], [False]
        gone = asyncio.Event()

        async def receive():
            if asked[0]:
                await gone.wait()
                return {"type": "http.disconnect"}
            asked[0] = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            if message["type"] == "http.response.start":
                sent.update(
                    status=message["status"],
                    headers=[(k.decode("latin-1"), v.decode("latin-1")) for k, v in message.get("headers", [])],
                )
            elif message["type"] == "http.response.body" and sum(map(len, parts)) < BODY:
                parts.append(bytes(message.get("body", b"")))

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "server": ("testserver", 80),
            "client": ("127.0.0.1", 1),
            "state": {},
            "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
        }
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            if not sent:
                return 500, [], f"{type(error).__name__}".encode()
        gone.set()
        return sent.get("status", 500), sent.get("headers", []), b"".join(parts)


def wsgi(app):
    """Calls a WSGI application: https://peps.python.org/pep-3333/"""

    def call(method, path, query, headers, body):
        sent = {}
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value

        def start(status, sent_headers, exc_info=None):
            sent.update(status=int(status.split()[0]), headers=sent_headers)
            return lambda data: None

        try:
            answer = app(environ, start)
            data = b"".join(answer)[:BODY]
            if hasattr(answer, "close"):
                answer.close()
        except Exception as error:
            return 500, [], type(error).__name__.encode()
        return sent.get("status", 500), sent.get("headers", []), data

    return call
