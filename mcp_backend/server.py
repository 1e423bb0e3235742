"""MCP wiring: tools, resources, prompts and completions on the official SDK, in both protocol eras."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError

from mcp_backend import __version__, persona, telemetry, telling, ui
from mcp_backend.app import App, Caller, Progress, open_app, silent
from mcp_backend.deadlines import answered
from mcp_backend.errors import BackendError, Json, NotFound, PermissionDenied
from mcp_backend.resources import RESOURCES, VIEWS, Resource
from mcp_backend.scopes import check_resource, engines_for, lacking, take_call
from mcp_backend.serving.asking_host import conversed
from mcp_backend.serving.watching import SCHEMA, Audience
from mcp_backend.tools import TOOLSETS, Tool, enabled

NAME = "mcp-backend"
Context: TypeAlias = ServerRequestContext[App, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """What `serve` was asked for."""

    workspace: Path
    toolsets: frozenset[str] = frozenset(TOOLSETS)
    read_only: bool = False


def build(options: Options) -> Server[App]:
    """The server of one workspace. Nothing outside this process is opened before the first connection."""
    served = _Served(options, enabled(options.toolsets, read_only=options.read_only), persona.load(), Audience())
    server = Server(
        NAME,
        version=__version__,
        title="Backend Engineer",
        description="A backend engineer with guarded tools for databases, messaging, git and tests.",
        instructions=persona.offered(served.engineer.instructions, served.tools),
        lifespan=served.lifespan,
        on_list_tools=served.list_tools,
        on_call_tool=served.call_tool,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_templates,
        on_read_resource=_read_resource,
        on_list_prompts=served.list_prompts,
        on_get_prompt=served.get_prompt,
        on_completion=_complete,
        on_subscribe_resource=served.subscribe,
        on_unsubscribe_resource=served.audience.unsubscribe,
        on_subscriptions_listen=served.listen,
    )
    server.middleware = [telemetry.traced]
    server.extensions = {ui.EXTENSION: {}}
    return server


@dataclass(frozen=True, slots=True)
class _Served:
    """What one server offers, and its answers to requests that depend on that."""

    options: Options
    tools: Mapping[str, type[Tool]]
    engineer: persona.Persona
    audience: Audience

    @asynccontextmanager
    async def lifespan(self, _: Server[App]) -> AsyncGenerator[App]:
        """The app of each connection, and who watches it."""
        async with open_app(self.options.workspace) as app:
            watching = asyncio.create_task(self.audience.watch(app))
            try:
                yield app
            finally:
                watching.cancel()
                await asyncio.wait([watching])

    async def list_tools(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        """The tools that this caller may use."""
        scopes, able = _caller(ctx).scopes, ctx.session.client_capabilities
        views = able is not None and ui.wanted(able.extensions)
        allowed = [tool for tool in self.tools.values() if scopes is None or not lacking(scopes, tool)]
        return types.ListToolsResult(tools=[_tool(tool, views) for tool in allowed])

    async def call_tool(
        self, ctx: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        """One call; what goes wrong in it is a result, too."""
        tool = self.tools.get(params.name)
        if tool is None:
            known = ", ".join(self.tools)
            raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown tool: {params.name}; known: {known}")
        told = telling.Told(ctx.session.report_progress)
        telling.here(told)
        app = _app(ctx, progress=told.progress)
        try:
            if app.caller.scopes is not None:
                await take_call(app.store, app.caller.principal, app.policy.http.calls_per_minute)
            with telling.beating(told):
                body = await conversed(ctx, app, tool, params)
            return body if isinstance(body, types.InputRequiredResult) else _result(body, is_error=False)
        except BackendError as error:
            return _result({"error": error.as_json()}, is_error=True)

    async def list_prompts(self, ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        """The engineer's role and the prompts for single jobs."""
        return types.ListPromptsResult(prompts=[_prompt(prompt) for prompt in self._prompts])

    async def get_prompt(self, ctx: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        """A prompt with what was given filled in."""
        prompt = next((p for p in self._prompts if p.name == params.name), None)
        if prompt is None:
            known = ", ".join(p.name for p in self._prompts)
            raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown prompt: {params.name}; known: {known}")
        given = params.arguments or {}
        for argument in prompt.arguments:
            if argument.required and not given.get(argument.name, "").strip():
                raise MCPError(
                    code=types.INVALID_PARAMS,
                    message=f"{argument.name}: is required ({argument.description})",
                )
        if "{{picture}}" in prompt.body:
            given = {**given, "picture": await _picture(_app(ctx), given.get("base", ""))}
        text = persona.render(prompt, given, self.engineer, self.tools)
        return types.GetPromptResult(
            description=prompt.description,
            messages=[types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))],
        )

    @property
    def _prompts(self) -> tuple[persona.Prompt, ...]:
        return (self.engineer.role, *self.engineer.prompts)

    async def subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """Tells this session from now on when a resource changes (up to 2025-11-25)."""
        _may_watch(ctx, [str(params.uri)])
        return await self.audience.subscribe(ctx, params)

    async def listen(self, ctx: Context, params: types.SubscriptionsListenRequestParams) -> Any:
        """The same as a stream of notifications (from 2026-07-28 on)."""
        _may_watch(ctx, params.notifications.resource_subscriptions or [])
        return await self.audience.listen(ctx, params)


