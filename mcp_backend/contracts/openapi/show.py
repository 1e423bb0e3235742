"""An OpenAPI document in brief, and one operation in full."""

from typing import Any, cast

from mcp_backend.contracts.contract import Contract, Line
from mcp_backend.contracts.documents import Documents, mapping
from mcp_backend.contracts.openapi import gaps
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Api, Operation, Parameter
from mcp_backend.contracts.tree import Node
from mcp_backend.errors import Json

DEFINITIONS = 5_000
"""Bytes of the schemas shown with one operation."""
INLINE = 700
SUMMARY = 60


def read(documents: Documents, path: str) -> Contract:
    """The document, read. Raises `Broken`."""
    api = Api(documents, path)
    flattener = Flattener(api)
    by_name = {operation.name: operation for operation in api.operations}
    info = mapping(api.root.map.get("info"))
    return Contract(
        path,
        "openapi",
        api.version,
        str(info.get("title") or "")[:120],
        tuple(_line(api, operation) for operation in api.operations),
        tuple(gaps.gaps(api, flattener)),
        lambda name: detail(flattener, by_name[name]),
        {"info_version": str(info.get("version") or "")[:40], "servers": _servers(api), "security": _schemes(api)},
        documents.paths,
    )


def _servers(api: Api) -> list[Json]:
    if api.swagger:
        return [f"{api.root.map.get('host') or ''}{api.root.map.get('basePath') or ''}"]
    listed: Any = api.root.map.get("servers")
    return [str(mapping(s).get("url"))[:120] for s in cast("list[Any]", listed)[:5]] if isinstance(listed, list) else []


def _schemes(api: Api) -> dict[str, Json]:
    keys = ("securityDefinitions",) if api.swagger else ("components", "securitySchemes")
    holder = api.child(api.root, *keys)
    found: dict[str, Json] = {}
    for name in list(holder.map)[:8]:
        says = api.child(holder, name).map
        parts = [says.get(k) for k in ("type", "scheme", "in", "name")]
        found[name] = " ".join(str(part) for part in parts if part)[:80]
    return found


def _line(api: Api, operation: Operation) -> Line:
    query = [
        p.name + ("" if p.required else "?") for p in operation.parameters if p.where in ("query", "header", "cookie")
    ]
    shown = ", ".join(query[:6]) + (", …" if len(query) > 6 else "")
    body = _brief(api, operation.body.content) if operation.body else ""
    answers = [f"{s} {_brief(api, r.content)}".strip() for s, r in operation.responses.items() if s[0] in "23"]
    said = str(operation.node.map.get("summary") or "").strip().replace("\n", " ")
    text = f"{operation.name}({shown}{'; ' if shown and body else ''}{body}) → {', '.join(answers[:3]) or '?'}"
    if operation.node.map.get("deprecated") is True:
        text += " deprecated"
    if said:
        text += f" · {said[:SUMMARY]}{'…' if len(said) > SUMMARY else ''}"
    group = operation.tags[0] if operation.tags else operation.path.strip("/").partition("/")[0]
    return Line(
        operation.name,
        text,
        group,
        f"{operation.id} {operation.text} {' '.join(operation.tags)}",
        (operation.id,) if operation.id else (),
    )


def _brief(api: Api, content: Any) -> str:
    for media, schema in content.items():
        if schema is None:
            return str(media)
        if name := api.component(schema):
            return name
        items = api.child(schema, "items")
        if schema.map.get("type") == "array" and (name := api.component(items)):
            return f"{name}[]"
        return str(schema.map.get("type") or "schema")
    return ""


