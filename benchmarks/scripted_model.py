"""A model that says what a script says, on the loopback, in the words of three vendors' APIs.

It lets a real host run without a login and without a network: the host asks it, it names the next tool, the host runs
it and sends back what a model would have read. Streaming and plain answers of: Anthropic Messages, OpenAI Responses
and Chat Completions, Gemini generateContent.
"""

import json
import re
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

Json = dict[str, Any]
NAME = "scripted-model"


@dataclass(frozen=True, slots=True)
class Use:
    """The next tool. `tool` is the end of its name as the host offers it: hosts put the server's name before ours."""

    tool: str
    arguments: Json
    ours: bool = False
    """Whether it is a tool of the server, not of the host."""


@dataclass
class Play:
    """What is played, and what was seen. `following` gets the text of the last result ("" at first) and says the next
    tool, or nothing at the end."""

    following: Callable[[str], Use | None]
    offered: dict[str, str] = field(default_factory=dict[str, str])
    """Names of tools as the host spells them, with their descriptions."""
    first: tuple[str, ...] = ()
    """The names that the first question had."""
    prefix: str = ""
    """What the host puts before the names of tools that it does not show at first."""
    asked: list[tuple[str, Json]] = field(default_factory=list[tuple[str, Json]])
    read: list[str] = field(default_factory=list[str])
    """What the model was given after each tool."""
    system: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, tools: Mapping[str, str], result: str) -> Use | None:
        """The step after `result`. A tool the host does not show is asked for by its likely name: some hosts defer."""
        with self.lock:
            self.first = self.first or tuple(tools)
            self.offered |= tools
            if self.asked:
                self.read.append(result)
            use = self.following(result)
            if use is None:
                return None
            ours = re.compile(rf"(.+[_\-./:])?{re.escape(use.tool)}")
            hidden = f"{self.prefix}{use.tool}" if use.ours else use.tool
            name = use.tool if use.tool in self.offered else next(filter(ours.fullmatch, self.offered), hidden)
            self.asked.append((name, use.arguments))
            return Use(name, use.arguments)


