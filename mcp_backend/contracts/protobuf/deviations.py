"""Compares a protobuf specification with the descriptors and classes of a gRPC server."""

from collections.abc import Collection, Iterator, Mapping

from mcp_backend.contracts.protobuf.names import Index, Message, simple, type_name
from mcp_backend.contracts.words import Deviation, Unverified

SOURCE = "descriptor"


def compare(spec: Index, served: Index) -> list[Deviation]:
    """Everything in which the served descriptors are not the specified ones."""
    return [*_services(spec, served), *_types(spec, served)]


def _services(spec: Index, served: Index) -> Iterator[Deviation]:
    theirs = {f"{service}.{rpc.name}": rpc for service, about in served.services.items() for rpc in about.method}
    mine = {f"{service}.{rpc.name}": rpc for _, service, rpc in spec.rpcs()}
    for name, rpc in mine.items():
        other = theirs.get(name)
        if other is None:
            yield Deviation("rpc-missing", "missing", name, "an rpc", "not in the served descriptor", SOURCE)
            continue
        before, after = (rpc.client_streaming, rpc.server_streaming), (other.client_streaming, other.server_streaming)
        if before != after:
            yield Deviation("rpc-streaming-mismatch", "different", name, _streams(before), _streams(after), SOURCE)
        for word, attribute in (("request", "input_type"), ("response", "output_type")):
            one, two = getattr(rpc, attribute).lstrip("."), getattr(other, attribute).lstrip(".")
            if one != two:
                yield Deviation(f"rpc-{word}-type-mismatch", "different", name, one, two, SOURCE)
    ours = {service for _, service, _ in spec.rpcs()}
    for name in sorted(theirs.keys() - mine.keys()):
        if name.rpartition(".")[0] in ours:
            yield Deviation("rpc-extra", "extra", name, "no such rpc", "served", SOURCE)


def _streams(sides: tuple[bool, bool]) -> str:
    return f"{'stream' if sides[0] else 'one'} to {'stream' if sides[1] else 'one'}"


def _types(spec: Index, served: Index) -> Iterator[Deviation]:
    for name, message in spec.own_messages.items():
        if name in served.messages:
            yield from _fields(message, served.messages[name])
    for name, enum in spec.own_enums.items():
        if name not in served.enums:
            continue
        mine = {v.name: v.number for v in enum.value}
        theirs = {v.name: v.number for v in served.enums[name].value}
        for value in sorted(theirs.keys() - mine.keys()):
            yield Deviation("enum-value-extra", "extra", f"{name}.{value}", "no such value", str(theirs[value]), SOURCE)
        for value, number in mine.items():
            if value not in theirs:
                yield Deviation(
                    "enum-value-missing", "missing", f"{name}.{value}", str(number), "no such value", SOURCE
                )
            elif theirs[value] != number:
                yield Deviation(
                    "enum-value-number-mismatch",
                    "different",
                    f"{name}.{value}",
                    str(number),
                    str(theirs[value]),
                    SOURCE,
                )


def _fields(mine: Message, theirs: Message) -> Iterator[Deviation]:
    others = {f.name: f for f in theirs.proto.field}
    for field in mine.proto.field:
        where, other = f"{mine.name}.{field.name}", others.get(field.name)
        if other is None:
            yield Deviation(
                "field-missing", "missing", where, f"{type_name(field)} = {field.number}", "no such field", SOURCE
            )
            continue
        if field.number != other.number:
            yield Deviation("field-number-mismatch", "different", where, str(field.number), str(other.number), SOURCE)
        if (field.type, field.type_name, field.label == 3) != (other.type, other.type_name, other.label == 3):
            yield Deviation("type-mismatch", "different", where, _type(field), _type(other), SOURCE)
    for name in sorted(others.keys() - {f.name for f in mine.proto.field}):
        yield Deviation("field-extra", "extra", f"{mine.name}.{name}", "no such field", _type(others[name]), SOURCE)


def _type(field: object) -> str:
    return ("repeated " if getattr(field, "label", 0) == 3 else "") + type_name(field)


def implemented(
    spec: Index, classes: Mapping[str, frozenset[str]], served: Index | None, unclear: Collection[str] = ()
) -> tuple[list[Deviation], list[Unverified]]:
    """The rpcs that no class implements: an unimplemented one is served by the base class, as an error. `classes` are
    the methods of the servicers by the simple name of the service; those of `unclear` ones may have more."""
    found: list[Deviation] = []
    unsure: list[Unverified] = []
    known = {f"{s}.{r.name}" for s, about in served.services.items() for r in about.method} if served else None
    for _, service, rpc in spec.rpcs():
        name, methods = f"{service}.{rpc.name}", classes.get(simple(service))
        if methods is None:
            unsure.append(Unverified(service, "no class of the implementation serves it"))
        elif rpc.name not in methods and simple(service) in unclear:
            unsure.append(Unverified(name, "it may come from a base class that cannot be read"))
        elif rpc.name not in methods and (known is None or name in known):
            found.append(
                Deviation(
                    "rpc-unimplemented",
                    "missing",
                    name,
                    "a method",
                    "only the base class answers: UNIMPLEMENTED",
                    "static",
                )
            )
    return found, list(dict.fromkeys(unsure))
