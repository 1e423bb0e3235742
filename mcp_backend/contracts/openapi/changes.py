"""What changed between two revisions of an OpenAPI document, and what it does to those who use the API."""

import re
from datetime import date
from typing import Any, cast

from mcp_backend.contracts.openapi.comparing import Comparer, Key
from mcp_backend.contracts.openapi.entering import scopes, ways
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Api, Operation, Parameter, Response
from mcp_backend.contracts.tree import Node
from mcp_backend.contracts.words import Change, Level

SUCCESS = re.compile(r"[123]")


def changes(old: Api, new: Api, today: date) -> list[Change]:
    """All changes, the breaking ones first. `today` decides whether a sunset is over."""
    found = _Found(Comparer(Flattener(old), Flattener(new)))
    _servers(old, new, found)
    before = {_signature(o): o for o in old.operations}
    after = {_signature(o): o for o in new.operations}
    left = {path for _, path in after}
    for key, operation in before.items():
        if key in after:
            _operation(old, new, operation, after[key], today, found)
        else:
            _removed(operation, key[1] in left, today, found)
    for key, operation in after.items():
        if key not in before:
            found.say("endpoint-added", "safe", operation.name, "not there", "added", operation.name)
    _webhooks(old, new, found)
    return found.all()


class _Found:
    """Changes by what and where, with the operations they reach."""

    def __init__(self, comparer: Comparer) -> None:
        self.comparer = comparer
        self._own: dict[tuple[str, str, str, str, str], list[str]] = {}
        self._roots: list[tuple[Key, str]] = []

    def say(self, identifier: str, level: Level, where: str, before: object, after: object, operation: str) -> None:
        self._own.setdefault((level, identifier, where, str(before)[:160], str(after)[:160]), []).append(operation)

    def schema(self, old: Node, new: Node, direction: Any, where: str, operation: str, role: Any = "body") -> None:
        self._roots.append((self.comparer.compare(old, new, direction, where, role), operation))

    def all(self) -> list[Change]:
        for root, operation in self._roots:
            for key in self.comparer.reached(root):
                for change in self.comparer.pairs[key].changes:
                    name = (change.level, change.id, change.where, change.before, change.after)
                    self._own.setdefault(name, []).append(operation)
        order = ("breaking", "risky", "safe")
        made = [
            Change(
                identifier, cast("Level", level), where, before, after, tuple(dict.fromkeys(o for o in operations if o))
            )
            for (level, identifier, where, before, after), operations in self._own.items()
        ]
        return sorted(made, key=lambda c: order.index(c.level))


def _signature(operation: Operation) -> tuple[str, str]:
    """Method and path, whatever the parameters of the path are called."""
    return operation.method, re.sub(r"\{[^}]*\}", "{}", operation.path.rstrip("/") or "/")


def _servers(old: Api, new: Api, found: _Found) -> None:
    lost = [p for p in old.base_paths if p not in new.base_paths]
    if lost and old.operations:
        word = "base-path-changed" if old.swagger and new.swagger else "server-path-changed"
        found.say(
            word, "breaking", "*", ", ".join(p or "/" for p in lost), ", ".join(p or "/" for p in new.base_paths), ""
        )


def _removed(operation: Operation, path_stays: bool, today: date, found: _Found) -> None:
    word = "api-removed" if path_stays else "api-path-removed"
    if operation.node.map.get("deprecated") is not True:
        found.say(f"{word}-without-deprecation", "breaking", operation.name, "there", "removed", operation.name)
        return
    sunset = _sunset(operation.node)
    if sunset and sunset > today:
        found.say(f"{word}-before-sunset", "breaking", operation.name, f"sunset {sunset}", "removed", operation.name)
    else:
        found.say(f"{word}-with-deprecation", "safe", operation.name, "deprecated", "removed", operation.name)


def _sunset(node: Node) -> date | None:
    """The day until which something works, by the extension `x-sunset`; `None` where it says none."""
    written = re.match(r"\d{4}-\d{2}-\d{2}", str(node.map.get("x-sunset") or ""))
    try:
        return date.fromisoformat(written.group(0)) if written else None
    except ValueError:
        return None


