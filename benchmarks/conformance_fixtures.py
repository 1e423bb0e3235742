"""The tools, resources and prompts with fixed names that the protocol's conformance suite calls.

https://github.com/modelcontextprotocol/conformance: its server scenarios name them and say what each must answer.
"""

import asyncio
import base64
import json
from typing import Annotated, Any

from mcp.server import Server
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    SetLevelRequestParams,
    TextContent,
    TextResourceContents,
)
from pydantic import Field

from benchmarks.conformance_schemas import DEFAULTS, ENUMS, NAME, OK

# pyright: reportUnusedFunction=false, reportDeprecated=false
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _image() -> ImageContent:
    return ImageContent(type="image", data=PIXEL, mime_type="image/png")


def _embedded(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def _form(schema: dict[str, Any], message: str) -> ElicitRequest:
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _sample(prompt: str) -> CreateMessageRequest:
    messages = [SamplingMessage(role="user", content=_text(prompt))]
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=messages, max_tokens=50))


def _needs(state: str | None = None, **requests: InputRequest) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests, request_state=state)


def _said(ctx: Context, key: str) -> dict[str, Any] | None:
    """What a form was answered with; `None` while it was not."""
    answer = (ctx.input_responses or {}).get(key)
    return dict(answer.content or {}) if isinstance(answer, ElicitResult) else None


def server() -> MCPServer:
    """A server of the fixtures alone; `benchmarks.conformance` puts its handlers behind those of ours."""
    made = MCPServer("fixtures", log_level="CRITICAL")
    _contents(made)
    _conversations(made)
    _rounds(made)
    _resources(made)
    _prompts(made)
    return made


def _contents(made: MCPServer) -> None:
    @made.tool()
    def test_simple_text() -> str:
        return "This is a simple text response for testing."

    @made.tool()
    def test_image_content() -> list[ImageContent]:
        return [_image()]

    @made.tool()
    def test_audio_content() -> list[AudioContent]:
        return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]

    @made.tool()
    def test_embedded_resource() -> list[EmbeddedResource]:
        return [_embedded("test://embedded-resource", "This is an embedded resource content.")]

    @made.tool()
    def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
        mixed = _embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
        return [_text("Multiple content types test:"), _image(), mixed]

    @made.tool()
    def test_error_handling() -> str:
        raise RuntimeError("This tool intentionally returns an error for testing")

    @made.tool()
    def test_x_mcp_header(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "") -> str:
        return f"region={region}"

    @made.tool()
    def json_schema_2020_12_tool() -> str:
        return "json_schema_2020_12_tool"


def _conversations(made: MCPServer) -> None:
    @made.tool()
    async def test_tool_with_logging(ctx: Context) -> str:
        for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.info(text)
            await asyncio.sleep(0.05)
        return "Tool with logging executed successfully"

    @made.tool()
    async def test_logging_tool(ctx: Context) -> str:
        await ctx.info("logged")
        return "logged where it was asked for"

    @made.tool()
    async def test_tool_with_progress(ctx: Context) -> str:
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100, f"Completed step {done} of 100")
            await asyncio.sleep(0.05)
        return "done"

    @made.tool()
    async def test_sampling(prompt: str, ctx: Context) -> str:
        asked = _sample(prompt).params
        result = await ctx.session.create_message(asked.messages, max_tokens=100, related_request_id=ctx.request_id)
        return f"LLM response: {result.content.text if result.content.type == 'text' else ''}"

    async def elicited(ctx: Context, message: str, schema: dict[str, Any]) -> str:
        result = await ctx.session.elicit_form(message, schema, ctx.request_id)
        return f"action={result.action}, content={json.dumps(result.content or {})}"

    @made.tool()
    async def test_elicitation(message: str, ctx: Context) -> str:
        schema = {"type": "object", "properties": {"response": {"type": "string"}}, "required": ["response"]}
        return f"User response: {await elicited(ctx, message, schema)}"

    @made.tool()
    async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
        return f"Elicitation result: {await elicited(ctx, 'Please review', DEFAULTS)}"

    @made.tool()
    async def test_elicitation_sep1330_enums(ctx: Context) -> str:
        return f"Elicitation completed: {await elicited(ctx, 'Please select', ENUMS)}"

    @made.tool()
    async def test_missing_capability(ctx: Context) -> str:
        declared = ctx.session.client_capabilities
        if declared is None or declared.sampling is None:
            data: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "needs the client's sampling", data)
        return "sampling is declared"


