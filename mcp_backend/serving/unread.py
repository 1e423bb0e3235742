"""Requests that the SDK cannot read. Over stdio it drops their lines without a word, and whoever asked would wait on.

JSON-RPC 2.0 §5.1 has an error for them. It is sent wherever the line still tells the id of a request: a host written in
JavaScript that cuts a text in the middle of an emoji sends half of it, which no parser of UTF-8 takes.
"""

import json
from typing import Any, cast

import mcp_types as types
from pydantic import ValidationError


def answer(line: str) -> str:
    """The line to send back, empty when the SDK can read this one, or when it asks nothing that could be answered."""
    try:
        types.jsonrpc_message_adapter.validate_json(line, by_name=False)
        return ""
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    message = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
    identifier = message.get("id")
    if "method" not in message or isinstance(identifier, bool) or not isinstance(identifier, int | str):
        return ""
    code, advice = types.INVALID_REQUEST, "send it anew as JSON-RPC 2.0, with its parameters as an object"
    if problem["type"] == "json_invalid":
        code = types.PARSE_ERROR
        advice = "send it anew as valid JSON: no half of a surrogate pair (a character that was cut), no deep nesting"
    where = "" if problem["type"] == "json_invalid" else f"{problem['loc'][-1]}: "
    told = {"code": code, "message": f"This request cannot be read: {where}{problem['msg']}; {advice}"}
    return json.dumps({"jsonrpc": "2.0", "id": identifier, "error": told}, separators=(",", ":")) + "\n"