def _webhooks(old: Api, new: Api, found: _Found) -> None:
    """Requests that the API makes: who answers them receives what it sends."""
    for name, operations in old.webhooks.items():
        if name not in new.webhooks:
            found.say("webhook-removed", "breaking", f"webhook {name}", "sent", "removed", "")
        later = {o.method: o for o in new.webhooks.get(name, ())}
        for one in operations:
            two = later.get(one.method)
            if one.body is None or two is None or two.body is None:
                continue
            after = _media(two.body.content)
            for media, schema in _media(one.body.content).items():
                if schema is not None and (now := after.get(media)) is not None:
                    found.schema(schema, now, "response", f"webhook {name}", "")
    for name in new.webhooks.keys() - old.webhooks.keys():
        found.say("webhook-added", "safe", f"webhook {name}", "not there", "sent", "")


def _operation(old: Api, new: Api, one: Operation, two: Operation, today: date, found: _Found) -> None:
    _security(old, new, one, two, found)
    _parameters(one, two, today, found)
    _body(one, two, found)
    for status, response in one.responses.items():
        if status in two.responses:
            _response(two.name, status, response, two.responses[status], found)
        elif SUCCESS.match(status):
            found.say(
                "response-success-status-removed", "breaking", f"{two.name} {status}", "documented", "removed", two.name
            )
        else:
            found.say(
                "response-non-success-status-removed", "safe", f"{two.name} {status}", "documented", "removed", two.name
            )
    for status in two.responses.keys() - one.responses.keys():
        found.say("response-status-added", "safe", f"{two.name} {status}", "not there", "documented", two.name)
    if two.node.map.get("deprecated") is True and one.node.map.get("deprecated") is not True:
        found.say("endpoint-deprecated", "safe", two.name, "in use", "deprecated", two.name)


def _security(old: Api, new: Api, one: Operation, two: Operation, found: _Found) -> None:
    before, after = ways(old, one), ways(new, two)
    open_before, open_after = not before or frozenset() in before, not after or frozenset() in after
    if open_before and not open_after:
        found.say(
            "api-security-added",
            "breaking",
            two.name,
            "public",
            " or ".join(" + ".join(sorted(w)) for w in after),
            two.name,
        )
    elif not open_before and not open_after and (lost := [w for w in before if not any(a <= w for a in after)]):
        words = " or ".join(" + ".join(sorted(w)) for w in lost)
        level: Level = "breaking" if len(lost) == len(before) else "risky"
        found.say("api-security-alternative-removed", level, two.name, words, "no longer enough", two.name)
    elif not open_before and (more := scopes(two) - scopes(one)):
        found.say("api-security-scope-added", "risky", two.name, "not asked for", ", ".join(sorted(more)), two.name)


def _parameters(one: Operation, two: Operation, today: date, found: _Found) -> None:
    before, after = _keyed(one), _keyed(two)
    for key, parameter in before.items():
        where = f"{two.name} {parameter.name}"
        if key not in after:
            if (until := _sunset(parameter.node)) and until > today:
                found.say(
                    "request-parameter-removed-before-sunset", "breaking", where, f"sunset {until}", "removed", two.name
                )
            else:
                found.say("request-parameter-removed", "risky", where, f"in {parameter.where}", "removed", two.name)
            continue
        later = after[key]
        if later.required and not parameter.required:
            found.say("request-parameter-became-required", "breaking", where, "optional", "required", two.name)
        if parameter.schema is not None and later.schema is not None:
            found.schema(parameter.schema, later.schema, "request", where, two.name, "parameter")
            _default(where, parameter.schema, later.schema, two.name, found)
            if (written := _serialized(parameter)) and (now := _serialized(later)) and written != now:
                found.say("request-parameter-serialization-changed", "breaking", where, written, now, two.name)
    for key in after.keys() - before.keys():
        parameter = after[key]
        where = f"{two.name} {parameter.name}"
        if parameter.required:
            found.say(
                "new-required-request-parameter", "breaking", where, "not there", f"required in {key[0]}", two.name
            )
        else:
            found.say("new-optional-request-parameter", "safe", where, "not there", f"optional in {key[0]}", two.name)


def _default(where: str, old: Node, new: Node, operation: str, found: _Found) -> None:
    before, after = old.map.get("default"), new.map.get("default")
    if before != after and "default" in old.map:
        word, now = ("removed", "none") if after is None else ("changed", after)
        found.say(f"request-parameter-default-value-{word}", "breaking", where, before, now, operation)
    elif before != after:
        found.say("request-parameter-default-value-added", "safe", where, "none", after, operation)


