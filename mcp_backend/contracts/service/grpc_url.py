"""Checks a running gRPC server: what it tells of itself by reflection, and which rpcs nobody wrote.

https://github.com/grpc/grpc/blob/master/doc/server-reflection.md. Reflection cannot see an rpc that only the generated
base class answers, so those that read are called once, with an empty message. Any other rpc is sent bytes that are no
message: they never reach its method, but a server that does not know it says so first.
"""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from mcp_backend.contracts.calling import over_grpc, rpcs
from mcp_backend.contracts.calling.addresses import Target
from mcp_backend.contracts.calling.line import Line
from mcp_backend.contracts.protobuf import deviations
from mcp_backend.contracts.protobuf.compiling import compiled
from mcp_backend.contracts.protobuf.names import Index
from mcp_backend.contracts.service.checking import Checked
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.contracts.words import Deviation, Unverified
from mcp_backend.errors import DeadlineExceeded, NotFound, Unavailable

SECONDS = 3.0
"""For one rpc: a stream that sends nothing for so long is left."""
CALLS = 200
NO_MESSAGE = b"\xff"
"""A tag that ends before it is whole: https://protobuf.dev/programming-guides/encoding/#varints"""
_READS = re.compile(
    r"(Get|List|Watch|Read|Search|Find|Query|Count|Describe|Check|Lookup|BatchGet|Stream|Fetch)([A-Z]|$)"
)
_OWN = re.compile(r"grpc\.(reflection|health|channelz|binarylog)\.")


def check(source: Source, spec: Spec, target: Target, headers: Mapping[str, str]) -> Checked:
    """Checks the server at `target`. Raises `Broken`, `Unavailable`."""
    if any(find_spec(name) is None for name in ("grpc", "grpc_tools", "grpc_reflection")):
        raise Unavailable(rpcs.MISSING)
    import grpc  # pyright: ignore[reportMissingTypeStubs]

    made = compiled(source, spec)
    index = Index(made.files, made.own)
    checked = Checked(target.origin)
    talk = _Talk(grpc, target, tuple((n.lower(), v) for n, v in headers.items()), [*made.files])
    told = _told(talk, index, checked)
    missing = {d.where for d in checked.deviations if d.id == "rpc-missing"}
    for count, (_, service, rpc) in enumerate(index.rpcs()):
        name = f"{service}.{rpc.name}"
        if name in missing:
            continue
        if count >= CALLS:
            checked.unverified.append(Unverified(name, f"not called: {CALLS} rpcs were already"))
        elif rpc.options.idempotency_level == rpcs.NO_SIDE_EFFECTS or (
            _READS.match(rpc.name) and not rpc.client_streaming
        ):
            found, unsure = talk.reads(service, rpc)
            # What the descriptors say of fields need not be said again by the bytes of an answer.
            checked.add([d for d in found if not (told and d.id in ("type-mismatch", "field-extra"))], unsure)
        else:
            checked.add(*talk.knows(service, rpc))
        checked.requests += count < CALLS
    checked.sources.append("call")
    if not told:
        checked.unverified.append(Unverified("*", "what it serves beyond the specification is not known"))
    return checked


def _told(talk: "_Talk", index: Index, checked: Checked) -> bool:
    """Compares what the server tells of itself; false when it tells nothing."""
    known = {service for _, service, _ in index.rpcs()}
    try:
        told = talk.described(known)
    except (LookupError, NotFound) as error:
        why = str(error).removeprefix("operation: ")
        checked.unverified.append(Unverified("*", f"the server does not describe itself ({why})"))
        return False
    checked.sources += ["reflection " + told.reflection.split(".")[2], "descriptor"]
    served = Index(told.files, [f.name for f in told.files])
    packages = {service.rpartition(".")[0] for service in known}
    checked.add(deviations.compare(index, served), [])
    for service in told.services:
        if service not in known and not _OWN.match(service) and service.rpartition(".")[0] in packages:
            extra = Deviation("rpc-extra", "extra", service, "no such service", "served", "descriptor")
            checked.deviations.append(extra)
    return True


class _Talk:
    """Calls to one server, each on a channel of its own, so that none waits for another."""

    def __init__(self, lib: Any, target: Target, metadata: tuple[tuple[str, str], ...], files: list[Any]) -> None:
        self._lib, self._target, self._metadata, self._files = lib, target, metadata, files

    def described(self, known: set[str]) -> rpcs.Described:
        line = Line(self._target, 4 * SECONDS)
        channel = over_grpc.opened(line, self._lib)
        try:
            ask = over_grpc.asking(line, self._lib, channel, self._metadata)
            return rpcs.described(ask, lambda services: [s for s in services if s in known])
        finally:
            channel.close()

    def reads(self, service: str, method: Any) -> tuple[list[Deviation], list[Unverified]]:
        """Calls an rpc that reads, with an empty message, and judges what it sends."""
        name = f"{service}.{method.name}"
        rpc = rpcs.made(self._files, service, method, "")
        line = Line(self._target, SECONDS)
        channel = over_grpc.opened(line, self._lib)
        try:
            got = over_grpc.called(line, self._lib, channel, rpc, (b"",), self._metadata, reads=True)
        except DeadlineExceeded:
            return [], [Unverified(name, f"nothing came within {SECONDS:g} s")]
        finally:
            channel.close()
        if got.status not in ("OK", "UNIMPLEMENTED"):
            return got.deviations, [
                Unverified(name, f"an empty message is answered with {got.status}: not what it sends")
            ]
        return got.deviations, got.unverified

    def knows(self, service: str, method: Any) -> tuple[list[Deviation], list[Unverified]]:
        """Whether the server has a method at all: what it may change is not called."""
        name = f"{service}.{method.name}"
        unsure = Unverified(name, "it may change something, so whether its method is written was not tried")
        if method.client_streaming:  # what comes on a stream reaches the method before it is read
            return [], [unsure]
        line = Line(self._target, SECONDS)
        channel = over_grpc.opened(line, self._lib)
        try:
            stub = channel.stream_stream(f"/{name.rpartition('.')[0]}/{method.name}")
            next(stub(iter([NO_MESSAGE]), timeout=line.left, metadata=self._metadata), None)
        except self._lib.RpcError as error:
            raised: Any = error
            if raised.code() == self._lib.StatusCode.UNIMPLEMENTED:
                return [Deviation("rpc-unimplemented", "missing", name, "implemented", "UNIMPLEMENTED", "call")], []
            if raised.code() == self._lib.StatusCode.UNAVAILABLE:
                raise Unavailable(f"{self._target.origin}: {str(raised.details())[:200]}; start it again") from error
        finally:
            channel.close()
        return [], [unsure]
