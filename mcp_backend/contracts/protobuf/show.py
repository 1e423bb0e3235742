# ruff: noqa: E501 - the questions are prose, one per rule, and read best beside the rule
"""A protobuf specification in brief: its rpcs, and one of them in full; its gaps."""

import re
from collections.abc import Iterator
from typing import Any

from mcp_backend.contracts.contract import Contract, Line
from mcp_backend.contracts.openapi import schema_gaps
from mcp_backend.contracts.openapi.schema_gaps import SAID, looks_like_a_moment
from mcp_backend.contracts.protobuf.compiling import Compiled, compiled
from mcp_backend.contracts.protobuf.names import Index, Message, simple, type_name
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.contracts.words import Gap
from mcp_backend.errors import Json

FREE = ("google.protobuf.Struct", "google.protobuf.Any", "google.protobuf.Value", "google.protobuf.ListValue")
MESSAGES = 40
_FOREIGN = re.compile(
    r"google\.(protobuf|api|rpc|type|longrunning)\b|buf\.validate|validate$|gogoproto|grpc\.gateway|openapi\.v3"
)
"""Packages of others that repositories keep copies of."""
_TOLD = re.compile(
    r"(?i)schema|format|described|defined|specified|documented|\bsee\b|depend(s|ing) on|corresponds? to|matches|same as|\[[\w.]+\]\["
)
"""A comment that says where to look what a value holds."""
VERSION = re.compile(r"(^|\.)v\d+(p\d+)?((alpha|beta)\d*|test\w*)?$")


def read(source: Source, spec: Spec) -> Contract:
    """The specification, compiled. Raises `Broken`, `Unavailable`."""
    made = compiled(source, spec)
    index = Index(made.files, own_names(made))
    lines = tuple(_line(index, service, rpc) for _, service, rpc in index.rpcs())
    packages = sorted({f.package for f in made.files if f.name in made.own})
    about: dict[str, Json] = {
        "packages": [*packages[:20]],
        "messages": len(index.own_messages),
        "enums": len(index.own_enums),
    }
    if made.missing:
        about["imports_not_here"] = [*made.missing[:8]]
    return Contract(
        spec.path, "protobuf", _syntax(made), ", ".join(packages[:3]), lines, tuple(gaps(index)),
        lambda name: detail(index, name), about, spec.files,
    )  # fmt: skip


def own_names(made: Compiled) -> frozenset[str]:
    """The specification's own files, without copies of well-known ones that lie among them."""
    own = {f.name for f in made.files if f.name in made.own and not _FOREIGN.match(f.package)}
    return frozenset(own) or made.own


def _syntax(made: Compiled) -> str:
    kinds = sorted({f.syntax or "proto2" for f in made.files if f.name in made.own})
    return ", ".join(kinds)


def _line(index: Index, service: str, rpc: Any) -> Line:
    said = index.comment(f"{service}.{rpc.name}")
    text = f"{service}.{_signature(rpc)}" + (f" · {said[:60]}" if said else "")
    return Line(
        f"{service}.{rpc.name}",
        text,
        service,
        said,
        (rpc.name, f"{simple(service)}.{rpc.name}", f"{service}/{rpc.name}"),
    )


def _signature(rpc: Any) -> str:
    given, answer = simple(rpc.input_type), simple(rpc.output_type)
    return f"{rpc.name}({'stream ' if rpc.client_streaming else ''}{given}) → {'stream ' if rpc.server_streaming else ''}{answer}"


def detail(index: Index, name: str) -> dict[str, Json]:
    """One rpc with the messages it carries."""
    service, _, method = name.rpartition(".")
    rpc = next(r for _, s, r in index.rpcs() if s == service and r.name == method)
    todo, shown = [rpc.input_type.lstrip("."), rpc.output_type.lstrip(".")], dict[str, Json]()
    while todo and len(shown) < MESSAGES:
        full = todo.pop(0)
        if full in shown or full.startswith("google.protobuf."):
            continue
        if full in index.enums:
            shown[full] = " | ".join(f"{v.name} = {v.number}" for v in index.enums[full].value)
        elif full in index.messages:
            message = index.messages[full]
            shown[full] = _message(index, message)
            todo += [f.type_name.lstrip(".") for f in message.proto.field if f.type_name]
    return {
        "operation": name,
        "signature": _signature(rpc),
        "text": index.comment(name)[:800],
        "types": shown,
        **({"deprecated": True} if rpc.options.deprecated else {}),
    }


def _message(index: Index, message: Message) -> str:
    fields: list[str] = []
    for field in message.proto.field:
        entry = index.map_entry(field)
        kind = f"map<{type_name(entry.field[0])}, {type_name(entry.field[1])}>" if entry else type_name(field)
        mark = (
            ""
            if entry
            else "repeated "
            if field.label == 3
            else "optional "
            if field.proto3_optional
            else "required "
            if field.label == 2
            else ""
        )
        group = ""
        if field.HasField("oneof_index") and not field.proto3_optional:
            group = f" (oneof {message.proto.oneof_decl[field.oneof_index].name})"
        said = index.comment(f"{message.name}.{field.name}")
        fields.append(f"{mark}{kind} {field.name} = {field.number}{group}" + (f" // {said[:60]}" if said else ""))
    return "; ".join(fields) or "no fields"


