"""gRPC: one rpc with its request as JSON, its answer read by the descriptors of the repository or of the server.

https://protobuf.dev/programming-guides/json/
"""

import ssl
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from mcp_backend.contracts.calling import rpcs
from mcp_backend.contracts.calling.asking import LIMIT, Asked, Got, Request, encoded, split
from mcp_backend.contracts.calling.line import Line, lost
from mcp_backend.contracts.calling.rpcs import Rpc
from mcp_backend.contracts.words import Deviation, Unverified
from mcp_backend.errors import InvalidArgument, Unavailable

MESSAGES = 20
"""Answers of a stream that are read."""
_DEPTH = 30


def prepare(asked: Asked) -> Request:
    """The request. Raises `InvalidArgument`, `NotFound`, `Unavailable` without the extra."""
    if any(find_spec(name) is None for name in ("grpc", "grpc_tools", "grpc_reflection")):
        raise Unavailable(rpcs.MISSING)
    if asked.method:
        raise InvalidArgument("method: a gRPC method is named by operation, such as orders.v1.Orders/GetOrder")
    if asked.target.path or asked.target.query:
        raise InvalidArgument("target: gRPC has no path before its own; expected HOST:PORT")
    spec_path, name = split(asked.operation)
    name = name or asked.path
    if not name.strip("/"):
        raise InvalidArgument("operation: expected the rpc, such as orders.v1.Orders/GetOrder")
    rpc, why = rpcs.declared(asked.source, spec_path, name)
    for header, value in asked.headers.sent:
        if header.lower().endswith("-bin") or not value.isascii():
            raise InvalidArgument(f"headers.{header[:60]}: expected ASCII text under a name that does not end in -bin")
    body: Any = asked.body if asked.body is not None else {}
    resolved: Any = asked.resolve(body)
    messages = _messages(rpc, resolved) if rpc is not None else ()
    shown = rpc.path if rpc is not None else f"/{name.strip('/')}"
    reads = rpc is not None and rpc.harmless

    def send(line: Line) -> Got:
        return _send(line, asked, rpc, name, resolved, messages, why, reads=reads)

    return Request(
        "rpc", asked.target.origin + shown, encoded(body), reads,
        "the .proto does not declare idempotency_level = NO_SIDE_EFFECTS for it", send,
        rpc.spec if rpc else "", shown[1:],
    )  # fmt: skip


def _messages(rpc: Rpc, body: Any) -> tuple[bytes, ...]:
    """The requests as bytes: a list is one message each of a client stream. Raises `InvalidArgument`."""
    from google.protobuf import json_format

    if not rpc.client_streaming and not isinstance(body, dict):
        raise InvalidArgument(f"body: expected a JSON object of {rpc.request.DESCRIPTOR.full_name}")
    if rpc.client_streaming and not (isinstance(body, list) and len(cast("list[Any]", body)) <= MESSAGES):
        raise InvalidArgument(f"body: expected a list of at most {MESSAGES} messages, which this rpc takes as a stream")
    made: list[bytes] = []
    many: list[Any] = cast("list[Any]", body) if rpc.client_streaming else [body]
    for one in many:
        try:
            message = json_format.ParseDict(one, rpc.request(), descriptor_pool=rpc.request.DESCRIPTOR.file.pool)
        except (json_format.ParseError, TypeError, ValueError, RecursionError) as error:
            raise InvalidArgument(
                f"body: does not fit {rpc.request.DESCRIPTOR.full_name}: {str(error)[:300]}"
            ) from error
        made.append(message.SerializeToString())
    return tuple(made)


