# ruff: noqa: E501 - the questions are prose, one per rule, and read best beside the rule
"""What an implementer of an OpenAPI document would have to guess: rules about operations and the document."""

import re
from collections.abc import Iterator
from typing import Any, cast

from mcp_backend.contracts.documents import mapping
from mcp_backend.contracts.openapi import ambiguous, examples, schema_gaps
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Api, Body, Operation, Parameter
from mcp_backend.contracts.tree import Node
from mcp_backend.contracts.words import Gap

WRITES = ("post", "put", "patch", "delete")
PAGING = re.compile(
    r"(?i)^(page|limit|offset|cursor|per_?page|page_?size|page_?token|size|count|after|before|since|marker|first|last|"
    r"starting_after|ending_before|start|take|skip|top|max_?results|max_?keys|next|next_?token|continue|(start_?)?index|"
    r"page\[\w+\]|\$top|\$skip|\w+_cursor|page_?(num|number|no|index|limit))$"
)
LIMIT = re.compile(
    r"(?i)^(limit|per_?page|page_?size|size|count|first|take|top|max_?results|page_?limit|\$top|page\[(size|limit)\])$"
)
BOUNDED = re.compile(r"(?i)\b(top|last|first|latest|up to|maximum of|at most) \d+")
PUBLIC = re.compile(
    r"(?i)log-?_?in|sign-?_?in|sign-?_?up|sign_?in|regist|token|oauth|webhook|callback|password|session|auth|health|public|anonym|without (auth|credential)|no auth|unauthenticated"
)
PUT_SAYS = re.compile(
    r"(?i)\breplac|upsert|overwrit|\bupdat|\bset(s|ting)?\b|\bedit|\bmodif|creates? or|or creates?|if (it )?(does not|doesn't) exist|add(s|ing)? "
)
RATE = re.compile(r"(?i)rate.?limit|throttl|too many requests|\b429\b")
MAXIMUM = re.compile(r"(?i)\bmax|up to|at most|between|range|no more than|\b(cannot|must not) exceed|[<≤]=?\s*\d")


def gaps(api: Api, flattener: Flattener) -> list[Gap]:
    """All gaps of a document, the blocking ones first."""
    found = [*_document(api, flattener)]
    for operation in api.operations:
        found += _operation(api, flattener, operation)
    found += _rate(api)
    found += schema_gaps.gaps(flattener, api)
    found += examples.gaps(api, flattener)
    found += [
        Gap("unresolved-ref", reference, f"{reference} leads nowhere (used at {where}). What should be there?",
            ("the reference is misspelt: it means something that exists", "what it names was never written"), "block")
        for reference, where in api.unresolved.items()
    ]  # fmt: skip
    order = ("block", "ask", "note")
    return sorted(dict.fromkeys(found), key=lambda g: order.index(g.severity))


def _describes(schema: Node | None) -> bool:
    """Whether a schema says anything: `{}` and `true` take whatever comes."""
    return schema is not None and schema.value not in ({}, True)


def _document(api: Api, f: Flattener) -> Iterator[Gap]:
    has_server = bool(api.root.map.get("host")) if api.swagger else bool(api.root.map.get("servers"))
    if api.operations and not has_server:
        yield Gap("server-unspecified", "*", "No server is named. Under which base URL and path prefix does the API live?",
                  ("at the root of the host that serves it", "below a prefix such as /api/v1 that routing adds"), "note")  # fmt: skip
    schemes = api.child(api.root, *(("securityDefinitions",) if api.swagger else ("components", "securitySchemes"))).map
    unsaid = [o for o in api.operations if o.security is None]
    if api.operations and len(unsaid) == len(api.operations):
        defined = f" {', '.join(list(schemes)[:3])} is defined but never required." if schemes else ""
        yield Gap("auth-unspecified", "*", f"No operation says who may call it.{defined} Is this API public, or what authenticates a caller?",
                  ("anyone who reaches it may call everything", "a gateway authenticates, the service trusts it", "every operation needs credentials that the document forgot"), "ask")  # fmt: skip
    else:
        for operation in unsaid:
            yield Gap("auth-unspecified", operation.name, f"{operation.name} says nothing about credentials while others do. Who may call it?",
                      ("it is public on purpose", "it needs the same credentials as the others"), "ask" if operation.method in WRITES else "note")  # fmt: skip
    for operation in api.operations:
        for name in sorted({name for requirement in operation.security or () for name in requirement} - set(schemes)):
            yield Gap("security-scheme-undefined", f"{operation.name} {name}", f"{operation.name} requires {name!r}, which is not among the security schemes. What is it?",
                      (f"a misspelling of {next(iter(schemes), 'a scheme')}", "a scheme that still has to be defined"), "block")  # fmt: skip
    yield from _identifiers(api)
    yield from ambiguous.gaps(api, f)


