"""Checks an implementation against one specification, by every source that can say something about it."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_backend.contracts.documents import Broken
from mcp_backend.contracts.service import credentials, generated, talking
from mcp_backend.contracts.service.probing import Probe
from mcp_backend.contracts.service.routing import Route, compare
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.contracts.words import Deviation, Unverified
from mcp_backend.errors import InvalidArgument, NotFound, Unavailable
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.threads import patiently
from mcp_backend.workspace import kinds, listing

APPS = re.compile(
    r"(?m)^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)?(FastAPI|Flask|Starlette|Schema|make_executable_schema|get_wsgi_application|get_asgi_application)\("
)
FACTORIES = re.compile(r"(?m)^def (create_app|make_app|build_app|get_app)\(\s*\)")
NONE = (
    "implementation: no application that is read (FastAPI, Flask, Starlette, Django, a GraphQL schema, Go) was found; "
    "name it as module:object, or start the service and give its url instead"
)
SILENT = "url: nothing answers at {}; start the service, then repeat this call"
_TESTS = re.compile(r"(^|/)(tests?|conftest)\b|(^|/)test_")
SCHEMAS = frozenset({"Schema", "make_executable_schema"})


@dataclass(slots=True)
class Checked:
    """What was found. `sources` tells how; `implementation` what was looked at."""

    implementation: str
    deviations: list[Deviation] = field(default_factory=list[Deviation])
    unverified: list[Unverified] = field(default_factory=list[Unverified])
    sources: list[str] = field(default_factory=list[str])
    requests: int = 0
    sandbox: str = ""

    def add(self, deviations: list[Deviation], unverified: list[Unverified]) -> None:
        """Adds what one source found. What another one found before is not said twice."""
        known = {(d.id, d.where): i for i, d in enumerate(self.deviations)}
        for deviation in deviations:
            if (deviation.id, deviation.where) not in known:
                self.deviations.append(deviation)
        self.unverified += [u for u in unverified if u not in self.unverified]


async def check(
    source: Source, spec: Spec, workspace: Workspace, policy: Policy, implementation: str, headers: Mapping[str, str]
) -> Checked:
    """Checks the implementation named `implementation`, or found when that is `auto`.

    Raises `Broken`, `NotFound`, `InvalidArgument`, `FailedPrecondition`, `Unavailable`.
    """
    target = implementation if implementation != "auto" else await asyncio.to_thread(found, source, spec)
    if spec.kind == "protobuf":
        from mcp_backend.contracts.service import grpc

        if target.endswith(".go") or _has_go(source, target):
            return await patiently(grpc.go, source, spec, target.partition(":")[0])
        return await patiently(grpc.python, source, spec, _file(source, target.partition(":")[0]))
    if spec.kind == "asyncapi" and (target.endswith(".go") or _has_go(source, target)):
        raise InvalidArgument("implementation: Go is not checked against AsyncAPI; give the url of the running service")
    if target.endswith(".go") or _has_go(source, target):
        from mcp_backend.contracts.service import go

        if spec.kind == "graphql":
            from mcp_backend.contracts.service import go_graphql

            return await patiently(go_graphql.check, source, spec, target.partition(":")[0])
        return await patiently(go.check, source, spec, target.partition(":")[0])
    target = _placed(source, target)
    async with talking.in_child(workspace, policy, target) as (loaded, talk):
        checked = Checked(target, sandbox=loaded.sandbox)
        if spec.kind == "graphql":
            _graphql(source, spec, loaded.sdl, loaded.problem, checked)
        elif spec.kind == "asyncapi":
            from mcp_backend.contracts.service import websocket

            await websocket.check_app(source, spec, loaded, talk, headers, checked)
        else:
            await _openapi(source, spec, loaded, talk, headers, checked)
    return checked


async def check_url(
    source: Source, spec: Spec, workspace: Workspace, policy: Policy, url: str, headers: Mapping[str, str]
) -> Checked:
    """Asks it what changes nothing. Raises `Broken`, `FailedPrecondition`, `InvalidArgument`, `Unavailable`."""
    from mcp_backend.contracts.openapi.model import Api

    if spec.kind == "graphql":
        return await _introspected(source, spec, url, headers)
    if spec.kind in ("protobuf", "asyncapi"):
        from mcp_backend.contracts.calling import addresses
        from mcp_backend.contracts.service import grpc_url, websocket

        protocol, one = ("grpc", grpc_url.check) if spec.kind == "protobuf" else ("websocket", websocket.check_url)
        target = await patiently(addresses.place, url, policy, protocol)
        if target.refused:
            raise InvalidArgument(target.refused.replace("target:", "url:", 1))
        return await patiently(one, source, spec, target, headers)
    if policy.deep_seconds:
        from mcp_backend.contracts.service import deep

        deep.program()  # before the first request, where it is missing
    api = await asyncio.to_thread(lambda: Api(source.documents(), spec.path))
    talk = talking.AtUrl(url)
    base = await _base(talk, api.base_paths, api, headers)
    probe = Probe(api, talk, base, [dict(headers)] if headers else [])
    await probe.run(api.operations)
    answered = any(probe.first.values())
    if probe.first and not answered and not talk.ended:
        raise Unavailable(SILENT.format(url))
    checked = Checked(url, sources=["probe"] if answered else [], requests=probe.requests)
    if len(probe.first) > 2 and set(probe.first.values()) == {404}:
        why = "every path is answered with 404: the service may have them below another one, which url can name"
        return Checked(url, unverified=[Unverified("*", why)], requests=probe.requests)
    checked.add(
        list(probe.found.deviations.values()),
        [*probe.found.unverified, Unverified("*", "routes beyond the specification cannot be seen from outside")],
    )
    if policy.deep_seconds:
        from mcp_backend.contracts.service import deep

        await deep.check(api, workspace, policy, url, base, headers, checked)
    return checked


async def _introspected(source: Source, spec: Spec, url: str, headers: Mapping[str, str]) -> Checked:
    """The schema that a running service tells of itself: https://spec.graphql.org/draft/#sec-Introspection"""
    from mcp_backend.contracts.graphql.loading import MISSING

    try:
        from graphql import GraphQLError, build_client_schema, get_introspection_query, print_schema
    except ImportError as error:
        raise Unavailable(MISSING) from error
    body = json.dumps({"query": get_introspection_query()}).encode()
    sent = {"Accept": "application/json", **headers, "Content-Type": "application/json"}
    answer = await talking.AtUrl(url).send(talking.Ask("POST", "", (), sent, body))
    if answer.status == 0:
        raise Unavailable(SILENT.format(url))
    checked = Checked(url, requests=1)
    try:
        sdl = print_schema(build_client_schema(answer.json()["data"]))
    except (ValueError, KeyError, TypeError, GraphQLError):
        checked.unverified.append(
            Unverified("*", f"introspection is not answered ({answer.status}): give implementation")
        )
        return checked
    _graphql(source, spec, sdl, "", checked)
    return checked


