"""One OpenAPI document as operations, whatever its version. References stay references: a node is a place, resolved
when it is looked at, so that circular schemas and large documents cost nothing.

https://spec.openapis.org/oas/v3.2.0.html, https://spec.openapis.org/oas/v2.0.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from mcp_backend.contracts.documents import Broken, Documents, mapping
from mcp_backend.contracts.tree import Node, Tree

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
HTTP_STATUS = re.compile(r"[1-5](\d\d|XX|xx)|default")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter or response header; `schema` is `None` where it has none."""

    name: str
    where: str
    required: bool
    schema: Node | None
    node: Node


@dataclass(frozen=True, slots=True)
class Body:
    """A request body: its media types with their schemas."""

    required: bool
    content: Mapping[str, Node | None]
    node: Node


@dataclass(frozen=True, slots=True)
class Response:
    """One response by its status (`default` and ranges included)."""

    status: str
    content: Mapping[str, Node | None]
    headers: Mapping[str, Parameter]
    node: Node


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path. `security` is `None` where nothing says anything, `()` where it is switched off."""

    method: str
    path: str
    node: Node
    parameters: tuple[Parameter, ...]
    body: Body | None
    responses: Mapping[str, Response]
    security: tuple[Mapping[str, Any], ...] | None
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`GET /orders/{id}`."""
        return f"{self.method.upper()} {self.path}"

    @property
    def id(self) -> str:
        """Its operationId, or empty."""
        found = self.node.map.get("operationId")
        return found if isinstance(found, str) else ""

    @property
    def text(self) -> str:
        """Summary and description."""
        return " ".join(str(self.node.map.get(key) or "") for key in ("summary", "description")).strip()