def gaps(index: Index) -> Iterator[Gap]:
    """What an implementer would have to guess."""
    for file in index.files:
        if file.name in index.own and file.package and not VERSION.search(file.package) and file.service:
            yield Gap("package-unversioned", file.package, f"The package {file.package} has no version. How will an incompatible change be published?",
                      (f"as {file.package}.v2 beside it", "never: only compatible changes are made"), "note")  # fmt: skip
    for message in index.own_messages.values():
        yield from _message_gaps(index, message)
    for name, enum in index.own_enums.items():
        if (
            enum.value
            and enum.value[0].number == 0
            and not re.search(
                r"UNSPECIFIED|(UN|NOT_)KNOWN|INVALID|NONE|UNDEFINED|DEFAULT|UNSET|NOT_SET",
                enum.value[0].name,
                re.IGNORECASE,
            )
        ):
            yield Gap("enum-zero-not-unspecified", name, f"The zero value of {name} is {enum.value[0].name}, which is also what an unset field reads as. How is not set told apart from it?",
                      (f"unset means {enum.value[0].name}", "a value such as UNSPECIFIED has to be added as 0"), "ask")  # fmt: skip
    yield from _rpc_gaps(index)


def _message_gaps(index: Index, message: Message) -> Iterator[Gap]:
    reserved = {n for r in message.proto.reserved_range for n in range(r.start, min(r.end, r.start + 2000))}
    numbers = sorted(f.number for f in message.proto.field)
    extensions = {n for r in message.proto.extension_range for n in range(r.start, min(r.end, r.start + 2000))}
    if numbers:
        holes = [n for n in range(1, numbers[-1]) if n not in numbers and n not in reserved and n not in extensions]
        if 0 < len(holes) <= 5 and numbers[-1] < 200:
            yield Gap("number-hole-not-reserved", message.name, f"{message.name} has no field {', '.join(map(str, holes))} and does not reserve it. Was it removed?",
                      ("it was used once: it has to be reserved", "it was never used"), "note")  # fmt: skip
    for field in message.proto.field:
        where = f"{message.name}.{field.name}"
        said = index.comment(where)
        if field.type_name.lstrip(".") in FREE:
            told = bool(schema_gaps.FREE.search(said) or _TOLD.search(said))
            yield Gap("free-form-object", where, f"What may {where} ({type_name(field)}) hold?",
                      ("anything: it is passed on as it came", "known types that still have to be named"), "note" if told else "ask")  # fmt: skip
        if field.type == 9 and looks_like_a_moment(field.name) and not SAID.search(said):
            yield Gap("date-without-format", where, f"{where} is a string that speaks of a moment. How is it written?",
                      ("RFC 3339 in UTC", "a calendar date without a time", "it should be a google.protobuf.Timestamp"), "ask")  # fmt: skip


def _rpc_gaps(index: Index) -> Iterator[Gap]:
    used: dict[str, list[str]] = {}
    for _, service, rpc in index.rpcs():
        name = f"{service}.{rpc.name}"
        if not index.comment(name):
            yield Gap("rpc-undocumented", name, f"Nothing says what {name} does. Which errors does it return, and is it safe to repeat?",
                      ("what its name says, with NOT_FOUND and INVALID_ARGUMENT", "something that has to be described"), "note")  # fmt: skip
        answer = index.messages.get(rpc.output_type.lstrip("."))
        given = index.messages.get(rpc.input_type.lstrip("."))
        if (
            re.match(r"(List|Search|Query|Find(?!Nearest|Neighbo)|GetAll|BatchList)", rpc.name)
            and not rpc.server_streaming
            and answer
            and given
        ):
            asks = [
                f.name for f in given.proto.field if re.search(r"page|limit|cursor|offset|size|token|after|max", f.name)
            ]
            lists = [f for f in answer.proto.field if f.label == 3 and not index.map_entry(f)]
            if lists and sum(f.type == 11 for f in lists) <= 1 and not asks:  # several are parts of a graph
                yield Gap("list-without-pagination", name, f"{name} returns a list and takes no page size or token. How many items may it return?",
                          ("all of them: there are never many", "it is paginated by page_size and page_token like others"), "ask")  # fmt: skip
        for full in {rpc.input_type.lstrip("."), rpc.output_type.lstrip(".")}:
            used.setdefault(full, []).append(name)
    services: dict[str, set[str]] = {}
    for full, names in used.items():
        if len(names) > 1 and full.endswith(("Request", "Response")):
            services.setdefault(names[0].rpartition(".")[0], set()).add(
                f"{simple(full)} ({', '.join(simple(n) for n in names[:3])})"
            )
    for service, shared in services.items():
        listed = "; ".join(sorted(shared)[:4])
        yield Gap("rpc-message-shared", service, f"Several rpcs of {service} share a message: {listed}. May they evolve apart?",
                  ("they stay the same for good", "each rpc needs messages of its own"), "note")  # fmt: skip