def _rounds(made: MCPServer) -> None:
    @made.tool()
    async def test_streaming_elicitation(ctx: Context) -> str | InputRequiredResult:
        await ctx.report_progress(1, 2)
        return "answered" if _said(ctx, "user_name") else _needs(user_name=_form(NAME, "What is your name?"))

    @made.tool()
    async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
        said = _said(ctx, "user_name")
        return f"Hello, {said.get('name')}!" if said else _needs(user_name=_form(NAME, "What is your name?"))

    @made.tool()
    async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
        answered = "capital_question" in (ctx.input_responses or {})
        return "The model answered." if answered else _needs(capital_question=_sample("What is the capital of France?"))

    @made.tool()
    async def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
        answered = "client_roots" in (ctx.input_responses or {})
        return "The roots came." if answered else _needs(client_roots=ListRootsRequest())

    @made.tool()
    async def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
        if _said(ctx, "confirm") is not None and ctx.request_state == "nonce":
            return "state-ok: confirmed"
        return _needs("nonce", confirm=_form(OK, "Please confirm"))

    @made.tool()
    async def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
        if ctx.request_state is None:
            return _needs("round-1", confirm=_form(OK, "Please confirm"))
        return f"state-ok: {ctx.request_state}"

    @made.tool()
    async def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
        if {"user_name", "greeting", "client_roots"} <= (ctx.input_responses or {}).keys():
            return "All inputs received."
        asked = _form(NAME, "What is your name?")
        return _needs("all", user_name=asked, greeting=_sample("Greet"), client_roots=ListRootsRequest())

    @made.tool()
    async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
        one, two = _said(ctx, "step1"), _said(ctx, "step2")
        if two is not None and ctx.request_state == "two":
            return f"It is {two.get('color')}."
        if one is not None and ctx.request_state == "one":
            color = {"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]}
            return _needs("two", step2=_form(color, "Step 2: What is your favorite color?"))
        return _needs("one", step1=_form(NAME, "Step 1: What is your name?"))

    @made.tool()
    async def test_input_required_result_capabilities(ctx: Context) -> InputRequiredResult:
        declared, asked = ctx.client_capabilities, dict[str, InputRequest]()
        if declared is None or declared.sampling is not None:
            asked["sample"] = _sample("Say hello")
        if declared is None or declared.elicitation is not None:
            asked["ask"] = _form(NAME, "What is your name?")
        return _needs("gated", **asked)

    @made.tool()
    async def test_trigger_tool_change(ctx: Context) -> str:
        await ctx.notify_tools_changed()
        return "told"

    @made.tool()
    async def test_trigger_prompt_change(ctx: Context) -> str:
        await ctx.notify_prompts_changed()
        return "told"


def _resources(made: MCPServer) -> None:
    @made.resource("test://static-text")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @made.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        return base64.b64decode(PIXEL)

    @made.resource("test://template/{id}/data")
    def template(id: str) -> str:  # noqa: A002
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @made.resource("test://watched-resource")
    def watched() -> str:
        return "Watched resource content"


def _prompts(made: MCPServer) -> None:
    @made.prompt()
    def test_simple_prompt() -> list[UserMessage]:
        return [UserMessage(_text("This is a simple prompt for testing."))]

    @made.prompt()
    def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
        return [UserMessage(_text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]

    @made.prompt()
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
        resource = _embedded(resourceUri, "Embedded resource content for testing.")
        return [UserMessage(resource), UserMessage(_text("Please process the embedded resource above."))]

    @made.prompt()
    def test_prompt_with_image() -> list[UserMessage]:
        return [UserMessage(_image()), UserMessage(_text("Please analyze the image above."))]

    @made.prompt()
    async def test_input_required_result_prompt(ctx: Context) -> list[UserMessage] | InputRequiredResult:
        said = _said(ctx, "user_context")
        if said is not None:
            return [UserMessage(_text(f"Use this context: {said.get('context')}"))]
        schema = {"type": "object", "properties": {"context": {"type": "string"}}, "required": ["context"]}
        return _needs(user_context=_form(schema, "What context should the prompt use?"))


async def level(ctx: Any, params: SetLevelRequestParams) -> EmptyResult:
    """`logging/setLevel`, which the suite takes for required; ours declares no logging (deprecated, SEP-2577)."""
    return EmptyResult()


def low(made: MCPServer) -> Server[Any]:
    """The handlers of the fixtures by method."""
    return made._lowlevel_server  # pyright: ignore[reportPrivateUsage]
