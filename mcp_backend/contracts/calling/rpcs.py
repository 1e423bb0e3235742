"""The rpc that a call names, from `.proto` files of the repository or as a server tells by reflection.

https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, cast

from mcp_backend import installing
from mcp_backend.contracts import specs
from mcp_backend.contracts.documents import Broken
from mcp_backend.contracts.protobuf.compiling import Compiled, compiled
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.errors import InvalidArgument, NotFound

MISSING = installing.needs("gRPC", "contracts")
REFLECTIONS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
"""The newer first; their messages are the same on the wire."""
NO_SIDE_EFFECTS = 1
"""https://protobuf.dev/reference/cpp/api-docs/google.protobuf.descriptor.pb/#MethodOptions"""
FILES = 500
SHOWN = 8
KEPT = 8
_kept: dict[tuple[Path, Spec], tuple[tuple[tuple[str, tuple[int, int] | None], ...], Compiled]] = {}
_lock = Lock()


@dataclass(frozen=True, slots=True)
class Rpc:
    """A method with the classes of its messages."""

    service: str
    name: str
    request: Any
    response: Any
    client_streaming: bool
    server_streaming: bool
    harmless: bool
    spec: str = ""

    @property
    def path(self) -> str:
        """As HTTP/2 has it."""
        return f"/{self.service}/{self.name}"


def declared(source: Source, spec_path: str, wanted: str) -> tuple[Rpc | None, str]:
    """The rpc of that name in the repository, or why there is none. Raises `InvalidArgument` for a name that several
    have, `NotFound` for a specification that is none, `Unavailable` without the extra."""
    found = [s for s in specs.find(source, spec_path) if s.kind == "protobuf"]
    if spec_path and not found:
        raise NotFound(f"operation: {spec_path} holds no .proto files")
    hits: list[Rpc] = []
    names: list[str] = []
    broken = ""
    for spec in found:
        try:
            made = descriptors(source, spec)
        except Broken as error:
            broken = str(error)[:300]
            continue
        hits += _hits(made.files, wanted, spec.path)
        names += _names(made.files)
    one = _one(hits, wanted)
    why = broken or (f"no .proto here has {wanted}" if found else "no .proto file is in this repository")
    return one, "" if one else f"{why}; there are {', '.join(names[:SHOWN])}" if names else why


def descriptors(source: Source, spec: Spec) -> Compiled:
    """The descriptors, remembered as long as no `.proto` file changes: protoc takes longer than most calls."""
    stamps = tuple((f, _stamp(source.root / f)) for f in source.files if f.endswith(".proto"))
    key = (source.root, spec)
    with _lock:
        known = _kept.get(key)
    if known is not None and known[0] == stamps:
        return known[1]
    made = compiled(source, spec)
    with _lock:
        _kept[key] = (stamps, made)
        while len(_kept) > KEPT:
            del _kept[next(iter(_kept))]
    return made


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


def reflected(unary: Callable[[str, bytes], bytes], wanted: str) -> tuple[Rpc, str]:
    """The rpc of that name as the server describes it, and the reflection that was used. `unary` sends one message to
    a bidirectional method and gives the answer. Raises `NotFound`, `InvalidArgument`, and what `unary` raises."""

    def chosen(services: list[str]) -> list[str]:
        return [s for s in services if _may_have(s, wanted)][:SHOWN] or services[:SHOWN]

    try:
        told = described(unary, chosen)
    except LookupError as error:
        raise NotFound(
            f"operation: {wanted} is in no .proto file here, and the server does not describe itself ({error})"
        ) from error
    rpc = _one(_hits(told.files, wanted, ""), wanted)
    if rpc is None:
        raise NotFound(
            f"operation: the server has no {wanted}; it tells of {', '.join(_names(told.files)[:SHOWN]) or 'none'}"
        )
    return rpc, told.reflection


@dataclass(frozen=True, slots=True)
class Described:
    """What a server tells of itself: its services, the files of those that were asked for, and by which reflection."""

    services: tuple[str, ...]
    files: tuple[Any, ...]
    reflection: str


def described(unary: Callable[[str, bytes], bytes], chosen: Callable[[list[str]], list[str]]) -> Described:
    """Asks a server for its services, and for the files of those that `chosen` picks. Raises `LookupError` when it
    does not describe itself, `NotFound` when what it tells cannot be read, and what `unary` raises."""
    from grpc_reflection.v1alpha import reflection_pb2 as messages  # pyright: ignore

    pb: Any = messages
    problem = "no reflection"
    for service in REFLECTIONS:

        def ask(service: str = service, **what: Any) -> Any:
            sent = pb.ServerReflectionRequest(**what).SerializeToString()
            return pb.ServerReflectionResponse.FromString(unary(f"/{service}/ServerReflectionInfo", sent))

        try:
            listed = ask(list_services="")
        except LookupError as error:  # this version is not served
            problem = str(error)
            continue
        services = [str(s.name) for s in listed.list_services_response.service if s.name not in REFLECTIONS]
        files: dict[str, Any] = {}
        for name in chosen(services):
            _take(ask, files, file_containing_symbol=name)
        return Described(tuple(services), tuple(_ordered(files)), service)
    raise LookupError(problem)


