"""What changed between two revisions of an OpenAPI document, and what it does to those who use the API."""

import re
from datetime import date
from typing import cast

from mcp_backend.contracts.documents import mapping
from mcp_backend.contracts.openapi import outgoing
from mcp_backend.contracts.openapi.addresses import lost, paired, signature
from mcp_backend.contracts.openapi.comparing import Comparer
from mcp_backend.contracts.openapi.entering import schemes, security
from mcp_backend.contracts.openapi.finding import Found, plain_media
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Api, Operation, Parameter, Response
from mcp_backend.contracts.tree import Node
from mcp_backend.contracts.words import Change, Level

SUCCESS = re.compile(r"[123]")


def changes(old: Api, new: Api, today: date) -> list[Change]:
    """All changes, the breaking ones first. `today` decides whether a sunset is over."""
    found = Found(Comparer(Flattener(old), Flattener(new)))
    pairs = paired(old, new)
    left = {signature(o)[1] for o in new.operations}
    for index, operation in enumerate(old.operations):
        if index in pairs:
            lost(old, new, operation, pairs[index], found)
            _operation(old, new, operation, pairs[index], today, found)
        else:
            _removed(operation, signature(operation)[1] in left, today, found)
    known = {o.node.key for o in pairs.values()}
    for operation in new.operations:
        if operation.node.key not in known:
            found.say("endpoint-added", "safe", operation.name, "not there", "added", operation.name)
    schemes(old, new, found)
    outgoing.webhooks(old, new, found)
    return found.all()


def _removed(operation: Operation, path_stays: bool, today: date, found: Found) -> None:
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


def _operation(old: Api, new: Api, one: Operation, two: Operation, today: date, found: Found) -> None:
    security(old, new, one, two, found)
    _parameters(one, two, today, found)
    _body(one, two, found)
    outgoing.callbacks(old, new, one, two, found)
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
    for status in [s for s in two.responses if s not in one.responses]:
        found.say("response-status-added", "safe", f"{two.name} {status}", "not there", "documented", two.name)
    if two.node.map.get("deprecated") is True and one.node.map.get("deprecated") is not True:
        found.say("endpoint-deprecated", "safe", two.name, "in use", "deprecated", two.name)


def _parameters(one: Operation, two: Operation, today: date, found: Found) -> None:
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
            written, now = _media(parameter) or _serialized(parameter), _media(later) or _serialized(later)
            if (written and now and written != now) or _media(parameter) != _media(later):
                said = (written or "plain", now or "plain")
                found.say("request-parameter-serialization-changed", "breaking", where, *said, two.name)
            empty = [p.node.map.get("allowEmptyValue") is True for p in (parameter, later)]
            if empty == [True, False] and later.schema.map.get("type") != "string":
                found.say("request-parameter-empty-value-forbidden", "risky", where, "allowed", "not said", two.name)
    for key in [k for k in after if k not in before]:
        parameter = after[key]
        where = f"{two.name} {parameter.name}"
        if parameter.required:
            found.say(
                "new-required-request-parameter", "breaking", where, "not there", f"required in {key[0]}", two.name
            )
        else:
            found.say("new-optional-request-parameter", "safe", where, "not there", f"optional in {key[0]}", two.name)


def _default(where: str, old: Node, new: Node, operation: str, found: Found) -> None:
    said = found.comparer.old.flat(old).says
    before, after = said.get("default"), found.comparer.new.flat(new).says.get("default")
    if before != after and "default" in said:
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


def _media(parameter: Parameter) -> str:
    """The media type that a parameter is written in; empty where its style says how."""
    return next(iter(mapping(parameter.node.map.get("content"))), "")


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


def _body(one: Operation, two: Operation, found: Found) -> None:
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
    before, after = plain_media(one.body.content), plain_media(two.body.content)
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


def _response(operation: str, status: str, one: Response, two: Response, found: Found) -> None:
    where = f"{operation} {status}"
    before, after = plain_media(one.content), plain_media(two.content)
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
            continue
        if header.required and not later.required:
            found.say(
                "response-header-became-optional", "breaking", f"{where} {name}", "always there", "optional", operation
            )
        if header.schema is not None and later.schema is not None:
            found.schema(header.schema, later.schema, "response", f"{where} {name}", operation)


def _covers(pattern: str, media: str) -> bool:
    """Whether a media range takes a media type: https://www.rfc-editor.org/rfc/rfc9110#name-accept"""
    return pattern == "*/*" or (pattern.endswith("/*") and media.startswith(pattern[:-1]))