async def _list_resources(ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    return types.ListResourcesResult(
        resources=[
            types.Resource(uri=r.uri, name=r.name, title=r.title, description=r.description, mime_type=r.mime_type)
            for r in RESOURCES
            if not r.template
        ]
    )


async def _list_templates(
    ctx: Context, params: types.PaginatedRequestParams | None
) -> types.ListResourceTemplatesResult:
    return types.ListResourceTemplatesResult(
        resource_templates=[
            types.ResourceTemplate(
                uri_template=r.uri, name=r.name, title=r.title, description=r.description, mime_type=r.mime_type
            )
            for r in RESOURCES
            if r.template
        ]
    )


async def _read_resource(ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = str(params.uri)
    resource, values = _find(uri)
    try:
        app = _app(ctx)
        check_resource(app.caller.scopes, uri)
        text = await answered(resource.read(app, values))
    except NotFound as error:
        raise MCPError(code=types.INVALID_PARAMS, message=error.reason, data={"uri": uri}) from error
    except BackendError as error:
        raise MCPError(code=types.INTERNAL_ERROR, message=error.reason, data=error.as_json()) from error
    return types.ReadResourceResult(
        contents=[types.TextResourceContents(uri=uri, mime_type=resource.mime_type, text=text, _meta=resource.meta)]
    )


async def _complete(ctx: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
    values: list[str] = []
    if isinstance(params.ref, types.ResourceTemplateReference):
        resource = next((r for r in RESOURCES if r.template and r.uri == params.ref.uri), None)
        if resource and resource.complete:
            known = (params.context.arguments if params.context else None) or {}
            app = _app(ctx)
            with suppress(PermissionDenied):  # Who may not read it gets no names of it either.
                check_resource(app.caller.scopes, resource.uri)
                values = await answered(resource.complete(app, params.argument.name, known))
    fitting = [v for v in values if v.startswith(params.argument.value)]
    return types.CompleteResult(
        completion=types.Completion(values=fitting[:100], total=len(fitting), has_more=len(fitting) > 100)
    )


def _prompt(prompt: persona.Prompt) -> types.Prompt:
    return types.Prompt(
        name=prompt.name,
        title=prompt.title,
        description=prompt.description,
        arguments=[
            types.PromptArgument(name=a.name, description=a.description, required=a.required) for a in prompt.arguments
        ],
    )


async def _picture(app: App, base: str) -> str:
    """The change a reviewer is asked about, as it is now."""
    from mcp_backend.workspace import picture, receipts

    try:
        recent = await receipts.recent(app.store)
        return await answered(asyncio.to_thread(picture.of, app.workspace, app.policy, base.strip(), recent))
    except BackendError as error:
        raise MCPError(code=types.INVALID_PARAMS, message=error.reason, data=error.as_json()) from error


def _find(uri: str) -> tuple[Resource, Mapping[str, str]]:
    for resource in (*RESOURCES, *VIEWS):
        values = resource.match(uri)
        if values is not None:
            return resource, values
    known = ", ".join(r.uri for r in RESOURCES)
    raise MCPError(code=types.INVALID_PARAMS, message=f"no resource {uri}; known: {known}", data={"uri": uri})


@cache
def _tool(tool: type[Tool], views: bool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description(),
        input_schema=tool.input_schema(),
        output_schema=tool.output_schema(),
        annotations=types.ToolAnnotations(
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent,
            open_world_hint=tool.open_world,
        ),
        _meta=ui.about(tool.name, views=views),
    )


def _result(body: dict[str, Json], *, is_error: bool) -> types.CallToolResult:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        # A file name that is not UTF-8 must not end the connection: no transport can encode a lone surrogate.
        text = text.encode("utf-8", "replace").decode()
        body = json.loads(text)
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)], structured_content=body, is_error=is_error
    )


def _app(ctx: Context, progress: Progress = silent) -> App:
    """The app as whoever sent this request may use it."""
    app, caller = ctx.lifespan_context, _caller(ctx)
    return replace(app, caller=caller, engines=engines_for(caller.scopes, app.engines), progress=progress)


def _may_watch(ctx: Context, uris: Iterable[str]) -> None:
    """That something changed is also told only to who may read it."""
    app = _app(ctx)
    try:
        for uri in uris:
            check_resource(app.caller.scopes, uri)
            if uri.startswith(SCHEMA):
                with suppress(NotFound):  # What is no database never changes.
                    app.engines.choose(uri.removeprefix(SCHEMA).partition("/")[0], ("postgresql", "clickhouse"))
    except PermissionDenied as error:
        raise MCPError(code=types.INVALID_PARAMS, message=error.reason, data=error.as_json()) from error


def _caller(ctx: Context) -> Caller:
    """Who calls: the principal of the token where the transport verified one, otherwise the user of this machine."""
    params = ctx.session.client_params
    client = f"{params.client_info.name} {params.client_info.version}" if params else "unknown"
    user = ctx.request.scope.get("user") if ctx.request is not None else None
    token = getattr(user, "access_token", None)
    session = ctx.request.headers.get("mcp-session-id", ctx.lifespan_context.instance) if ctx.request else ""
    session = session[:64] or f"{os.getpid()}"
    if token is None:
        return Caller(principal=ctx.lifespan_context.caller.principal, client=client, session=session)
    return Caller(str(token.subject or token.client_id), client, session, frozenset(token.scopes))