class Api(Tree):
    """An OpenAPI document of a workspace. Raises `Broken` when the document itself cannot be read."""

    def __init__(self, documents: Documents, path: str) -> None:
        super().__init__(documents, path)
        self.addresses: dict[str, dict[str, str]] = {}
        """The full paths of operations by their names, and what servers put before them, as far as somebody asked."""
        said = self.root.map.get("openapi", self.root.map.get("swagger"))
        self.version = str(said or "")
        if not re.match(r"2(\.0)?$|3\.\d", self.version):
            raise Broken(f"{self.path}: OpenAPI {self.version or 'without a version'}: this release reads 2.0 and 3.x")

    @property
    def swagger(self) -> bool:
        """Whether it is version 2.0."""
        return self.version.startswith("2")

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """All operations, in the order of the document."""
        return tuple(self._read())

    @cached_property
    def webhooks(self) -> dict[str, tuple[Operation, ...]]:
        """The requests that the API makes, by name: https://spec.openapis.org/oas/v3.1.1#oas-webhooks"""
        holder = self.child(self.root, "webhooks")
        return {name: tuple(self._item(name, self.child(holder, name))) for name in holder.map}

    def callbacks(self, operation: Operation) -> dict[str, tuple[Operation, ...]]:
        """The requests that the API makes because of one that it got, by name and address."""
        found: dict[str, tuple[Operation, ...]] = {}
        for name in self.child(operation.node, "callbacks").map:
            holder = self.child(operation.node, "callbacks", name)
            for address in holder.map:
                where = name if len(holder.map) == 1 else f"{name} {address}"
                found[where] = tuple(self._item(address, self.child(holder, address)))
        return found

    @cached_property
    def schemas(self) -> dict[str, Node]:
        """The named schemas of the document."""
        keys = ("definitions",) if self.swagger else ("components", "schemas")
        holder = self.child(self.root, *keys)
        return {name: self.child(holder, name) for name in holder.map}

    @property
    def base_paths(self) -> tuple[str, ...]:
        """The paths that servers (or `basePath`) put before every path, without a slash at the end."""
        if self.swagger:
            return (str(self.root.map.get("basePath") or "").rstrip("/"),)
        servers = self.root.map.get("servers")
        found = [path_of(mapping(s)) for s in cast("list[Any]", servers)] if isinstance(servers, list) else []
        return tuple(dict.fromkeys(found)) or ("",)

    def _read(self) -> Iterator[Operation]:
        for path in self.child(self.root, "paths").map:
            item = self.child(self.root, "paths", path)
            if not path.startswith("/"):
                continue
            yield from self._item(path, item)

    def _item(self, path: str, item: Node) -> Iterator[Operation]:
        """The operations of a path item, those of any other method (3.2) too."""
        shared = self._parameters(item)
        more = [("additionalOperations", method) for method in self.child(item, "additionalOperations").map]
        for keys in [(method,) for method in METHODS if method in item.map] + more:
            node = self.child(item, *keys)
            if isinstance(node.value, dict) and not node.broken:
                yield self._operation(keys[-1].lower(), path, node, shared)

    def _operation(self, method: str, path: str, node: Node, shared: dict[tuple[str, str], Parameter]) -> Operation:
        own = {**shared, **self._parameters(node)}
        body = self._swagger_body(node, own) if self.swagger else self._body(node)
        parameters = tuple(p for p in own.values() if p.where not in ("body", "formData"))
        responses = {
            status: self._response(status, self.child(node, "responses", status), node)
            for status in self.child(node, "responses").map
            if HTTP_STATUS.fullmatch(status)
        }
        said: Any = node.map.get("security", self.root.map.get("security"))
        security = tuple(mapping(s) for s in cast("list[Any]", said)) if isinstance(said, list) else None
        tags: Any = node.map.get("tags")
        names = tuple(str(tag) for tag in cast("list[Any]", tags)) if isinstance(tags, list) else ()
        return Operation(method, path, node, parameters, body, responses, security, names)

    def _parameters(self, holder: Node) -> dict[tuple[str, str], Parameter]:
        found: dict[tuple[str, str], Parameter] = {}
        listed: Any = holder.map.get("parameters")
        for index in range(len(cast("list[Any]", listed)) if isinstance(listed, list) else 0):
            node = self.child(holder, "parameters", str(index))
            name, where = str(node.map.get("name", "")), str(node.map.get("in", ""))
            if name and where:
                found[where, name] = self._parameter(name, where, node)
        return found

    def _parameter(self, name: str, where: str, node: Node) -> Parameter:
        required = node.map.get("required") is True or where == "path"
        schema: Node | None = None
        if "schema" in node.map:
            schema = self.child(node, "schema")
        elif isinstance(node.map.get("content"), dict) and node.map["content"]:
            schema = self.child(node, "content", next(iter(node.map["content"])), "schema")
        elif self.swagger and "type" in node.map:
            schema = node
        return Parameter(name, where, required, schema, node)

    def _body(self, operation: Node) -> Body | None:
        if "requestBody" not in operation.map:
            return None
        node = self.child(operation, "requestBody")
        return Body(node.map.get("required") is True, self._content(node), node)

    def _swagger_body(self, operation: Node, parameters: dict[tuple[str, str], Parameter]) -> Body | None:
        media = self._media(operation, "consumes")
        for parameter in parameters.values():
            if parameter.where == "body":
                content = dict.fromkeys(media or ["application/json"], parameter.schema)
                return Body(parameter.required, content, parameter.node)
        form = [p for p in parameters.values() if p.where == "formData"]
        if not form:
            return None
        # The same as an object with these fields.
        uploaded = {"type": "string", "format": "binary"}
        properties = {p.name: {**p.node.map, **(uploaded if p.node.map.get("type") == "file" else {})} for p in form}
        value = {"type": "object", "properties": properties, "required": [p.name for p in form if p.required]}
        schema = Node(operation.path, operation.pointer + "/formData", value)
        kinds = media or ["application/x-www-form-urlencoded"]
        return Body(any(p.required for p in form), dict.fromkeys(kinds, schema), operation)

    def _media(self, operation: Node, key: str) -> list[str]:
        said: Any = operation.map.get(key, self.root.map.get(key))
        return [str(item) for item in cast("list[Any]", said)] if isinstance(said, list) else []

    def _content(self, node: Node) -> dict[str, Node | None]:
        found: dict[str, Node | None] = {}
        for media in self.child(node, "content").map:
            inside = self.child(node, "content", media)
            keys = ("schema",) if "schema" in inside.map else ("itemSchema",) if "itemSchema" in inside.map else ()
            found[media.lower()] = self.child(inside, *keys) if keys else None
        return found

    def _response(self, status: str, node: Node, operation: Node) -> Response:
        content: dict[str, Node | None] = {}
        if not self.swagger:
            content = self._content(node)
        elif "schema" in node.map:
            content = dict.fromkeys(
                self._media(operation, "produces") or ["application/json"], self.child(node, "schema")
            )
        headers = {
            name: self._parameter(name, "header", self.child(node, "headers", name))
            for name in self.child(node, "headers").map
        }
        return Response(status.upper() if status != "default" else status, content, headers, node)


def json_schema(content: Mapping[str, Node | None]) -> Node | None:
    """The schema of the JSON among media types, or `None`."""
    return next((schema for media, schema in content.items() if "json" in media and schema is not None), None)


def path_of(server: Mapping[str, Any]) -> str:
    """The path of a server's URL, its variables at their defaults."""
    url = str(server.get("url") or "")
    for name, variable in mapping(server.get("variables")).items():
        url = url.replace("{" + name + "}", str(mapping(variable).get("default", "")))
    return re.sub(r"^[a-zA-Z][\w+.-]*://[^/]*|^//[^/]*", "", url).rstrip("/")