def detail(f: Flattener, operation: Operation) -> dict[str, Json]:
    """Everything about one operation: parameters, body, responses, and the schemas they name."""
    shown = Shown(f)
    result: dict[str, Json] = {"operation": operation.name, "id": operation.id, "text": operation.text[:800]}
    if operation.security is None:
        result["security"] = "not said"
    else:
        result["security"] = [" + ".join(s) or "none" for s in operation.security] or "none"
    result["parameters"] = [_parameter(shown, p) for p in operation.parameters]
    if operation.body:
        content: dict[str, Json] = {m: shown.type(s) for m, s in operation.body.content.items()}
        result["body"] = {"required": operation.body.required, "content": content}
    responses: dict[str, Json] = {}
    for status, response in operation.responses.items():
        entry: dict[str, Json] = {"means": str(response.node.map.get("description") or "")[:160]}
        if response.content:
            entry["content"] = {m: shown.type(s) for m, s in response.content.items()}
        if response.headers:
            entry["headers"] = {
                n: shown.type(p.schema) + ("" if p.required else "?") for n, p in response.headers.items()
            }
        responses[status] = entry
    result["responses"] = responses
    result["schemas"] = shown.definitions(DEFINITIONS)
    return result


def _parameter(shown: "Shown", parameter: Parameter) -> Json:
    text = f"{parameter.where} {parameter.name}{'' if parameter.required else '?'}: {shown.type(parameter.schema)}"
    said = str(parameter.node.map.get("description") or "").replace("\n", " ")
    return f"{text} · {said[:120]}" if said else text


class Shown:
    """Schemas as short types, those with a name defined once."""

    def __init__(self, flattener: Flattener) -> None:
        self._f = flattener
        self._named: dict[str, Node] = {}

    def type(self, node: Node | None, depth: int = 0) -> str:
        """The type of a schema: its name, or what it is."""
        if node is None:
            return "not said"
        if node.broken:
            return f"unresolved ({node.broken[:80]})"
        core = self._f.core(node)
        if name := self._f.api.component(core):
            self._named.setdefault(name, core)
            return f"{name} | null" if core is not node and self._f.flat(node).nullable else name
        return self.inline(node, depth)

    def inline(self, node: Node, depth: int = 0) -> str:
        """What a schema is, whatever its name."""
        flat = self._f.flat(node)
        if depth > 4:
            return "…"
        if flat.options:
            text = " | ".join(self.type(o, depth + 1) for o in flat.options[:12])
        elif flat.enum is not None:
            text = " | ".join(repr(v) if isinstance(v, str) else str(v) for v in flat.enum[:30])
        elif flat.items is not None:
            text = f"({inner})[]" if " " in (inner := self.type(flat.items, depth + 1)) else f"{inner}[]"
        elif flat.properties:
            fields = [
                f"{n}{'' if n in flat.required else '?'}: {self.type(p, depth + 1)}" for n, p in flat.properties.items()
            ]
            text = (
                "{" + ", ".join(fields) + ("" if flat.additional is False else ", …" if flat.additional else "") + "}"
            )
        elif isinstance(flat.additional, Node):
            text = f"{{[key]: {self.type(flat.additional, depth + 1)}}}"
        else:
            text = " | ".join(sorted(flat.types)) or "anything"
        notes = [flat.format] if flat.format else []
        notes += [f"{key} {value:g}" for key, value in flat.limits.items()]
        notes += [f"pattern {flat.pattern[:60]}"] if flat.pattern else []
        notes += [f"default {flat.says['default']!r}"] if "default" in flat.says else []
        notes += ["read only"] if flat.read else []
        notes += ["write only"] if flat.write else []
        text = f"{text} | null" if flat.nullable else text
        return f"{text} ({', '.join(notes)})" if notes else text

    def definitions(self, room: int) -> dict[str, Json]:
        """The named schemas met so far and those they name, as far as there is room."""
        found: dict[str, Json] = {}
        while waiting := [name for name in self._named if name not in found]:
            name = waiting[0]
            text = self.inline(self._named[name])
            cut = text if len(text) <= max(room, INLINE) else text[: max(room, INLINE)] + "…"
            room -= len(cut) + len(name) + 8
            found[name] = cut
            if room <= 0:
                left = [n for n in self._named if n not in found]
                if left:
                    found["…"] = f"{len(left)} more: {', '.join(left[:20])}"
                break
        return found