@contextmanager
def serving(play: Play) -> Generator[int]:
    """The port of a server that plays."""

    class Handler(_Handler):
        playing = play

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    playing: Play
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Says nothing."""

    def do_GET(self) -> None:
        """The list of models."""
        model = {"id": NAME, "object": "model", "slug": NAME, "display_name": NAME, "name": f"models/{NAME}"}
        self._send({"object": "list", "data": [model], "models": []})

    def do_HEAD(self) -> None:
        """Is anybody there?"""
        self._send({})

    def do_POST(self) -> None:
        """One turn."""
        body: Json = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        if re.search(r"count_?tokens", self.path, re.IGNORECASE):
            self._send({"input_tokens": 1, "totalTokens": 1})
        elif "/messages" in self.path:
            self._anthropic(body)
        elif "/responses" in self.path:
            self._responses(body)
        elif "/chat/completions" in self.path:
            self._chat(body)
        elif "enerateContent" in self.path:
            self._gemini(body)
        else:
            self._send({})

    def _send(self, body: Json) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _stream(self, events: list[tuple[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for name, data in events:
            head = f"event: {name}\n" if name else ""
            said = data if isinstance(data, str) else json.dumps(data)
            self.wfile.write(f"{head}data: {said}\n\n".encode())
        self.close_connection = True

    def _anthropic(self, body: Json) -> None:
        """https://docs.anthropic.com/en/api/messages-streaming"""
        shown = [t for t in body.get("tools", []) if not t.get("defer_loading")]
        tools = {t["name"]: t.get("description", "") for t in shown}
        self.playing.system = self.playing.system or _text(body.get("system"))
        use = self.playing.next(tools, _last_result(body["messages"])) if tools else None
        said = {"type": "text", "text": "done"}
        if use:
            said = {
                "type": "tool_use",
                "id": f"toolu_{len(self.playing.asked)}",
                "name": use.tool,
                "input": use.arguments,
            }
        stop = "tool_use" if use else "end_turn"
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "msg", "type": "message", "role": "assistant", "model": NAME, "usage": usage}
        if not body.get("stream"):
            self._send({**message, "content": [said], "stop_reason": stop, "stop_sequence": None})
            return
        started = {"type": "text", "text": ""} if not use else {**said, "input": {}}
        delta = (
            {"type": "input_json_delta", "partial_json": json.dumps(use.arguments)}
            if use
            else {"type": "text_delta", "text": "done"}
        )
        events: list[Json] = [
            {
                "type": "message_start",
                "message": {**message, "content": [], "stop_reason": None, "stop_sequence": None},
            },
            {"type": "content_block_start", "index": 0, "content_block": started},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]
        self._stream([(event["type"], event) for event in events])

    def _responses(self, body: Json) -> None:
        """https://platform.openai.com/docs/api-reference/responses-streaming. Tools may come in namespaces."""
        tools: dict[str, str] = {}
        spaces: dict[str, str] = {}
        for tool in body.get("tools", []):
            for one in tool.get("tools", [tool]):
                tools[one.get("name") or one.get("type", "")] = one.get("description", "")
                if "tools" in tool:
                    spaces[one["name"]] = tool["name"]
        given = body.get("input", [])
        self.playing.system = self.playing.system or _text(body.get("instructions"))
        last: Json = next((i for i in reversed(given) if str(i.get("type", "")).endswith("_output")), Json())
        use = self.playing.next(tools, _text(last.get("output")))
        number = len(self.playing.asked)
        item: Json = {"type": "message", "id": "m", "role": "assistant", "status": "completed",
                      "content": [{"type": "output_text", "text": "done", "annotations": []}]}  # fmt: skip
        if use:
            item = {"type": "function_call", "id": f"fc{number}", "call_id": f"call_{number}", "name": use.tool,
                    "arguments": json.dumps(use.arguments), "status": "completed"}  # fmt: skip
            if use.tool in spaces:
                item["namespace"] = spaces[use.tool]
            if set(use.arguments) == {"input"} and use.tool == "apply_patch":
                item |= {"type": "custom_tool_call", "input": use.arguments["input"]}
                del item["arguments"]
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        response = {"id": f"r{number}", "object": "response", "model": NAME, "status": "completed", "output": [item]}
        if not body.get("stream"):
            self._send({**response, "usage": usage})
            return
        started = {**response, "status": "in_progress", "output": []}
        events: list[Json] = [
            {"type": "response.created", "response": started},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {**response, "usage": usage}},
        ]
        self._stream([(event["type"], {**event, "sequence_number": n}) for n, event in enumerate(events)])

    def _chat(self, body: Json) -> None:
        """https://platform.openai.com/docs/api-reference/chat"""
        tools = {t["function"]["name"]: t["function"].get("description", "") for t in body.get("tools", [])}
        messages = body.get("messages", [])
        self.playing.system = self.playing.system or next(
            (_text(m.get("content")) for m in messages if tools and m["role"] in ("system", "developer")), ""
        )
        last: Json = next((m for m in reversed(messages) if m["role"] == "tool"), Json())
        use = self.playing.next(tools, _text(last.get("content"))) if tools else None
        said: Json = {"role": "assistant", "content": None if use else "done"}
        if use:
            function = {"name": use.tool, "arguments": json.dumps(use.arguments)}
            said["tool_calls"] = [
                {"index": 0, "id": f"call_{len(self.playing.asked)}", "type": "function", "function": function}
            ]
        end = "tool_calls" if use else "stop"
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        head = {"id": "c", "created": 0, "model": NAME}
        if not body.get("stream"):
            choice = {"index": 0, "message": said, "finish_reason": end}
            self._send({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        head["object"] = "chat.completion.chunk"
        first = {**head, "choices": [{"index": 0, "delta": said, "finish_reason": None}]}
        final: Json = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": end}], "usage": usage}
        self._stream([("", first), ("", final), ("", "[DONE]")])

    def _gemini(self, body: Json) -> None:
        """https://ai.google.dev/api/generate-content"""
        declared = [d for t in body.get("tools", []) for d in t.get("functionDeclarations", [])]
        tools = {d["name"]: d.get("description", "") for d in declared}
        self.playing.system = self.playing.system or _text(body.get("systemInstruction", {}).get("parts"))
        parts = [p for c in body.get("contents", []) for p in c.get("parts", []) if "functionResponse" in p]
        result = parts[-1]["functionResponse"].get("response", {}) if parts else ""
        use = self.playing.next(tools, _text(result)) if tools else None
        part: Json = {"functionCall": {"name": use.tool, "args": use.arguments}} if use else {"text": "done"}
        if not tools and body.get("generationConfig", {}).get("responseJsonSchema"):
            part = {"text": "{}"}
        answer = {
            "candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
            "modelVersion": NAME,
        }
        self._stream([("", answer)]) if "stream" in self.path else self._send(answer)


def _last_result(messages: list[Json]) -> str:
    said: list[list[Json]] = [m["content"] for m in messages if isinstance(m["content"], list)]
    blocks = [block for content in said for block in content if block["type"] == "tool_result"]
    return _text(blocks[-1].get("content")) if blocks else ""


def _text(value: Any) -> str:
    """The text of whatever shape an API gives text."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_text, cast("list[Any]", value))))
    if isinstance(value, dict):
        value = cast("Json", value)
        for key in ("text", "output", "error", "content"):
            if key in value and isinstance(value[key], str | list):
                return _text(value[key])
        return json.dumps(value, ensure_ascii=False)
    return ""