def _send(
    line: Line,
    asked: Asked,
    rpc: Rpc | None,
    name: str,
    body: Any,
    messages: tuple[bytes, ...],
    why: str,
    *,
    reads: bool,
) -> Got:
    import grpc  # pyright: ignore[reportMissingTypeStubs]

    lib: Any = grpc
    channel = opened(line, lib)
    line.ends_by(channel.close)
    metadata = tuple((n.lower(), v) for n, v in asked.headers.sent)
    reflection = ""
    try:
        if rpc is None:
            rpc, reflection = rpcs.reflected(asking(line, lib, channel, metadata), name)
            messages = _messages(rpc, body)
        got = called(line, lib, channel, rpc, messages, metadata, reads=reads)
    finally:
        channel.close()
    if reflection:
        got.unverified.append(Unverified("*", f"{why}; read by what the server tells of itself"))
        got.more["reflection"] = reflection
    return got


def opened(line: Line, lib: Any) -> Any:
    """A channel to the address that answered, and to no other: no look-up, no proxy, no retry of its own."""
    connection = line.open()
    address = connection.getpeername()[0]
    connection.close()
    target = line.target
    where = f"ipv6:[{address}]:{target.port}" if ":" in address else f"ipv4:{address}:{target.port}"
    options = [
        ("grpc.default_authority", target.authority), ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0),
        ("grpc.service_config_disable_resolution", 1), ("grpc.max_receive_message_length", LIMIT),
        ("grpc.use_local_subchannel_pool", 1),
    ]  # fmt: skip
    if not target.secure:
        return lib.insecure_channel(where, options=options)
    options.append(("grpc.ssl_target_name_override", target.host))
    # gRPC brings roots of its own; what is trusted here is what every other client of this machine trusts.
    roots = ssl.get_default_verify_paths().cafile
    credentials = lib.ssl_channel_credentials(Path(roots).read_bytes() if roots else None)
    return lib.secure_channel(where, credentials, options=options)


def _same(data: bytes) -> bytes:
    return data


def asking(line: Line, lib: Any, channel: Any, metadata: Any) -> Callable[[str, bytes], bytes]:
    """Sends one message to a bidirectional method and gives the first answer: what reflection needs. It raises
    `LookupError` when there is none, `Unavailable` or `DeadlineExceeded` when the connection ends."""

    def unary(path: str, data: bytes) -> bytes:
        stub = channel.stream_stream(path, request_serializer=_same, response_deserializer=_same)
        try:
            return bytes(next(stub(iter([data]), timeout=line.left, metadata=metadata)))
        except StopIteration as error:
            raise LookupError("no answer") from error
        except lib.RpcError as error:
            code = error.code()
            if code in (lib.StatusCode.UNAVAILABLE, lib.StatusCode.DEADLINE_EXCEEDED, lib.StatusCode.CANCELLED):
                raise lost(line, True, "the connection ended while it told of its services") from error
            raise LookupError(code.name) from error
        except ValueError as error:  # the channel was closed: time is over
            raise lost(line, True, "timeout_seconds passed") from error

    return unary


def called(
    line: Line, lib: Any, channel: Any, rpc: Rpc, messages: tuple[bytes, ...], metadata: Any, *, reads: bool
) -> Got:
    """Calls an rpc and judges what comes back. Raises `Unavailable`, `DeadlineExceeded`, `OutcomeUnknown`."""
    make = {
        (False, False): channel.unary_stream, (False, True): channel.unary_stream,
        (True, False): channel.stream_stream, (True, True): channel.stream_stream,
    }[rpc.client_streaming, rpc.server_streaming]  # fmt: skip
    stub = make(rpc.path, request_serializer=_same, response_deserializer=_same)
    answers: list[bytes] = []
    size, whole = 0, True
    line.sent = True
    try:
        # One answer is a stream of one: so a method can be cut off after what is wanted.
        call = stub(iter(messages) if rpc.client_streaming else messages[0], timeout=line.left, metadata=metadata)
        line.ends_by(call.cancel)
        for answer in call:
            size += len(answer)
            answers.append(bytes(answer))
            if len(answers) >= MESSAGES or size > LIMIT:
                whole = False
                call.cancel()
                break
        status, details, trailers = "OK", "", () if not whole else call.trailing_metadata() or ()
    except lib.RpcError as error:
        raised: Any = error
        status, details, trailers = raised.code().name, str(raised.details() or ""), raised.trailing_metadata() or ()
        late = line.late or status == "DEADLINE_EXCEEDED"
        gone = status == "UNAVAILABLE" or (status == "UNKNOWN" and "removed" in details)
        if gone and details.startswith("failed to connect to all addresses"):
            line.sent = False  # there was a connection, but no HTTP/2 on it
        if (late or gone or status == "CANCELLED") and not (answers and rpc.server_streaming):
            line.late = late
            why = "timeout_seconds passed" if late else f"the connection ended ({details[:120]})"
            raise lost(line, reads, why) from error
        whole = not answers
    except ValueError as error:
        raise lost(line, reads, "timeout_seconds passed") from error
    return _got(rpc, answers, size, whole, status, details, trailers)


