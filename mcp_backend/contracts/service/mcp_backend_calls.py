# ruff: noqa: BLE001, S110, SIM105 - whatever an application raises is its answer
# pyright: basic
"""Calls an ASGI or WSGI application without a network. Runs beside `child.py`, with the standard library alone."""

import asyncio
import io
import json

BODY = 300_000
"""Bytes of one answer."""
QUIET = 0.4
"""Seconds without a message after which a WebSocket is left."""
MESSAGES = 20


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
        if method == "WEBSOCKET":
            return self.loop.run_until_complete(asyncio.wait_for(self._exchange(path, query, headers, body), 20))
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

        scope = {**_scope("http", path, query, headers), "method": method}
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            if not sent:
                return 500, [], f"{type(error).__name__}".encode()
        gone.set()
        return sent.get("status", 500), sent.get("headers", []), b"".join(parts)

    async def _exchange(self, path, query, headers, body):
        """A WebSocket that is sent the texts of the body, and left once it is quiet. The answer is a JSON object."""
        texts, messages, closed, refused = json.loads(body or b"[]"), [], [], []
        accepted, begun, said = asyncio.Event(), [False], asyncio.Event()

        async def receive():
            if not begun[0]:
                begun[0] = True
                return {"type": "websocket.connect"}
            if texts:
                return {"type": "websocket.receive", "text": texts.pop(0)}
            while len(messages) < MESSAGES and not closed:
                said.clear()
                try:
                    await asyncio.wait_for(said.wait(), QUIET)
                except TimeoutError:
                    break
            return {"type": "websocket.disconnect", "code": 1000}

        async def send(message):
            kind = message["type"]
            if kind == "websocket.accept":
                accepted.set()
            elif kind == "websocket.send":
                if len(messages) >= MESSAGES:
                    raise OSError("the client is gone")
                text = message.get("text")
                messages.append(text if text is not None else bytes(message.get("bytes") or b"").decode("latin-1"))
            elif kind == "websocket.close":
                closed.append(message.get("code") or 1000)
            elif kind == "websocket.http.response.start":
                refused.append(message["status"])
            said.set()

        running = asyncio.ensure_future(self.app(_scope("websocket", path, query, headers), receive, send))
        try:
            # An application may send for ever without asking for anything: then it is left, too.
            seen = -1
            while not running.done() and seen < len(messages) < MESSAGES:
                seen = len(messages)
                await asyncio.wait({running}, timeout=4 * QUIET)
            if not running.done():
                running.cancel()
            await asyncio.wait({running}, timeout=2)
            if running.done() and not running.cancelled() and running.exception() and len(messages) < MESSAGES:
                closed.append(1011)
        finally:
            running.cancel()
        status = 101 if accepted.is_set() else refused[0] if refused else 403 if closed else 500
        return status, [], json.dumps({"messages": messages, "closed": closed[0] if closed else 0}).encode()


def _scope(kind, path, query, headers):
    return {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http" if kind == "http" else "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
        "state": {},
        "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
        **({"subprotocols": []} if kind == "websocket" else {}),
    }


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