def _identifiers(api: Api) -> Iterator[Gap]:
    by_id: dict[str, list[str]] = {}
    for operation in api.operations:
        if operation.id:
            by_id.setdefault(operation.id, []).append(operation.name)
    for name, places in by_id.items():
        if len(places) > 1:
            yield Gap("operation-id-duplicate", name, f"operationId {name!r} is used by {' and '.join(places)}. What are they called?",
                      (f"{places[0]} keeps the name, the other needs its own", "both are the same operation under two paths"), "ask")  # fmt: skip
    missing = [o.name for o in api.operations if not o.id]
    if by_id:
        for name in missing:
            yield Gap("operation-id-missing", name, f"{name} has no operationId while others have. What is it called in generated code?",
                      ("the name that generators derive from method and path", "a name in the style of the others"), "note")  # fmt: skip
    elif missing:
        yield Gap("operation-id-missing", "*", "No operation has an operationId. What are they called in generated code?",
                  ("what generators derive from method and path", "names that the architect gives"), "note")  # fmt: skip


def _operation(api: Api, f: Flattener, operation: Operation) -> Iterator[Gap]:
    name = operation.name
    declared = {p.name for p in operation.parameters if p.where == "path"}
    for variable in re.findall(r"\{([^}]+)\}", operation.path):
        if variable.rstrip("*+") not in declared and variable not in declared:
            yield Gap("path-parameter-undeclared", f"{name} {variable}", f"{{{variable}}} in {operation.path} is not declared. What values does it take?",
                      ("any non-empty text", "the id of the resource, with the type it has elsewhere"), "block")  # fmt: skip
    if operation.body and operation.method in ("get", "head") and not _empty(f, operation.body):
        yield Gap("body-on-get", name, f"{name} has a request body, which HTTP gives no meaning (RFC 9110, 9.3.1). How are these values sent?",
                  ("as query parameters", "it should be a POST", "as a body nevertheless, with every proxy on the way known to pass it"), "ask")  # fmt: skip
    yield from _responses(f, operation)
    yield from _parameters(f, operation, api.swagger)
    if (
        operation.security is not None
        and operation.method in WRITES
        and (not operation.security or {} in operation.security)
    ) and not PUBLIC.search(f"{operation.path} {operation.id} {operation.text}"):
        yield Gap("unauthenticated-write", name, f"{name} writes and needs no credentials. May anyone really do that?",
                  ("yes, it is public by design", "no, security was switched off by mistake"), "ask")  # fmt: skip
    if (
        operation.method == "put"
        and operation.path.endswith("}")
        and operation.body
        and "201" not in operation.responses
        and not PUT_SAYS.search(operation.text)
    ):
        yield Gap("put-create-or-replace-unspecified", name, f"What does {name} do when nothing has that id: create it, or answer 404? And are fields left out reset?",
                  ("it replaces the whole resource, and 404 when it is missing", "it creates what is missing", "it changes only the fields sent"), "ask")  # fmt: skip
    for where, text in _texts(operation.node.value, name):
        if found := schema_gaps.TODO.search(text):
            start = max(found.start() - 30, 0)
            yield Gap("unresolved-todo", where, f"The text says {text[start : found.end() + 60].strip()!r}. What was decided?",
                      ("nothing yet: it must be decided before implementing", "it was decided and the note was left behind"), "ask")  # fmt: skip


def _empty(f: Flattener, body: Body) -> bool:
    """Whether a body can hold nothing: generators write an empty form where there is none."""
    flats = [f.flat(schema) for schema in body.content.values() if schema is not None]
    return bool(flats) and all(
        flat.object and flat.additional is False and not (flat.properties or flat.options) for flat in flats
    )


def _responses(f: Flattener, operation: Operation) -> Iterator[Gap]:
    name, responses = operation.name, operation.responses
    good = {s: r for s, r in responses.items() if s[0] in "123"}
    if not good:
        yield Gap("success-response-missing", name, f"{name} documents no success. Which status and body does it send then?",
                  ("200 with the resource", "201 or 204, as its kind of operation usually does", "what `default` describes, with 200"), "block")  # fmt: skip
    if not any(s[0] in "45" or s == "default" for s in responses):
        yield Gap("no-error-responses", name, f"{name} documents no error. What is sent for bad input, a missing resource and missing rights?",
                  ("the error body that other operations use, with 400, 404 and 403", "an empty body with the status alone"), "ask")  # fmt: skip
    for status, response in good.items():
        if (
            status in ("200", "201", "203", "2XX")
            and operation.method not in ("head", "options")
            and not any(_describes(schema) for schema in response.content.values())
        ):
            binary = any(not media.endswith("json") and media != "*/*" for media in response.content)
            if not binary:
                yield Gap("response-schema-missing", f"{name} {status}", f"{name} answers {status} with no schema. What does the body hold?",
                          ("no body at all", "the resource that the request is about"), "ask" if status == "200" or response.content else "note")  # fmt: skip
    bodies = {s: _shape(r.content) for s, r in good.items() if s in ("200", "201", "203") and any(r.content.values())}
    if len(bodies) > 1 and len(set(bodies.values())) > 1:
        codes = " and ".join(bodies)
        yield Gap("success-status-ambiguous", name, f"{name} documents {codes} with different bodies. When is which one sent?",
                  (f"{next(iter(bodies))} when nothing new came into being", f"{list(bodies)[1]} always; the other is a leftover"), "ask")  # fmt: skip
    if (
        operation.method == "get"
        and _lists(f, operation)
        and not BOUNDED.search(operation.text)
        and not any(PAGING.match(p.name) and p.where in ("query", "header") for p in operation.parameters)
    ):
        yield Gap("list-without-pagination", name, f"{name} returns a list and takes no limit or cursor. How many items may it return, and how does one get the rest?",
                  ("all of them: there are never many", "a fixed number of the newest", "it is paginated like the other lists"), "note" if "}" in operation.path else "ask")  # fmt: skip