async def _base(talk: talking.Talk, bases: tuple[str, ...], api: Any, headers: Mapping[str, str]) -> str:
    """What stands before the paths at the URL: the path of a server, or nothing when the URL has it already."""
    first = next((o for o in api.operations if o.method == "get" and "{" not in o.path), None)
    if first is None or bases == ("",):
        return ""
    for base in dict.fromkeys((*bases, "")):
        answer = await talk.send(talking.Ask("GET", base + first.path, (), dict(headers)))
        if answer.status not in (0, 404):
            return base
    return ""


async def _openapi(
    source: Source, spec: Spec, loaded: talking.Loaded, talk: talking.Talk, headers: Mapping[str, str], checked: Checked
) -> None:
    from mcp_backend.contracts.openapi.model import Api

    api = await asyncio.to_thread(lambda: Api(source.documents(), spec.path))
    if loaded.kind == "graphql" or not loaded.kind:
        raise InvalidArgument("implementation: that object is no web application; expected module:object of one")
    operations, base = api.operations, ""
    if loaded.routes:
        routes = [_route(told) for told in loaded.routes if told["method"] != "WEBSOCKET"]
        routed = compare(api, routes, "routes")
        checked.add(list(routed.deviations), list(routed.unverified))
        checked.sources.append("routes")
        operations, base = routed.found, routed.base
    else:
        checked.unverified.append(
            Unverified("*", f"the routes of this application are not known {loaded.problem}".strip())
        )
    if loaded.openapi:
        checked.add(*generated.compare(api, loaded.openapi, base))
        checked.sources.append("schema")
    folder = checked.implementation.rpartition("/")[0]
    texts = [
        listing.text(source.root, f, 400_000) or "" for f in source.files if f.endswith(".py") and f.startswith(folder)
    ][:60]
    probe = Probe(api, talk, base, credentials.candidates(api, headers, texts))
    await probe.run(operations)
    # The code may check what its generated document does not say: what was seen to be refused is enforced.
    checked.deviations = [
        d for d in checked.deviations
        if not (d.source == "schema" and d.id.endswith("not-enforced") and d.where in probe.refused)
    ]  # fmt: skip
    checked.add(list(probe.found.deviations.values()), probe.found.unverified)
    checked.sources.append("probe")
    checked.requests = probe.requests