_COLLECTIONS = {"csv": "form", "multi": "form, explode", "ssv": "spaceDelimited", "pipes": "pipeDelimited"}


def _serialized(parameter: Parameter) -> str:
    """How several values of a parameter are written; empty where it is one value, or said by a media type.
    https://spec.openapis.org/oas/v3.1.1#style-values, version 2: `collectionFormat`."""
    kind = parameter.schema.map.get("type") if parameter.schema is not None else None
    if kind not in ("array", "object") or "content" in parameter.node.map:
        return ""
    says, query = parameter.node.map, parameter.where in ("query", "cookie")
    if "schema" not in says:
        written = str(says.get("collectionFormat") or "csv")
        return _COLLECTIONS.get(written, written) if query else "simple"
    style = str(says.get("style") or ("form" if query else "simple"))
    exploded = says.get("explode", style == "form") is True
    return f"{style}, explode" if exploded and (query or kind == "object") else style


def _keyed(operation: Operation) -> dict[tuple[str, str], Parameter]:
    """Parameters by place and name; those of the path by their position in it, headers in any case."""
    positions = {name: str(i) for i, name in enumerate(re.findall(r"\{([^}]*)\}", operation.path))}
    found: dict[tuple[str, str], Parameter] = {}
    for parameter in operation.parameters:
        name = parameter.name
        if parameter.where == "path":
            name = positions.get(name, name)
        found[parameter.where, name.lower() if parameter.where == "header" else name] = parameter
    return found


def _body(one: Operation, two: Operation, found: _Found) -> None:
    where = f"{two.name} body"
    if two.body is None:
        if one.body is not None:
            found.say("request-body-removed", "breaking", where, "accepted", "removed", two.name)
        return
    if one.body is None:
        word, level = ("required", "breaking") if two.body.required else ("optional", "safe")
        found.say(f"request-body-added-{word}", cast("Level", level), where, "none", word, two.name)
        return
    if two.body.required and not one.body.required:
        found.say("request-body-became-required", "breaking", where, "optional", "required", two.name)
    before, after = _media(one.body.content), _media(two.body.content)
    for media, schema in before.items():
        if media not in after:
            if not any(_covers(other, media) for other in after):
                found.say("request-body-media-type-removed", "breaking", where, media, "removed", two.name)
        elif schema is None and after[media] is not None:
            found.say(
                "request-body-media-type-schema-added", "breaking", where, "any", f"{media} by a schema", two.name
            )
        elif schema is not None and (later := after[media]) is not None:
            found.schema(schema, later, "request", where, two.name)


def _response(operation: str, status: str, one: Response, two: Response, found: _Found) -> None:
    where = f"{operation} {status}"
    before, after = _media(one.content), _media(two.content)
    for media, schema in before.items():
        if media not in after:
            found.say("response-media-type-removed", "breaking", where, media, "removed", operation)
        elif schema is not None and (later := after[media]) is not None:
            found.schema(schema, later, "response", where, operation)
        elif schema is not None:
            found.say(
                "response-body-media-type-schema-removed", "risky", where, f"{media} by a schema", "any", operation
            )
    headers = {name.lower(): header for name, header in two.headers.items()}
    for name, header in one.headers.items():
        later = headers.get(name.lower())
        if later is None:
            word, level = ("required", "breaking") if header.required else ("optional", "risky")
            found.say(
                f"{word}-response-header-removed", cast("Level", level), f"{where} {name}", word, "removed", operation
            )
        elif header.required and not later.required:
            found.say(
                "response-header-became-optional", "breaking", f"{where} {name}", "always there", "optional", operation
            )


def _media(content: Any) -> dict[str, Node | None]:
    return {
        media.partition(";")[0].strip(): schema for media, schema in cast("dict[str, Node | None]", content).items()
    }


def _covers(pattern: str, media: str) -> bool:
    """Whether a media range takes a media type: https://www.rfc-editor.org/rfc/rfc9110#name-accept"""
    return pattern == "*/*" or (pattern.endswith("/*") and media.startswith(pattern[:-1]))