def _shape(content: Any) -> str:
    return str(sorted((media, schema.key if schema else None) for media, schema in content.items()))


def _lists(f: Flattener, operation: Operation) -> bool:
    """Whether it returns a collection: an array, or an object whose path is not that of one resource and whose only
    array of objects is what it holds."""
    response = operation.responses.get("200")
    schema = next((s for s in response.content.values() if s is not None), None) if response else None
    if schema is None or operation.path.rstrip("/").endswith("}"):
        return False
    flat = f.flat(schema)
    if "array" in flat.types or (flat.items is not None and not flat.types):
        return flat.items is not None and not f.flat(flat.items).enum
    arrays = [
        n for n, p in flat.properties.items() if (inner := f.flat(p)).items is not None and f.flat(inner.items).object
    ]
    last = operation.path.rstrip("/").rpartition("/")[2].lower()
    return len(arrays) == 1 and (
        arrays[0].lower() in ("items", "data", "results", "records", "entries", "values", "nodes", last)
        and len(flat.properties) <= 6
    )


def _parameters(f: Flattener, operation: Operation, swagger: bool) -> Iterator[Gap]:
    for parameter in operation.parameters:
        if parameter.schema is None or parameter.where != "query":
            continue
        flat, where = f.flat(parameter.schema), f"{operation.name} {parameter.name}"
        text = f"{parameter.node.map.get('description') or ''} {flat.says.get('description') or ''}"
        if (
            LIMIT.match(parameter.name)
            and flat.types & {"integer", "number"}
            and "maximum" not in flat.limits
            and not flat.enum
            and not MAXIMUM.search(text)
        ):
            yield Gap("pagination-limit-unbounded", where, f"{parameter.name} of {operation.name} has no maximum. What is the most a caller may ask for, and what happens beyond?",
                      ("a cap such as 100, silently", "a cap, and 400 or 422 beyond it", "there is none"), "ask")  # fmt: skip
        if (
            "array" in flat.types
            and not _serialised(parameter, swagger)
            and not re.search(r"(?i)comma|repeat|separated|multiple times", text)
        ):
            yield Gap("array-parameter-serialization", where, f"How is the list {parameter.name} of {operation.name} written in the query? Nothing says it, so the default of the version holds.",
                      (f"{parameter.name}=a&{parameter.name}=b", f"{parameter.name}=a,b", f"{parameter.name}[]=a&{parameter.name}[]=b"), "note")  # fmt: skip


def _serialised(parameter: Parameter, swagger: bool) -> bool:
    keys = ("collectionFormat",) if swagger else ("style", "explode", "content")
    return any(key in parameter.node.map for key in keys) or parameter.name.endswith("[]")


def _rate(api: Api) -> Iterator[Gap]:
    with_limit = [o for o in api.operations if "429" in o.responses or "4XX" in o.responses]
    if not api.operations:
        return
    if not with_limit and not RATE.search(str(mapping(api.root.map.get("info")).get("description") or "")):
        yield Gap("rate-limit-undocumented", "*", "Nothing says whether callers are limited. Is there a limit, and what is sent beyond it?",
                  ("there is none in this service", "429 with Retry-After, set by the gateway"), "note")  # fmt: skip
    elif 2 * len(with_limit) >= len(api.operations):
        for operation in api.operations:
            if operation not in with_limit and any(s[0] == "4" for s in operation.responses):
                yield Gap("rate-limit-undocumented", operation.name, f"{operation.name} documents no 429 while most operations do. Is it exempt?",
                          ("it is not limited", "it is limited like the others"), "note")  # fmt: skip


def _texts(node: Any, where: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Descriptions below an operation, not through references."""
    if depth > 8:
        return
    if isinstance(node, dict):
        for key, value in cast("dict[str, Any]", node).items():
            if key in ("description", "summary", "title") and isinstance(value, str):
                yield where, value
            elif key not in ("example", "examples") and isinstance(value, (dict, list)):
                yield from _texts(value, where, depth + 1)
    elif isinstance(node, list):
        for value in cast("list[Any]", node):
            yield from _texts(value, where, depth + 1)