def _route(told: Mapping[str, Any]) -> Route:
    method, path, place = (str(told.get(key, "")) for key in ("method", "path", "place"))
    return Route(method, path, place, bool(told.get("hidden")), bool(told.get("unclear")))


def _graphql(source: Source, spec: Spec, sdl: str, problem: str, checked: Checked) -> None:
    from mcp_backend.contracts.graphql import deviations
    from mcp_backend.contracts.graphql.loading import built, schema_of

    if not sdl:
        raise InvalidArgument(f"implementation: that object is no GraphQL schema {problem}".strip())
    checked.sources.append("introspection")
    checked.add(deviations.compare(schema_of(source, spec), built(sdl, "the served schema")), [])
    checked.unverified.append(Unverified("*", "what resolvers return and refuse is not seen by introspection"))


def _file(source: Source, name: str) -> str:
    """The file or folder that a module or path names."""
    if name in source.known or any(f.startswith(f"{name}/") for f in source.files):
        return name
    if hit := _module(source, name):
        return hit.removesuffix("/__init__.py")
    raise NotFound(f"implementation: there is no module or file {name} in this repository")


def _module(source: Source, name: str) -> str | None:
    """The file of a module, from the root or, where only one has that name, from any folder."""
    path = name.replace(".", "/")
    for candidate in (f"{path}.py", f"{path}/__init__.py"):
        if candidate in source.known:
            return candidate
    deeper = [f for f in source.files if f.endswith(f"/{path}.py")]
    return deeper[0] if len(deeper) == 1 else None


def _placed(source: Source, target: str) -> str:
    """`module:object` with the path of the module where it is not to be found from the root."""
    name, colon, attribute = target.partition(":")
    if name.endswith(".py") or "/" in name or f"{name.replace('.', '/')}.py" in source.known:
        return target
    hit = _module(source, name)
    return f"{hit}{colon}{attribute}" if hit and not hit.endswith("/__init__.py") else target


def _has_go(source: Source, target: str) -> bool:
    folder = "" if target in (".", "./...") else target.removeprefix("./").rstrip("/")
    inside = [f for f in source.files if not folder or f.startswith(f"{folder}/")]
    return ":" not in target and any(f.endswith(".go") for f in inside) and not any(f == target for f in source.files)


def found(source: Source, spec: Spec) -> str:
    """The one application of the repository, for `auto`. Raises `NotFound`, `InvalidArgument`."""
    if spec.kind == "protobuf":
        return _servers(source)
    hits: list[str] = []
    for path in source.files:
        if not path.endswith(".py") or not kinds.evidence(path) or _TESTS.search(path):
            continue
        text = listing.text(source.root, path, 400_000) or ""
        for name, kind in APPS.findall(text):
            if (kind in SCHEMAS) == (spec.kind == "graphql"):
                hits.append(f"{path}:{name}")
        if spec.kind != "graphql":
            hits += [f"{path}:{name}()" for name in FACTORIES.findall(text)]
    if len(hits) == 1:
        return hits[0]
    if not hits and any(f.endswith(".go") for f in source.files):
        return "."
    if not hits:
        raise NotFound(NONE)
    raise InvalidArgument(f"implementation: several applications were found, name one: {', '.join(hits[:8])}")


def _servers(source: Source) -> str:
    made = ("_pb2.py", "_pb2_grpc.py")
    files = [f for f in source.files if f.endswith(".py") and not f.endswith(made) and kinds.evidence(f)]
    serves = re.compile(r"class \w+\([^)]*Servicer\b")
    hits = [f for f in files if serves.search(listing.text(source.root, f, 400_000) or "")]
    if len(hits) == 1:
        return hits[0]
    if not hits and any(f.endswith(".go") for f in source.files):
        return "."
    if hits:
        named = ", ".join(hits[:8])
        raise InvalidArgument(f"implementation: several files serve gRPC, name one or their folder: {named}")
    raise NotFound("implementation: no class that serves gRPC was found; name its file")


__all__ = ["Broken", "Checked", "check", "check_url", "found"]