def _take(ask: Callable[..., Any], files: dict[str, Any], **what: str) -> None:
    """Takes in the files of an answer, and what they import."""
    from google.protobuf import descriptor_pb2
    from google.protobuf.message import DecodeError

    for data in ask(**what).file_descriptor_response.file_descriptor_proto:
        try:
            file: Any = descriptor_pb2.FileDescriptorProto.FromString(data)
        except DecodeError as error:
            raise NotFound("operation: the server describes itself by something that is no descriptor") from error
        files.setdefault(file.name, file)
    missing = {d for file in files.values() for d in file.dependency} - files.keys()
    while missing and len(files) < FILES:
        name = min(missing)
        before = len(files)
        if not name.startswith("google/protobuf/"):
            _take(ask, files, file_by_filename=name)
        if len(files) == before:
            files[name] = _known(name)
        missing = {d for file in files.values() for d in file.dependency} - files.keys()


def _known(name: str) -> Any:
    """A file that every protobuf runtime has. Raises `NotFound` for others."""
    import importlib

    from google.protobuf import descriptor_pb2, descriptor_pool

    if name.startswith("google/protobuf/"):
        module = name.removesuffix(".proto").replace("/", ".") + "_pb2"
        try:
            importlib.import_module(module)
            file: Any = descriptor_pb2.FileDescriptorProto()
            cast("Any", descriptor_pool.Default()).FindFileByName(name).CopyToProto(file)
            return file
        except (ImportError, KeyError) as error:
            raise NotFound(f"operation: the server imports {name}, which is not known") from error
    raise NotFound(f"operation: the server does not tell {name[:100]}, which its services need")


def _ordered(files: Mapping[str, Any]) -> Iterator[Any]:
    """What is imported before what imports it."""
    done: set[str] = set()
    todo = [(name, False) for name in reversed(list(files))]
    while todo:
        name, ready = todo.pop()
        if name in done or name not in files:
            continue
        if ready:
            done.add(name)
            yield files[name]
            continue
        todo.append((name, True))
        todo += [(d, False) for d in files[name].dependency if d not in done and (d, True) not in todo]


def _hits(files: Iterable[Any], wanted: str, spec: str) -> list[Rpc]:
    """The rpcs of that name: `pkg.Service/Method`, `pkg.Service.Method`, or the end of it."""
    every = list(files)
    name = wanted.strip().strip("/").replace("/", ".")
    found: list[Rpc] = []
    for file in every:
        prefix = f"{file.package}." if file.package else ""
        for service in file.service:
            for method in service.method:
                full = f"{prefix}{service.name}.{method.name}"
                if full == name or full.endswith(f".{name}"):
                    found.append(made(every, f"{prefix}{service.name}", method, spec))
    exact = [r for r in found if f"{r.service}.{r.name}" == name]
    return exact or found


def made(files: list[Any], service: str, method: Any, spec: str) -> Rpc:
    """The rpc of a service, with the messages of these files. Raises `InvalidArgument` for files that do not fit."""
    from google.protobuf import descriptor_pool, message_factory

    pool: Any = descriptor_pool.DescriptorPool()
    for file in files:
        try:
            pool.AddSerializedFile(file.SerializeToString())
        except TypeError as error:
            raise InvalidArgument(f"operation: {file.name[:100]} cannot be used: {str(error)[:200]}") from error
    factory: Any = message_factory
    request, response = (
        factory.GetMessageClass(pool.FindMessageTypeByName(t.lstrip(".")))
        for t in (method.input_type, method.output_type)
    )
    harmless = method.options.idempotency_level == NO_SIDE_EFFECTS
    return Rpc(
        service, method.name, request, response, method.client_streaming, method.server_streaming, harmless, spec
    )  # fmt: skip


def _one(hits: list[Rpc], wanted: str) -> Rpc | None:
    different = {rpc.path: rpc for rpc in hits}
    if len(different) > 1:
        names = ", ".join(path[1:] for path in list(different)[:SHOWN])
        raise InvalidArgument(f"operation: several rpcs are called {wanted!r}; name one: {names}")
    return hits[0] if hits else None


def _names(files: Iterable[Any]) -> list[str]:
    return [
        f"{file.package + '.' if file.package else ''}{service.name}/{method.name}"
        for file in files
        for service in file.service
        for method in service.method
        if not f"{file.package}.{service.name}".startswith("grpc.reflection.")
    ]


def _may_have(service: str, wanted: str) -> bool:
    return service in wanted or wanted.strip("/").replace("/", ".").rpartition(".")[0] in (
        "",
        service.rpartition(".")[2],
    )