def _got(
    rpc: Rpc, answers: list[bytes], size: int, whole: bool, status: str, details: str, trailers: Iterable[Any]
) -> Got:
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError

    got = Got(status, {str(k): str(v) for k, v in trailers if isinstance(v, str)}, None, size, whole)
    where = f"{rpc.service}.{rpc.name}"
    if details:
        got.more["details"] = details[:1000]
    if status == "UNIMPLEMENTED":
        got.deviations.append(Deviation("rpc-unimplemented", "missing", where, "implemented", status, "response"))
    bodies: list[Any] = []
    found: dict[tuple[str, str], Deviation] = {}
    for data in answers:
        try:
            message: Any = rpc.response.FromString(data)
            body = json_format.MessageToDict(
                message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True,
                descriptor_pool=rpc.response.DESCRIPTOR.file.pool,
            )  # fmt: skip
        except (DecodeError, TypeError, ValueError, RecursionError):
            expected = str(rpc.response.DESCRIPTOR.full_name)
            odd = Deviation("rpc-response-type-mismatch", "different", where, expected, "other bytes", "response")
            found[odd.id, odd.where] = odd
            continue
        bodies.append(body)
        found |= {(d.id, d.where): d for d in _strange(message, 0)}
    got.deviations += found.values()
    got.body = bodies if rpc.server_streaming else bodies[0] if bodies else None
    if status == "OK" and not rpc.server_streaming and not answers:
        got.deviations.append(
            Deviation("rpc-streaming-mismatch", "different", where, "one message", "none", "response")
        )
    if not whole and rpc.server_streaming:
        got.unverified.append(Unverified(where, f"the stream was not read to its end; {len(answers)} messages were"))
    return got


def _strange(message: Any, depth: int) -> Iterator[Deviation]:
    """Fields that the descriptor does not have, or has with another type, and values that an enum does not have: a
    decoder keeps the former as unknown fields and says nothing."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    kind: Any = message.DESCRIPTOR
    for field in UnknownFieldSet(message):
        known = kind.fields_by_number.get(field.field_number)
        if known is not None:
            where, sent = f"{kind.name}.{known.name}", f"wire type {field.wire_type}"
            yield Deviation("type-mismatch", "different", where, "the type of the .proto", sent, "response")
        else:
            where = f"{kind.name}.{field.field_number}"
            yield Deviation("field-extra", "extra", where, "no field of that number", "a field", "response")
    for field, value in message.ListFields() if depth < _DEPTH else ():
        values = _values(value)
        if field.enum_type is not None and not field.enum_type.is_closed:
            for number in {v for v in values if isinstance(v, int) and v not in field.enum_type.values_by_number}:
                where = f"{kind.name}.{field.name}"
                yield Deviation("enum-value-extra", "extra", where, field.enum_type.name, str(number), "response")
        for one in values:
            if hasattr(one, "ListFields"):
                yield from _strange(one, depth + 1)


def _values(value: Any) -> list[Any]:
    """The values of a field that may be repeated, or a map."""
    if hasattr(value, "ListFields") or isinstance(value, (str, bytes, int, float)):
        return [value]
    return list(value.values() if hasattr(value, "values") else value)
